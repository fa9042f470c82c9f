// stored: streams and buckets, the scenario registry, replays.
#include "bus/base/daemon.h"

#include <stdlib.h>

#include "store/counters.h"
#include "store/keeper.h"
#include "store/replay.h"

typedef struct {
    bus_daemon_settings daemon; // first
    const char *research_url, *research_creds, *research_user, *research_password, *research_token,
        *research_ca;
    store_limits limits;
    bus_span lease;
    int64_t replay_window_events, replay_window_bytes;
    bus_span replay_lease;
} settings;

// Everything is one keeper's; where RESEARCH is an account of its own, each side has one.
enum { KEEPERS_MAX = 2 };

typedef struct {
    bus_daemon *daemon;
    bus_daemon_settings research; // as a daemon there would have them
    store_keeper *keeper[KEEPERS_MAX];
    int keepers, ended;
    bus_waker *stopped[KEEPERS_MAX];
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

#define TEXT(name_, secret_, file_, help_)                                                         \
    {                                                                                              \
        .name = #name_, .offset = BUS_CONFIG_FIELD(settings, name_), .secret = (secret_),          \
        .file = (file_), .help = (help_)                                                           \
    }

static const bus_config_row rows[] = {
    TEXT(research_url, false, BUS_FILE_ANY, "broker of RESEARCH; empty: nats_url"),
    TEXT(research_creds, false, BUS_FILE_SECRET,
         "credentials file there: RESEARCH is an account of its own"),
    TEXT(research_user, false, BUS_FILE_ANY, "user there: RESEARCH is an account of its own"),
    TEXT(research_password, true, BUS_FILE_ANY, "password of research_user"),
    TEXT(research_token, true, BUS_FILE_ANY, "broker token there"),
    TEXT(research_ca, false, BUS_FILE_TRUSTED, "CA file there; empty: nats_ca"),
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
    static const struct {
        const char *name[KEEPERS_MAX];
        bool (*ready)(void *keeper, char *why, size_t why_cap);
    } probes[] = {
        {{"broker", "research.broker"}, store_keeper_broker},
        {{"lease", "research.lease"}, store_keeper_lease},
        {{"streams", "research.streams"}, store_keeper_streams},
    };
    for (int i = 0; i < s->keepers; i++)
        for (size_t k = 0; k < sizeof probes / sizeof *probes; k++)
            bus_daemon_probe(s->daemon,
                             (bus_probe){probes[k].name[i], probes[k].ready, s->keeper[i]});
}

static void on_stopped(void *ctx)
{
    stored *s = ctx;
    if (++s->ended == s->keepers)
        bus_daemon_stopped(s->daemon);
}

static void release(void *state)
{
    stored *s = state;
    for (int i = KEEPERS_MAX - 1; i >= 0; i--) {
        store_keeper_close(s->keeper[i]);
        bus_waker_close(s->stopped[i]);
    }
    free(s);
}

static bus_daemon_settings research_of(const settings *given)
{
    bus_daemon_settings d = given->daemon;
    d.nats_url = *given->research_url ? given->research_url : d.nats_url;
    d.nats_ca = *given->research_ca ? given->research_ca : d.nats_ca;
    d.nats_creds = given->research_creds;
    d.nats_user = given->research_user;
    d.nats_password = given->research_password;
    d.nats_token = given->research_token;
    return d;
}

static bool has_research(const settings *given)
{
    return *given->research_url || *given->research_creds || *given->research_user ||
           *given->research_token;
}

static bus_err open_keeper(stored *s, const store_keeper_opts *opts)
{
    int i = s->keepers;
    bus_err err = bus_waker_open(&s->stopped[i], bus_daemon_loop(s->daemon), on_stopped, s);
    if (!err)
        err = store_keeper_open(&s->keeper[i], opts);
    s->keepers += !err;
    return err;
}

static bus_err open_keepers(stored *s, const settings *given, store_keeper_opts opts)
{
    opts.daemon = &given->daemon;
    if (!has_research(given))
        return open_keeper(s, &opts);
    opts.role = STORE_ROLE_LIVE;
    bus_err err = open_keeper(s, &opts);
    s->research = research_of(given);
    opts.daemon = &s->research;
    opts.live = &given->daemon;
    opts.role = STORE_ROLE_RESEARCH;
    return err ? err : bus_note(open_keeper(s, &opts), "RESEARCH");
}

static bus_err start(bus_daemon *daemon, void *settings_, void **state)
{
    const settings *given = settings_;
    store_keeper_opts opts = {
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
    store_counters_register(has_research(given));
    store_replay_clock_listen();
    bus_err err = open_keepers(s, given, opts);
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
    for (int i = 0; i < s->keepers; i++)
        store_keeper_stop(s->keeper[i], bus_waker_as_wake(s->stopped[i]));
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
