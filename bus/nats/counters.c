#include "bus/nats/counters.h"

static bus_metric standing = BUS_METRIC(BUS_METRIC_GAUGE, "broker_connections",
                                        "Connections to the broker that stand just now");
static bus_metric connects = BUS_METRIC(BUS_METRIC_COUNTER, "broker_connects_total",
                                        "Connections to the broker that were made");
static bus_metric losses = BUS_METRIC(BUS_METRIC_COUNTER, "broker_losses_total",
                                      "Connections to the broker that were lost or given up");
static bus_metric resent = BUS_METRIC(BUS_METRIC_COUNTER, "resent_events_total",
                                      "Messages in doubt after a loss, and so sent again");
static bus_metric waits =
    BUS_METRIC(BUS_METRIC_HISTOGRAM, "publish_to_ack_seconds",
               "From the first sending of a message to the broker's acknowledgement");

void bus_counters_register(void)
{
    bus_metric *const all[] = {&standing, &connects, &losses};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        bus_metrics_add(all[i]);
}

void bus_counters_register_publisher(void)
{
    bus_metrics_add(&resent);
    bus_metrics_add(&waits);
}

void bus_counters_up(void)
{
    bus_metric_inc(&standing, 1);
    bus_metric_inc(&connects, 1);
}

void bus_counters_down(bool lost)
{
    bus_metric_inc(&standing, -1);
    bus_metric_inc(&losses, lost);
}

void bus_counters_resent(uint32_t messages)
{
    bus_metric_inc(&resent, messages);
}

void bus_counters_acknowledged(bus_span waited)
{
    bus_metric_observe(&waits, waited.ns);
}

const bus_histogram *bus_counters_waits(void)
{
    return &waits.histogram;
}
