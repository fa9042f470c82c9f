// path.frame_to_subscriber_us, path.frame_to_signal_us: from a venue's frame read by feedd to a core subscriber who
// has the event; and to one who has the signal that a worker made of it. Real processes: a broker, stored, simexd,
// feedd, workhostd with the moving-average worker set to signal at every trade. 1,000 frames a second.
// The reference, in the same run on the same broker: the same bytes by nats.c over one, and over two, recorded hops:
// asynchronous publish with a message id, stream, ordered consumer (which then publishes to the second stream).
// The frame's instant is the event's recordedtime: both clocks are this machine's. What does not come is in no
// median: fewer than 99 of 100, of ours or of the reference, and the bench fails; `events` is what came.
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

typedef struct {
    bench_series p50, p99;
    uint64_t came; // in the repetition that had the fewest
} figure;

// Adds the median and the 99th percentile of until - received, in us.
static void add(const char *what, const _Atomic int64_t *until, figure *out)
{
    static int64_t span[FRAMES_MAX];
    const uint64_t sent = frames - WARM;
    uint64_t n = 0;
    for (uint64_t i = WARM; i < frames; i++)
        if (received[i] && until[i])
            span[n++] = until[i] - received[i];
    if (n < sent)
        fprintf(stderr, "bench_path: %s: %" PRIu64 " of %" PRIu64 " came\n", what, n, sent);
    if (n * 100 < sent * 99)
        exit(1);
    qsort(span, n, sizeof *span, by_value);
    bench_add(&out->p50, (double)span[n / 2] / 1e3);
    bench_add(&out->p99, (double)span[n * 99 / 100] / 1e3);
    out->came = out->p50.count == 1 || n < out->came ? n : out->came;
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

static void play(uint64_t id, figure at[2])
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
    add("events", had_event, &at[0]);
    add("signals", had_signal, &at[1]);
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

static void raw(jsCtx *js[3], figure at[2])
{
    natsSubscription *sub[2];
    clear();
    raw_rep++;
    second_hop = js[1];
    bench_raw_ordered(&sub[1], js[2], "raw2.>", on_second, NULL);
    bench_raw_ordered(&sub[0], js[1], "raw1.>", on_first, NULL);
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
    add("first hops of the reference", had_event, &at[0]);
    add("second hops of the reference", had_signal, &at[1]);
}

static void print(const char *name, const char *reference, const figure *ours, const figure *theirs)
{
    char p99[64];
    bench_figure f = {.bench = name,
                      .unit = "us",
                      .ours = &ours->p50,
                      .reference = reference,
                      .theirs = &theirs->p50,
                      .workload = "1,000 trade frames a second, simexd to feedd to a core "
                                  "subscriber; a worker that signals at each",
                      .events = ours->came};
    bench_print(&f);
    snprintf(p99, sizeof p99, "%.*s_p99_us", (int)(strlen(name) - strlen("_us")), name);
    f.bench = p99;
    f.ours = &ours->p99;
    f.theirs = &theirs->p99;
    bench_print(&f);
}

int main(void)
{
    static figure ours[2], theirs[2];
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
        raw(js, theirs);
    }
    print("path.frame_to_subscriber_us",
          "nats.c, one recorded hop: js_PublishMsgAsync with ids, MaxPending 4096, stream, ordered "
          "consumer without pending limits; send asap, a connection each end",
          &ours[0], &theirs[0]);
    print("path.frame_to_signal_us",
          "nats.c, two recorded hops: js_PublishMsgAsync with ids, MaxPending 4096, stream, "
          "ordered consumer without pending limits; send asap, three connections",
          &ours[1], &theirs[1]);
    natsConnection_Destroy(watch);
    bench_daemon_stop(&workhostd);
    bench_daemon_stop(&stored);
    return 0;
}
