// replay.paced_us: how far from its due instant each event of the spot capture is sent at 1x, in a window of
// its first seconds. Due: the first event's send time plus the distance of their receive times. Sent: walltime,
// which stored writes into the event as it sends it. Arguments: a capture of the hftbacktest collector (.gz).
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
#include "test/bench/common/stored.h"

enum { WINDOW_S = 20, REPS = 3, EVENTS_MAX = 100000, LINE_BYTES_MAX = 1 << 20 };

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
    if (result != BUS_PUBLISH_SENT)
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

// --- the replay -------------------------------------------------------------------------------------------

typedef struct {
    int64_t recorded_ns, sent_ns;
} row;

static bool read_row(const bus_msg *msg, row *out)
{
    bus_event event;
    return bus_event_decode_msgpack(&event, bus_msg_payload(msg)) == BUS_OK &&
           bus_time_parse(event.recordedtime, &out->recorded_ns) == BUS_OK &&
           bus_time_parse(event.walltime, &out->sent_ns) == BUS_OK;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Microseconds from the due instant, early or late, in rising order.
static void errors_of(const row *rows, size_t count, double *out)
{
    int64_t latest = rows[0].recorded_ns;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].recorded_ns > latest) // else it is due at once
            latest = rows[i].recorded_ns;
        double us =
            (double)(rows[i].sent_ns - rows[0].sent_ns - (latest - rows[0].recorded_ns)) / 1e3;
        out[i] = us < 0 ? -us : us;
    }
    qsort(out, count, sizeof *out, by_value);
}

static void replay(bus_conn *conn, bench_series *p50, bench_series *p99)
{
    static row rows[EVENTS_MAX];
    static double errors[EVENTS_MAX];
    bus_sub *sub;
    size_t count = 0;
    if (bus_sub_open(&sub, conn, &(bus_sub_opts){.subject = "hyp.paced.exchange.>"}))
        give_up("subscribing");
    bench_replay_call(conn, "Start",
                      "{\"stream\":\"ACT\",\"selector\":\"paced\",\"fromSeq\":1,\"speed\":\"1x\"}");
    while (count < stored_events) {
        bus_msg *msg = bus_sub_next(sub, BUS_SPAN_S(10));
        if (!msg || !read_row(msg, &rows[count++]))
            give_up("an event");
        bus_msg_release(msg);
    }
    bus_sub_close(sub);
    errors_of(rows, count, errors);
    bench_add(p50, errors[count / 2]);
    bench_add(p99, errors[count * 99 / 100]);
    nanosleep(&(struct timespec){.tv_sec = 1}, NULL); // the record ends: the selector is free
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
    bench_series p50 = {0}, p99 = {0};
    const char *path = find_capture(argc, argv);
    if (!path) {
        fprintf(stderr, "bench_replay_paced: skipped: no captures\n");
        return 0;
    }
    bus_log_init("bench_replay_paced", BUS_LOG_WARN, BUS_LOG_TEXT);
    bench_broker_start(url, sizeof url);
    bus_conn *conn = bench_connect(url, BUS_PROFILE_LATENCY);
    bench_stored_start(conn, url);
    record(url, path);
    for (int i = 0; i < REPS; i++)
        replay(conn, &p50, &p99);
    snprintf(workload, sizeof workload,
             "distance of walltime from the due instant at 1x, first %d s of %s, no participant",
             WINDOW_S, strrchr(path, '/') + 1);
    bench_print(&(bench_figure){.bench = "replay.paced_us.p50",
                                .unit = "us",
                                .ours = &p50,
                                .workload = workload,
                                .events = stored_events});
    bench_print(&(bench_figure){.bench = "replay.paced_us.p99",
                                .unit = "us",
                                .ours = &p99,
                                .workload = workload,
                                .events = stored_events});
    bench_stored_stop();
    bus_conn_close(conn);
    return 0;
}
