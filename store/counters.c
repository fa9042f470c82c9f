#include "store/counters.h"

#include "bus/base/metrics.h"

static bus_metric replayed = BUS_METRIC(
    BUS_METRIC_COUNTER, "tradelane_stored_replayed_events_total", "events sent by replays");
static bus_metric running =
    BUS_METRIC(BUS_METRIC_GAUGE, "tradelane_stored_replays_running", "replays that have not ended");
static bus_metric applied =
    BUS_METRIC(BUS_METRIC_COUNTER, "tradelane_stored_table_applied_total",
               "times the table of streams and buckets was applied without an error");
static bus_metric changed = BUS_METRIC(BUS_METRIC_COUNTER, "tradelane_stored_table_changes_total",
                                       "streams and buckets created or brought to the table");
static bus_metric failed = BUS_METRIC(BUS_METRIC_COUNTER, "tradelane_stored_table_failures_total",
                                      "times the table could not be applied in full");
static bus_metric lease =
    BUS_METRIC(BUS_METRIC_GAUGE, "tradelane_stored_lease_held", "1 while this stored is the one");

void store_counters_register(void)
{
    bus_metrics_add(&replayed);
    bus_metrics_add(&running);
    bus_metrics_add(&applied);
    bus_metrics_add(&changed);
    bus_metrics_add(&failed);
    bus_metrics_add(&lease);
}

void store_counters_replayed(uint64_t events)
{
    bus_metric_inc(&replayed, (int64_t)events);
}

void store_counters_running(uint32_t replays)
{
    bus_metric_set(&running, replays);
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

void store_counters_lease(int held)
{
    bus_metric_set(&lease, held);
}
