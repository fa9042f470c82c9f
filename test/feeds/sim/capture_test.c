#include "feeds/sim/capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "test/support/data.h"
#include "test/support/test.h"

// Source: schemas/specs/simexd.md, "Capture play".
Test(capture, takes_lines_of_both_formats_apart)
{
    static const struct {
        const char *line;
        sim_format format;
        sim_line_kind kind;
        int64_t recorded_ns;
        const char *text;
    } cases[] = {
        {"1723161253937085768 {\"a\":1}", SIM_FORMAT_COLLECTOR, SIM_LINE_FRAME, 1723161253937085768,
         "{\"a\":1}"},
        {"1676419204108053 {\"a\":1}\r", SIM_FORMAT_COLLECTOR, SIM_LINE_FRAME, 1676419204108053000,
         "{\"a\":1}"},
        {"1723161254206652067 {\"lastUpdateId\":5,\"bids\":[],\"asks\":[]}", SIM_FORMAT_COLLECTOR,
         SIM_LINE_SNAPSHOT, 1723161254206652067, "{\"lastUpdateId\":5,\"bids\":[],\"asks\":[]}"},
        {"1633998512.0633569: {\"a\":1}", SIM_FORMAT_CRYPTOFEED, SIM_LINE_FRAME,
         1633998512063356900, "{\"a\":1}"},
        {"1633998512: {}", SIM_FORMAT_CRYPTOFEED, SIM_LINE_FRAME, 1633998512000000000, "{}"},
        {"wss://x/stream?streams=a@b <-> 1633998511.159679", SIM_FORMAT_CRYPTOFEED, SIM_LINE_SKIP,
         0, ""},
        {"wss://x/ws <- 1633998511.2: {\"op\":1}", SIM_FORMAT_CRYPTOFEED, SIM_LINE_SKIP, 0, ""},
        {"https://x/api/v3/depth?symbol=A&limit=5 -> 1633998512.320639: {\"lastUpdateId\":1} "
         "header: "
         "{'x': 1}",
         SIM_FORMAT_CRYPTOFEED, SIM_LINE_SNAPSHOT, 1633998512320639000, "{\"lastUpdateId\":1}"},
        {"https://x/api/v3/exchangeInfo -> 1633998512.5: {\"symbols\":[]}", SIM_FORMAT_CRYPTOFEED,
         SIM_LINE_INFO, 1633998512500000000, "{\"symbols\":[]}"},
        {"", SIM_FORMAT_COLLECTOR, SIM_LINE_SKIP, 0, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sim_line line;
        bus_view text = bus_view_of(cases[i].line);
        if (text.len)
            cr_expect_eq(sim_line_format(text), cases[i].format, "%s", cases[i].line);
        test_ok(sim_line_parse(&line, cases[i].format, text));
        cr_expect_eq(line.kind, cases[i].kind, "%s", cases[i].line);
        cr_expect_eq(line.recorded_ns, cases[i].recorded_ns, "%s", cases[i].line);
        cr_expect(bus_view_is(line.text, cases[i].text), "%s", cases[i].line);
    }
}

Test(capture, refuses_lines_of_no_format_naming_the_rule)
{
    static const struct {
        const char *line;
        sim_format format;
    } cases[] = {
        {"x", SIM_FORMAT_COLLECTOR},
        {"172316125393708576 {}", SIM_FORMAT_COLLECTOR},
        {"1723161253937085768", SIM_FORMAT_COLLECTOR},
        {"9999999999999999999 {}", SIM_FORMAT_COLLECTOR},
        {"1633998512.06 {}", SIM_FORMAT_CRYPTOFEED},
        {"hello", SIM_FORMAT_CRYPTOFEED},
        {"https://x -> y: {}", SIM_FORMAT_CRYPTOFEED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sim_line line;
        test_expect_err(sim_line_parse(&line, cases[i].format, bus_view_of(cases[i].line)),
                        BUS_EINVAL);
    }
}

static const char *given_file(const char *folder, const char *name, const char *text)
{
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, 512, "%s/%s", folder, name);
    if (strstr(name, ".gz")) {
        gzFile f = gzopen(path, "wb");
        gzputs(f, text);
        gzclose(f);
    } else {
        FILE *f = fopen(path, "w");
        fputs(text, f);
        fclose(f);
    }
    return path;
}

Test(capture, merges_a_web_socket_file_with_the_http_file_beside_it)
{
    const char *folder = test_tmp();
    const char *ws =
        given_file(folder, "X.ws.1.0.gz",
                   "wss://x <-> 1.5\n"
                   "1633998512.1: {\"stream\":\"a@trade\",\"data\":{\"t\":1,\"p\":\"0.10\","
                   "\"q\":\"2.000\"}}\n"
                   "1633998512.3: {\"stream\":\"a@trade\",\"data\":{\"t\":2}}\n");
    (void)given_file(folder, "X.http.0.0",
                     "https://x/depth?symbol=A&limit=9 -> 1633998512.2: {\"lastUpdateId\":7,"
                     "\"bids\":[[\"0.125\",\"1\"]],\"asks\":[]}\n"
                     "https://x/depth?symbol=OTHER -> 1633998512.25: {\"lastUpdateId\":8}\n");
    (void)given_file(folder, "Y.http.0.0", "garbage\n");
    sim_topics topics = {0};
    sim_capture *c;
    sim_record r;
    test_ok(sim_capture_open(&c, &ws, 1, &topics));
    cr_expect(topics.count == 1 && topics.topic[0].total == 2);
    const sim_symbol_facts *facts = sim_capture_facts(c, 0);
    cr_expect(facts->snapshots == 1 && facts->price_digits == 3 && facts->price_scale == 3);
    cr_expect(facts->quantity_digits == 3 && facts->quantity_scale == 0);
    cr_assert(sim_capture_next(c, &r) && r.kind == SIM_LINE_FRAME && r.frame.last_id == 1);
    cr_assert(sim_capture_next(c, &r) && r.kind == SIM_LINE_SNAPSHOT && strcmp(r.symbol, "A") == 0);
    cr_assert(sim_capture_next(c, &r) && r.kind == SIM_LINE_SNAPSHOT);
    cr_assert(sim_capture_next(c, &r) && r.frame.last_id == 2);
    cr_assert(!sim_capture_next(c, &r));
    sim_capture_close(c);
    sim_topics_release(&topics);
}

Test(capture, gives_a_bare_snapshot_to_the_symbol_whose_ids_it_fits)
{
    const char *folder = test_tmp();
    const char *path =
        given_file(folder, "two.txt",
                   "1723161253000000000 {\"lastUpdateId\":905,\"bids\":[],\"asks\":[]}\n"
                   "1723161253000000001 "
                   "{\"stream\":\"a@depth\",\"data\":{\"U\":100,\"u\":110,\"b\":[],\"a\":[]}}\n"
                   "1723161253000000002 "
                   "{\"stream\":\"b@depth\",\"data\":{\"U\":900,\"u\":910,\"b\":[],\"a\":[]}}\n"
                   "1723161253000000003 {\"lastUpdateId\":99,\"bids\":[],\"asks\":[]}\n");
    sim_topics topics = {0};
    sim_capture *c;
    sim_record r;
    test_ok(sim_capture_open(&c, &path, 1, &topics));
    cr_assert(sim_capture_next(c, &r) && r.kind == SIM_LINE_SNAPSHOT && strcmp(r.symbol, "B") == 0);
    cr_assert(sim_capture_next(c, &r) && sim_capture_next(c, &r) && sim_capture_next(c, &r));
    cr_expect(r.kind == SIM_LINE_SNAPSHOT && strcmp(r.symbol, "A") == 0);
    sim_capture_close(c);
    sim_topics_release(&topics);
}

Test(capture, skips_and_counts_bad_lines_and_a_torn_end)
{
    const char *folder = test_tmp();
    const char *path =
        given_file(folder, "bad.txt",
                   "1723161253000000001 {\"stream\":\"a@trade\",\"data\":{\"t\":1}}\n"
                   "hello\n"
                   "1723161253000000002 {\"result\":null,\"id\":1}\n"
                   "1723161253000000003 {\"stream\":\"a@trade\",\"data\":{\"t\":2}}\n"
                   "17231612530000");
    sim_topics topics = {0};
    sim_capture *c;
    sim_record r;
    test_ok(sim_capture_open(&c, &path, 1, &topics));
    cr_expect_eq(sim_capture_bad_lines(c), 3);
    cr_expect_eq(sim_capture_frames(c), 2);
    cr_assert(sim_capture_next(c, &r) && r.frame.last_id == 1);
    cr_assert(sim_capture_next(c, &r) && r.frame.last_id == 2);
    cr_assert(!sim_capture_next(c, &r));
    sim_capture_close(c);
    sim_topics_release(&topics);
}

Test(capture, a_file_that_is_not_there_or_holds_no_frame_is_refused_by_name)
{
    sim_topics topics = {0};
    sim_capture *c;
    const char *none = "/nowhere/x.gz";
    const char *empty = given_file(test_tmp(), "empty.txt", "hello\n");
    test_expect_err(sim_capture_open(&c, &none, 1, &topics), BUS_ENOTFOUND);
    cr_expect(strstr(bus_err_text(), none), "%s", bus_err_text());
    test_expect_err(sim_capture_open(&c, &empty, 1, &topics), BUS_EINVAL);
    cr_expect(strstr(bus_err_text(), "empty.txt"), "%s", bus_err_text());
    sim_topics_release(&topics);
}

static void count_channels(const char *file, uint64_t frames, const char *const *channels,
                           const uint64_t *totals, size_t count)
{
    const char *path = test_data(file);
    sim_topics topics = {0};
    sim_capture *c;
    test_ok(sim_capture_open(&c, &path, 1, &topics));
    cr_expect_eq(sim_capture_frames(c), frames);
    cr_expect_eq(sim_capture_bad_lines(c), 0);
    for (size_t i = 0; i < count; i++) {
        uint64_t total = 0;
        for (size_t k = 0; k < topics.count; k++)
            if (strcmp(topics.topic[k].channel, channels[i]) == 0)
                total += topics.topic[k].total;
        cr_expect_eq(total, totals[i], "%s", channels[i]);
    }
    sim_capture_close(c);
    sim_topics_release(&topics);
}

Test(capture, finds_in_the_real_captures_what_they_are_known_to_hold)
{
    static const char *const spot[] = {"depth", "trade", "bookTicker"};
    static const uint64_t spot_totals[] = {3451, 9757, 28040};
    static const char *const thin[] = {"depth", "bookTicker", "aggTrade", "kline_1m"};
    static const uint64_t thin_totals[] = {177, 84, 2, 2};
    count_channels("binance_spot/btcusdt_20240808.gz", 41248, spot, spot_totals, 3);
    count_channels("cryptofeed/BINANCE.ws.1.0.gz", 265, thin, thin_totals, 4);
}
