#include "bus/nats/service.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <xxhash.h>

#include "bus/base/log.h"
#include "bus/nats/api.h"
#include "bus/nats/service_impl.h"

enum { TURN_MAX = 64 }; // messages of one subscription taken in one poll

static bus_sub **requests_end(bus_service *service)
{
    return service->requests + service->spec_count;
}

// --- opening -----------------------------------------------------------------------------------------

static void name_endpoint(service_endpoint *e, const bus_service_spec *spec, const bus_method *m)
{
    const char *dot = strrchr(spec->service, '.');
    e->spec = spec;
    e->method = m;
    snprintf(e->name, sizeof e->name, "%s-%s", dot ? dot + 1 : spec->service, m->method);
    snprintf(e->subject, sizeof e->subject, "svc.%s.%s", spec->service, m->method);
}

static bus_err make_endpoints(bus_service *service)
{
    size_t count = 1;
    for (size_t i = 0; i < service->spec_count; i++)
        for (const bus_method *m = service->spec[i].methods; m->method; m++)
            count++;
    service->endpoint = calloc(count, sizeof *service->endpoint);
    if (!service->endpoint)
        return bus_fail(BUS_ENOMEM, "%zu endpoints", count);
    for (size_t i = 0; i < service->spec_count; i++)
        for (const bus_method *m = service->spec[i].methods; m->method; m++)
            name_endpoint(&service->endpoint[service->endpoint_count++], &service->spec[i], m);
    service_endpoint *reflect = &service->endpoint[service->endpoint_count++];
    snprintf(reflect->name, sizeof reflect->name, "reflect");
    snprintf(reflect->subject, sizeof reflect->subject, "svc.reflect.%s", service->spec[0].daemon);
    return BUS_OK;
}

static void describe_self(bus_service *service)
{
    const bus_service_spec *first = &service->spec[0];
    XXH128_hash_t hash = XXH3_128bits(first->descriptors, first->descriptors_len);
    snprintf(service->hash, sizeof service->hash, "%016" PRIx64 "%016" PRIx64,
             (uint64_t)hash.high64, (uint64_t)hash.low64);
    snprintf(service->id, sizeof service->id, "%016" PRIx64 "%016" PRIx64, bus_machine_random(),
             bus_machine_random());
    bus_time_format(bus_now_wall().ns, service->started);
}

static bus_err listen(bus_service *service, bus_sub **out, const char *group, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static bus_err listen(bus_service *service, bus_sub **out, const char *group, const char *fmt, ...)
{
    char subject[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(subject, sizeof subject, fmt, args);
    va_end(args);
    bus_sub_opts opts = {.subject = subject, .queue_group = group, .wake = service->wake};
    return bus_sub_open(out, service->conn, &opts);
}

static bus_err listen_all(bus_service *service)
{
    const char *name = service->spec[0].daemon;
    bus_err err = listen(service, &service->discovery[0], NULL, "$SRV.*");
    if (!err)
        err = listen(service, &service->discovery[1], NULL, "$SRV.*.%s", name);
    if (!err)
        err = listen(service, &service->discovery[2], NULL, "$SRV.*.%s.%s", name, service->id);
    if (!err)
        err = listen(service, &service->control, NULL, "_INBOX.%s.*", service->id);
    // All methods of a service in one: so an unknown one is told UNIMPLEMENTED and not "nobody there".
    for (size_t i = 0; i < service->spec_count && !err; i++)
        err = listen(service, &service->requests[i], "q", "svc.%s.*", service->spec[i].service);
    if (!err)
        err = listen(service, requests_end(service), "q", "svc.reflect.%s", name);
    return err;
}

bus_err bus_service_open(bus_service **out, bus_conn *conn, const bus_service_spec *specs,
                         size_t count)
{
    bus_err err = count ? bus_api_name_check(specs[0].daemon, "service name")
                        : bus_fail(BUS_EINVAL, "a service needs a spec");
    if (err)
        return err;
    bus_service *service = calloc(1, sizeof *service);
    if (!service)
        return bus_fail(BUS_ENOMEM, "service '%s'", specs[0].daemon);
    service->conn = conn;
    service->spec_count = count;
    service->wake = specs[0].wake;
    service->silence = bus_silence_or_default(specs[0].silence);
    service->spec = calloc(count, sizeof *specs);
    service->requests = calloc(count + 1, sizeof *service->requests);
    if (!service->spec || !service->requests) {
        err = bus_fail(BUS_ENOMEM, "service '%s'", specs[0].daemon);
        goto done;
    }
    memcpy(service->spec, specs, count * sizeof *specs);
    describe_self(service);
    err = make_endpoints(service);
    if (!err)
        err = listen_all(service);
    if (err)
        goto done;
    *out = service;
    service = NULL;
done:
    bus_service_close(service);
    return bus_note(err, "service '%s'", specs[0].daemon);
}

void bus_service_close(bus_service *service)
{
    if (!service)
        return;
    while (service->calls) {
        service->calls->in_handler = false;
        bus_call_fail(service->calls, BUS_EUNAVAILABLE, "the service is shutting down");
    }
    for (int i = 0; i < DISCOVERY_SCOPES; i++)
        bus_sub_close(service->discovery[i]);
    for (size_t i = 0; service->requests && i <= service->spec_count; i++)
        bus_sub_close(service->requests[i]);
    bus_sub_close(service->control);
    free(service->requests);
    free(service->endpoint);
    free(service->spec);
    free(service);
}

// --- requests ----------------------------------------------------------------------------------------

static bool is_json(const bus_msg *msg)
{
    bus_view type, payload = bus_msg_payload(msg);
    static const char json[] = BUS_JSON_TYPE;
    if (bus_msg_header(msg, "Content-Type", &type))
        return type.len >= sizeof json - 1 && strncasecmp(type.ptr, json, sizeof json - 1) == 0;
    // '{' would begin a protobuf group, which no message of ours has.
    return payload.len && payload.ptr[0] == '{';
}

static bus_err unpack(ProtobufCMessage **out, const bus_method *method, const bus_msg *msg,
                      bool json)
{
    bus_view payload = bus_msg_payload(msg);
    if (json && payload.len)
        return bus_proto_from_json(out, method->request, payload);
    return bus_proto_unpack(out, method->request, payload);
}

static void run(bus_service *service, service_endpoint *e, bus_msg *msg)
{
    bool json = is_json(msg);
    bus_call *call = bus_call_open(service, e, msg, json);
    e->requests++;
    if (!call) {
        e->errors++;
        bus_error("out of memory: a request to %s gets no answer", e->name);
        return;
    }
    bus_err err = unpack(&call->request, e->method, msg, json);
    if (err) {
        bus_call_failed(call, err);
        return;
    }
    call->in_handler = true;
    e->method->fn(e->spec->ctx, call, call->request);
    call->in_handler = false;
    if (call->ended) {
        bus_call_free(call);
    } else if (call->request) { // it answers later, and did not want to keep it
        protobuf_c_message_free_unpacked(call->request, NULL);
        call->request = NULL;
    }
}

static void refuse(bus_service *service, const bus_msg *msg, const char *service_name)
{
    char text[BUS_ERROR_TEXT], code[8];
    bus_view subject = bus_msg_subject(msg), reply = bus_msg_reply(msg);
    size_t prefix = strlen(service_name) + sizeof "svc.." - 1;
    snprintf(text, sizeof text, "%s has no method '%.*s'", service_name,
             (int)(subject.len - prefix), subject.ptr + prefix);
    snprintf(code, sizeof code, "%d", BUS_EUNSUPPORTED);
    bus_header_pair h[] = {{"Nats-Service-Error-Code", code}, {"Nats-Service-Error", text}};
    if (reply.len)
        bus_publish(service->conn, reply.ptr, NULL, h, 2, (bus_view){0});
}

static void serve(bus_service *service, const bus_service_spec *spec, bus_msg *msg)
{
    bus_view subject = bus_msg_subject(msg);
    for (size_t i = 0; i < service->endpoint_count; i++) {
        service_endpoint *e = &service->endpoint[i];
        if (e->spec == spec && bus_view_is(subject, e->subject)) {
            run(service, e, msg);
            return;
        }
    }
    refuse(service, msg, spec->service);
}

static void serve_reflect(bus_service *service, const bus_msg *msg)
{
    const bus_service_spec *first = &service->spec[0];
    bus_view reply = bus_msg_reply(msg);
    bus_header_pair h[] = {{"Content-Type", "application/x-protobuf"},
                           {"Lane-Descriptor-Hash", service->hash}};
    service->endpoint[service->endpoint_count - 1].requests++;
    if (reply.len)
        bus_publish(service->conn, reply.ptr, NULL, h, 2,
                    (bus_view){(const char *)first->descriptors, first->descriptors_len});
}

// $SRV.<verb>[.<name>[.<id>]]
static void serve_discovery(bus_service *service, const bus_msg *msg)
{
    bus_view subject = bus_msg_subject(msg), reply = bus_msg_reply(msg);
    bus_view verb = {subject.ptr + sizeof "$SRV." - 1, subject.len - (sizeof "$SRV." - 1)};
    const char *dot = memchr(verb.ptr, '.', verb.len);
    if (dot)
        verb.len = (size_t)(dot - verb.ptr);
    char *text = reply.len ? bus_service_describe(service, verb) : NULL;
    if (text)
        bus_publish(service->conn, reply.ptr, NULL, NULL, 0, bus_view_of(text));
    free(text);
}

// _INBOX.<service id>.<number of the call>
static void serve_control(bus_service *service, const bus_msg *msg)
{
    bus_view subject = bus_msg_subject(msg);
    size_t prefix = sizeof "_INBOX." + strlen(service->id);
    uint64_t number = 0;
    if (subject.len <= prefix ||
        !bus_view_u64((bus_view){subject.ptr + prefix, subject.len - prefix}, &number))
        return;
    for (bus_call *call = service->calls; call; call = call->next)
        if (call->number == number) {
            bus_call_control(call, bus_msg_payload(msg));
            return;
        }
}

// --- the poll ----------------------------------------------------------------------------------------

static int take_discovery(bus_service *service)
{
    int left = TURN_MAX;
    for (int i = 0; i < DISCOVERY_SCOPES; i++)
        for (bus_msg *msg; left > 0 && (msg = bus_sub_next(service->discovery[i], (bus_span){0}));
             left--) {
            serve_discovery(service, msg);
            bus_msg_release(msg);
        }
    return left;
}

static int take_control(bus_service *service)
{
    int left = TURN_MAX;
    for (bus_msg *msg; left > 0 && (msg = bus_sub_next(service->control, (bus_span){0})); left--) {
        serve_control(service, msg);
        bus_msg_release(msg);
    }
    return left;
}

static int take_requests(bus_service *service, size_t at)
{
    int left = TURN_MAX;
    for (bus_msg *msg; left > 0 && (msg = bus_sub_next(service->requests[at], (bus_span){0}));
         left--) {
        if (at == service->spec_count)
            serve_reflect(service, msg);
        else
            serve(service, &service->spec[at], msg);
        bus_msg_release(msg);
    }
    return left;
}

void bus_service_poll(bus_service *service)
{
    bool more = take_discovery(service) == 0;
    more |= take_control(service) == 0;
    for (size_t i = 0; i <= service->spec_count; i++)
        more |= take_requests(service, i) == 0;
    bus_mono now = bus_machine_mono();
    for (bus_call *call = service->calls; call; call = call->next)
        bus_call_tick(call, now);
    if (more && service->wake.fn)
        service->wake.fn(service->wake.ctx);
}
