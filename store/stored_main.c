// stored: streams and buckets, the scenario registry, replays.
#include "bus/base/daemon.h"
#include "bus/base/log.h"

#include <stdlib.h>

#include "store/counters.h"
#include "store/keeper.h"
#include "store/replay.h"

typedef struct {
    bus_daemon_settings daemon; // first
    store_limits limits;
    bus_span lease;
    int64_t replay_window_events, replay_window_bytes;
    bus_span replay_lease;
} settings;

typedef struct {
    bus_daemon *daemon;
    store_keeper *keeper;
    bus_waker *stopped;
} stored;

#define SIZE(name_, field_, preset_, help_)                                                        \
    {                                                                                              \
        .name = (name_), .kind = BUS_CONFIG_SIZE, .offset = BUS_CONFIG_FIELD(settings, field_),    \
        .preset = (preset_), .min = 1 << 20, .max = INT64_C(1) << 50, .help = (help_)              \
    }
#define SPAN(name_, field_, preset_, min_, max_, help_)                                            \
    {                                                                                              \
        .name = (name_), .kind = BUS_CONFIG_SPAN, .offset = BUS_CONFIG_FIELD(settings, field_),    \
        .preset = (preset_), .min = (min_), .max = (max_), .help = (help_)                         \
    }
#define YEARS_MS(n) ((n)*INT64_C(366) * 86400000)

static const bus_config_row rows[] = {
    SIZE("act_bytes", limits.act_bytes, "4GiB", "size of stream ACT; the oldest go first"),
    SPAN("act_age", limits.act_age, "24h", 1000, YEARS_MS(50), "age of the oldest in ACT"),
    SIZE("scenario_bytes", limits.scenario_bytes, "1GiB", "size of each scenario's stream"),
    SIZE("exec_bytes", limits.exec_bytes, "1GiB", "size of stream EXEC"),
    SIZE("audit_bytes", limits.audit_bytes, "256MiB", "size of streams LIFECYCLE and COMMAND"),
    SPAN("audit_age", limits.audit_age, "168h", 1000, YEARS_MS(50), "age in LIFECYCLE and COMMAND"),
    SIZE("dlq_bytes", limits.dlq_bytes, "1GiB", "size of stream DLQ"),
    SPAN("dlq_age", limits.dlq_age, "720h", 1000, YEARS_MS(50), "age in DLQ"),
    {.name = "replicas",
     .kind = BUS_CONFIG_INT,
     .offset = BUS_CONFIG_FIELD(settings, limits.replicas),
     .preset = "1",
     .min = 1,
     .max = 5,
     .help = "copies of each stream and bucket: 1 on one machine, 3 in a cluster"},
    SPAN("lease", lease, "3s", 1000, 60000, "how long another stored waits after this one is gone"),
    {.name = "replay_window_events",
     .kind = BUS_CONFIG_INT,
     .offset = BUS_CONFIG_FIELD(settings, replay_window_events),
     .preset = "16384",
     .min = 1,
     .max = 1 << 20,
     .help = "events a replay may be ahead of its slowest participant"},
    {.name = "replay_window_bytes",
     .kind = BUS_CONFIG_SIZE,
     .offset = BUS_CONFIG_FIELD(settings, replay_window_bytes),
     .preset = "8MiB",
     .min = 4096,
     .max = 64 << 20,
     .help = "and bytes"},
    SPAN("replay_lease", replay_lease, "30s", 500, 600000,
         "silence after which a replay no longer waits for a participant"),
    {.name = NULL},
};

static void add_probes(stored *s)
{
    bus_daemon_probe(s->daemon, (bus_probe){"broker", store_keeper_broker, s->keeper});
    bus_daemon_probe(s->daemon, (bus_probe){"lease", store_keeper_lease, s->keeper});
    bus_daemon_probe(s->daemon, (bus_probe){"streams", store_keeper_streams, s->keeper});
}

static void on_stopped(void *ctx)
{
    stored *s = ctx;
    bus_daemon_stopped(s->daemon);
}

static void release(void *state)
{
    stored *s = state;
    store_keeper_close(s->keeper);
    bus_waker_close(s->stopped);
    free(s);
}

static bus_err start(bus_daemon *daemon, void *settings_, void **state)
{
    const settings *given = settings_;
    store_keeper_opts opts = {
        .daemon = &given->daemon,
        .limits = given->limits,
        .lease = given->lease,
        .window_events = (uint32_t)given->replay_window_events,
        .window_bytes = (uint32_t)given->replay_window_bytes,
        .replay_lease = given->replay_lease,
    };
    stored *s = calloc(1, sizeof *s);
    if (!s)
        return bus_fail(BUS_ENOMEM, "stored");
    s->daemon = daemon;
    store_counters_register();
    store_replay_clock_listen();
    bus_err err = bus_waker_open(&s->stopped, bus_daemon_loop(daemon), on_stopped, s);
    if (!err)
        err = store_keeper_open(&s->keeper, &opts);
    if (err) {
        release(s);
        return err;
    }
    add_probes(s);
    *state = s;
    return BUS_OK;
}

static void stop(bus_daemon *daemon, void *state)
{
    stored *s = state;
    (void)daemon;
    store_keeper_stop(s->keeper, bus_waker_as_wake(s->stopped));
}

int main(int argc, char **argv)
{
    static const bus_daemon_spec spec = {
        .config = {.program = "stored",
                   .purpose = "Keeps streams, buckets and scenarios, and replays recorded streams.",
                   .rows = rows},
        .http_preset = "127.0.0.1:7411",
        .settings_size = sizeof(settings),
        .start = start,
        .stop = stop,
        .release = release,
    };
    return bus_daemon_main(&spec, argc, argv);
}
