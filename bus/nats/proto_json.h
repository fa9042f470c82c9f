// proto_json: what writing and reading protobuf messages as JSON share. The two functions of the outside
// are in service.h. Internal to bus/nats. Thread: any. Source: schemas/specs/services.md, "JSON".
#ifndef BUS_NATS_PROTO_JSON_H
#define BUS_NATS_PROTO_JSON_H

#include <protobuf-c/protobuf-c.h>

#include "bus/base/view.h"

enum {
    PROTO_NAME_MAX = 128, // of a field; longer ones do not occur in our services
    PROTO_DEPTH_MAX = 32, // messages within messages
};

// "publish_change" -> "publishChange": the name in JSON.
void proto_json_name(char out[PROTO_NAME_MAX], const char *field_name);
// A map<K, V> field is a repeated message <Parent>.<Field>Entry {1 key, 2 value}.
bool proto_is_map(const ProtobufCMessageDescriptor *parent, const ProtobufCFieldDescriptor *field);
size_t proto_value_size(ProtobufCType type); // of one value in a message or an array

#endif
