// replay.max: recorded events sent again as fast as possible by stored, until a participant, in another process,
// has been given the last one. The reference is the least that can be written with the raw library: an ordered
// consumer whose callback publishes the stored bytes, unchanged and without headers, on the other subject, and
// a subscriber that counts. Connecting is in neither.
// replay.pss_kib: what stored holds while it sends 2,000,000 events in one replay.
#include <inttypes.h>
#include <nats/nats.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../store/market.h"
#include "bus/base/log.h"
#include "bus/nats/participant.h"
#include "test/bench/common/bench.h"
#include "test/bench/common/broker.h"
#include "test/bench/common/daemon.h"
#include "test/bench/common/stored.h"

enum { EVENTS = 300000, EVENTS_LONG = 2000000, LOOKS = 20 };

static char url[64];
static _Atomic uint64_t counted;

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

// --- ours ---------------------------------------------------------------------------------------------

typedef struct {
    bus_conn *conn;
    bus_participant *part;
    int stored;
    bench_series *pss; // NULL: not looked at
} world;

static void start(world *w, uint64_t events)
{
    char request[160];
    snprintf(request, sizeof request,
             "{\"stream\":\"ACT\",\"selector\":\"bench\",\"fromSeq\":1,\"toSeq\":%" PRIu64
             ",\"paused\":true}",
             events);
    bench_replay_call(w->conn, "Start", request);
    bus_participant_opts opts = {.selector = "bench", .name = "bench"};
    if (bus_participant_open(&w->part, w->conn, &opts))
        give_up("participant", bus_err_text());
    bus_hyp_record record;
    while (bus_participant_next(w->part, BUS_SPAN_S(1), &record) != BUS_PART_RUN)
        ;
}

// Returns when the last of `events` was given.
static double play(world *w, uint64_t events)
{
    bus_hyp_record record;
    uint64_t given = 0;
    int64_t begin = bench_now_ns(), end = 0;
    bench_replay_call(w->conn, "Resume", "{\"selector\":\"bench\"}");
    for (;;) {
        switch (bus_participant_next(w->part, BUS_SPAN_S(10), &record)) {
        case BUS_PART_RECORD:
            if (record.seq != ++given)
                give_up("participant", "an event is missing");
            if (given == events)
                end = bench_now_ns();
            if (w->pss && given % (EVENTS_LONG / LOOKS) == 0)
                bench_add(w->pss, (double)bench_pss_kib(w->stored));
            break;
        case BUS_PART_WATERMARK:
            bus_participant_done(w->part, bus_participant_watermark(w->part));
            break;
        case BUS_PART_END:
            return (double)events / ((double)(end - begin) / 1e9);
        case BUS_PART_ERROR:
            give_up("participant", bus_err_text());
            break;
        default:
            break;
        }
    }
}

static double replay_ours(world *w, uint64_t events)
{
    start(w, events);
    double rate = play(w, events);
    bus_participant_done(w->part, bus_participant_watermark(w->part));
    uint64_t read_back = bus_participant_read_back(w->part);
    if (read_back)
        fprintf(stderr, "bench_replay: %" PRIu64 " events were read back\n", read_back);
    bus_participant_close(w->part);
    pause_us(300000); // the record ends: the selector is free
    return rate;
}

// --- the raw library ------------------------------------------------------------------------------------

static void on_hyp(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *ctx)
{
    (void)nc;
    (void)sub;
    (void)ctx;
    counted++;
    natsMsg_Destroy(msg);
}

static void on_act(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *ctx)
{
    char subject[BUS_SUBJECT_BUF];
    (void)nc;
    (void)sub;
    snprintf(subject, sizeof subject, "hyp.raw.%s", natsMsg_GetSubject(msg) + 4);
    must(natsConnection_Publish(ctx, subject, natsMsg_GetData(msg), natsMsg_GetDataLength(msg)),
         "publish");
    natsMsg_Destroy(msg);
}

static double wait_all(int64_t begin)
{
    uint64_t last = 0, idle = 0;
    while (counted < EVENTS) {
        pause_us(200);
        idle = counted == last ? idle + 1 : 0;
        last = counted;
        if (idle > 50000)
            give_up("waiting for the last event", "nothing came for ten seconds");
    }
    return EVENTS / ((double)(bench_now_ns() - begin) / 1e9);
}

static double replay_theirs(void)
{
    natsConnection *reading = NULL, *publishing = NULL, *counting = NULL;
    natsSubscription *sub = NULL, *lane = NULL;
    jsCtx *js = NULL;
    jsSubOptions opts;
    jsSubOptions_Init(&opts);
    opts.Ordered = true;
    opts.Stream = "ACT";
    counted = 0;
    must(natsConnection_ConnectTo(&counting, url), "connect");
    must(natsConnection_ConnectTo(&reading, url), "connect");
    must(natsConnection_ConnectTo(&publishing, url), "connect");
    must(natsConnection_Subscribe(&lane, counting, "hyp.raw.exchange.>", on_hyp, NULL), "lane");
    must(natsSubscription_SetPendingLimits(lane, -1, -1), "limits");
    must(natsConnection_Flush(counting), "lane");
    must(natsConnection_JetStream(&js, reading, NULL), "context");
    int64_t begin = bench_now_ns();
    must(js_Subscribe(&sub, js, "act.exchange.>", on_act, publishing, NULL, &opts, NULL),
         "consumer");
    must(natsSubscription_SetPendingLimits(sub, -1, -1), "limits");
    double rate = wait_all(begin);
    natsSubscription_Unsubscribe(sub);
    natsSubscription_Unsubscribe(lane);
    pause_us(100000);
    natsSubscription_Destroy(sub);
    natsSubscription_Destroy(lane);
    jsCtx_Destroy(js);
    natsConnection_Destroy(reading);
    natsConnection_Destroy(publishing);
    natsConnection_Destroy(counting);
    return rate;
}

// --- figures ----------------------------------------------------------------------------------------------

static void measure_rate(world *w)
{
    bench_series ours = {0}, theirs = {0};
    for (int i = 0; i < BENCH_REPS; i++) {
        bench_add(&theirs, replay_theirs());
        bench_add(&ours, replay_ours(w, EVENTS));
    }
    bench_print(&(bench_figure){
        .bench = "replay.max",
        .unit = "events/s",
        .ours = &ours,
        .reference = "nats.c: ordered consumer without pending limits, publish unchanged and "
                     "without headers, "
                     "gathered writes, three connections, a counting callback",
        .theirs = &theirs,
        .workload =
            "trades and depth updates of 300 to 900 bytes from ACT, re-addressed, with five "
            "headers, to one participant that proves and reports",
        .events = EVENTS});
}

// The repetitions are looks at equal distances: the spread tells whether it is flat.
static void measure_pss(world *w)
{
    bench_series pss = {0};
    if (!market_write(url, EVENTS + 1, EVENTS_LONG - EVENTS))
        give_up("writing the market", bus_err_text());
    w->pss = &pss;
    replay_ours(w, EVENTS_LONG);
    bench_print(&(bench_figure){.bench = "replay.pss_kib",
                                .unit = "KiB",
                                .ours = &pss,
                                .workload = "stored while one replay sends 2,000,000 events to a "
                                            "participant, looked at 20 times on the way",
                                .events = EVENTS_LONG});
}

int main(int argc, char **argv)
{
    world w = {0};
    bus_log_init("bench_replay", BUS_LOG_WARN, BUS_LOG_TEXT);
    bench_broker_start(url, sizeof url);
    w.conn = bench_connect(url, BUS_PROFILE_LATENCY);
    w.stored = bench_stored_start(w.conn, url);
    if (!market_write(url, 1, EVENTS))
        give_up("writing the market", bus_err_text());
    measure_rate(&w);
    if (argc < 2 || strcmp(argv[1], "max") != 0)
        measure_pss(&w);
    bench_stored_stop();
    bus_conn_close(w.conn);
    return 0;
}
