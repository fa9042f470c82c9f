#include "test/bench/common/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void bench_add(bench_series *series, double value)
{
    if (series->count < BENCH_REPS_MAX)
        series->value[series->count++] = value;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int sorted(const bench_series *series, double out[BENCH_REPS_MAX])
{
    memcpy(out, series->value, sizeof(double) * (size_t)series->count);
    qsort(out, (size_t)series->count, sizeof(double), by_value);
    return series->count;
}

double bench_median(const bench_series *series)
{
    double v[BENCH_REPS_MAX];
    int n = sorted(series, v);
    if (n == 0)
        return 0;
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

double bench_spread(const bench_series *series)
{
    double v[BENCH_REPS_MAX], median = bench_median(series);
    int n = sorted(series, v);
    return median != 0 ? (v[n - 1] - v[0]) / median : 0;
}

int64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void print_text(const char *name, const char *text)
{
    printf(",\"%s\":", name);
    if (!text) {
        fputs("null", stdout);
        return;
    }
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
    putchar('"');
}

void bench_print(const bench_figure *f)
{
    double value = bench_median(f->ours);
    printf("{\"bench\":\"%s\",\"value\":%.6g", f->bench, value);
    print_text("unit", f->unit);
    printf(",\"spread\":%.3f,\"reps\":%d", bench_spread(f->ours), f->ours->count);
    print_text("reference", f->theirs ? f->reference : NULL);
    double theirs = f->theirs ? bench_median(f->theirs) : 0;
    if (theirs > 0)
        printf(",\"reference_value\":%.6g,\"ratio\":%.4g", theirs, value / theirs);
    else
        fputs(",\"reference_value\":null,\"ratio\":null", stdout);
    print_text("workload", f->workload);
    printf(",\"events\":%llu}\n", (unsigned long long)f->events);
    fflush(stdout);
}
