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

// --- base64 ------------------------------------------------------------------------------------------

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void proto_base64_write(char *out, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i += 3) {
        uint32_t left = (uint32_t)(len - i);
        uint32_t bits = (uint32_t)bytes[i] << 16;
        bits |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        bits |= left > 2 ? bytes[i + 2] : 0;
        *out++ = alphabet[bits >> 18];
        *out++ = alphabet[bits >> 12 & 63];
        *out++ = left > 1 ? alphabet[bits >> 6 & 63] : '=';
        *out++ = left > 2 ? alphabet[bits & 63] : '=';
    }
    *out = 0;
}

static int sextet(char c)
{
    if (c == '-')
        c = '+';
    if (c == '_')
        c = '/';
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

bool proto_base64_read(uint8_t *out, size_t *len, bus_view text)
{
    uint32_t bits = 0;
    int held = 0;
    size_t used = 0, n = text.len;
    if (n % 4 == 0)
        for (int i = 0; i < 2 && n && text.ptr[n - 1] == '='; i++)
            n--;
    if (n % 4 == 1)
        return false;
    for (size_t i = 0; i < n; i++) {
        int v = sextet(text.ptr[i]);
        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        held += 6;
        if (held < 8)
            continue;
        held -= 8;
        out[used++] = (uint8_t)(bits >> held);
    }
    *len = used;
    return true;
}
