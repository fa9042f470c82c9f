#include "store/counters.h"

#include <string.h>

#include "bus/base/metrics.h"
#include "store/streams.h"

static bus_metric replayed =
    BUS_METRIC(BUS_METRIC_COUNTER, "replayed_events_total", "events sent by replays");
static bus_metric running =
    BUS_METRIC(BUS_METRIC_GAUGE, "replays_running", "replays that have not ended");
static bus_metric behind = BUS_METRIC(BUS_METRIC_GAUGE, "replay_behind_events",
                                      "how far the slowest participant of a replay is behind");
static bus_metric late =
    BUS_METRIC(BUS_METRIC_HISTOGRAM, "replay_lag_seconds",
               "how long after it was due an event of a paced replay was sent");
static bus_metric missing = BUS_METRIC(BUS_METRIC_COUNTER, "replay_missing_events_total",
                                       "sequences that a replayed stream no longer held");
static bus_metric applied =
    BUS_METRIC(BUS_METRIC_COUNTER, "table_applied_total",
               "times the table of streams and buckets was applied without an error");
static bus_metric changed = BUS_METRIC(BUS_METRIC_COUNTER, "table_changes_total",
                                       "streams and buckets created or brought to the table");
static bus_metric failed = BUS_METRIC(BUS_METRIC_COUNTER, "table_failures_total",
                                      "times the table could not be applied in full");
// By side, of which there is one, "all", with one account.
#define LEASE_OF(side)                                                                             \
    {                                                                                              \
        .name = "lease_held", .kind = BUS_METRIC_GAUGE, .labels = "side=\"" side "\"",             \
        .help = "1 while this stored keeps the side",                                              \
    }
static bus_metric leases[] = {
    [STORE_ROLE_ALL] = LEASE_OF("all"),
    [STORE_ROLE_LIVE] = LEASE_OF("live"),
    [STORE_ROLE_RESEARCH] = LEASE_OF("research"),
};

// Four figures a stream of the table.
enum { STREAMS_MAX = 16, LABEL_CAP = 64 };
typedef struct {
    bus_metric messages, bytes, limit, last;
    char label[LABEL_CAP];
} stream_metrics;
static stream_metrics streams[STREAMS_MAX];

static void add_stream(stream_metrics *m, const char *name)
{
    const struct {
        bus_metric *metric;
        const char *name, *help;
    } rows[] = {
        {&m->messages, "stream_messages", "messages that a stream holds"},
        {&m->bytes, "stream_bytes", "bytes that a stream holds"},
        {&m->limit, "stream_limit_bytes", "bytes at which its oldest go; 0: no limit"},
        {&m->last, "stream_last_sequence", "the last sequence that it gave"},
    };
    bus_metric_label(m->label, sizeof m->label, "stream", name);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        *rows[i].metric = (bus_metric){.name = rows[i].name,
                                       .help = rows[i].help,
                                       .kind = BUS_METRIC_GAUGE,
                                       .labels = m->label};
        bus_metrics_add(rows[i].metric);
    }
}

static void add_streams(void)
{
    size_t count;
    const store_stream_row *row = store_stream_rows(&count);
    for (size_t i = 0; i < count && i < STREAMS_MAX; i++)
        if (!strchr(row[i].name, '<')) // a template
            add_stream(&streams[i], row[i].name);
}

void store_counters_stream(const bus_stream_info *info)
{
    size_t count;
    const store_stream_row *row = store_stream_rows(&count);
    for (size_t i = 0; i < count && i < STREAMS_MAX; i++) {
        if (strcmp(row[i].name, info->name) != 0)
            continue;
        bus_metric_set(&streams[i].messages, (int64_t)info->messages);
        bus_metric_set(&streams[i].bytes, (int64_t)info->bytes);
        bus_metric_set(&streams[i].limit, info->bytes_max);
        bus_metric_set(&streams[i].last, (int64_t)info->last_seq);
    }
}

void store_counters_register(bool two_sides)
{
    add_streams();
    bus_metrics_add(&behind);
    bus_metrics_add(&late);
    bus_metrics_add(&missing);
    bus_metrics_add(&replayed);
    bus_metrics_add(&running);
    bus_metrics_add(&applied);
    bus_metrics_add(&changed);
    bus_metrics_add(&failed);
    bus_metrics_add(&leases[two_sides ? STORE_ROLE_LIVE : STORE_ROLE_ALL]);
    if (two_sides)
        bus_metrics_add(&leases[STORE_ROLE_RESEARCH]);
}

void store_counters_replayed(uint64_t events)
{
    bus_metric_inc(&replayed, (int64_t)events);
}

void store_counters_running(uint32_t replays, uint64_t slowest)
{
    bus_metric_set(&running, replays);
    bus_metric_set(&behind, (int64_t)slowest);
}

void store_counters_late(bus_span span)
{
    bus_metric_observe(&late, span.ns);
}

void store_counters_missing(uint64_t sequences)
{
    bus_metric_inc(&missing, (int64_t)sequences);
}

void store_counters_applied(int rows)
{
    bus_metric_inc(&applied, 1);
    bus_metric_inc(&changed, rows);
}

void store_counters_apply_failed(void)
{
    bus_metric_inc(&failed, 1);
}

void store_counters_lease(store_role role, bool held)
{
    bus_metric_set(&leases[role], held);
}
