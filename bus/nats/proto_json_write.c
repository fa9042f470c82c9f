// A message as JSON. Fields without presence are always written, also when they have their default
// value, so that a reader need not know the type; what is not set is left out.
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/base/base64.h"
#include "bus/nats/proto_json.h"
#include "bus/nats/service.h"

static bus_err write_message(json_t **out, const ProtobufCMessage *message, int depth);

static json_t *quoted_signed(int64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, v);
    return json_string(text);
}

static json_t *quoted_unsigned(uint64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, v);
    return json_string(text);
}

static json_t *real(double v)
{
    if (isnan(v))
        return json_string("NaN");
    if (isinf(v))
        return json_string(v > 0 ? "Infinity" : "-Infinity");
    return json_real(v);
}

static json_t *enum_name(const ProtobufCEnumDescriptor *type, int32_t number)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(type, number);
    return value ? json_string(value->name) : json_integer(number);
}

static json_t *binary(const ProtobufCBinaryData *data)
{
    char *text = malloc(BUS_BASE64_CHARS(data->len) + 1);
    if (!text)
        return NULL;
    bus_base64_write(text, (bus_view){(const char *)data->data, data->len});
    json_t *out = json_string(text);
    free(text);
    return out;
}

// NULL: no memory, or a string that is not UTF-8.
static json_t *scalar(const ProtobufCFieldDescriptor *field, const void *at)
{
    const char *const *text = at;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return json_integer(*(const int32_t *)at);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return json_integer(*(const uint32_t *)at);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return quoted_signed(*(const int64_t *)at);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return quoted_unsigned(*(const uint64_t *)at);
    case PROTOBUF_C_TYPE_FLOAT:
        return real((double)*(const float *)at);
    case PROTOBUF_C_TYPE_DOUBLE:
        return real(*(const double *)at);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)at);
    case PROTOBUF_C_TYPE_ENUM:
        return enum_name(field->descriptor, *(const int32_t *)at);
    case PROTOBUF_C_TYPE_STRING:
        return json_string(*text ? *text : "");
    case PROTOBUF_C_TYPE_BYTES:
        return binary(at);
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
    return NULL;
}

static bus_err write_value(json_t **out, const ProtobufCFieldDescriptor *field, const void *at,
                           int depth)
{
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessage *const *inner = at;
        if (!*inner) { // a map's entry came without its value, which means the empty one
            *out = json_object();
            return *out ? BUS_OK : bus_fail(BUS_ENOMEM, "%s", field->name);
        }
        bus_err err = write_message(out, *inner, depth + 1);
        return bus_note(err, "%s", field->name);
    }
    *out = scalar(field, at);
    if (*out)
        return BUS_OK;
    if (field->type != PROTOBUF_C_TYPE_STRING)
        return bus_fail(BUS_ENOMEM, "field '%s'", field->name);
    return bus_fail(BUS_EINVAL, "field '%s' is not UTF-8", field->name);
}

// The key of a map entry as text: JSON has no other keys.
static void map_key(char out[PROTO_NAME_MAX * 2], json_t *key)
{
    if (json_is_boolean(key))
        snprintf(out, PROTO_NAME_MAX * 2, "%s", json_is_true(key) ? "true" : "false");
    else if (json_is_integer(key))
        snprintf(out, PROTO_NAME_MAX * 2, "%" JSON_INTEGER_FORMAT, json_integer_value(key));
    else
        snprintf(out, PROTO_NAME_MAX * 2, "%s", json_string_value(key));
}

static bus_err write_map(json_t *object, const ProtobufCMessage *entry, int depth)
{
    char text[PROTO_NAME_MAX * 2];
    const ProtobufCFieldDescriptor *field = entry->descriptor->fields;
    json_t *key = NULL, *value = NULL;
    bus_err err = write_value(&key, &field[0], (const char *)entry + field[0].offset, depth);
    if (!err)
        err = write_value(&value, &field[1], (const char *)entry + field[1].offset, depth);
    if (!err) {
        const char *name = json_string_value(key);
        if (!name)
            map_key(text, key);
        json_object_set_new(object, name ? name : text, value);
    }
    json_decref(key);
    return err;
}

static bus_err write_repeated(json_t **out, const ProtobufCMessage *message,
                              const ProtobufCFieldDescriptor *field, int depth)
{
    size_t count = *(const size_t *)((const char *)message + field->quantifier_offset);
    const char *item = *(const char *const *)((const char *)message + field->offset);
    bool map = proto_is_map(message->descriptor, field);
    bus_err err = BUS_OK;
    json_t *list = map ? json_object() : json_array();
    for (size_t i = 0; i < count && !err; i++) {
        json_t *value = NULL;
        if (map) {
            err = write_map(list, ((const ProtobufCMessage *const *)(const void *)item)[i], depth);
            continue;
        }
        err = write_value(&value, field, item + i * proto_value_size(field->type), depth);
        if (!err)
            json_array_append_new(list, value);
    }
    if (err)
        json_decref(list);
    else
        *out = list;
    return err;
}

// Is a singular field set, or without presence (then it is written always)?
static bool is_there(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const char *base = (const char *)message;
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        return *(const uint32_t *)(base + field->quantifier_offset) == field->id;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return *(const void *const *)(base + field->offset) != NULL;
    if (field->label != PROTOBUF_C_LABEL_OPTIONAL)
        return true;
    if (field->type == PROTOBUF_C_TYPE_STRING)
        return *(const void *const *)(base + field->offset) != NULL;
    return *(const protobuf_c_boolean *)(base + field->quantifier_offset);
}

static bus_err write_message(json_t **out, const ProtobufCMessage *message, int depth)
{
    char name[PROTO_NAME_MAX];
    const ProtobufCMessageDescriptor *type = message->descriptor;
    if (depth > PROTO_DEPTH_MAX)
        return bus_fail(BUS_ELIMIT, "%s: nested deeper than %d", type->name, PROTO_DEPTH_MAX);
    json_t *object = json_object();
    bus_err err = object ? BUS_OK : bus_fail(BUS_ENOMEM, "%s as JSON", type->name);
    for (unsigned i = 0; i < type->n_fields && !err; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        json_t *value = NULL;
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
            err = write_repeated(&value, message, field, depth);
        else if (is_there(message, field))
            err = write_value(&value, field, (const char *)message + field->offset, depth);
        else
            continue;
        proto_json_name(name, field->name);
        if (!err)
            json_object_set_new(object, name, value);
    }
    if (err)
        json_decref(object);
    else
        *out = object;
    return err;
}

bus_err bus_proto_to_json(char **out, size_t *len, const ProtobufCMessage *message)
{
    json_t *object = NULL;
    bus_err err = write_message(&object, message, 0);
    if (err)
        return bus_note(err, "%s as JSON", message->descriptor->name);
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(object);
    if (!text)
        return bus_fail(BUS_ENOMEM, "%s as JSON", message->descriptor->name);
    *out = text;
    if (len)
        *len = strlen(text);
    return BUS_OK;
}
