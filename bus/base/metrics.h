// metrics: counters, gauges and histograms declared as rows, exposed in Prometheus text format.
// Updates are relaxed atomics: no lock, no allocation, a few nanoseconds, from any thread.
// Source: schemas/specs/daemons.md, "Metrics".
#ifndef BUS_BASE_METRICS_H
#define BUS_BASE_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { BUS_METRIC_COUNTER, BUS_METRIC_GAUGE, BUS_METRIC_HISTOGRAM } bus_metric_kind;

// A histogram counts nanoseconds in powers of two from 1 us to 67 s, exposed in seconds.
enum { BUS_METRIC_BUCKETS = 28 };

// Bucket i counts what was above the bound of i - 1 and at most its own, 1,000 << i; the last is open.
typedef struct {
    _Atomic int64_t sum_ns;
    _Atomic int64_t bucket[BUS_METRIC_BUCKETS];
} bus_histogram;

typedef struct bus_metric {
    const char *name; // behind tradelane_<program>_: "frames_total"; literal
    const char *help; // one line
    bus_metric_kind kind;
    bool seconds;       // the value counts nanoseconds and is shown in seconds
    const char *labels; // `venue="binance"` or NULL; literal or owned by whoever registers
    _Atomic int64_t value;
    bus_histogram histogram;
    struct bus_metric *next;
} bus_metric;

#define BUS_METRIC(kind_, name_, help_)                                                            \
    {                                                                                              \
        .name = (name_), .help = (help_), .kind = (kind_)                                          \
    }
// A counter or gauge of time: counted in nanoseconds, shown in seconds.
#define BUS_METRIC_TIME(kind_, name_, help_)                                                       \
    {                                                                                              \
        .name = (name_), .help = (help_), .kind = (kind_), .seconds = true                         \
    }

void bus_metrics_program(const char *name); // of this process: "feedd"; once, at the start
// bus_metrics_add registers a metric: once, with static storage, or until bus_metrics_remove.
void bus_metrics_add(bus_metric *metric);
void bus_metrics_remove(bus_metric *metric); // one that is not registered is fine
static inline void bus_metric_inc(bus_metric *m, int64_t by)
{
    atomic_fetch_add_explicit(&m->value, by, memory_order_relaxed);
}
static inline void bus_metric_set(bus_metric *m, int64_t value)
{
    atomic_store_explicit(&m->value, value, memory_order_relaxed);
}
static inline int64_t bus_metric_get(const bus_metric *m)
{
    return atomic_load_explicit(&m->value, memory_order_relaxed);
}

static inline int bus_histogram_index(int64_t ns)
{
    if (ns <= 1000)
        return 0;
    int i = 64 - __builtin_clzll(((uint64_t)ns - 1) / 1000); // 1,001 ns belongs to the 2 us bucket
    return i < BUS_METRIC_BUCKETS ? i : BUS_METRIC_BUCKETS - 1;
}
static inline void bus_histogram_observe(bus_histogram *h, int64_t ns)
{
    atomic_fetch_add_explicit(&h->bucket[bus_histogram_index(ns)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_ns, ns < 0 ? 0 : ns, memory_order_relaxed);
}
static inline void bus_metric_observe(bus_metric *m, int64_t ns)
{
    bus_histogram_observe(&m->histogram, ns);
}
// bus_histogram_copy takes over the figures of another one, which may be counting just now.
void bus_histogram_copy(bus_histogram *to, const bus_histogram *from);

// bus_metric_label writes `name="value"` with the value escaped; what does not fit is cut off.
void bus_metric_label(char *buf, size_t cap, const char *name, const char *value);
// bus_metrics_text returns a malloc'ed exposition (caller frees), NULL when out of memory.
char *bus_metrics_text(size_t *len);
// bus_metrics_each calls fn for every registered metric; fn must not register or remove any.
void bus_metrics_each(void (*fn)(void *ctx, const bus_metric *metric), void *ctx);

#endif
