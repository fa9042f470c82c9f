// replay.max: recorded events sent again as fast as possible, until a subscriber has counted the last one.
// The reference is the least that can be written with the raw library: an ordered consumer whose callback
// publishes the stored bytes, unchanged and without headers, on the other subject.
#include <inttypes.h>
#include <nats/nats.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../store/market.h"
#include "bus/base/log.h"
#include "store/replay.h"
#include "test/bench/common/bench.h"
#include "test/bench/common/broker.h"

enum { EVENTS = 200000 };

static char url[64];
static _Atomic int64_t counted;

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "bench_replay: %s: %s\n", what, why);
    exit(1);
}

static void must(natsStatus s, const char *what)
{
    if (s != NATS_OK)
        give_up(what, natsStatus_GetText(s));
}

static void pause_us(long us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

// --- the subscriber, the same for both ----------------------------------------------------------------

static void on_hyp(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *ctx)
{
    (void)nc;
    (void)sub;
    (void)ctx;
    atomic_fetch_add(&counted, 1);
    natsMsg_Destroy(msg);
}

static void count_lane(void)
{
    natsConnection *nc = NULL;
    natsSubscription *sub = NULL;
    must(natsConnection_ConnectTo(&nc, url), "subscriber");
    must(natsConnection_Subscribe(&sub, nc, "hyp.bench.exchange.>", on_hyp, NULL), "subscriber");
    must(natsSubscription_SetPendingLimits(sub, -1, -1), "subscriber");
    must(natsConnection_Flush(nc), "subscriber");
}

static double wait_all(int64_t start)
{
    int64_t last = -1, idle = 0;
    while (atomic_load(&counted) < EVENTS) {
        pause_us(200);
        idle = atomic_load(&counted) == last ? idle + 1 : 0;
        last = atomic_load(&counted);
        if (idle > 50000)
            give_up("waiting for the last event", "nothing came for ten seconds");
    }
    return EVENTS / ((double)(bench_now_ns() - start) / 1e9);
}

// --- ours ---------------------------------------------------------------------------------------------

static double replay_ours(void)
{
    store_replay_opts opts = {.source = {.url = url, .name = "bench"},
                              .selector = "bench",
                              .range = {.stream = "ACT", .to_seq = EVENTS}};
    store_replay *replay = NULL;
    atomic_store(&counted, 0);
    int64_t start = bench_now_ns();
    if (store_replay_open(&replay, &opts, NULL))
        give_up("replay", bus_err_text());
    double rate = wait_all(start);
    store_replay_close(replay);
    return rate;
}

// --- the raw library ------------------------------------------------------------------------------------

static void on_act(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *ctx)
{
    char subject[BUS_SUBJECT_BUF];
    (void)nc;
    (void)sub;
    snprintf(subject, sizeof subject, "hyp.bench.%s", natsMsg_GetSubject(msg) + 4);
    must(natsConnection_Publish(ctx, subject, natsMsg_GetData(msg), natsMsg_GetDataLength(msg)),
         "publish");
    natsMsg_Destroy(msg);
}

static double replay_theirs(void)
{
    natsConnection *reading = NULL, *publishing = NULL;
    natsSubscription *sub = NULL;
    jsCtx *js = NULL;
    jsSubOptions opts;
    jsSubOptions_Init(&opts);
    opts.Ordered = true;
    opts.Stream = "ACT";
    atomic_store(&counted, 0);
    int64_t start = bench_now_ns();
    must(natsConnection_ConnectTo(&reading, url), "connect");
    must(natsConnection_ConnectTo(&publishing, url), "connect");
    must(natsConnection_JetStream(&js, reading, NULL), "context");
    must(js_Subscribe(&sub, js, "act.exchange.>", on_act, publishing, NULL, &opts, NULL),
         "consumer");
    must(natsSubscription_SetPendingLimits(sub, -1, -1), "limits");
    double rate = wait_all(start);
    natsSubscription_Unsubscribe(sub);
    pause_us(100000);
    natsSubscription_Destroy(sub);
    jsCtx_Destroy(js);
    natsConnection_Destroy(reading);
    natsConnection_Destroy(publishing);
    return rate;
}

int main(void)
{
    bench_series ours = {0}, theirs = {0};
    bus_log_init("bench_replay", BUS_LOG_WARN, BUS_LOG_TEXT);
    bench_broker_start(url, sizeof url);
    if (!market_write(url, 1, EVENTS))
        give_up("writing the market", bus_err_text());
    count_lane();
    for (int i = 0; i < BENCH_REPS; i++) {
        bench_add(&theirs, replay_theirs());
        bench_add(&ours, replay_ours());
    }
    bench_print(&(bench_figure){
        .bench = "replay.max",
        .unit = "events/s",
        .ours = &ours,
        .reference = "nats.c: ordered consumer, publish unchanged without headers",
        .theirs = &theirs,
        .workload = "trades and depth updates of 450 to 900 bytes from ACT, re-addressed, to one "
                    "counting subscriber; connecting included",
        .events = EVENTS});
    return 0;
}
