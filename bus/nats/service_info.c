// The three answers by which a NATS service is found, described and measured. Their shapes are those of
// the published services API; the stock CLI checks them by schema, which wants `description` and
// `last_error` even where they are empty, and times as integer nanoseconds.
#include <jansson.h>
#include <stdlib.h>

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
