#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/nats/service_impl.h"

enum { CREDIT_BATCH = BUS_STREAM_CREDIT / 2, TURNS = 10 }; // so often it looks before it says alive

// --- errors ------------------------------------------------------------------------------------------

static bus_err nobody(const char *service, const char *method)
{
    return bus_fail(BUS_EUNAVAILABLE, "nobody serves %s.%s: is its daemon running?", service,
                    method);
}

bus_err bus_reply_error(const bus_msg *reply)
{
    bus_view code, text;
    uint64_t number = 0;
    if (!bus_msg_header(reply, "Nats-Service-Error-Code", &code))
        return BUS_OK;
    if (!bus_msg_header(reply, "Nats-Service-Error", &text) || text.len == 0 || !*text.ptr)
        text = BUS_VIEW("the service refuses and says no reason");
    if (!bus_view_u64(code, &number) || number == 0 || number > BUS_EAUTH)
        number = BUS_EUNKNOWN; // somebody else's numbering, e.g. HTTP's
    return bus_fail((bus_err)number, "%.*s", BUS_VIEW_ARG(text));
}

static bus_err unpack_reply(ProtobufCMessage **out, const ProtobufCMessageDescriptor *type,
                            const bus_msg *msg)
{
    bus_view payload = bus_msg_payload(msg);
    bus_err err = bus_proto_unpack(out, type, payload);
    return bus_note(err == BUS_EINVAL ? BUS_EINTERNAL : err, "the reply");
}

// A packed message and the subject it goes to.
typedef struct {
    char subject[256];
    uint8_t *bytes;
    size_t len;
} packed_request;

static bus_err pack_request(packed_request *out, const char *service, const char *method,
                            const ProtobufCMessage *request)
{
    snprintf(out->subject, sizeof out->subject, "svc.%s.%s", service, method);
    out->len = protobuf_c_message_get_packed_size(request);
    out->bytes = malloc(out->len + 1);
    if (!out->bytes)
        return bus_fail(BUS_ENOMEM, "a request of %zu bytes", out->len);
    protobuf_c_message_pack(request, out->bytes);
    return BUS_OK;
}

// --- unary -------------------------------------------------------------------------------------------

bus_err bus_service_call(bus_conn *conn, const char *service, const char *method,
                         const ProtobufCMessage *request,
                         const ProtobufCMessageDescriptor *reply_type, bus_span timeout,
                         ProtobufCMessage **reply)
{
    packed_request packed;
    bus_msg *msg = NULL;
    bus_err err = pack_request(&packed, service, method, request);
    if (err)
        return err;
    err = bus_request(conn, packed.subject, NULL, 0,
                      (bus_view){(const char *)packed.bytes, packed.len}, timeout, &msg);
    free(packed.bytes);
    if (err == BUS_EUNAVAILABLE && bus_conn_state_of(conn) == BUS_CONN_UP)
        return nobody(service, method);
    if (err)
        return err;
    err = bus_reply_error(msg);
    if (!err)
        err = unpack_reply(reply, reply_type, msg);
    bus_msg_release(msg);
    return err;
}

// --- streaming ---------------------------------------------------------------------------------------

struct bus_stream_call {
    bus_conn *conn;
    bus_sub *sub;
    const ProtobufCMessageDescriptor *type;
    char service[128], method[64];
    char control[128]; // "" until the first message told it
    uint64_t received; // number of the last item
    uint64_t used;     // items taken since we last gave credit
    bus_mono said, heard;
    bus_silence silence;
    bool ended;
    uint64_t denials; // of the connection, before it was asked
};

static bus_err send_request(bus_stream_call *call, const ProtobufCMessage *request, bus_wake wake)
{
    char inbox[64];
    packed_request packed;
    snprintf(inbox, sizeof inbox, "_INBOX.%016" PRIx64 "%016" PRIx64, bus_machine_random(),
             bus_machine_random());
    bus_sub_opts opts = {.subject = inbox, .wake = wake};
    bus_err err = bus_sub_open(&call->sub, call->conn, &opts);
    if (!err)
        err = pack_request(&packed, call->service, call->method, request);
    if (err)
        return err;
    call->denials = bus_conn_denials(call->conn);
    err = bus_publish(call->conn, packed.subject, inbox, NULL, 0,
                      (bus_view){(const char *)packed.bytes, packed.len});
    free(packed.bytes);
    return err;
}

bus_err bus_stream_call_open(bus_stream_call **out, bus_conn *conn, const char *service,
                             const char *method, const ProtobufCMessage *request,
                             const ProtobufCMessageDescriptor *reply_type, bus_wake wake)
{
    bus_stream_call *call = calloc(1, sizeof *call);
    if (!call)
        return bus_fail(BUS_ENOMEM, "call of %s.%s", service, method);
    call->conn = conn;
    call->type = reply_type;
    snprintf(call->service, sizeof call->service, "%s", service);
    snprintf(call->method, sizeof call->method, "%s", method);
    call->silence = bus_silence_or_default((bus_silence){0});
    call->said = call->heard = bus_machine_mono();
    bus_err err = send_request(call, request, wake);
    if (err) {
        call->ended = true;
        bus_stream_call_close(call);
        return bus_note(err, "calling %s.%s", service, method);
    }
    *out = call;
    return BUS_OK;
}

void bus_stream_call_silence(bus_stream_call *call, bus_silence silence)
{
    call->silence = bus_silence_or_default(silence);
}

static void say(bus_stream_call *call, const char *text)
{
    if (!*call->control)
        return;
    bus_publish(call->conn, call->control, NULL, NULL, 0, bus_view_of(text));
    call->said = bus_machine_mono();
}

static void give_credit(bus_stream_call *call)
{
    char text[32];
    if (++call->used < CREDIT_BATCH)
        return;
    snprintf(text, sizeof text, "credit %" PRIu64, call->used);
    say(call, text);
    call->used = 0;
}

static bus_err end(bus_stream_call *call, bus_err err)
{
    call->ended = true;
    return err;
}

static bus_err hole(bus_stream_call *call, uint64_t number)
{
    say(call, "cancel");
    return end(call, bus_fail(BUS_EDATALOSS,
                              "%s.%s: item %" PRIu64 " came after item %" PRIu64
                              ": what was between is lost",
                              call->service, call->method, number, call->received));
}

static bool number_of(const bus_msg *msg, const char *header, uint64_t *out)
{
    bus_view value;
    return bus_msg_header(msg, header, &value) && bus_view_u64(value, out);
}

static bus_err take_end(bus_stream_call *call, const bus_msg *msg, uint64_t status)
{
    bus_err err = bus_reply_error(msg);
    if (!err && status)
        err = bus_fail(status <= BUS_EAUTH ? (bus_err)status : BUS_EUNKNOWN, "%s.%s ended with %d",
                       call->service, call->method, (int)status);
    return end(call, err);
}

static bus_err take(bus_stream_call *call, const bus_msg *msg, ProtobufCMessage **item)
{
    bus_view control;
    uint64_t number = 0, status = 0;
    if (bus_msg_no_responders(msg))
        return end(call, nobody(call->service, call->method));
    call->heard = bus_machine_mono();
    if (bus_msg_header(msg, "Lane-Stream-Control", &control))
        bus_view_copy(control, call->control, sizeof call->control);
    if (number_of(msg, "Lane-Stream-Alive", &number))
        return number > call->received ? hole(call, number + 1) : BUS_OK;
    if (!number_of(msg, "Lane-Stream", &number)) {
        bus_err err = bus_reply_error(msg); // refused before the stream began
        return end(call, err ? err
                             : bus_fail(BUS_EINTERNAL, "%s.%s does not answer with a stream",
                                        call->service, call->method));
    }
    if (number <= call->received)
        return BUS_OK;
    if (number != call->received + 1)
        return hole(call, number);
    call->received = number;
    if (number_of(msg, "Lane-Stream-End", &status))
        return take_end(call, msg, status);
    bus_err err = unpack_reply(item, call->type, msg);
    if (err) {
        say(call, "cancel");
        return end(call, err);
    }
    give_credit(call);
    return BUS_OK;
}

static bus_err check_silence(bus_stream_call *call)
{
    char subject[256];
    bus_mono now = bus_machine_mono();
    snprintf(subject, sizeof subject, "svc.%s.%s", call->service, call->method);
    bus_err err = call->received ? BUS_OK : bus_conn_denied(call->conn, subject, call->denials);
    if (err)
        return end(call, err);
    if (bus_mono_since(now, call->heard).ns >= call->silence.gone.ns) {
        say(call, "cancel");
        return end(call, bus_fail(BUS_EUNAVAILABLE, "%s.%s: silent for %" PRId64 " ms",
                                  call->service, call->method, call->silence.gone.ns / 1000000));
    }
    if (bus_mono_since(now, call->said).ns >= call->silence.alive.ns)
        say(call, "alive");
    return BUS_OK;
}

bus_err bus_stream_call_next(bus_stream_call *call, bus_span timeout, ProtobufCMessage **item,
                             bool *ended)
{
    bus_err err = BUS_OK;
    bus_mono until = bus_mono_add(bus_machine_mono(), timeout);
    *item = NULL;
    if (call->ended) {
        *ended = true;
        return bus_fail(BUS_ESTATE, "%s.%s has ended", call->service, call->method);
    }
    while (!err && !*item && !call->ended) {
        int64_t left = bus_mono_since(until, bus_machine_mono()).ns;
        int64_t turn = call->silence.alive.ns / TURNS;
        bus_msg *msg = bus_sub_next(call->sub, (bus_span){left < 0      ? 0
                                                          : left < turn ? left
                                                                        : turn});
        if (msg)
            err = take(call, msg, item);
        bus_msg_release(msg);
        if (!err && !call->ended)
            err = check_silence(call);
        if (!msg && left <= 0)
            break;
    }
    *ended = call->ended;
    return err;
}

void bus_stream_call_close(bus_stream_call *call)
{
    if (!call)
        return;
    if (!call->ended)
        say(call, "cancel");
    bus_sub_close(call->sub);
    free(call);
}
