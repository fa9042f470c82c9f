// bench: one figure of a benchmark: its repetitions, their median and spread, as one JSON line on stdout.
//   {"bench","value","unit","spread","reps","reference","reference_value","ratio","workload","events"}
// value = median of the repetitions; spread = (largest - smallest) / median; reference = what the same
// run measured with the raw library, null where there is none; ratio = value / reference_value, so below 1
// is better for times and above 1 for rates. events = how many events one repetition handled: those that were
// measured, where some may not come.
// Thread: one.
#ifndef TEST_BENCH_COMMON_BENCH_H
#define TEST_BENCH_COMMON_BENCH_H

#include <stdint.h>

enum { BENCH_REPS = 7, BENCH_REPS_MAX = 64 };

typedef struct {
    double value[BENCH_REPS_MAX];
    int count;
} bench_series;

void bench_add(bench_series *series, double value);
double bench_median(const bench_series *series); // 0 when empty
double bench_spread(const bench_series *series);
int64_t bench_now_ns(void); // monotonic

typedef struct {
    const char *bench;          // "event.encode_ns"
    const char *unit;           // "ns", "events/s"
    const bench_series *ours;   // at least 3 repetitions
    const char *reference;      // "msgpack-c 4.0.0", or NULL
    const bench_series *theirs; // NULL when there is no reference
    const char *workload;       // one sentence
    uint64_t events;            // a repetition
} bench_figure;

void bench_print(const bench_figure *figure);

#endif
