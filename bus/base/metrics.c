#include "bus/base/metrics.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static bus_metric *list_head;

// One family (same name) is one run of the list, so that HELP and TYPE are written once.
void bus_metrics_add(bus_metric *metric)
{
    pthread_mutex_lock(&list_lock);
    bus_metric **at = &list_head;
    bus_metric **behind_family = NULL;
    for (; *at; at = &(*at)->next) {
        if (*at == metric)
            goto done;
        if (strcmp((*at)->name, metric->name) == 0)
            behind_family = &(*at)->next;
    }
    if (behind_family)
        at = behind_family;
    metric->next = *at;
    *at = metric;
done:
    pthread_mutex_unlock(&list_lock);
}

// Upper bound of bucket i in nanoseconds: 1,000 << i; the last bucket is open.
void bus_metric_observe(bus_metric *m, int64_t ns)
{
    int i = 0;
    if (ns > 1000) {
        uint64_t us = ((uint64_t)ns - 1) / 1000; // 1,001 ns belongs to the 2 us bucket
        i = 64 - __builtin_clzll(us);
    }
    if (i > BUS_METRIC_BUCKETS - 1)
        i = BUS_METRIC_BUCKETS - 1;
    atomic_fetch_add_explicit(&m->bucket[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&m->sum_ns, ns < 0 ? 0 : ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&m->value, 1, memory_order_relaxed);
}

typedef struct {
    char *ptr;
    size_t len, cap;
    bool failed;
} text;

__attribute__((format(printf, 2, 3))) static void put(text *t, const char *fmt, ...)
{
    while (!t->failed) {
        va_list args;
        va_start(args, fmt);
        int n = vsnprintf(t->ptr + t->len, t->cap - t->len, fmt, args);
        va_end(args);
        if ((size_t)n < t->cap - t->len) {
            t->len += (size_t)n;
            return;
        }
        size_t cap = (t->cap + (size_t)n) * 2;
        char *grown = realloc(t->ptr, cap);
        if (!grown) {
            t->failed = true;
            return;
        }
        t->ptr = grown;
        t->cap = cap;
    }
}

static void put_head(text *t, const bus_metric *m)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    put(t, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, kinds[m->kind]);
}

static void put_value(text *t, const bus_metric *m)
{
    if (m->labels)
        put(t, "%s{%s} %lld\n", m->name, m->labels, (long long)m->value);
    else
        put(t, "%s %lld\n", m->name, (long long)m->value);
}

// _count is the sum of the buckets read here, not `value`: an update in between must not make
// the last bucket and the count differ.
static void put_histogram(text *t, const bus_metric *m)
{
    const char *labels = m->labels ? m->labels : "";
    const char *comma = m->labels ? "," : "";
    int64_t count = 0;
    for (int i = 0; i < BUS_METRIC_BUCKETS; i++) {
        count += atomic_load_explicit(&m->bucket[i], memory_order_relaxed);
        if (i == BUS_METRIC_BUCKETS - 1)
            put(t, "%s_bucket{%s%sle=\"+Inf\"} %lld\n", m->name, labels, comma, (long long)count);
        else
            put(t, "%s_bucket{%s%sle=\"%.6f\"} %lld\n", m->name, labels, comma,
                (double)((int64_t)1000 << i) / 1e9, (long long)count);
    }
    int64_t sum = atomic_load_explicit(&m->sum_ns, memory_order_relaxed);
    const char *open = m->labels ? "{" : "", *close = m->labels ? "}" : "";
    put(t, "%s_sum%s%s%s %.9f\n", m->name, open, labels, close, (double)sum / 1e9);
    put(t, "%s_count%s%s%s %lld\n", m->name, open, labels, close, (long long)count);
}

char *bus_metrics_text(size_t *len)
{
    text t = {.ptr = malloc(4096), .cap = 4096};
    if (!t.ptr)
        return NULL;
    t.ptr[0] = '\0';
    const char *family = "";
    pthread_mutex_lock(&list_lock);
    for (const bus_metric *m = list_head; m; m = m->next) {
        if (strcmp(family, m->name) != 0)
            put_head(&t, m);
        family = m->name;
        if (m->kind == BUS_METRIC_HISTOGRAM)
            put_histogram(&t, m);
        else
            put_value(&t, m);
    }
    pthread_mutex_unlock(&list_lock);
    if (t.failed) {
        free(t.ptr);
        return NULL;
    }
    if (len)
        *len = t.len;
    return t.ptr;
}
