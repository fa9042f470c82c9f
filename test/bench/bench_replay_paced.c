// How far from its due instant each event of the spot capture is sent at 1x, in a window of its first seconds. Due: the
// first event's send time plus the distance of their receive times.
// replay.paced_us: as stored says: walltime, which it writes into the event as it sends it.
// replay.paced_arrival_us: as somebody outside sees it: the instant at which a subscriber of nats.c has it, so with the
// way through the broker. Its reference is such a way alone: nats.c to nats.c, a message a millisecond.
// Arguments: a capture of the hftbacktest collector (.gz).
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "bus/base/log.h"
#include "bus/nats/publisher.h"
#include "feeds/venues/session.h"
#include "test/bench/common/bench.h"
#include "test/bench/common/broker.h"
#include "test/bench/common/raw.h"
#include "test/bench/common/stored.h"

enum { WINDOW_S = 20, REPS = 3, EVENTS_MAX = 100000, LINE_BYTES_MAX = 1 << 20 };
enum { HOPS = 2000, HOP_BYTES = 400, SILENCE_MS = 10000 };

static bus_publisher *pub;
static uint64_t stored_events;

static void give_up(const char *what)
{
    fprintf(stderr, "bench_replay_paced: %s: %s\n", what, bus_err_text());
    exit(1);
}

// --- the capture, recorded ------------------------------------------------------------------------------

static void on_event(void *ctx, const char *subject, const bus_event *event)
{
    (void)ctx;
    bus_publish_result result;
    while ((result = bus_publisher_event(pub, subject, event, 0)) == BUS_PUBLISH_FULL)
        bus_publisher_wait(pub, BUS_SPAN_MS(10));
    if (result != BUS_PUBLISH_SENT || stored_events == EVENTS_MAX)
        give_up("recording");
    stored_events++;
}

static void on_request(void *ctx, const feed_request *request)
{
    (void)ctx;
    (void)request;
}

static feed_session *open_session(const feed_venue *venue)
{
    static const char *const channels[] = {"trade", "bookTicker", "depth@100ms"};
    static const char *const symbols[] = {"btcusdt"};
    feed_session *session;
    feed_opts opts = {.symbols = symbols,
                      .symbol_count = 1,
                      .channels = channels,
                      .channel_count = 3,
                      .event = on_event,
                      .request = on_request};
    if (venue->open(&session, &opts))
        give_up("adapter");
    return session;
}

static void record_window(const char *path)
{
    const feed_venue *venue = feed_venue_find("binance");
    feed_session *session = open_session(venue);
    char *buf = malloc(LINE_BYTES_MAX);
    gzFile file = gzopen(path, "rb");
    int64_t first = 0;
    if (!file || !buf)
        give_up(path);
    while (gzgets(file, buf, LINE_BYTES_MAX)) {
        char *text = strchr(buf, ' ');
        int64_t at = strtoll(buf, NULL, 10);
        if (!text || strncmp(text + 1, "{\"lastUpdateId\"", 15) == 0)
            continue;
        text[strcspn(text, "\n")] = 0;
        feed_now now = {{at}, {at}, {at}};
        if (!first)
            venue->up(session, false, &now);
        first = first ? first : at;
        if (at - first > WINDOW_S * INT64_C(1000000000))
            break;
        if (venue->frame(session, bus_view_of(text + 1), &now) != FEED_FRAME_EVENT)
            give_up(text);
    }
    gzclose(file);
    free(buf);
    venue->close(session);
}

static void record(const char *url, const char *path)
{
    bus_publisher_opts opts = {.conn = {.url = url, .name = "bench", .profile = BUS_PROFILE_BULK}};
    if (bus_publisher_open(&pub, &opts))
        give_up("publisher");
    record_window(path);
    if (bus_publisher_wait(pub, BUS_SPAN_S(20)))
        give_up("recording");
    bus_publisher_close(pub);
}

// --- from outside -----------------------------------------------------------------------------------------

typedef struct {
    int64_t recorded_ns, sent_ns, arrived_ns;
} row;

static row rows[EVENTS_MAX];
static double hops[HOPS];
static _Atomic size_t arrived, hopped;

static void on_replayed(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *ctx)
{
    int64_t now = bus_now_wall().ns;
    bus_view bytes = {natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg)};
    bus_event event;
    size_t i = arrived;
    (void)nc, (void)sub, (void)ctx;
    if (i == stored_events || bus_event_decode_msgpack(&event, bytes) ||
        bus_time_parse(event.recordedtime, &rows[i].recorded_ns) ||
        bus_time_parse(event.walltime, &rows[i].sent_ns))
        give_up("an event");
    rows[i].arrived_ns = now;
    arrived = i + 1;
    natsMsg_Destroy(msg);
}

static void on_hop(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *ctx)
{
    int64_t now = bus_now_wall().ns, sent;
    (void)nc, (void)sub, (void)ctx;
    memcpy(&sent, natsMsg_GetData(msg), sizeof sent);
    if (hopped < HOPS)
        hops[hopped++] = (double)(now - sent) / 1e3;
    natsMsg_Destroy(msg);
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

// Until so many came; gives up when nothing does for ten seconds.
static void wait_for(const _Atomic size_t *count, size_t want, const char *what)
{
    size_t seen = 0;
    for (int silent_ms = 0; *count < want; pause_ms(1), silent_ms++) {
        if (*count != seen)
            silent_ms = 0;
        seen = *count;
        if (silent_ms > SILENCE_MS)
            give_up(what);
    }
}

// --- figures ----------------------------------------------------------------------------------------------

typedef struct {
    bench_series p50, p99;
} figure;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void add(figure *out, double *us, size_t count)
{
    qsort(us, count, sizeof *us, by_value);
    bench_add(&out->p50, us[count / 2]);
    bench_add(&out->p99, us[count * 99 / 100]);
}

// Microseconds from the due instant, early or late.
static void add_errors(figure *sent, figure *arrival)
{
    static double by_stamp[EVENTS_MAX], outside[EVENTS_MAX];
    int64_t latest = rows[0].recorded_ns;
    for (size_t i = 0; i < stored_events; i++) {
        if (rows[i].recorded_ns > latest) // else it is due at once
            latest = rows[i].recorded_ns;
        int64_t due = rows[0].sent_ns + latest - rows[0].recorded_ns;
        by_stamp[i] = (double)llabs(rows[i].sent_ns - due) / 1e3;
        outside[i] = (double)llabs(rows[i].arrived_ns - due) / 1e3;
    }
    add(sent, by_stamp, stored_events);
    add(arrival, outside, stored_events);
}

static void replay(bus_conn *conn, figure *sent, figure *arrival)
{
    arrived = 0;
    bench_replay_call(conn, "Start",
                      "{\"stream\":\"ACT\",\"selector\":\"paced\",\"fromSeq\":1,\"speed\":\"1x\"}");
    wait_for(&arrived, stored_events, "waiting for the replay");
    add_errors(sent, arrival);
    pause_ms(1000); // the record ends: the selector is free
}

static void hop(natsConnection *from, figure *out)
{
    char bytes[HOP_BYTES] = {0};
    hopped = 0;
    for (int i = 0; i < HOPS; i++, pause_ms(1)) {
        int64_t now = bus_now_wall().ns;
        memcpy(bytes, &now, sizeof now);
        bench_raw_must(natsConnection_Publish(from, "bench.hop", bytes, sizeof bytes), "raw hop");
    }
    wait_for(&hopped, HOPS, "waiting for the raw hops");
    add(out, hops, HOPS);
}

static void measure(bus_conn *conn, const char *url, figure *sent, figure *arrival, figure *alone)
{
    natsConnection *watch = NULL, *from = NULL;
    natsSubscription *sub[2];
    bench_raw_connect(&watch, url, true);
    bench_raw_connect(&from, url, true);
    bench_raw_must(
        natsConnection_Subscribe(&sub[0], watch, "hyp.paced.exchange.>", on_replayed, NULL),
        "subscribe");
    bench_raw_must(natsConnection_Subscribe(&sub[1], watch, "bench.hop", on_hop, NULL),
                   "subscribe");
    for (int i = 0; i < 2; i++)
        natsSubscription_SetPendingLimits(sub[i], -1, -1);
    bench_raw_must(natsConnection_Flush(watch), "subscribe");
    for (int i = 0; i < REPS; i++) {
        replay(conn, sent, arrival);
        hop(from, alone);
    }
    for (int i = 0; i < 2; i++)
        natsSubscription_Destroy(sub[i]);
    natsConnection_Destroy(from);
    natsConnection_Destroy(watch);
}

// theirs: NULL when there is no reference.
static void print(const char *name, const figure *ours, const char *reference, const figure *theirs,
                  const char *workload)
{
    char bench[64];
    bench_figure f = {.bench = bench,
                      .unit = "us",
                      .ours = &ours->p50,
                      .reference = reference,
                      .theirs = theirs ? &theirs->p50 : NULL,
                      .workload = workload,
                      .events = stored_events};
    snprintf(bench, sizeof bench, "%s.p50", name);
    bench_print(&f);
    f.ours = &ours->p99;
    f.theirs = theirs ? &theirs->p99 : NULL;
    snprintf(bench, sizeof bench, "%s.p99", name);
    bench_print(&f);
}

static const char *find_capture(int argc, char **argv)
{
    static char path[4096];
    const char *data = getenv("TRADELANE_DATA");
    if (argc > 1)
        return argv[1];
    snprintf(path, sizeof path, "%s/binance_spot/btcusdt_20240808.gz",
             data && *data ? data : TL_CAPTURES_DEFAULT);
    return access(path, R_OK) == 0 ? path : NULL;
}

int main(int argc, char **argv)
{
    char url[64], workload[200];
    static figure sent, arrival, alone;
    const char *path = find_capture(argc, argv);
    if (!path) {
        fprintf(stderr, "bench_replay_paced: skipped: no captures\n");
        return 0;
    }
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    bus_log_init("bench_replay_paced", BUS_LOG_WARN, BUS_LOG_TEXT);
    bench_broker_start(url, sizeof url);
    bus_conn *conn = bench_connect(url, BUS_PROFILE_LATENCY);
    bench_stored_start(conn, url);
    record(url, path);
    measure(conn, url, &sent, &arrival, &alone);
    snprintf(workload, sizeof workload,
             "distance of walltime from the due instant at 1x, first %d s of %s, no participant",
             WINDOW_S, file);
    print("replay.paced_us", &sent, NULL, NULL, workload);
    snprintf(workload, sizeof workload,
             "distance of a core subscriber's arrival from the due instant at 1x, first %d s of %s",
             WINDOW_S, file);
    print("replay.paced_arrival_us", &arrival,
          "nats.c core publish to subscriber without pending limits, send asap, a connection each "
          "end, a message of 400 B each millisecond",
          &alone, workload);
    bench_stored_stop();
    bus_conn_close(conn);
    return 0;
}
