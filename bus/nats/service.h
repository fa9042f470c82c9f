// service: RPCs on the bus as a NATS service (discoverable: $SRV.PING, INFO, STATS), and the client of them.
// Requests and replies are protobuf (protobuf-c), or JSON when the request says Content-Type:
// application/json or begins with '{' (then the reply is JSON too). Handlers run on the owner's thread, from
// bus_service_poll. Source: schemas/specs/services.md.
#ifndef BUS_NATS_SERVICE_H
#define BUS_NATS_SERVICE_H

#include <protobuf-c/protobuf-c.h>

#include "bus/nats/conn.h"

typedef struct bus_service bus_service;
typedef struct bus_call bus_call; // one request being answered

// request: unpacked, freed by the service after the handler returned unless bus_call_keep was called.
// The handler answers now or later, exactly once for unary: bus_call_reply or bus_call_fail.
typedef void (*bus_method_fn)(void *ctx, bus_call *call, const ProtobufCMessage *request);
// How long a side of a stream may be silent. Zero: 5 s and 15 s, which is what others expect.
typedef struct {
    bus_span alive; // then it says that it is there
    bus_span gone;  // then the other side gives it up
} bus_silence;
typedef struct {
    const char
        *method; // "Create": subject svc.<package.Service>.Create, endpoint "<Service>-Create"
    const ProtobufCMessageDescriptor *request, *reply;
    bool server_streaming;
    bus_method_fn fn;
} bus_method;
typedef struct {
    const char *daemon; // service name, e.g. "stored"
    const char *description;
    const char *service;        // "virtufin.api.v1.Scenarios"
    const bus_method *methods;  // ends with method NULL; borrowed until close
    const uint8_t *descriptors; // serialized FileDescriptorSet, served on svc.reflect.<daemon>
    size_t descriptors_len;
    void *ctx;
    bus_wake wake;
    bus_silence silence;
} bus_service_spec;
// All specs of one open share one NATS service: the daemon, description, descriptors, wake and silence of the
// first count. Works before the broker is there.
bus_err bus_service_open(bus_service **out, bus_conn *conn, const bus_service_spec *specs,
                         size_t count);
// Runs handlers; bounded work per call (then it wakes again by itself). Call it on wake and, while streams
// are open, at least once a second: that is when silence is noticed.
void bus_service_poll(bus_service *service);
void bus_service_close(bus_service *service); // calls not answered yet end with UNAVAILABLE

void bus_call_reply(bus_call *call, const ProtobufCMessage *reply);   // unary: ends the call
bus_err bus_call_fail(bus_call *call, bus_err err, const char *text); // ends the call; returns err
void bus_call_failed(bus_call *call, bus_err err); // bus_call_fail with bus_err_text
// bus_call_answer: the error if there is one, else the reply.
void bus_call_answer(bus_call *call, bus_err err, const ProtobufCMessage *reply);
// Server streaming: credit starts at 16; FULL when the caller has none left (wake when it gives more).
typedef enum { BUS_CALL_SENT, BUS_CALL_FULL, BUS_CALL_GONE } bus_call_result;
bus_call_result bus_call_send(bus_call *call, const ProtobufCMessage *item);
void bus_call_end(bus_call *call);        // status OK
bool bus_call_gone(const bus_call *call); // the caller cancelled or fell silent; still end it
void *
bus_call_keep(bus_call *call); // take the request over (free with protobuf_c_message_free_unpacked)

// --- client ------------------------------------------------------------------------------------------
// bus_service_call: unary. *reply is freed with protobuf_c_message_free_unpacked(…, NULL).
// The error of the service comes back as bus_err with its text. BUS_EUNAVAILABLE: nobody serves it.
bus_err bus_service_call(bus_conn *conn, const char *service, const char *method,
                         const ProtobufCMessage *request,
                         const ProtobufCMessageDescriptor *reply_type, bus_span timeout,
                         ProtobufCMessage **reply);
typedef struct bus_stream_call bus_stream_call;
bus_err bus_stream_call_open(bus_stream_call **out, bus_conn *conn, const char *service,
                             const char *method, const ProtobufCMessage *request,
                             const ProtobufCMessageDescriptor *reply_type, bus_wake wake);
// *item NULL and BUS_OK: nothing yet within timeout. *ended with the status as return value.
// Call it at least once a second: that is when the caller's signs of life are sent.
bus_err bus_stream_call_next(bus_stream_call *call, bus_span timeout, ProtobufCMessage **item,
                             bool *ended);
void bus_stream_call_close(bus_stream_call *call); // cancels when not ended

// --- JSON <-> protobuf-c by descriptor (proto3 JSON rules) ---------------------------------------------
bus_err bus_proto_to_json(char **out, size_t *len, const ProtobufCMessage *message); // malloc'ed
bus_err bus_proto_from_json(ProtobufCMessage **out, const ProtobufCMessageDescriptor *type,
                            bus_view json);
// bus_proto_unpack: from protobuf; also refuses texts that are not UTF-8, which protobuf-c lets through. BUS_EINVAL.
bus_err bus_proto_unpack(ProtobufCMessage **out, const ProtobufCMessageDescriptor *type,
                         bus_view bytes);

#endif
