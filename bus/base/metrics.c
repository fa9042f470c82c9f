#include "bus/base/metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROGRAM_CAP = 32 };

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static bus_metric *list_head;
static char program[PROGRAM_CAP] = "program";

void bus_metrics_program(const char *name)
{
    snprintf(program, sizeof program, "%s", name);
}

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

void bus_metrics_remove(bus_metric *metric)
{
    pthread_mutex_lock(&list_lock);
    for (bus_metric **at = &list_head; *at; at = &(*at)->next) {
        if (*at == metric) {
            *at = metric->next;
            metric->next = NULL;
            break;
        }
    }
    pthread_mutex_unlock(&list_lock);
}

void bus_metrics_each(void (*fn)(void *ctx, const bus_metric *metric), void *ctx)
{
    pthread_mutex_lock(&list_lock);
    for (const bus_metric *m = list_head; m; m = m->next)
        fn(ctx, m);
    pthread_mutex_unlock(&list_lock);
}

void bus_histogram_copy(bus_histogram *to, const bus_histogram *from)
{
    for (int i = 0; i < BUS_METRIC_BUCKETS; i++)
        atomic_store_explicit(&to->bucket[i],
                              atomic_load_explicit(&from->bucket[i], memory_order_relaxed),
                              memory_order_relaxed);
    atomic_store_explicit(&to->sum_ns, atomic_load_explicit(&from->sum_ns, memory_order_relaxed),
                          memory_order_relaxed);
}

void bus_metric_label(char *buf, size_t cap, const char *name, const char *value)
{
    size_t at = (size_t)snprintf(buf, cap, "%s=\"", name);
    for (; *value && at + 4 < cap; value++) { // room for an escape, the quote and the NUL
        if (*value == '\\' || *value == '"' || *value == '\n')
            buf[at++] = '\\';
        buf[at++] = *value;
        if (*value == '\n')
            buf[at - 1] = 'n';
    }
    snprintf(buf + at, cap - at, "\"");
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
    put(t, "# HELP tradelane_%s_%s %s\n# TYPE tradelane_%s_%s %s\n", program, m->name, m->help,
        program, m->name, kinds[m->kind]);
}

// A span as decimal seconds, exactly.
static void put_seconds(text *t, int64_t ns)
{
    uint64_t size = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    put(t, " %s%" PRIu64 ".%09" PRIu64 "\n", ns < 0 ? "-" : "", size / 1000000000,
        size % 1000000000);
}

static void put_value(text *t, const bus_metric *m)
{
    put(t, "tradelane_%s_%s%s%s%s", program, m->name, m->labels ? "{" : "",
        m->labels ? m->labels : "", m->labels ? "}" : "");
    if (m->seconds)
        put_seconds(t, bus_metric_get(m));
    else
        put(t, " %" PRId64 "\n", bus_metric_get(m));
}

// _count is the sum of the buckets as they are read here, so that it and the last bucket are the same
// whatever is counted meanwhile.
static void put_histogram(text *t, const bus_metric *m)
{
    const char *labels = m->labels ? m->labels : "", *comma = m->labels ? "," : "";
    const char *open = m->labels ? "{" : "", *close = m->labels ? "}" : "";
    int64_t count = 0;
    for (int i = 0; i < BUS_METRIC_BUCKETS; i++) {
        char bound[24] = "+Inf";
        count += atomic_load_explicit(&m->histogram.bucket[i], memory_order_relaxed);
        if (i < BUS_METRIC_BUCKETS - 1)
            snprintf(bound, sizeof bound, "%.6f", (double)((int64_t)1000 << i) / 1e9);
        put(t, "tradelane_%s_%s_bucket{%s%sle=\"%s\"} %" PRId64 "\n", program, m->name, labels,
            comma, bound, count);
    }
    put(t, "tradelane_%s_%s_sum%s%s%s", program, m->name, open, labels, close);
    put_seconds(t, atomic_load_explicit(&m->histogram.sum_ns, memory_order_relaxed));
    put(t, "tradelane_%s_%s_count%s%s%s %" PRId64 "\n", program, m->name, open, labels, close,
        count);
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
