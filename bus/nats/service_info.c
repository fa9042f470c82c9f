// The three answers by which a NATS service is found, described and measured. Their shapes are those of
// the published services API; the stock CLI checks them by schema, which wants `description` and
// `last_error` even where they are empty, and times as integer nanoseconds.
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/base/health.h"
#include "bus/base/metrics.h"
#include "bus/base/process.h"
#include "bus/nats/service_impl.h"
#include "tradelane_version.h"

static json_t *head(const bus_service *service, const char *type)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:{s:s}}", "type", type, "name", service->spec[0].daemon,
                     "id", service->id, "version", TRADELANE_VERSION, "metadata", "product",
                     "tradelane");
}

static json_t *endpoint_metadata(const bus_service *service, const service_endpoint *e)
{
    json_t *metadata = json_pack("{s:s}", "descriptor-hash", service->hash);
    if (e->method && metadata) {
        json_object_set_new(metadata, "service", json_string(e->spec->service));
        json_object_set_new(metadata, "method", json_string(e->method->method));
        json_object_set_new(metadata, "streaming",
                            json_string(e->method->server_streaming ? "server" : "none"));
    }
    return metadata;
}

static json_t *info(const bus_service *service)
{
    const char *description = service->spec[0].description;
    json_t *out = head(service, "io.nats.micro.v1.info_response"), *list = json_array();
    for (size_t i = 0; i < service->endpoint_count; i++) {
        const service_endpoint *e = &service->endpoint[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "name", e->name, "subject",
                                              e->subject, "queue_group", "q", "metadata",
                                              endpoint_metadata(service, e)));
    }
    json_object_set_new(out, "description", json_string(description ? description : ""));
    json_object_set_new(out, "endpoints", list);
    return out;
}

// --- health, for those who have the bus alone ----------------------------------------------------------

enum { FIGURES_MAX = 256 }; // an answer stays far below what a message may have

typedef struct {
    json_t *values, *histograms;
    int left;
} figures;

static json_t *buckets_of(const bus_histogram *h)
{
    json_t *list = json_array();
    for (int i = 0; i < BUS_METRIC_BUCKETS; i++) {
        int64_t n = atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
        json_array_append_new(list, json_integer(n));
    }
    return list;
}

static void add_figure(void *ctx, const bus_metric *m)
{
    figures *f = ctx;
    char name[192];
    if (f->left-- <= 0)
        return;
    snprintf(name, sizeof name, "%s%s%s%s", m->name, m->labels ? "{" : "",
             m->labels ? m->labels : "", m->labels ? "}" : "");
    if (m->kind == BUS_METRIC_HISTOGRAM)
        json_object_set_new(f->histograms, name, buckets_of(&m->histogram));
    else if (m->seconds)
        json_object_set_new(f->values, name, json_real((double)bus_metric_get(m) / 1e9));
    else
        json_object_set_new(f->values, name, json_integer(bus_metric_get(m)));
}

static json_t *process_json(void)
{
    bus_process p;
    bus_process_read(&p);
    return json_pack("{s:I, s:f, s:I, s:I, s:I}", "resident_bytes", (json_int_t)p.resident_bytes,
                     "cpu_seconds", (double)p.cpu_ns / 1e9, "fds", (json_int_t)p.fds, "fds_max",
                     (json_int_t)p.fds_max, "threads", (json_int_t)p.threads);
}

// NULL in a program that is no daemon.
static json_t *health(void)
{
    bus_health h;
    figures f = {.left = FIGURES_MAX};
    if (!bus_health_get(&h))
        return NULL;
    json_t *probes = json_array();
    for (size_t i = 0; i < h.count; i++)
        json_array_append_new(probes, json_pack("{s:s, s:b, s:s}", "name", h.entry[i].name, "ready",
                                                h.entry[i].ready, "why", h.entry[i].why));
    f.values = json_object();
    f.histograms = json_object();
    bus_metrics_each(add_figure, &f);
    int64_t age_ms = bus_mono_since(bus_machine_mono(), h.asked).ns / 1000000;
    return json_pack("{s:b, s:I, s:I, s:o, s:o, s:o, s:o}", "ready", h.ready, "uptime_ms",
                     (json_int_t)h.uptime_ms, "age_ms", (json_int_t)age_ms, "probes", probes,
                     "process", process_json(), "metrics", f.values, "histograms", f.histograms);
}

static json_t *stats(const bus_service *service)
{
    json_t *out = head(service, "io.nats.micro.v1.stats_response"), *list = json_array();
    for (size_t i = 0; i < service->endpoint_count; i++) {
        const service_endpoint *e = &service->endpoint[i];
        int64_t average = e->requests ? e->busy_ns / (int64_t)e->requests : 0;
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:I, s:I}", "name",
                                              e->name, "subject", e->subject, "queue_group", "q",
                                              "num_requests", (json_int_t)e->requests, "num_errors",
                                              (json_int_t)e->errors, "last_error", e->last_error,
                                              "processing_time", (json_int_t)e->busy_ns,
                                              "average_processing_time", (json_int_t)average));
    }
    json_t *data = health(), *reflect = json_array_get(list, service->endpoint_count - 1);
    if (data)
        json_object_set_new(reflect, "data", data);
    json_object_set_new(out, "started", json_string(service->started));
    json_object_set_new(out, "endpoints", list);
    return out;
}

char *bus_service_describe(const bus_service *service, bus_view verb)
{
    json_t *answer = NULL;
    if (bus_view_is(verb, "PING"))
        answer = head(service, "io.nats.micro.v1.ping_response");
    else if (bus_view_is(verb, "INFO"))
        answer = info(service);
    else if (bus_view_is(verb, "STATS"))
        answer = stats(service);
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    json_decref(answer);
    return text;
}
