// bus.publish_recorded, bus.read_ordered: a broker of its own, one connection each way.
// The references are the raw library in the same run: asynchronous JetStream publish of the same bytes with
// the same headers, and an ordered consumer whose callback only counts (limits off, or it loses).
#include <nats/nats.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bus/nats/publisher.h"
#include "bus/nats/stream.h"
#include "test/bench/common/bench.h"
#include "test/bench/common/broker.h"

enum { EVENTS = 100000, BYTES = 256, ROUND_TRIPS = 5 };

static const char subject[] = "act.exchange.binance.trade.tape.BTCUSDT";
static const char content_type[] = BUS_CONTENT_MSGPACK;
static char payload[BYTES];
static uint64_t next_id;

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "bench_bus: %s: %s\n", what, why);
    exit(1);
}

static void must(bus_err err, const char *what)
{
    if (err)
        give_up(what, bus_err_text());
}

static void must_lib(natsStatus s, const char *what)
{
    if (s != NATS_OK)
        give_up(what, natsStatus_GetText(s));
}

static void pause_us(long us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

// --- publishing ---------------------------------------------------------------------------------------------

static void on_wake(void *ctx)
{
    sem_post(ctx);
}

static double publish_ours(const char *url)
{
    bus_publisher *pub = NULL;
    sem_t woken; // as a daemon's loop is: by the publisher, when acknowledgements arrived
    sem_init(&woken, 0, 0);
    must(bus_publisher_open(&pub,
                            &(bus_publisher_opts){.conn = {.url = url, .profile = BUS_PROFILE_BULK},
                                                  .wake = {on_wake, &woken}}),
         "publisher");
    const bus_header_pair type = {"Content-Type", content_type};
    char id[64];
    while (!bus_publisher_up(pub))
        pause_us(1000);
    bus_publisher_poll(pub);
    int64_t start = bench_now_ns();
    for (int i = 0; i < EVENTS; i++) {
        snprintf(id, sizeof id, "urn:com.virtufin.exchange.binance#trade.%llu",
                 (unsigned long long)++next_id);
        bus_publish_result result;
        while ((result = bus_publisher_send(pub, subject, id, &type, 1, (bus_view){payload, BYTES},
                                            next_id)) == BUS_PUBLISH_FULL) {
            sem_wait(&woken);
            bus_publisher_poll(pub);
        }
        if (result == BUS_PUBLISH_ERROR)
            give_up("send", bus_err_text());
        if (i % 256 == 0)
            bus_publisher_poll(pub);
    }
    must(bus_publisher_wait(pub, BUS_SPAN_S(60)), "waiting for acknowledgements");
    double rate = EVENTS / ((double)(bench_now_ns() - start) / 1e9);
    bus_publisher_close(pub);
    sem_destroy(&woken);
    return rate;
}

static double publish_theirs(const char *url)
{
    natsConnection *nc = NULL;
    jsCtx *js = NULL;
    jsOptions opts;
    char id[64];
    must_lib(natsConnection_ConnectTo(&nc, url), "raw connect");
    must_lib(jsOptions_Init(&opts), "raw options");
    opts.PublishAsync.MaxPending = 4096; // our window
    opts.PublishAsync.StallWait = 60000;
    must_lib(natsConnection_JetStream(&js, nc, &opts), "raw JetStream");
    int64_t start = bench_now_ns();
    for (int i = 0; i < EVENTS; i++) {
        natsMsg *msg = NULL;
        snprintf(id, sizeof id, "urn:com.virtufin.exchange.binance#trade.%llu",
                 (unsigned long long)++next_id);
        must_lib(natsMsg_Create(&msg, subject, NULL, payload, BYTES), "raw message");
        must_lib(natsMsgHeader_Set(msg, "Nats-Msg-Id", id), "raw header");
        must_lib(natsMsgHeader_Set(msg, "Content-Type", content_type), "raw header");
        must_lib(js_PublishMsgAsync(js, &msg, NULL), "raw publish");
    }
    must_lib(js_PublishAsyncComplete(js, NULL), "raw acknowledgements");
    double rate = EVENTS / ((double)(bench_now_ns() - start) / 1e9);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
    return rate;
}

// --- reading ------------------------------------------------------------------------------------------------

static double read_ours(bus_conn *conn, uint64_t count)
{
    bus_reader *reader = NULL;
    bus_record record;
    bus_seq_range gap;
    int64_t start = bench_now_ns();
    must(bus_reader_open(&reader, conn, &(bus_reader_opts){.stream = "ACT", .from_seq = 1}),
         "reader");
    for (uint64_t seq = 1; seq <= count;) {
        switch (bus_reader_next(reader, BUS_SPAN_S(10), &record, &gap)) {
        case BUS_READER_RECORD:
            if (record.seq != seq++)
                give_up("reader", "out of order");
            break;
        case BUS_READER_CAUGHT_UP:
            break;
        default:
            give_up("reader", bus_err_text());
        }
    }
    double rate = (double)count / ((double)(bench_now_ns() - start) / 1e9);
    bus_reader_close(reader);
    return rate;
}

static _Atomic uint64_t counted;

static void count_one(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *ctx)
{
    (void)nc, (void)sub, (void)ctx;
    counted++;
    natsMsg_Destroy(msg);
}

static double read_theirs(const char *url, uint64_t count)
{
    natsConnection *nc = NULL;
    jsCtx *js = NULL;
    natsSubscription *sub = NULL;
    jsSubOptions opts;
    must_lib(natsConnection_ConnectTo(&nc, url), "raw connect");
    must_lib(natsConnection_JetStream(&js, nc, NULL), "raw JetStream");
    jsSubOptions_Init(&opts);
    opts.Ordered = true;
    counted = 0;
    int64_t start = bench_now_ns();
    must_lib(js_Subscribe(&sub, js, "act.>", count_one, NULL, NULL, &opts, NULL),
             "raw ordered consumer");
    natsSubscription_SetPendingLimits(sub, -1, -1);
    while (counted < count)
        pause_us(200);
    double rate = (double)count / ((double)(bench_now_ns() - start) / 1e9);
    natsSubscription_Destroy(sub);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
    return rate;
}

static bus_conn *ready(const char *url)
{
    static const char *const subjects[] = {"act.>", NULL};
    bus_conn *conn = NULL;
    must(bus_conn_open(&conn, &(bus_conn_opts){.url = url, .profile = BUS_PROFILE_BULK}),
         "connection");
    must(bus_conn_wait(conn, BUS_SPAN_S(20)), "connection");
    must(bus_stream_ensure(
             conn, &(bus_stream_def){.name = "ACT", .subjects = subjects, .allow_direct = true},
             NULL),
         "stream");
    return conn;
}

int main(void)
{
    char url[64];
    bench_broker_start(url, sizeof url);
    bus_conn *conn = ready(url);
    memset(payload, 'x', sizeof payload);
    bench_series publish = {.count = 0}, raw_publish = {.count = 0};
    bench_series reading = {.count = 0}, raw_reading = {.count = 0};
    publish_ours(url); // warms the store up
    for (int rep = 0; rep < ROUND_TRIPS; rep++) {
        bench_add(&publish, publish_ours(url));
        bench_add(&raw_publish, publish_theirs(url));
    }
    uint64_t stored = EVENTS * (2 * ROUND_TRIPS + 1);
    read_theirs(url, stored);
    for (int rep = 0; rep < ROUND_TRIPS; rep++) {
        bench_add(&reading, read_ours(conn, stored));
        bench_add(&raw_reading, read_theirs(url, stored));
    }
    bench_print(&(bench_figure){
        "bus.publish_recorded", "events/s", &publish, "nats.c js_PublishMsgAsync", &raw_publish,
        "256 B, de-duplication id and content type, file store, acknowledged", EVENTS});
    bench_print(&(bench_figure){"bus.read_ordered", "events/s", &reading, "nats.c ordered consumer",
                                &raw_reading,
                                "a stored stream of 256 B events, every sequence checked", stored});
    bus_conn_close(conn);
    return 0;
}
