// call: an RPC with request and reply as JSON objects, sent as protobuf: field names are checked against
// the service's own messages. Thread: main. Source: schemas/specs/services.md.
#ifndef CLI_CALL_H
#define CLI_CALL_H

#include "bus/nats/service.h"
#include "cli/session.h"

typedef struct {
    const char *service, *method;
    const ProtobufCMessageDescriptor *request, *reply;
} lane_rpc;

// lane_call takes over `request`; *reply is a new reference.
bus_err lane_call(lane_cli *cli, const lane_rpc *rpc, json_t *request, json_t **reply);
json_t *lane_proto_json(const ProtobufCMessage *message); // NULL: error text is set
bus_err lane_json_proto(ProtobufCMessage **out, const ProtobufCMessageDescriptor *type,
                        json_t *request); // takes over request
// lane_call_object calls and prints the reply; the exit code.
int lane_call_object(lane_cli *cli, const lane_rpc *rpc, json_t *request);

#endif
