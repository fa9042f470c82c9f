// feed.sustained: frames a second through one feedd into acknowledged, recorded events. simexd plays as fast as
// feedd takes, so what comes out is the knee of this machine: exchange, feed and broker share its cores.
// feed.sustained_held: the same at 50,000 frames a second by the venue's clock, in one piece; each quarter of it counts
// as a repetition. feed.sustained_pss_kib: the most memory feedd had in each quarter; its reference, in the first.
// After each run every event is read back and held against what the exchange says it sent: each once, in order.
// References: what the broker takes from nats.c alone, asynchronous publish with message ids, the same sizes: as
// fast as it can (raw fast ingest: bench_bus), and at the same 50,000 a second, by the same broker before and behind it.
// TL_BENCH_SECONDS: about how long each of the two takes (60).
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "test/bench/common/bench.h"
#include "test/bench/common/broker.h"
#include "test/bench/common/raw.h"
#include "test/bench/common/venue.h"

enum { REPS = 3, QUARTERS = 4, SECONDS = 60, GUESS = 100000, HELD = 50000, ALONE = 200000 };
enum { WINDOW = 4096, EVENT_BYTES = 640, BEGUN = 17, LIMIT_S = 600 };

static char url[64];

static void give_up(const char *what)
{
    fprintf(stderr, "bench_sustained: %s\n", what);
    exit(1);
}

// --- audit -------------------------------------------------------------------------------------------

typedef struct {
    uint64_t first, trades, quotes, wrong; // next ids expected are first + trades, first + quotes
    _Atomic uint64_t seen;
} audit;

static uint64_t id_of(const natsMsg *msg)
{
    const char *data = natsMsg_GetData(msg), *end = data + natsMsg_GetDataLength(msg);
    const char *at = memmem(data, (size_t)(end - data), "BTCUSDT.", 8);
    uint64_t id = 0;
    for (at = at ? at + 8 : end; at < end && *at >= '0' && *at <= '9'; at++)
        id = id * 10 + (uint64_t)(*at - '0');
    return id;
}

static void on_stored(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *ctx)
{
    audit *a = ctx;
    const char *subject = natsMsg_GetSubject(msg);
    uint64_t *count = strstr(subject, ".trade.")   ? &a->trades
                      : strstr(subject, ".quote.") ? &a->quotes
                                                   : NULL;
    (void)nc, (void)sub;
    if (count && id_of(msg) >= a->first) { // repetitions before this one are below
        a->wrong += id_of(msg) != a->first + *count;
        ++*count;
    } else if (strstr(subject,
                      ".feed.gap")) { // before the first frame: since the feedd before this one
        a->wrong += a->trades + a->quotes > 0;
    }
    a->seen++;
    natsMsg_Destroy(msg);
}

static void check(jsCtx *js, const bench_market *market, uint64_t from, uint64_t sent)
{
    static audit a;
    natsSubscription *sub = NULL;
    jsSubOptions opts;
    uint64_t all = bench_raw_count(js, "ACT");
    a = (audit){.first = market->first};
    jsSubOptions_Init(&opts);
    opts.Ordered = true;
    opts.Config.DeliverPolicy = js_DeliverByStartSequence;
    opts.Config.OptStartSeq = from + 1;
    bench_raw_must(js_Subscribe(&sub, js, "act.>", on_stored, &a, NULL, &opts, NULL), "reading");
    natsSubscription_SetPendingLimits(sub, -1, -1);
    for (int tries = 0; a.seen < all - from && tries < 60000; tries++)
        usleep(1000);
    natsSubscription_Destroy(sub);
    if (a.wrong || a.trades + a.quotes != 2 * market->trades || sent < 2 * market->trades) {
        fprintf(stderr,
                "bench_sustained: sent %" PRIu64 ", stored %" PRIu64 " trades and %" PRIu64
                " quotes of %" PRIu64 " each, %" PRIu64 " out of place\n",
                sent, a.trades, a.quotes, market->trades, a.wrong);
        exit(1);
    }
}

// --- ours --------------------------------------------------------------------------------------------

typedef struct {
    bench_series rate, most; // by part
} figures;

typedef struct {
    uint64_t stored;
    int64_t at_ns;
} mark;

// Until so many are stored; returns the most memory that feedd had meanwhile.
static uint64_t wait_stored(jsCtx *js, pid_t feedd, uint64_t from, uint64_t until, mark *out)
{
    const int64_t end = bench_now_ns() + (int64_t)LIMIT_S * 1000000000;
    uint64_t most = 0;
    do {
        usleep(20000);
        uint64_t all = bench_raw_count(js, "ACT"), pss = bench_pss_kib(feedd);
        *out = (mark){all > from ? all - from : 0, bench_now_ns()};
        most = pss > most ? pss : most;
        if (out->at_ns > end)
            give_up("it takes more than ten minutes");
    } while (out->stored < until);
    return most;
}

static void one(jsCtx *js, const bench_market *market, uint64_t parts, figures *out)
{
    bench_venue venue;
    bench_daemon feedd;
    uint64_t from = bench_raw_count(js, "ACT"), want = 2 * market->trades;
    bench_venue_start(&venue, market);
    bench_daemon_start(&feedd, "feedd",
                       (const char *const[]){"--nats-url", url, "--ws-url", venue.ws, "--rest-url",
                                             venue.rest, "--symbols", "BTCUSDT", "--channels",
                                             "trade,bookTicker", "--lease-span", "1s", NULL});
    mark before, now; // feed.connected and the instrument are among what is stored: a handful
    wait_stored(js, feedd.pid, from, BEGUN, &before);
    for (uint64_t part = 1; part <= parts; part++, before = now) {
        uint64_t most = wait_stored(js, feedd.pid, from, want * part / parts, &now);
        double seconds = (double)(now.at_ns - before.at_ns) / 1e9;
        bench_add(&out->rate, (double)(now.stored - before.stored) / seconds);
        bench_add(&out->most, (double)most);
    }
    uint64_t sent = bench_venue_sent(&venue);
    bench_daemon_stop(&feedd); // with everything acknowledged
    bench_daemon_stop(&venue.simexd);
    check(js, market, from, sent);
}

// --- theirs ------------------------------------------------------------------------------------------

static void wait_until(int64_t mono_ns)
{
    struct timespec t = {.tv_sec = mono_ns / 1000000000, .tv_nsec = mono_ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

// At `rate` a second, a millisecond's at a time; 0: as fast as they are taken.
static double broker_alone(uint64_t count, uint64_t rate)
{
    static char bytes[EVENT_BYTES];
    static uint64_t next;
    natsConnection *nc = NULL;
    jsCtx *js = NULL;
    char id[96];
    bench_raw_connect(&nc, url, false);
    bench_raw_jetstream(&js, nc, WINDOW);
    int64_t start = bench_now_ns();
    for (uint64_t i = 0; i < count; i++) {
        if (rate && i % (rate / 1000) == 0)
            wait_until(start + (int64_t)(i * 1000000000 / rate));
        snprintf(id, sizeof id, "urn:com.virtufin.exchange.binance#trade.BTCUSDT.%" PRIu64, ++next);
        bench_raw_publish(js, "raw.exchange.binance.trade.tape.BTCUSDT", id, bytes, sizeof bytes);
    }
    if (rate)
        wait_until(start + (int64_t)(count * 1000000000 / rate));
    bench_raw_must(js_PublishAsyncComplete(js, NULL), "raw acknowledgements");
    double taken = (double)count / ((double)(bench_now_ns() - start) / 1e9);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
    return taken;
}

// --- figures -------------------------------------------------------------------------------------------

static void knee(jsCtx *js, bench_market *market)
{
    static figures ours;
    static bench_series alone;
    for (int rep = 0; rep < REPS; rep++, market->first += 100000000) {
        one(js, market, 1, &ours);
        bench_add(&alone, broker_alone(ALONE, 0));
    }
    bench_print(&(bench_figure){
        "feed.sustained", "frames/s", &ours.rate,
        "nats.c js_PublishMsgAsync alone, with ids, MaxPending 4096, StallWait 60 s, gathered "
        "writes, one connection, 640 B",
        &alone,
        "trades and quotes, simexd at max speed to acknowledged events; each one read back, once "
        "and in order",
        2 * market->trades});
}

static void held(jsCtx *js, const bench_market *market, uint64_t seconds)
{
    static figures ours;
    static bench_series alone, first;
    const uint64_t events = 2 * market->trades / QUARTERS;
    const uint64_t some = (seconds < 12 ? 1 : seconds / 12) * HELD;
    for (int i = 0; i < 2; i++)
        bench_add(&alone, broker_alone(some, HELD));
    one(js, market, QUARTERS, &ours);
    for (int i = 0; i < 2; i++)
        bench_add(&alone, broker_alone(some, HELD));
    bench_add(&first, ours.most.value[0]);
    bench_print(&(bench_figure){
        "feed.sustained_held", "frames/s", &ours.rate,
        "nats.c js_PublishMsgAsync alone at that rate, twice before and twice behind, with ids, "
        "MaxPending 4096, StallWait 60 s, gathered writes, one connection, 640 B",
        &alone,
        "the same at 50,000 frames a second by the venue's clock, in one piece, by its quarters",
        events});
    bench_print(&(bench_figure){
        "feed.sustained_pss_kib", "KiB", &ours.most, "the same feedd in the first quarter", &first,
        "the most that feedd had at 50,000 frames a second, by quarters", events});
}

int main(void)
{
    const char *text = getenv("TL_BENCH_SECONDS");
    const uint64_t seconds = text && atoi(text) > 0 ? (uint64_t)atoi(text) : SECONDS;
    natsConnection *nc = NULL;
    jsCtx *js = NULL;
    bench_daemon stored;
    bench_broker_start(url, sizeof url);
    bench_daemon_start(&stored, "stored", (const char *const[]){"--nats-url", url, NULL});
    bench_daemon_line(&stored, "ready in ", NULL, 0);
    bench_raw_connect(&nc, url, false);
    bench_raw_jetstream(&js, nc, WINDOW);
    bench_raw_stream(js, "RAW", "raw.>");
    bench_market market = {.first = 1000000000,
                           .trades = seconds * GUESS / REPS / 2,
                           .quotes = true,
                           .apart_ns = 1000000,
                           .speed = "max"};
    knee(js, &market);
    market.trades = seconds * HELD / 2;
    market.speed = "50x"; // of frames that are a millisecond apart
    held(js, &market, seconds);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
    bench_daemon_stop(&stored);
    return 0;
}
