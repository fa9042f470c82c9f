#include "feeds/sim/frame.h"

#include "test/support/test.h"

// Frames as the venue sends them. Source: schemas/specs/simexd.md, "Venue endpoints: WebSocket".
Test(frame, is_told_by_its_stream_or_by_its_payload)
{
    static const struct {
        const char *text, *symbol, *channel;
        int64_t first, last;
    } cases[] = {
        {"{\"stream\":\"btcusdt@depth@100ms\",\"data\":{\"e\":\"depthUpdate\",\"E\":5,\"s\":"
         "\"BTCUSDT\","
         "\"U\":10,\"u\":12,\"b\":[[\"1.0\",\"2\"]],\"a\":[]}}",
         "BTCUSDT", "depth", 10, 12},
        {"{\"e\":\"depthUpdate\",\"E\":5,\"s\":\"BTCUSDT\",\"U\":10,\"u\":12,\"b\":[],\"a\":[]}",
         "BTCUSDT", "depth", 10, 12},
        {"{\"e\":\"trade\",\"E\":1,\"s\":\"ETHBTC\",\"t\":77,\"p\":\"1\",\"q\":\"2\",\"T\":1}",
         "ETHBTC", "trade", 77, 77},
        {"{\"e\":\"aggTrade\",\"s\":\"ETHBTC\",\"a\":9,\"f\":1,\"l\":2}", "ETHBTC", "aggTrade", 9,
         9},
        {"{\"u\":400,\"s\":\"BNBUSDT\",\"b\":\"1\",\"B\":\"2\",\"a\":\"3\",\"A\":\"4\"}", "BNBUSDT",
         "bookTicker", 400, 400},
        {"{\"e\":\"kline\",\"E\":99,\"s\":\"BNBUSDT\",\"k\":{\"t\":60,\"i\":\"1m\"}}", "BNBUSDT",
         "kline_1m", 60, 99},
        {"{\"stream\":\"x@miniTicker\",\"data\":{\"e\":\"24hrMiniTicker\"}}", "X", "miniTicker", 0,
         0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sim_frame f;
        cr_assert(sim_frame_parse(&f, bus_view_of(cases[i].text)), "%s", cases[i].text);
        cr_expect(strcmp(f.symbol, cases[i].symbol) == 0, "%s", f.symbol);
        cr_expect(strcmp(f.channel, cases[i].channel) == 0, "%s", f.channel);
        cr_expect_eq(f.first_id, cases[i].first);
        cr_expect_eq(f.last_id, cases[i].last);
        cr_expect(f.whole);
    }
}

Test(frame, data_is_the_bytes_that_were_recorded)
{
    sim_frame f;
    cr_assert(sim_frame_parse(
        &f, BUS_VIEW("{\"stream\":\"a@trade\",\"data\":{\"e\": \"trade\",  \"t\":1 }}")));
    cr_expect(bus_view_is(f.data, "{\"e\": \"trade\",  \"t\":1 }"), "%.*s", BUS_VIEW_ARG(f.data));
    cr_expect(bus_view_is(f.stream, "a@trade"));
}

Test(frame, of_a_known_stream_with_broken_data_is_still_a_frame)
{
    sim_frame f;
    cr_assert(sim_frame_parse(&f, BUS_VIEW("{\"stream\":\"a@trade\",\"data\":{\"e\":\"tra")));
    cr_expect(!f.whole);
    cr_expect(strcmp(f.channel, "trade") == 0);
    cr_expect(bus_view_is(f.data, "{\"e\":\"tra"), "%.*s", BUS_VIEW_ARG(f.data));
}

Test(frame, refuses_what_is_no_frame_of_the_venue)
{
    static const char *const others[] = {"",
                                         "x",
                                         "[]",
                                         "{}",
                                         "{\"result\":null,\"id\":1}",
                                         "{\"e\":\"trade\",\"t\":1}",
                                         "{\"e\":\"trade\",\"s\":\"A B\",\"t\":1}",
                                         "{\"stream\":\"noat\",\"data\":{}}",
                                         "{\"stream\":\"@trade\",\"data\":{}}",
                                         "{\"stream\":\"a@\",\"data\":{}}"};
    sim_frame f;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_expect(!sim_frame_parse(&f, bus_view_of(others[i])), "%s", others[i]);
}
