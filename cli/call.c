#include "cli/call.h"

#include <stdlib.h>

bus_err lane_json_proto(ProtobufCMessage **out, const ProtobufCMessageDescriptor *type,
                        json_t *request)
{
    char *text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    if (!text)
        return bus_fail(BUS_EINVAL, "an argument is not UTF-8");
    bus_err err = bus_proto_from_json(out, type, bus_view_of(text));
    free(text);
    return err;
}

json_t *lane_proto_json(const ProtobufCMessage *message)
{
    char *text;
    size_t len;
    json_error_t error;
    if (bus_proto_to_json(&text, &len, message))
        return NULL;
    json_t *object = json_loadb(text, len, 0, &error);
    if (!object)
        bus_fail(BUS_EINTERNAL, "reply: %s", error.text);
    free(text);
    return object;
}

bus_err lane_call(lane_cli *cli, const lane_rpc *rpc, json_t *request, json_t **reply)
{
    ProtobufCMessage *in = NULL, *out = NULL;
    bus_err err = lane_json_proto(&in, rpc->request, request);
    if (!err)
        err = lane_connect(cli);
    if (!err)
        err = bus_service_call(cli->conn, rpc->service, rpc->method, in, rpc->reply, cli->timeout,
                               &out);
    if (!err) {
        *reply = lane_proto_json(out);
        err = *reply ? BUS_OK : BUS_EINTERNAL;
    }
    if (in)
        protobuf_c_message_free_unpacked(in, NULL);
    if (out)
        protobuf_c_message_free_unpacked(out, NULL);
    return err;
}

int lane_call_object(lane_cli *cli, const lane_rpc *rpc, json_t *request)
{
    json_t *reply = NULL;
    bus_err err = lane_call(cli, rpc, request, &reply);
    if (err)
        return lane_fail(cli, err);
    lane_object(cli, reply);
    return 0;
}
