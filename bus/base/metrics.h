// metrics: counters, gauges and histograms declared as rows, exposed in Prometheus text format.
// Names: tradelane_<daemon>_<what>_<unit>[_total]. Updates are lock-free, from any thread.
// Source: schemas/specs/daemons.md, "Metrics".
#ifndef BUS_BASE_METRICS_H
#define BUS_BASE_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/base/err.h"

typedef enum { BUS_METRIC_COUNTER, BUS_METRIC_GAUGE, BUS_METRIC_HISTOGRAM } bus_metric_kind;

// A histogram counts nanoseconds in powers of two from 1 us to 64 s, exposed in seconds.
enum { BUS_METRIC_BUCKETS = 28 };

typedef struct bus_metric {
    const char *name; // full name, literal
    const char *help;
    bus_metric_kind kind;
    const char *labels; // `venue="binance"` or NULL; literal or owned by whoever registers
    _Atomic int64_t value;
    _Atomic int64_t sum_ns;
    _Atomic int64_t bucket[BUS_METRIC_BUCKETS];
    struct bus_metric *next;
} bus_metric;

#define BUS_METRIC(kind_, name_, help_)                                                            \
    {                                                                                              \
        .name = (name_), .help = (help_), .kind = (kind_)                                          \
    }

// bus_metrics_add registers a metric (static storage, registered once, before it is exposed).
void bus_metrics_add(bus_metric *metric);
static inline void bus_metric_inc(bus_metric *m, int64_t by)
{
    atomic_fetch_add_explicit(&m->value, by, memory_order_relaxed);
}
static inline void bus_metric_set(bus_metric *m, int64_t value)
{
    atomic_store_explicit(&m->value, value, memory_order_relaxed);
}
void bus_metric_observe(bus_metric *m, int64_t ns);
// bus_metrics_text returns a malloc'ed exposition (caller frees), NULL when out of memory.
char *bus_metrics_text(size_t *len);

#endif
