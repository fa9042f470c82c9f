// One request being answered: once, or by a numbered stream of items under the caller's credit.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/nats/service_impl.h"

enum { HEADERS_MAX = 6 };

// Header values may hold no control character: those become blanks.
static void header_text(char *out, size_t cap, const char *text)
{
    size_t i = 0;
    for (; text[i] && i + 1 < cap; i++)
        out[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i];
    out[i] = 0;
}

// --- life --------------------------------------------------------------------------------------------

bus_call *bus_call_open(bus_service *service, service_endpoint *endpoint, bus_msg *msg, bool json)
{
    bus_call *call = calloc(1, sizeof *call);
    bus_view reply = bus_msg_reply(msg);
    if (call)
        call->reply = strndup(reply.len ? reply.ptr : "", reply.len);
    if (!call || !call->reply) {
        free(call);
        return NULL;
    }
    call->service = service;
    call->endpoint = endpoint;
    call->number = ++service->last_call;
    call->json = json;
    call->began = call->said = call->heard = bus_machine_mono();
    call->credit = BUS_STREAM_CREDIT;
    call->next = service->calls;
    service->calls = call;
    return call;
}

void bus_call_free(bus_call *call)
{
    bus_call **at = &call->service->calls;
    while (*at && *at != call)
        at = &(*at)->next;
    if (*at)
        *at = call->next;
    if (call->request)
        protobuf_c_message_free_unpacked(call->request, NULL);
    free(call->reply);
    free(call);
}

// The handler's own frame may still look at the call: then its end waits for the handler's.
static void finish(bus_call *call, bus_err err, const char *text)
{
    service_endpoint *e = call->endpoint;
    e->busy_ns += bus_mono_since(bus_machine_mono(), call->began).ns;
    if (err) {
        e->errors++;
        snprintf(e->last_error, sizeof e->last_error, "%d:%.500s", bus_err_grpc(err), text);
    }
    call->ended = true;
    if (!call->in_handler)
        bus_call_free(call);
}

void *bus_call_keep(bus_call *call)
{
    ProtobufCMessage *request = call->request;
    call->request = NULL;
    return request;
}

// --- messages to the caller --------------------------------------------------------------------------

typedef struct {
    bus_header_pair pair[HEADERS_MAX];
    size_t count;
    char number[24], code[8], text[BUS_ERROR_TEXT], control[96];
} headers;

static void add(headers *h, const char *name, const char *value)
{
    h->pair[h->count++] = (bus_header_pair){name, value};
}

static void add_number(headers *h, const char *name, uint64_t number)
{
    snprintf(h->number, sizeof h->number, "%" PRIu64, number);
    add(h, name, h->number);
}

static void add_error(headers *h, bus_err err, const char *text)
{
    snprintf(h->code, sizeof h->code, "%d", bus_err_grpc(err));
    header_text(h->text, sizeof h->text, text && *text ? text : bus_err_name(err));
    add(h, "Nats-Service-Error-Code", h->code);
    add(h, "Nats-Service-Error", h->text);
}

static void add_control(headers *h, const bus_call *call)
{
    snprintf(h->control, sizeof h->control, "_INBOX.%s.%" PRIu64, call->service->id, call->number);
    add(h, "Lane-Stream-Control", h->control);
}

static bus_err publish(const bus_call *call, const headers *h, bus_view payload)
{
    if (!*call->reply)
        return BUS_OK;
    return bus_publish(call->service->conn, call->reply, NULL, h->pair, h->count, payload);
}

static bus_err pack(const bus_call *call, const ProtobufCMessage *message, char **out, size_t *len)
{
    if (message->descriptor != call->endpoint->method->reply)
        return bus_fail(BUS_EINTERNAL, "%s answers with a %s", call->endpoint->name,
                        message->descriptor->name);
    if (call->json)
        return bus_proto_to_json(out, len, message);
    *len = protobuf_c_message_get_packed_size(message);
    *out = malloc(*len + 1);
    if (!*out)
        return bus_fail(BUS_ENOMEM, "a reply of %zu bytes", *len);
    protobuf_c_message_pack(message, (uint8_t *)*out);
    return BUS_OK;
}

static void add_type(headers *h, const bus_call *call)
{
    if (call->json)
        add(h, "Content-Type", BUS_JSON_TYPE);
}

// --- ending ------------------------------------------------------------------------------------------

static void end_stream(bus_call *call, bus_err err, const char *text)
{
    headers h = {.count = 0};
    char status[8];
    snprintf(status, sizeof status, "%d", bus_err_grpc(err));
    add_number(&h, "Lane-Stream", call->sent + 1);
    add(&h, "Lane-Stream-End", status);
    if (err)
        add_error(&h, err, text);
    publish(call, &h, (bus_view){0});
}

bus_err bus_call_fail(bus_call *call, bus_err err, const char *text)
{
    headers h = {.count = 0};
    char copy[BUS_ERROR_TEXT]; // text may be the thread's error text, which publishing may change
    snprintf(copy, sizeof copy, "%s", text && *text ? text : bus_err_name(err));
    if (call->endpoint->method && call->endpoint->method->server_streaming) {
        end_stream(call, err, copy);
    } else {
        add_error(&h, err, copy);
        publish(call, &h, (bus_view){0});
    }
    finish(call, err, copy);
    return err;
}

void bus_call_failed(bus_call *call, bus_err err)
{
    bus_call_fail(call, err, bus_err_text());
}

void bus_call_answer(bus_call *call, bus_err err, const ProtobufCMessage *reply)
{
    if (err)
        bus_call_failed(call, err);
    else
        bus_call_reply(call, reply);
}

void bus_call_reply(bus_call *call, const ProtobufCMessage *reply)
{
    headers h = {.count = 0};
    char *bytes = NULL;
    size_t len = 0;
    bus_err err = pack(call, reply, &bytes, &len);
    if (!err) {
        add_type(&h, call);
        err = publish(call, &h, (bus_view){bytes, len});
        if (err == BUS_EUNAVAILABLE)
            err = BUS_OK; // the broker is away, and with it whoever could read an error
    }
    free(bytes);
    if (err)
        bus_call_failed(call, err);
    else
        finish(call, BUS_OK, "");
}

void bus_call_end(bus_call *call)
{
    if (!call->gone)
        end_stream(call, BUS_OK, "");
    finish(call, BUS_OK, "");
}

// --- streaming ---------------------------------------------------------------------------------------

bool bus_call_gone(const bus_call *call)
{
    return call->gone;
}

bus_call_result bus_call_send(bus_call *call, const ProtobufCMessage *item)
{
    headers h = {.count = 0};
    char *bytes = NULL;
    size_t len = 0;
    if (call->gone)
        return BUS_CALL_GONE;
    if (call->credit == 0)
        return BUS_CALL_FULL;
    if (pack(call, item, &bytes, &len)) {
        call->gone = true;
        end_stream(call, BUS_EINTERNAL, bus_err_text());
        return BUS_CALL_GONE;
    }
    add_number(&h, "Lane-Stream", call->sent + 1);
    if (call->sent == 0)
        add_control(&h, call);
    add_type(&h, call);
    bus_err err = publish(call, &h, (bus_view){bytes, len});
    free(bytes);
    if (err && err != BUS_EUNAVAILABLE) { // e.g. larger than the broker takes
        call->gone = true;
        end_stream(call, err, bus_err_text());
        return BUS_CALL_GONE;
    }
    // Lost with the connection: the number is used up, and the caller sees the hole.
    call->sent++;
    call->credit--;
    call->said = bus_machine_mono();
    return BUS_CALL_SENT;
}

static bool credit_of(bus_view text, uint64_t *more)
{
    static const char word[] = "credit ";
    size_t len = sizeof word - 1;
    return text.len > len && memcmp(text.ptr, word, len) == 0 &&
           bus_view_u64((bus_view){text.ptr + len, text.len - len}, more) && *more <= 1u << 20;
}

void bus_call_control(bus_call *call, bus_view text)
{
    uint64_t more = 0;
    call->heard = bus_machine_mono();
    if (credit_of(text, &more))
        call->credit += more;
    else if (bus_view_is(text, "cancel"))
        call->gone = true;
    // "alive" says nothing else; what we do not know is taken for it
}

bus_silence bus_silence_or_default(bus_silence given)
{
    return (bus_silence){.alive = given.alive.ns ? given.alive : BUS_SPAN_S(5),
                         .gone = given.gone.ns ? given.gone : BUS_SPAN_S(15)};
}

void bus_call_tick(bus_call *call, bus_mono now)
{
    if (call->gone || !call->endpoint->method || !call->endpoint->method->server_streaming)
        return;
    if (bus_mono_since(now, call->heard).ns >= call->service->silence.gone.ns) {
        call->gone = true;
        return;
    }
    if (bus_mono_since(now, call->said).ns < call->service->silence.alive.ns)
        return;
    headers h = {.count = 0};
    add_number(&h, "Lane-Stream-Alive", call->sent);
    add_control(&h, call);
    publish(call, &h, (bus_view){0});
    call->said = now;
}
