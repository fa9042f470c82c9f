// feed.sustained: frames a second through one feedd into acknowledged, recorded events. simexd plays as fast as
// feedd takes, so what comes out is the knee of this machine: exchange, feed and broker share its cores.
// feed.sustained_held: the same at 50,000 frames a second by the venue's clock. feed.sustained_pss_kib: the most
// memory feedd had meanwhile; its reference, what it had after a quarter.
// After each repetition every event is read back and held against what the exchange says it sent: each once, in
// order. Reference of the knee: what the broker takes from nats.c alone, asynchronous publish with message ids, the
// same sizes (raw fast ingest: bench_bus).
// TL_BENCH_SECONDS: about how long each of the two takes (60).
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/bench/common/bench.h"
#include "test/bench/common/broker.h"
#include "test/bench/common/raw.h"
#include "test/bench/common/venue.h"

enum { REPS = 3, SECONDS = 60, GUESS = 100000, HELD = 50000, ALONE = 200000 };
enum { WINDOW = 4096, EVENT_BYTES = 640 };

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
    bench_series rate, most, quarter;
} figures;

static void one(jsCtx *js, const bench_market *market, figures *out)
{
    bench_venue venue;
    bench_daemon feedd;
    uint64_t from = bench_raw_count(js, "ACT"), want = 2 * market->trades, most = 0, quarter = 0;
    bench_venue_start(&venue, market);
    bench_daemon_start(&feedd, "feedd",
                       (const char *const[]){"--nats-url", url, "--ws-url", venue.ws, "--rest-url",
                                             venue.rest, "--symbols", "BTCUSDT", "--channels",
                                             "trade,bookTicker", "--lease-span", "1s", NULL});
    int64_t start = 0, end = bench_now_ns() + 600ll * 1000000000;
    uint64_t begun = 0, stored = 0;
    while (stored < want) { // feed.connected and the instrument are beside them: a handful
        usleep(20000);
        stored = bench_raw_count(js, "ACT") - from;
        if (stored > 16 && !start) {
            start = bench_now_ns();
            begun = stored;
        }
        uint64_t pss = bench_pss_kib(feedd.pid);
        most = pss > most ? pss : most;
        if (!quarter && stored >= want / 4)
            quarter = pss;
        if (bench_now_ns() > end)
            give_up("it takes more than ten minutes");
    }
    bench_add(&out->rate, (double)(stored - begun) / ((double)(bench_now_ns() - start) / 1e9));
    bench_add(&out->most, (double)most);
    bench_add(&out->quarter, (double)quarter);
    uint64_t sent = bench_venue_sent(&venue);
    bench_daemon_stop(&feedd); // with everything acknowledged
    bench_daemon_stop(&venue.simexd);
    check(js, market, from, sent);
}

// --- theirs ------------------------------------------------------------------------------------------

static double broker_alone(uint64_t count)
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
        snprintf(id, sizeof id, "urn:com.virtufin.exchange.binance#trade.BTCUSDT.%" PRIu64, ++next);
        bench_raw_publish(js, "raw.exchange.binance.trade.tape.BTCUSDT", id, bytes, sizeof bytes);
    }
    bench_raw_must(js_PublishAsyncComplete(js, NULL), "raw acknowledgements");
    double rate = (double)count / ((double)(bench_now_ns() - start) / 1e9);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
    return rate;
}

int main(void)
{
    static figures ours, held;
    static bench_series broker, asked;
    const char *text = getenv("TL_BENCH_SECONDS");
    int seconds = text && atoi(text) > 0 ? atoi(text) : SECONDS;
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
                           .trades = (uint64_t)seconds * GUESS / REPS / 2,
                           .quotes = true,
                           .apart_ns = 1000000,
                           .speed = "max"};
    const uint64_t knee = 2 * market.trades;
    for (int rep = 0; rep < REPS; rep++, market.first += 100000000) {
        one(js, &market, &ours);
        bench_add(&broker, broker_alone(ALONE));
    }
    market.trades = (uint64_t)seconds * HELD / 2;
    market.speed = "50x"; // of frames that are a millisecond apart
    one(js, &market, &held);
    bench_add(&asked, HELD);
    bench_print(
        &(bench_figure){"feed.sustained", "frames/s", &ours.rate,
                        "nats.c js_PublishMsgAsync alone, with ids, MaxPending 4096, StallWait "
                        "60 s, gathered writes, one connection, 640 B",
                        &broker,
                        "trades and quotes, simexd at max speed to acknowledged events; "
                        "each one read back, once and in order",
                        knee});
    bench_print(&(bench_figure){"feed.sustained_held", "frames/s", &held.rate, "asked of it",
                                &asked, "the same at 50,000 frames a second by the venue's clock",
                                2 * market.trades});
    bench_print(&(bench_figure){
        "feed.sustained_pss_kib", "KiB", &held.most, "the same feedd after a quarter of the frames",
        &held.quarter, "the most that feedd had at 50,000 frames a second", 2 * market.trades});
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
    bench_daemon_stop(&stored);
    return 0;
}
