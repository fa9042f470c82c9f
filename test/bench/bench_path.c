// path.frame_to_subscriber_us, path.frame_to_signal_us: from a venue's frame read by feedd to a core subscriber who
// has the event; and to one who has the signal that a worker made of it. Real processes: a broker, stored, simexd,
// feedd, workhostd with the moving-average worker set to signal at every trade. 1,000 frames a second.
// The reference, in the same run on the same broker: the same bytes by nats.c over one, and over two, recorded hops:
// asynchronous publish with a message id, stream, ordered consumer (which then publishes to the second stream).
// The frame's instant is the event's recordedtime: both clocks are this machine's.
// TL_BENCH_SECONDS: of each of the repetitions (5).
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bus/base/time.h"
#include "test/bench/common/bench.h"
#include "test/bench/common/broker.h"
#include "test/bench/common/raw.h"
#include "test/bench/common/venue.h"

enum {
    REPS = 3,
    RATE = 1000,
    WARM = RATE / 2,
    EVENT_BYTES = 640,
    SECONDS = 5,
    FRAMES_MAX = 600000
};

// One repetition: instants by number of the frame; 0: did not come.
static _Atomic int64_t received[FRAMES_MAX], had_event[FRAMES_MAX], had_signal[FRAMES_MAX];
static uint64_t first_id, frames;
static char url[64];

static void clear(void)
{
    for (uint64_t i = 0; i < frames; i++)
        received[i] = had_event[i] = had_signal[i] = 0;
}

static int64_t now_ns(void)
{
    return bus_now_wall().ns;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// Adds the median and the 99th percentile of until - received, in us; returns how many there were.
static uint64_t add(const _Atomic int64_t *until, bench_series *p50, bench_series *p99)
{
    static int64_t span[FRAMES_MAX];
    uint64_t n = 0;
    for (uint64_t i = WARM; i < frames; i++)
        if (received[i] && until[i])
            span[n++] = until[i] - received[i];
    if (n == 0) {
        fprintf(stderr, "bench_path: nothing came\n");
        exit(1);
    }
    qsort(span, n, sizeof *span, by_value);
    int64_t middle = span[n / 2], high = span[n * 99 / 100];
    bench_add(p50, (double)middle / 1e3);
    bench_add(p99, (double)high / 1e3);
    return n;
}

// --- ours --------------------------------------------------------------------------------------------

// The text behind a key of the packed event; it is short, so one or two bytes lead it.
static bus_view text_of(const natsMsg *msg, const char *key)
{
    const char *bytes = natsMsg_GetData(msg);
    size_t len = (size_t)natsMsg_GetDataLength(msg), key_len = strlen(key);
    const char *at = memmem(bytes, len, key, key_len);
    if (!at)
        return (bus_view){0};
    const unsigned char *lead = (const unsigned char *)at + key_len;
    if (*lead == 0xd9)
        return (bus_view){(const char *)lead + 2, lead[1]};
    return (bus_view){(const char *)lead + 1, *lead & 0x1f};
}

// Number of the frame: behind the last point of an id such as trade.BTCUSDT.1000001.
static uint64_t frame_of(bus_view id)
{
    uint64_t n = 0, power = 1;
    for (size_t i = id.len; i-- > 0 && id.ptr[i] >= '0' && id.ptr[i] <= '9'; power *= 10)
        n += (uint64_t)(id.ptr[i] - '0') * power;
    return n - first_id;
}

static void on_event(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *ctx)
{
    int64_t now = now_ns(), at;
    uint64_t i = frame_of(text_of(msg, "\xa2id"));
    (void)nc, (void)sub, (void)ctx;
    if (i < frames && !bus_time_parse(text_of(msg, "\xacrecordedtime"), &at)) {
        received[i] = at;
        had_event[i] = now;
    }
    natsMsg_Destroy(msg);
}

static void on_signal(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *ctx)
{
    int64_t now = now_ns();
    uint64_t i = frame_of(text_of(msg, "\xab"
                                       "causationid"));
    (void)nc, (void)sub, (void)ctx;
    if (i < frames)
        had_signal[i] = now;
    natsMsg_Destroy(msg);
}

static void start_host(bench_daemon *stored, bench_daemon *workhostd)
{
    char workers[128], code[128], path[192];
    snprintf(workers, sizeof workers, "%s/workers", bench_folder());
    snprintf(code, sizeof code, "%s/code", bench_folder());
    snprintf(path, sizeof path, "%s/sma.yaml", workers);
    mkdir(workers, 0700);
    FILE *file = fopen(path, "w");
    if (!file)
        exit(1);
    fputs("name: sma\nmime: application/x-native-dll\ncode: ${workers}/sma.so\n"
          "inputs: [exchange.*.trade.tape.>]\nscenarios: [LIVE]\nconfig:\n  fast: 1\n  slow: 2\n",
          file);
    fclose(file);
    bench_daemon_start(stored, "stored", (const char *const[]){"--nats-url", url, NULL});
    bench_daemon_line(stored, "ready in ", NULL, 0);
    bench_daemon_start(workhostd, "workhostd",
                       (const char *const[]){"--nats-url", url, "--workers-dir", workers,
                                             "--code-dir", code, NULL});
    bench_daemon_line(workhostd, "ready in ", NULL, 0);
}

static void play(uint64_t id, bench_series at[4])
{
    bench_venue venue;
    bench_daemon feedd;
    first_id = id;
    clear();
    bench_venue_start(
        &venue, &(bench_market){
                    .first = id, .trades = frames, .apart_ns = 1000000000 / RATE, .speed = "1x"});
    bench_daemon_start(&feedd, "feedd",
                       (const char *const[]){"--nats-url", url, "--ws-url", venue.ws, "--rest-url",
                                             venue.rest, "--symbols", "BTCUSDT", "--channels",
                                             "trade", "--lease-span", "1s", NULL});
    bench_daemon_line(&feedd, "ready in ", NULL, 0);
    int64_t end = bench_now_ns() + (int64_t)(frames / RATE + 20) * 1000000000;
    while (!had_signal[frames - 1] && bench_now_ns() < end)
        usleep(10000);
    if (!had_signal[frames - 1])
        fprintf(stderr, "bench_path: the last signal did not come\n");
    add(had_event, &at[0], &at[1]);
    add(had_signal, &at[2], &at[3]);
    bench_daemon_stop(&feedd);
    bench_daemon_stop(&venue.simexd);
}

// --- theirs ------------------------------------------------------------------------------------------

static jsCtx *second_hop;
static char bytes[EVENT_BYTES];

static void publish(jsCtx *js, const char *subject, uint64_t rep, uint64_t i)
{
    char id[96];
    snprintf(id, sizeof id, "urn:com.virtufin.exchange.binance#trade.BTCUSDT.%" PRIu64 "%07" PRIu64,
             rep, i);
    memcpy(bytes, &i, sizeof i);
    bench_raw_publish(js, subject, id, bytes, sizeof bytes);
}

static uint64_t number_of(const natsMsg *msg)
{
    uint64_t i;
    memcpy(&i, natsMsg_GetData(msg), sizeof i);
    return i;
}

static uint64_t raw_rep;

static void on_first(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *ctx)
{
    uint64_t i = number_of(msg);
    (void)nc, (void)sub, (void)ctx;
    had_event[i] = now_ns();
    publish(second_hop, "raw2.x", raw_rep, i);
    natsMsg_Destroy(msg);
}

static void on_second(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *ctx)
{
    (void)nc, (void)sub, (void)ctx;
    had_signal[number_of(msg)] = now_ns();
    natsMsg_Destroy(msg);
}

static void raw(natsConnection *nc[3], jsCtx *js[3], bench_series at[4])
{
    natsSubscription *sub[2];
    clear();
    raw_rep++;
    second_hop = js[1];
    bench_raw_ordered(&sub[1], js[2], "raw2.>", on_second, NULL);
    bench_raw_ordered(&sub[0], js[1], "raw1.>", on_first, NULL);
    (void)nc;
    int64_t due = bench_now_ns();
    for (uint64_t i = 0; i < frames; i++, due += 1000000000 / RATE) {
        struct timespec t = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        received[i] = now_ns();
        publish(js[0], "raw1.x", raw_rep, i);
    }
    for (int tries = 0; !had_signal[frames - 1] && tries < 2000; tries++)
        usleep(10000);
    natsSubscription_Destroy(sub[0]);
    natsSubscription_Destroy(sub[1]);
    add(had_event, &at[0], &at[1]);
    add(had_signal, &at[2], &at[3]);
}

int main(void)
{
    static const char *const name[] = {"path.frame_to_subscriber_us",
                                       "path.frame_to_subscriber_p99_us", "path.frame_to_signal_us",
                                       "path.frame_to_signal_p99_us"};
    static const char *const how[] = {
        "nats.c, one recorded hop: js_PublishMsgAsync with ids, MaxPending 4096, stream, ordered "
        "consumer without pending limits; send asap, a connection each end",
        "nats.c, two recorded hops: js_PublishMsgAsync with ids, MaxPending 4096, stream, ordered "
        "consumer without pending limits; send asap, three connections"};
    static bench_series ours[4], theirs[4];
    const char *seconds = getenv("TL_BENCH_SECONDS");
    frames = (uint64_t)(seconds ? atoi(seconds) : SECONDS) * RATE;
    if (frames < 2 * WARM || frames > FRAMES_MAX)
        frames = SECONDS * RATE;
    bench_daemon stored, workhostd;
    natsConnection *watch = NULL, *nc[3];
    natsSubscription *sub[2];
    jsCtx *js[3];
    bench_broker_start(url, sizeof url);
    start_host(&stored, &workhostd);
    bench_raw_connect(&watch, url, true);
    bench_raw_must(
        natsConnection_Subscribe(&sub[0], watch, "act.exchange.binance.trade.>", on_event, NULL),
        "subscribe");
    bench_raw_must(natsConnection_Subscribe(&sub[1], watch, "sc.LIVE.>", on_signal, NULL),
                   "subscribe");
    for (int i = 0; i < 3; i++) {
        bench_raw_connect(&nc[i], url, true);
        bench_raw_jetstream(&js[i], nc[i], 4096);
    }
    bench_raw_stream(js[0], "RAW1", "raw1.>");
    bench_raw_stream(js[0], "RAW2", "raw2.>");
    for (uint64_t rep = 0; rep < REPS; rep++) {
        play(1000000 + rep * FRAMES_MAX, ours);
        raw(nc, js, theirs);
    }
    for (int i = 0; i < 4; i++)
        bench_print(&(bench_figure){.bench = name[i],
                                    .unit = "us",
                                    .ours = &ours[i],
                                    .reference = how[i / 2],
                                    .theirs = &theirs[i],
                                    .workload = "1,000 trade frames a second, simexd to feedd to a "
                                                "core subscriber; a worker that signals at each",
                                    .events = frames - WARM});
    natsConnection_Destroy(watch);
    bench_daemon_stop(&workhostd);
    bench_daemon_stop(&stored);
    return 0;
}
