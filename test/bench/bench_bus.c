// bus.publish_recorded (fast ingest), bus.publish_recorded_plain (ids), bus.read_ordered (the reader has the socket),
// bus.read_ordered_library (the library has it): a broker of its own, one connection each way. Ours encode each event
// from its struct, and decode it. The references are the raw library in the same run, each with the best settings
// known for it, and are given the bytes: asynchronous JetStream publish of the same bytes with the same headers and an
// id; raw fast ingest of the same bytes and headers; an ordered consumer whose callback only counts (limits off, or
// it loses). Like for like: each of the four writers begins on an empty stream, whose broker knows no ids; all
// readers read the same million; and who comes first, and behind whom, changes with each repetition.
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

enum { EVENTS = 200000, STORED = 5 * EVENTS, WINDOW = 8192, FLOW = 500, ID_DIGITS = 10 };

static const char subject[] = "act.exchange.binance.trade.tape.BTCUSDT";
static const char content_type[] = BUS_CONTENT_MSGPACK;
static uint64_t next_id;
static char encoded[512], *number_at; // an event's bytes, and where its number stands in them
static size_t encoded_len;

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

// --- events -------------------------------------------------------------------------------------------------

static char event_id[32];

static bus_event trade(void)
{
    static uint8_t data[256];
    static size_t data_len;
    static const char json[] =
        "{\"trade_id\":3712345678,\"price\":\"61837.63000000\",\"qty\":\"0.00123000\","
        "\"side\":\"buy\",\"trade_time\":1723161253937}";
    if (!data_len) {
        bus_pack pack = bus_pack_to(data, sizeof data);
        must(bus_pack_from_json(&pack, BUS_VIEW(json)), "sample");
        data_len = pack.len;
    }
    return (bus_event){.source = BUS_VIEW("urn:com.virtufin.exchange.binance"),
                       .type = BUS_VIEW("com.virtufin.exchange.binance.trade.tape"),
                       .subject = BUS_VIEW("currency_pair/BTCUSDT"),
                       .time = BUS_VIEW("2024-08-08T23:54:13.937000000Z"),
                       .correlationid = BUS_VIEW("01234567-89ab-cdef-0123-456789abcdef"),
                       .exchange = BUS_VIEW("binance"),
                       .clocktype = BUS_VIEW("wall"),
                       .recordedtime = BUS_VIEW("2024-08-08T23:54:13.937085768Z"),
                       .walltime = BUS_VIEW("2024-08-08T23:54:13.937185768Z"),
                       .marketlane = BUS_VIEW("act"),
                       .data = {(const char *)data, data_len}};
}

// No two events are alike.
static void number(bus_event *event)
{
    int len = snprintf(event_id, sizeof event_id, "trade.BTCUSDT.%0*llu", ID_DIGITS,
                       (unsigned long long)++next_id);
    event->id = (bus_view){event_id, (size_t)len};
}

static void encode_for_reference(void)
{
    bus_event event = trade();
    number(&event);
    bus_pack pack = bus_pack_to((uint8_t *)encoded, sizeof encoded);
    must(bus_event_encode(&pack, &event), "encode");
    encoded_len = pack.len;
    number_at =
        (char *)memmem(encoded, encoded_len, event_id, event.id.len) + event.id.len - ID_DIGITS;
}

static void number_encoded(char id[64])
{
    char digits[ID_DIGITS + 1];
    snprintf(digits, sizeof digits, "%0*llu", ID_DIGITS, (unsigned long long)++next_id);
    memcpy(number_at, digits, ID_DIGITS);
    snprintf(id, 64, "urn:com.virtufin.exchange.binance#trade.BTCUSDT.%s", digits);
}

// --- publishing ---------------------------------------------------------------------------------------------

static void on_wake(void *ctx)
{
    sem_post(ctx);
}

static double publish_ours(const char *url, bool owned)
{
    bus_publisher *pub = NULL;
    sem_t woken; // as a daemon's loop is: by the publisher, when acknowledgements arrived
    sem_init(&woken, 0, 0);
    must(bus_publisher_open(&pub,
                            &(bus_publisher_opts){.conn = {.url = url, .profile = BUS_PROFILE_BULK},
                                                  .owned = owned ? "act.exchange.binance.>" : NULL,
                                                  .owned_stream = "ACT",
                                                  .window_msgs_max = WINDOW,
                                                  .wake = {on_wake, &woken}}),
         "publisher");
    bus_event event = trade();
    while (!bus_publisher_up(pub))
        pause_us(1000);
    bus_publisher_poll(pub);
    int64_t start = bench_now_ns();
    for (int i = 0; i < EVENTS; i++) {
        bus_publish_result result;
        number(&event);
        while ((result = bus_publisher_event(pub, subject, &event, next_id)) == BUS_PUBLISH_FULL) {
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

static double fast_ours(const char *url)
{
    return publish_ours(url, true);
}

static double plain_ours(const char *url)
{
    return publish_ours(url, false);
}

static double publish_theirs(const char *url)
{
    natsConnection *nc = NULL;
    jsCtx *js = NULL;
    jsOptions opts;
    char id[64];
    must_lib(natsConnection_ConnectTo(&nc, url), "raw connect");
    must_lib(jsOptions_Init(&opts), "raw options");
    opts.PublishAsync.MaxPending = WINDOW;
    opts.PublishAsync.StallWait = 60000;
    must_lib(natsConnection_JetStream(&js, nc, &opts), "raw JetStream");
    int64_t start = bench_now_ns();
    for (int i = 0; i < EVENTS; i++) {
        natsMsg *msg = NULL;
        number_encoded(id);
        must_lib(natsMsg_Create(&msg, subject, NULL, encoded, (int)encoded_len), "raw message");
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

static _Atomic uint64_t ingested;
static _Atomic bool ingest_over;

// {"type":"ack","seq":500,…} and at the end {"stream":…,"seq":…,"batch":…,"count":…}
static void on_ingest(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *ctx)
{
    (void)nc, (void)sub, (void)ctx;
    const char *data = natsMsg_GetData(msg), *count = strstr(data, "\"count\":");
    if (strncmp(data, "{\"type\":\"ack\"", 13) == 0)
        ingested = strtoull(strstr(data, "\"seq\":") + 6, NULL, 10);
    else if (count && strtoull(count + 8, NULL, 10) == EVENTS)
        ingest_over = true;
    else
        give_up("raw ingest", data);
    natsMsg_Destroy(msg);
}

static double ingest_theirs(const char *url)
{
    natsConnection *nc = NULL;
    natsSubscription *sub = NULL;
    char inbox[48], filter[64], reply[96], id[64];
    must_lib(natsConnection_ConnectTo(&nc, url), "raw connect");
    snprintf(inbox, sizeof inbox, "_INBOX.raw%llu", (unsigned long long)next_id);
    snprintf(filter, sizeof filter, "%s.>", inbox);
    must_lib(natsConnection_Subscribe(&sub, nc, filter, on_ingest, NULL), "raw subscribe");
    must_lib(natsConnection_Flush(nc), "raw flush");
    ingested = 0;
    ingest_over = false;
    int64_t start = bench_now_ns();
    for (int i = 1; i <= EVENTS; i++) {
        natsMsg *msg = NULL;
        number_encoded(id);
        int op = i == 1 ? 0 : i == EVENTS ? 2 : 1;
        snprintf(reply, sizeof reply, "%s.%d.fail.%d.%d.$FI", inbox, FLOW, i, op);
        while ((uint64_t)i > ingested + WINDOW)
            pause_us(50);
        must_lib(natsMsg_Create(&msg, subject, reply, encoded, (int)encoded_len), "raw message");
        must_lib(natsMsgHeader_Set(msg, "Content-Type", content_type), "raw header");
        must_lib(natsConnection_PublishMsg(nc, msg), "raw publish");
        natsMsg_Destroy(msg);
    }
    must_lib(natsConnection_Flush(nc), "raw flush");
    while (!ingest_over)
        pause_us(50);
    double rate = EVENTS / ((double)(bench_now_ns() - start) / 1e9);
    natsConnection_Close(
        nc); // first: 3.4.1 aborts when a subscription goes while something arrives
    natsSubscription_Destroy(sub);
    natsConnection_Destroy(nc);
    return rate;
}

// --- reading ------------------------------------------------------------------------------------------------

static double read_ours(const char *url, bus_profile profile)
{
    bus_conn *conn = NULL;
    bus_reader *reader = NULL;
    bus_record record;
    bus_seq_range gap;
    bus_event event;
    bus_scratch scratch = {0};
    must(bus_conn_open(&conn, &(bus_conn_opts){.url = url, .profile = profile}), "reader");
    must(bus_conn_wait(conn, BUS_SPAN_S(20)), "reader");
    int64_t start = bench_now_ns();
    must(bus_reader_open(&reader, conn, &(bus_reader_opts){.stream = "ACT", .from_seq = 1}),
         "reader");
    for (uint64_t seq = 1; seq <= STORED;) {
        switch (bus_reader_next(reader, BUS_SPAN_S(10), &record, &gap)) {
        case BUS_READER_RECORD:
            if (record.seq != seq++)
                give_up("reader", "out of order");
            must(bus_msg_event(record.msg, &event, &scratch), "decode");
            break;
        case BUS_READER_CAUGHT_UP:
            break;
        default:
            give_up("reader", bus_err_text());
        }
    }
    double rate = STORED / ((double)(bench_now_ns() - start) / 1e9);
    bus_reader_close(reader);
    bus_scratch_release(&scratch);
    bus_conn_close(conn);
    return rate;
}

// On a connection whose socket is the reader's own, as a replay and its participants read.
static double read_by_owner(const char *url)
{
    return read_ours(url, BUS_PROFILE_OWNER);
}

// On one whose socket is the library's, as runtimes of LIVE and `lane` read.
static double read_by_library(const char *url)
{
    return read_ours(url, BUS_PROFILE_LATENCY);
}

static _Atomic uint64_t counted;

static void count_one(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *ctx)
{
    (void)nc, (void)sub, (void)ctx;
    counted++;
    natsMsg_Destroy(msg);
}

static double read_theirs(const char *url)
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
    while (counted < STORED)
        pause_us(200);
    double rate = STORED / ((double)(bench_now_ns() - start) / 1e9);
    natsConnection_Close(nc);
    natsSubscription_Destroy(sub);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
    return rate;
}

static void make_stream(bus_conn *conn)
{
    static const char *const subjects[] = {"act.>", NULL};
    must(bus_stream_ensure(
             conn,
             &(bus_stream_def){
                 .name = "ACT", .subjects = subjects, .allow_direct = true, .allow_batched = true},
             NULL),
         "stream");
}

static bus_conn *ready(const char *url)
{
    bus_conn *conn = NULL;
    must(bus_conn_open(&conn, &(bus_conn_opts){.url = url, .profile = BUS_PROFILE_BULK}),
         "connection");
    must(bus_conn_wait(conn, BUS_SPAN_S(20)), "connection");
    make_stream(conn);
    return conn;
}

// Also the broker's map of ids begins anew: it is the stream's.
static void empty(bus_conn *conn)
{
    must(bus_stream_delete(conn, "ACT"), "stream");
    make_stream(conn);
    pause_us(300000); // the files of the one before are gone
}

// --- who against whom -----------------------------------------------------------------------------------------

typedef struct {
    double (*run)(const char *url);
    bench_series rate;
} contestant;

enum { FAST, IDS, PLAIN, INGEST, WRITERS };
enum { OWNER, LIBRARY, COUNTER, READERS };
enum { WRITER_REPS = 2 * WRITERS, READER_REPS = 6 };

// Over four repetitions each has each place once, and stands once behind each other.
static const int writer_turns[WRITERS][WRITERS] = {
    {0, 1, 3, 2}, {1, 2, 0, 3}, {2, 3, 1, 0}, {3, 0, 2, 1}};
static const int reader_turns[READER_REPS][READERS] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0},
                                                       {0, 2, 1}, {2, 0, 1}, {1, 0, 2}};

static void take_turn(contestant *c, const char *url)
{
    bench_add(&c->rate, c->run(url));
}

static void measure_writers(bus_conn *conn, const char *url)
{
    static const char what[] =
        "a trade of 400 B encoded and published, file store, acknowledged, stored exactly once; "
        "from an empty stream";
    static const char ids[] =
        "nats.c js_PublishMsgAsync with ids, MaxPending 8192, StallWait 60 s, "
        "gathered writes, one connection";
    static const char ingest[] = "nats.c fast ingest, flow 500, 8192 outstanding, gathered writes, "
                                 "one connection";
    contestant by[WRITERS] = {[FAST] = {.run = fast_ours},
                              [IDS] = {.run = publish_theirs},
                              [PLAIN] = {.run = plain_ours},
                              [INGEST] = {.run = ingest_theirs}};
    plain_ours(url); // warms the store up
    for (int rep = 0; rep < WRITER_REPS; rep++)
        for (int turn = 0; turn < WRITERS; turn++) {
            empty(conn);
            take_turn(&by[writer_turns[rep % WRITERS][turn]], url);
        }
    bench_print(&(bench_figure){"bus.publish_recorded", "events/s", &by[FAST].rate, ids,
                                &by[IDS].rate, what, EVENTS});
    bench_print(&(bench_figure){"bus.publish_recorded_plain", "events/s", &by[PLAIN].rate, ids,
                                &by[IDS].rate, what, EVENTS});
    bench_print(&(bench_figure){"bus.publish_recorded_vs_raw_ingest", "events/s", &by[FAST].rate,
                                ingest, &by[INGEST].rate, what, EVENTS});
}

static void measure_readers(bus_conn *conn, const char *url)
{
    static const char counting[] =
        "nats.c ordered consumer, no pending limits, its own heartbeats and flow control, "
        "one connection, a counting callback";
    contestant by[READERS] = {[OWNER] = {.run = read_by_owner},
                              [LIBRARY] = {.run = read_by_library},
                              [COUNTER] = {.run = read_theirs}};
    empty(conn);
    for (int i = 0; i < STORED / EVENTS; i++)
        fast_ours(url);
    read_theirs(url); // what is read is in the broker's memory
    for (int rep = 0; rep < READER_REPS; rep++)
        for (int turn = 0; turn < READERS; turn++)
            take_turn(&by[reader_turns[rep][turn]], url);
    bench_print(&(bench_figure){
        "bus.read_ordered", "events/s", &by[OWNER].rate, counting, &by[COUNTER].rate,
        "a stored stream of trades of 400 B, every sequence checked, every event decoded; the "
        "reader has the socket, as in a replay",
        STORED});
    bench_print(&(bench_figure){
        "bus.read_ordered_library", "events/s", &by[LIBRARY].rate, counting, &by[COUNTER].rate,
        "the same; the library has the socket, as in a runtime of LIVE and in lane", STORED});
}

int main(void)
{
    char url[64];
    bench_broker_start(url, sizeof url);
    bus_conn *conn = ready(url);
    encode_for_reference();
    measure_writers(conn, url);
    measure_readers(conn, url);
    bus_conn_close(conn);
    return 0;
}
