// feed.binance.trade_ns, quote_ns, depth_ns: one frame of the venue, from its bytes to the encoded event,
// with duplicate and gap rules and, for depth, the book kept in step; depth_level_ns: the same a level. The reference
// is a pass of jsmn with parent links over the same bytes, which only finds where the values are; in the lines
// …_simdjson it is simdjson, which also reads the numbers that are no strings.
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
#include "test/bench/common/simdjson_parse.h"

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
    size_t count, of[KINDS], levels;
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

// Of a depth frame: each is ["…","…"].
static size_t levels_of(const char *text)
{
    size_t n = 0;
    for (; (text = strstr(text, "[\"")); text += 2)
        n++;
    return n;
}

// With what simdjson wants to be readable behind it.
static char *copy_of(const char *text, size_t len)
{
    char *copy = calloc(1, len + 1 + BENCH_SIMDJSON_PADDING);
    if (!copy)
        give_up("memory");
    memcpy(copy, text, len);
    return copy;
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
        size_t len = strlen(text + 1);
        c->line[c->count++] = (line){strtoll(buf, NULL, 10), copy_of(text + 1, len), len, k};
        c->of[k]++;
        c->levels += k == DEPTH ? levels_of(text + 1) : 0;
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

static int by_jsmn(const line *l)
{
    static jsmntok_t token[TOKENS_MAX];
    jsmn_parser parser;
    jsmn_init(&parser);
    return jsmn_parse(&parser, l->text, l->len, token, TOKENS_MAX) < 1;
}

static int by_simdjson(const line *l)
{
#ifdef TL_SIMDJSON
    return bench_simdjson_parse(l->text, l->len);
#else
    (void)l;
    return 0;
#endif
}

static void reference_pass(const capture *c, int (*parse)(const line *), int64_t clock_ns,
                           bench_series series[KINDS])
{
    int64_t sum[KINDS] = {0};
    for (size_t i = 0; i < c->count; i++) {
        const line *l = &c->line[i];
        int64_t start = bench_now_ns();
        if (parse(l))
            give_up("reference");
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
             data && *data ? data : TL_CAPTURES_DEFAULT);
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

static bench_series ours[KINDS], jsmn[KINDS], simdjson[KINDS];

static bench_series a_level(const bench_series *frames, const capture *c)
{
    bench_series levels = *frames;
    for (int i = 0; i < levels.count; i++)
        levels.value[i] *= (double)c->of[DEPTH] / (double)c->levels;
    return levels;
}

static void print(const capture *c, kind k, const char *file)
{
    static const char *const name[] = {"trade", "quote", "depth"};
    char workload[256], bench[64];
    size_t bytes = 0;
    for (size_t i = 0; i < c->count; i++)
        bytes += c->line[i].kind == k ? c->line[i].len : 0;
    snprintf(workload, sizeof workload, "frames of %s, %zu bytes each, bytes to encoded event%s",
             file, bytes / c->of[k], k == DEPTH ? " and book" : "");
    snprintf(bench, sizeof bench, "feed.binance.%s_ns", name[k]);
    bench_figure f = {.bench = bench,
                      .unit = "ns",
                      .ours = &ours[k],
                      .reference = "jsmn, parent links, tokens only",
                      .theirs = &jsmn[k],
                      .workload = workload,
                      .events = c->of[k]};
    bench_print(&f);
    snprintf(bench, sizeof bench, "feed.binance.%s_ns_simdjson", name[k]);
#ifdef TL_SIMDJSON
    f.reference = bench_simdjson_name();
    f.theirs = &simdjson[k];
#else
    f.theirs = NULL;
    f.workload = "no reference: built without simdjson (libsimdjson-dev and a C++ compiler)";
#endif
    bench_print(&f);
}

int main(int argc, char **argv)
{
    capture c = {0};
    const char *path = find_capture(argc, argv), *base = strrchr(path, '/');
    load(&c, path);
    int64_t clock_ns = clock_cost();
    for (int i = 0; i < REPS; i++) {
        pass(&c, clock_ns, ours);
        reference_pass(&c, by_jsmn, clock_ns, jsmn);
        reference_pass(&c, by_simdjson, clock_ns, simdjson);
    }
    for (kind k = TRADE; k <= DEPTH; k++)
        if (c.of[k])
            print(&c, k, base ? base + 1 : path);
    if (c.levels == 0)
        return 0;
    bench_series levels = a_level(&ours[DEPTH], &c), reference = a_level(&jsmn[DEPTH], &c);
    bench_print(&(bench_figure){.bench = "feed.binance.depth_level_ns",
                                .unit = "ns",
                                .ours = &levels,
                                .reference = "jsmn, parent links, tokens only",
                                .theirs = &reference,
                                .workload = "a depth frame, divided by its levels",
                                .events = c.levels});
    return 0;
}
