#include "bus/nats/proto_json.h"

#include <stdio.h>
#include <string.h>

void proto_json_name(char out[PROTO_NAME_MAX], const char *name)
{
    size_t len = 0;
    bool up = false;
    for (; *name && len + 1 < PROTO_NAME_MAX; name++) {
        if (*name == '_') {
            up = true;
            continue;
        }
        out[len++] = up && *name >= 'a' && *name <= 'z' ? (char)(*name - 'a' + 'A') : *name;
        up = false;
    }
    out[len] = 0;
}

bool proto_is_map(const ProtobufCMessageDescriptor *parent, const ProtobufCFieldDescriptor *field)
{
    char camel[PROTO_NAME_MAX], entry[2 * PROTO_NAME_MAX + 8];
    if (field->label != PROTOBUF_C_LABEL_REPEATED || field->type != PROTOBUF_C_TYPE_MESSAGE)
        return false;
    const ProtobufCMessageDescriptor *type = field->descriptor;
    proto_json_name(camel, field->name);
    if (camel[0] >= 'a' && camel[0] <= 'z')
        camel[0] = (char)(camel[0] - 'a' + 'A');
    int len = snprintf(entry, sizeof entry, "%s.%sEntry", parent->name, camel);
    return len > 0 && (size_t)len < sizeof entry && strcmp(type->name, entry) == 0 &&
           type->n_fields == 2 && type->fields[0].id == 1 && type->fields[1].id == 2;
}

size_t proto_value_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_ENUM:
        return 4;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
    return sizeof(void *);
}
