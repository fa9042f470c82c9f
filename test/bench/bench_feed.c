// feed.binance.trade_ns, quote_ns, depth_ns: one frame of the venue, from its bytes to the encoded event,
// with duplicate and gap rules and, for depth, the book kept in step. The reference is a pass of jsmn with
// parent links over the same bytes, which only finds where the values are.
// Arguments: a capture of the hftbacktest collector (plain or .gz); without one the seeded one is made
// by test/data/make_capture.py, as `make bench` does when no captures are at hand.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#include <jsmn.h>

#include "feeds/venues/session.h"
#include "test/bench/common/bench.h"

enum { TOKENS_MAX = 65536, LINE_BYTES_MAX = 1 << 20, REPS = 7 };

typedef enum { TRADE, QUOTE, DEPTH, SNAPSHOT, KINDS } kind;

typedef struct {
    int64_t received;
    char *text;
    size_t len;
    kind kind;
} line;

typedef struct {
    line *line;
    size_t count, of[KINDS];
    char symbol[32];
} capture;

static uint8_t encoded[BUS_EVENT_SIZE_MAX];
static feed_request last_request;

static void give_up(const char *what)
{
    fprintf(stderr, "bench_feed: %s: %s\n", what, bus_err_text());
    exit(1);
}

static void on_event(void *ctx, const char *subject, const bus_event *event)
{
    (void)ctx;
    (void)subject;
    bus_pack p = bus_pack_to(encoded, sizeof encoded);
    if (bus_event_encode(&p, event))
        give_up("encode");
}

static void on_request(void *ctx, const feed_request *request)
{
    (void)ctx;
    if (request->kind == FEED_REQUEST_DEPTH)
        last_request = *request;
}

static kind kind_of(const char *text)
{
    if (strncmp(text, "{\"lastUpdateId\"", 15) == 0)
        return SNAPSHOT;
    return strstr(text, "@depth") ? DEPTH : strstr(text, "@bookTicker") ? QUOTE : TRADE;
}

static void load(capture *c, const char *path)
{
    char *buf = malloc(LINE_BYTES_MAX);
    size_t cap = 0;
    gzFile file = gzopen(path, "rb");
    if (!file || !buf)
        give_up(path);
    while (gzgets(file, buf, LINE_BYTES_MAX)) {
        char *text = strchr(buf, ' ');
        if (!text)
            continue;
        text[strcspn(text, "\n")] = 0;
        if (c->count == cap) {
            cap = cap ? cap * 2 : 4096;
            c->line = realloc(c->line, cap * sizeof *c->line);
        }
        kind k = kind_of(text + 1);
        c->line[c->count++] = (line){strtoll(buf, NULL, 10), strdup(text + 1), strlen(text + 1), k};
        c->of[k]++;
        const char *symbol = strstr(text, "\"s\":\"");
        if (symbol && !c->symbol[0])
            sscanf(symbol + 5, "%31[A-Z0-9]", c->symbol);
    }
    gzclose(file);
    free(buf);
}

// One pass over the capture; adds the mean of each kind. The clock is read around every frame and its
// own cost taken off.
static void pass(const capture *c, int64_t clock_ns, bench_series series[KINDS])
{
    static const char *const channels[] = {"trade", "bookTicker", "depth@100ms"};
    const char *symbols[] = {c->symbol};
    const feed_venue *venue = feed_venue_find("binance");
    feed_opts opts = {.symbols = symbols,
                      .symbol_count = 1,
                      .channels = channels,
                      .channel_count = 3,
                      .event = on_event,
                      .request = on_request};
    feed_session *session;
    feed_now now = {{1}, {1}, {1}};
    int64_t sum[KINDS] = {0};
    if (venue->open(&session, &opts))
        give_up("open");
    venue->up(session, false, &now);
    for (size_t i = 0; i < c->count; i++) {
        const line *l = &c->line[i];
        bus_view text = {l->text, l->len};
        now.received.ns = now.wall.ns = l->received;
        int64_t start = bench_now_ns();
        if (l->kind == SNAPSHOT)
            venue->response(session, &last_request, 200, text, &now);
        else if (venue->frame(session, text, &now) != FEED_FRAME_EVENT)
            give_up(l->text);
        sum[l->kind] += bench_now_ns() - start - clock_ns;
    }
    venue->close(session);
    for (int k = 0; k < KINDS; k++)
        bench_add(&series[k], (double)sum[k] / (double)(c->of[k] ? c->of[k] : 1));
}

static void reference_pass(const capture *c, int64_t clock_ns, bench_series series[KINDS])
{
    static jsmntok_t token[TOKENS_MAX];
    int64_t sum[KINDS] = {0};
    for (size_t i = 0; i < c->count; i++) {
        const line *l = &c->line[i];
        jsmn_parser parser;
        int64_t start = bench_now_ns();
        jsmn_init(&parser);
        if (jsmn_parse(&parser, l->text, l->len, token, TOKENS_MAX) < 1)
            give_up("jsmn");
        sum[l->kind] += bench_now_ns() - start - clock_ns;
    }
    for (int k = 0; k < KINDS; k++)
        bench_add(&series[k], (double)sum[k] / (double)(c->of[k] ? c->of[k] : 1));
}

static int64_t clock_cost(void)
{
    int64_t start = bench_now_ns(), last = start;
    for (int i = 0; i < 1000000; i++)
        last = bench_now_ns();
    return (last - start) / 1000000;
}

static const char *find_capture(int argc, char **argv)
{
    static char path[4096];
    const char *data = getenv("TRADELANE_DATA");
    if (argc > 1)
        return argv[1];
    snprintf(path, sizeof path, "%s/binance_spot/btcusdt_20240808.gz",
             data && *data ? data : TL_SOURCE_DIR "/../shared/data");
    if (access(path, R_OK) == 0)
        return path;
    char folder[] = "/tmp/bench_feed.XXXXXX", command[4300];
    if (!mkdtemp(folder))
        give_up("a temporary folder");
    snprintf(command, sizeof command, "python3 '%s/test/data/make_capture.py' '%s' --frames 20000",
             TL_SOURCE_DIR, folder);
    if (system(command))
        give_up(command);
    snprintf(path, sizeof path, "%s/small.gz", folder);
    return path;
}

int main(int argc, char **argv)
{
    static const char *const name[] = {"feed.binance.trade_ns", "feed.binance.quote_ns",
                                       "feed.binance.depth_ns"};
    static bench_series ours[KINDS], theirs[KINDS];
    capture c = {0};
    const char *path = find_capture(argc, argv), *base = strrchr(path, '/');
    load(&c, path);
    int64_t clock_ns = clock_cost();
    for (int i = 0; i < REPS; i++) {
        pass(&c, clock_ns, ours);
        reference_pass(&c, clock_ns, theirs);
    }
    for (int k = TRADE; k <= DEPTH; k++) {
        char workload[256];
        size_t bytes = 0;
        for (size_t i = 0; i < c.count; i++)
            bytes += c.line[i].kind == (kind)k ? c.line[i].len : 0;
        snprintf(workload, sizeof workload,
                 "frames of %s, %zu bytes each, bytes to encoded event%s", base ? base + 1 : path,
                 bytes / (c.of[k] ? c.of[k] : 1), k == DEPTH ? " and book" : "");
        bench_print(&(bench_figure){.bench = name[k],
                                    .unit = "ns",
                                    .ours = &ours[k],
                                    .reference = "jsmn, parent links, tokens only",
                                    .theirs = &theirs[k],
                                    .workload = workload,
                                    .events = c.of[k]});
    }
    return 0;
}
