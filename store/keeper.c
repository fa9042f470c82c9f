#include "store/keeper.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/base/log.h"
#include "bus/base/thread.h"
#include "bus/event/identity.h"
#include "bus/nats/clock.h"
#include "bus/nats/lease.h"
#include "bus/nats/service.h"
#include "store/copy.h"
#include "store/counters.h"
#include "store/replays.h"
#include "store/scenarios.h"
#include "virtufin/api/v1/replay.pb-c.h"

extern const uint8_t schema_api_descriptors[];
extern const size_t schema_api_descriptors_len;

enum { WHY = 256 };
static const bus_span tick = {INT64_C(250000000)};
static const bus_span measure_every = {INT64_C(10000000000)};
static const bus_span retry = {INT64_C(2000000000)};
static const bus_span lease_preset = {INT64_C(3000000000)};

// Why something is not ready; "" when it is. Written by the keeper, read by the main thread.
typedef struct {
    pthread_mutex_t lock;
    char text[WHY];
} state_line;

struct store_keeper {
    store_keeper_opts opts;
    pthread_t thread;
    bool running;
    atomic_bool quit;
    bus_wake stopped;
    state_line broker, lease_state, streams;

    // the thread's
    bus_loop *loop;
    bus_waker *waker;
    bus_timer *timer;
    bus_conn *conn, *live; // live: role RESEARCH
    uint32_t version;      // the broker's, when it was last looked at
    bus_clock_feed *clock;
    bus_lease *lease;
    char holder[128];
    bool held;              // just now: while it is not, services and replays pause
    uint64_t fence;         // of the session they belong to; 0: none
    uint32_t applied_epoch; // of the connection on which the table was applied in full
    bus_mono apply_next, measure_next;
    bus_service *service;
    store_scenarios *scenarios;
    store_replays *replays; // NULL on the LIVE side
    store_copy copy;
};

// --- readiness ----------------------------------------------------------------------------------------

static void say(state_line *line, const char *text)
{
    pthread_mutex_lock(&line->lock);
    snprintf(line->text, sizeof line->text, "%s", text);
    pthread_mutex_unlock(&line->lock);
}

static bool is_ready(state_line *line, char *why, size_t why_cap)
{
    pthread_mutex_lock(&line->lock);
    bool ready = line->text[0] == 0;
    if (!ready)
        snprintf(why, why_cap, "%s", line->text);
    pthread_mutex_unlock(&line->lock);
    return ready;
}

bool store_keeper_broker(void *keeper, char *why, size_t why_cap)
{
    return is_ready(&((store_keeper *)keeper)->broker, why, why_cap);
}

bool store_keeper_lease(void *keeper, char *why, size_t why_cap)
{
    return is_ready(&((store_keeper *)keeper)->lease_state, why, why_cap);
}

bool store_keeper_streams(void *keeper, char *why, size_t why_cap)
{
    return is_ready(&((store_keeper *)keeper)->streams, why, why_cap);
}

// --- services -----------------------------------------------------------------------------------------

static bus_wake wake_of(store_keeper *k)
{
    return bus_waker_as_wake(k->waker);
}

static void close_services(store_keeper *k)
{
    store_copy_release(&k->copy);
    // the replays first: they answer the calls that the service still holds
    store_replays_close(k->replays);
    store_scenarios_close(k->scenarios);
    bus_service_close(k->service);
    k->replays = NULL;
    k->scenarios = NULL;
    k->service = NULL;
}

static bus_err open_service(store_keeper *k)
{
    bus_service_spec specs[] = {
        {.service = "virtufin.api.v1.Scenarios",
         .methods = store_scenarios_methods(),
         .ctx = k->scenarios},
        {.service = "virtufin.api.v1.Replay",
         .methods = store_replays_methods(),
         .ctx = k->replays},
    };
    for (size_t i = 0; i < 2; i++) {
        specs[i].daemon = "stored";
        specs[i].description = "streams, scenario registry, replays";
        specs[i].descriptors = schema_api_descriptors;
        specs[i].descriptors_len = schema_api_descriptors_len;
        specs[i].wake = wake_of(k);
    }
    return bus_service_open(&k->service, k->conn, specs, k->replays ? 2 : 1);
}

static bus_side side_of(const store_keeper *k)
{
    return k->opts.role == STORE_ROLE_RESEARCH ? BUS_SIDE_RESEARCH : BUS_SIDE_LIVE;
}

static bus_err open_replays(store_keeper *k)
{
    store_replays_opts replays = {
        .conn = k->conn,
        .source =
            bus_conn_opts_of(k->opts.daemon, "stored-replay", BUS_SIDE_RESEARCH, BUS_PROFILE_BULK),
        .window_events = k->opts.window_events,
        .window_bytes = k->opts.window_bytes,
        .lease = k->opts.replay_lease,
        .keeper = k->lease,
        .wake = wake_of(k),
    };
    bus_err err = store_replays_open(&k->replays, &replays);
    return err ? err : store_replays_recover(k->replays);
}

static bus_err open_services(store_keeper *k)
{
    bus_err err =
        store_scenarios_open(&k->scenarios, k->conn, k->opts.role, &k->opts.limits, wake_of(k));
    if (!err)
        err = store_scenarios_prepare(k->scenarios);
    if (!err && k->opts.role != STORE_ROLE_LIVE)
        err = open_replays(k);
    if (!err)
        err = open_service(k);
    k->copy = (store_copy){.from = k->live, .to = k->conn, .wake = wake_of(k)};
    if (err)
        close_services(k);
    return err;
}

// --- the table ----------------------------------------------------------------------------------------

static void apply(store_keeper *k, bus_mono now)
{
    uint32_t epoch = bus_conn_epoch(k->conn);
    int changed = 0;
    if (k->applied_epoch == epoch || now.ns < k->apply_next.ns)
        return;
    k->apply_next = bus_mono_add(now, retry);
    bus_err err = store_streams_apply(k->conn, k->opts.role, &k->opts.limits, &changed);
    if (!err)
        err = k->service ? store_scenarios_prepare(k->scenarios) : open_services(k);
    if (err) {
        say(&k->streams, bus_err_text());
        store_counters_apply_failed();
        return;
    }
    k->applied_epoch = epoch;
    store_counters_applied(changed);
    say(&k->streams, "");
}

// What the streams of the table hold, once in a while. A broker that does not answer is not asked for the rest.
static void measure(store_keeper *k, bus_mono now)
{
    size_t count;
    bus_stream_info info;
    if (now.ns < k->measure_next.ns)
        return;
    k->measure_next = bus_mono_add(now, measure_every);
    const store_stream_row *row = store_stream_rows(&count);
    for (size_t i = 0; i < count; i++) {
        if (strchr(row[i].name, '<'))
            continue; // a template
        bus_err err = bus_stream_info_get(k->conn, row[i].name, &info);
        if (err && err != BUS_ENOTFOUND)
            return;
        if (!err)
            store_counters_stream(&info);
    }
}

// --- the lease ----------------------------------------------------------------------------------------

static void lose(store_keeper *k)
{
    if (k->service)
        bus_warn("the lease is lost: services and replays end");
    close_services(k);
    k->applied_epoch = 0;
    say(&k->streams, "waiting for the lease");
}

static bus_err open_lease(store_keeper *k)
{
    if (k->lease)
        return BUS_OK;
    bus_lease_opts opts = {.bucket = "leases",
                           .key = "stored",
                           .holder = k->holder,
                           .span = k->opts.lease.ns ? k->opts.lease : lease_preset,
                           .wake = wake_of(k)};
    return bus_lease_open(&k->lease, k->conn, &opts);
}

static void say_waiting(store_keeper *k)
{
    char why[WHY];
    char cause[WHY - 32];
    char holder[128] = "";
    if (k->lease)
        bus_lease_holder(k->lease, holder, sizeof holder);
    if (k->fence)
        snprintf(why, sizeof why, "the lease was not renewed in time; renewing it");
    else if (*holder)
        snprintf(why, sizeof why, "stored %s holds the lease; waiting for it", holder);
    else if (k->lease && *bus_lease_why(k->lease, cause, sizeof cause))
        snprintf(why, sizeof why, "taking the lease: %s", cause);
    else
        snprintf(why, sizeof why, "taking the lease");
    say(&k->lease_state, why);
}

static void poll_lease(store_keeper *k)
{
    uint64_t fence;
    if (open_lease(k)) {
        say(&k->lease_state, bus_err_text());
        return;
    }
    bool held = bus_lease_poll(k->lease, &fence);
    if (held != k->held)
        store_counters_lease(k->opts.role, held);
    k->held = held;
    if (k->fence && fence != k->fence)
        lose(k);
    k->fence = fence;
    if (k->held)
        say(&k->lease_state, "");
    else
        say_waiting(k);
}

// --- the thread ---------------------------------------------------------------------------------------

// What is known against the broker, when it is a new one.
static void tell_fault(store_keeper *k)
{
    uint32_t v = bus_conn_broker(k->conn);
    const char *fault = v == k->version ? NULL : bus_conn_fault(k->conn);
    k->version = v;
    if (fault)
        bus_warn("nats-server %u.%u.%u: %s", v / 1000000, v / 1000 % 1000, v % 1000, fault);
}

static bool broker_up(store_keeper *k)
{
    char why[WHY] = "";
    if (bus_conn_state_of(k->conn) == BUS_CONN_UP) {
        tell_fault(k);
        say(&k->broker, "");
        return true;
    }
    bus_conn_why(k->conn, why, sizeof why);
    say(&k->broker, *why ? why : "connecting");
    return false;
}

static void turn(void *ctx)
{
    store_keeper *k = ctx;
    if (atomic_load(&k->quit)) {
        bus_loop_stop(k->loop);
        return;
    }
    bus_mono now = bus_machine_mono();
    bool up = broker_up(k);
    if (up || k->lease)
        poll_lease(k);
    if (up && k->held)
        apply(k, now);
    // Paused when its time ran out: what is called waits until it goes on or is lost, which takes a moment.
    if (!k->service || !k->held)
        return;
    bus_service_poll(k->service);
    store_scenarios_poll(k->scenarios, now);
    if (k->replays)
        store_replays_poll(k->replays, now);
    store_copy_poll(&k->copy, now);
    // The figures of ACT and the others are LIVE's: a mirror has the same.
    if (k->opts.role != STORE_ROLE_RESEARCH && bus_conn_state_of(k->conn) == BUS_CONN_UP)
        measure(k, now);
}

static void on_tick(void *ctx, bus_mono now)
{
    (void)now;
    turn(ctx);
}

static void *thread_main(void *ctx)
{
    store_keeper *k = ctx;
    bus_err err = bus_loop_run(k->loop);
    if (err)
        bus_error("%s", bus_err_text());
    close_services(k);
    bus_lease_close(k->lease); // given back: the next one need not wait
    k->lease = NULL;
    if (k->stopped.fn)
        k->stopped.fn(k->stopped.ctx);
    return NULL;
}

// --- life ---------------------------------------------------------------------------------------------

static void name_holder(store_keeper *k)
{
    char host[64] = "", random[BUS_UUID_TEXT] = "";
    gethostname(host, sizeof host - 1);
    if (bus_identity_run(random))
        random[0] = 0;
    snprintf(k->holder, sizeof k->holder, "%s/%ld/%.8s", host, (long)getpid(), random);
}

static bus_err build(store_keeper *k)
{
    bus_err err = bus_loop_open(&k->loop);
    if (!err)
        err = bus_waker_open(&k->waker, k->loop, turn, k);
    if (!err)
        err = bus_timer_open(&k->timer, k->loop, on_tick, k);
    if (err)
        return err;
    bus_timer_start(k->timer, tick, tick);
    bus_conn_opts conn =
        bus_conn_opts_of(k->opts.daemon, "stored", side_of(k), BUS_PROFILE_LATENCY);
    conn.wake = wake_of(k);
    err = bus_conn_open(&k->conn, &conn);
    if (!err)
        err = bus_clock_feed_open(&k->clock, k->conn, k->loop, k->opts.daemon->clock);
    if (err || !k->opts.live)
        return err;
    conn = bus_conn_opts_of(k->opts.live, "stored-copy", BUS_SIDE_LIVE, BUS_PROFILE_LATENCY);
    return bus_conn_open(&k->live, &conn);
}

bus_err store_keeper_open(store_keeper **out, const store_keeper_opts *opts)
{
    store_keeper *k = calloc(1, sizeof *k);
    if (!k)
        return bus_fail(BUS_ENOMEM, "keeper");
    k->opts = *opts;
    state_line *lines[] = {&k->broker, &k->lease_state, &k->streams};
    for (int i = 0; i < 3; i++)
        pthread_mutex_init(&lines[i]->lock, NULL);
    say(&k->broker, "connecting");
    say(&k->lease_state, "waiting for the broker");
    say(&k->streams, "waiting for the lease");
    name_holder(k);
    bus_err err = build(k);
    if (!err)
        err = bus_thread_start(&k->thread, thread_main, k, "the keeper");
    if (err) {
        store_keeper_close(k);
        return err;
    }
    k->running = true;
    *out = k;
    return BUS_OK;
}

void store_keeper_stop(store_keeper *k, bus_wake stopped)
{
    k->stopped = stopped;
    atomic_store(&k->quit, true);
    bus_waker_wake(k->waker);
}

void store_keeper_close(store_keeper *k)
{
    if (!k)
        return;
    if (k->running) {
        if (!atomic_exchange(&k->quit, true))
            bus_waker_wake(k->waker);
        pthread_join(k->thread, NULL);
    }
    bus_lease_close(k->lease);
    bus_clock_feed_close(k->clock);
    bus_conn_close(k->live);
    bus_conn_close(k->conn);
    bus_timer_close(k->timer);
    bus_waker_close(k->waker);
    bus_loop_close(k->loop);
    free(k);
}
