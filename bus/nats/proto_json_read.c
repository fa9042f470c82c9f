// JSON as a message. Every refusal names the place in the JSON ("$.filters[2]") and the rule.
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/base/base64.h"
#include "bus/nats/proto_json.h"
#include "bus/nats/service.h"

enum { PATH_MAX_BYTES = 256 };

// The place, grown and cut as reading goes down and up.
typedef struct {
    char text[PATH_MAX_BYTES];
    size_t len;
    int depth;
} path;

static size_t path_down(path *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static size_t path_down(path *p, const char *fmt, ...)
{
    size_t before = p->len;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(p->text + p->len, sizeof p->text - p->len, fmt, args);
    va_end(args);
    if (n > 0)
        p->len += (size_t)n < sizeof p->text - p->len ? (size_t)n : sizeof p->text - 1 - p->len;
    return before;
}

static void path_up(path *p, size_t before)
{
    p->len = before;
    p->text[before] = 0;
}

static bus_err wrong(const path *p, const char *expected)
{
    return bus_fail(BUS_EINVAL, "%s: %s is expected", p->text, expected);
}

static bus_err read_message(ProtobufCMessage **out, const ProtobufCMessageDescriptor *type,
                            const json_t *json, path *p);

// --- numbers -----------------------------------------------------------------------------------------

// An integer as number, as integral real (1e3), or as decimal text; *negative tells the sign.
static bool integer_of(const json_t *json, bool *negative, uint64_t *magnitude)
{
    const char *text = json_string_value(json);
    *negative = false;
    if (text) {
        *negative = *text == '-';
        return bus_view_u64(bus_view_of(text + *negative), magnitude);
    }
    if (json_is_integer(json)) {
        json_int_t v = json_integer_value(json);
        *negative = v < 0;
        *magnitude = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
        return true;
    }
    double real = json_is_real(json) ? json_real_value(json) : NAN;
    if (!(fabs(real) < 9007199254740992.0) || real != floor(real))
        return false;
    *negative = real < 0;
    *magnitude = (uint64_t)fabs(real);
    return true;
}

static bool signed_of(const json_t *json, int64_t min, int64_t max, int64_t *out)
{
    bool negative;
    uint64_t magnitude;
    if (!integer_of(json, &negative, &magnitude))
        return false;
    if (negative ? magnitude > 0 - (uint64_t)min : magnitude > (uint64_t)max)
        return false;
    *out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

static bool unsigned_of(const json_t *json, uint64_t max, uint64_t *out)
{
    bool negative;
    return integer_of(json, &negative, out) && (!negative || *out == 0) && *out <= max;
}

static bool real_of(const json_t *json, double *out)
{
    const char *text = json_string_value(json);
    char *end;
    if (json_is_number(json)) {
        *out = json_number_value(json);
        return true;
    }
    if (!text || !*text)
        return false;
    if (strcmp(text, "NaN") == 0)
        *out = NAN;
    else if (strcmp(text, "Infinity") == 0)
        *out = INFINITY;
    else if (strcmp(text, "-Infinity") == 0)
        *out = -INFINITY;
    else if (strspn(text, "0123456789+-.eE") != strlen(text))
        return false;
    else
        return *out = strtod(text, &end), *end == 0;
    return true;
}

static bool enum_of(const json_t *json, const ProtobufCEnumDescriptor *type, int32_t *out)
{
    int64_t number;
    const char *name = json_string_value(json);
    const ProtobufCEnumValue *value =
        name ? protobuf_c_enum_descriptor_get_value_by_name(type, name) : NULL;
    if (value) {
        *out = value->value;
        return true;
    }
    if (name || !signed_of(json, INT32_MIN, INT32_MAX, &number))
        return false;
    *out = (int32_t)number;
    return true;
}

// --- values ------------------------------------------------------------------------------------------

static bus_err read_string(char **out, const json_t *json, const path *p)
{
    if (!json_is_string(json))
        return wrong(p, "a string");
    *out = strdup(json_string_value(json));
    return *out ? BUS_OK : bus_fail(BUS_ENOMEM, "%s", p->text);
}

static bus_err read_bytes(ProtobufCBinaryData *out, const json_t *json, const path *p)
{
    if (!json_is_string(json))
        return wrong(p, "base64 in a string");
    bus_view text = {json_string_value(json), json_string_length(json)};
    uint8_t *bytes = malloc(text.len / 4 * 3 + 3);
    if (!bytes)
        return bus_fail(BUS_ENOMEM, "%s", p->text);
    if (!bus_base64_read_any(bytes, &out->len, text)) {
        free(bytes);
        return wrong(p, "base64 in a string");
    }
    if (out->len == 0) {
        free(bytes);
        bytes = NULL;
    }
    out->data = bytes;
    return BUS_OK;
}

static bus_err read_integer(const ProtobufCFieldDescriptor *field, const json_t *json, void *at,
                            const path *p)
{
    int64_t i = 0;
    uint64_t u = 0;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        if (!signed_of(json, INT32_MIN, INT32_MAX, &i))
            return wrong(p, "an integer of 32 bits");
        *(int32_t *)at = (int32_t)i;
        return BUS_OK;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        if (!unsigned_of(json, UINT32_MAX, &u))
            return wrong(p, "an integer of 32 bits that is not negative");
        *(uint32_t *)at = (uint32_t)u;
        return BUS_OK;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        if (!unsigned_of(json, UINT64_MAX, &u))
            return wrong(p, "an integer of 64 bits that is not negative, or one in a string");
        *(uint64_t *)at = u;
        return BUS_OK;
    default:
        if (!signed_of(json, INT64_MIN, INT64_MAX, &i))
            return wrong(p, "an integer of 64 bits, or one in a string");
        *(int64_t *)at = i;
        return BUS_OK;
    }
}

static bus_err read_value(const ProtobufCFieldDescriptor *field, const json_t *json, void *at,
                          path *p)
{
    double real = 0;
    switch (field->type) {
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
        if (!real_of(json, &real))
            return wrong(p, "a number");
        if (field->type == PROTOBUF_C_TYPE_DOUBLE)
            *(double *)at = real;
        else
            *(float *)at = (float)real;
        return BUS_OK;
    case PROTOBUF_C_TYPE_BOOL:
        if (!json_is_boolean(json))
            return wrong(p, "true or false");
        *(protobuf_c_boolean *)at = json_is_true(json);
        return BUS_OK;
    case PROTOBUF_C_TYPE_ENUM:
        if (!enum_of(json, field->descriptor, at))
            return wrong(p, "a name or a number of the enumeration");
        return BUS_OK;
    case PROTOBUF_C_TYPE_STRING:
        return read_string(at, json, p);
    case PROTOBUF_C_TYPE_BYTES:
        return read_bytes(at, json, p);
    case PROTOBUF_C_TYPE_MESSAGE:
        return read_message(at, field->descriptor, json, p);
    default:
        return read_integer(field, json, at, p);
    }
}

// --- many --------------------------------------------------------------------------------------------

static bus_err read_entry(ProtobufCMessage **out, const ProtobufCMessageDescriptor *type,
                          const char *key, json_t *value, path *p)
{
    const ProtobufCFieldDescriptor *field = type->fields;
    ProtobufCMessage *entry = calloc(1, type->sizeof_message);
    if (!entry)
        return bus_fail(BUS_ENOMEM, "%s", p->text);
    type->message_init(entry);
    json_t *name = field[0].type == PROTOBUF_C_TYPE_BOOL ? json_boolean(strcmp(key, "true") == 0)
                                                         : json_string(key);
    bus_err err = read_value(&field[0], name, (char *)entry + field[0].offset, p);
    if (!err)
        err = read_value(&field[1], value, (char *)entry + field[1].offset, p);
    json_decref(name);
    if (err)
        protobuf_c_message_free_unpacked(entry, NULL);
    else
        *out = entry;
    return err;
}

static bus_err read_map(const ProtobufCFieldDescriptor *field, json_t *json, void **array,
                        size_t *count, path *p)
{
    const char *key;
    json_t *value;
    if (!json_is_object(json))
        return wrong(p, "an object");
    *array = calloc(json_object_size(json) + 1, sizeof(void *));
    if (!*array)
        return bus_fail(BUS_ENOMEM, "%s", p->text);
    json_object_foreach (json, key, value) {
        size_t before = path_down(p, "[\"%s\"]", key);
        bus_err err =
            read_entry((ProtobufCMessage **)*array + *count, field->descriptor, key, value, p);
        if (err)
            return err;
        path_up(p, before);
        ++*count;
    }
    return BUS_OK;
}

static bus_err read_array(const ProtobufCFieldDescriptor *field, const json_t *json, void **array,
                          size_t *count, path *p)
{
    size_t size = proto_value_size(field->type);
    if (!json_is_array(json))
        return wrong(p, "an array");
    *array = calloc(json_array_size(json) + 1, size);
    if (!*array)
        return bus_fail(BUS_ENOMEM, "%s", p->text);
    for (size_t i = 0; i < json_array_size(json); i++) {
        size_t before = path_down(p, "[%zu]", i);
        bus_err err = read_value(field, json_array_get(json, i), (char *)*array + i * size, p);
        if (err)
            return err;
        path_up(p, before);
        ++*count;
    }
    return BUS_OK;
}

// --- fields ------------------------------------------------------------------------------------------

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *type,
                                                  const char *name)
{
    char camel[PROTO_NAME_MAX];
    for (unsigned i = 0; i < type->n_fields; i++) {
        proto_json_name(camel, type->fields[i].name);
        if (strcmp(name, camel) == 0 || strcmp(name, type->fields[i].name) == 0)
            return &type->fields[i];
    }
    return NULL;
}

// A oneof counts as set only once the value is there: what is half read must not be freed as one.
static bus_err read_singular(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                             const json_t *json, path *p)
{
    char *base = (char *)message;
    if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)) {
        bus_err err = read_value(field, json, base + field->offset, p);
        if (!err && field->label == PROTOBUF_C_LABEL_OPTIONAL &&
            field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE)
            *(protobuf_c_boolean *)(base + field->quantifier_offset) = 1;
        return err;
    }
    uint32_t *set = (uint32_t *)(void *)(base + field->quantifier_offset);
    if (*set)
        return bus_fail(BUS_EINVAL, "%s: another field of the same choice is set too", p->text);
    bus_err err = read_value(field, json, base + field->offset, p);
    if (!err)
        *set = field->id;
    return err;
}

static bus_err read_field(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                          json_t *json, path *p, uint64_t *seen)
{
    char *base = (char *)message;
    unsigned index = (unsigned)(field - message->descriptor->fields);
    if (json_is_null(json))
        return BUS_OK; // as if it were not there
    if (index < 64 && *seen & 1ull << index)
        return bus_fail(BUS_EINVAL, "%s: the field is given under both of its names", p->text);
    if (index < 64)
        *seen |= 1ull << index;
    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        return read_singular(message, field, json, p);
    void **array = (void **)(void *)(base + field->offset);
    size_t *count = (size_t *)(void *)(base + field->quantifier_offset);
    if (*array)
        return bus_fail(BUS_EINVAL, "%s: the field is given under both of its names", p->text);
    return proto_is_map(message->descriptor, field) ? read_map(field, json, array, count, p)
                                                    : read_array(field, json, array, count, p);
}

static bus_err read_fields(ProtobufCMessage *message, json_t *json, path *p)
{
    const char *name;
    json_t *value;
    uint64_t seen = 0;
    json_object_foreach (json, name, value) {
        size_t before = path_down(p, ".%s", name);
        const ProtobufCFieldDescriptor *field = find_field(message->descriptor, name);
        if (!field)
            return bus_fail(BUS_EINVAL, "%s: %s has no such field", p->text,
                            message->descriptor->name);
        bus_err err = read_field(message, field, value, p, &seen);
        if (err)
            return err;
        path_up(p, before);
    }
    return BUS_OK;
}

static bus_err read_message(ProtobufCMessage **out, const ProtobufCMessageDescriptor *type,
                            const json_t *json, path *p)
{
    if (!json_is_object(json))
        return wrong(p, "an object");
    if (p->depth >= PROTO_DEPTH_MAX)
        return bus_fail(BUS_ELIMIT, "%s: nested deeper than %d", p->text, PROTO_DEPTH_MAX);
    ProtobufCMessage *message = calloc(1, type->sizeof_message);
    if (!message)
        return bus_fail(BUS_ENOMEM, "a %s", type->name);
    type->message_init(message);
    p->depth++;
    bus_err err = read_fields(message, (json_t *)(uintptr_t)json, p);
    p->depth--;
    if (err)
        protobuf_c_message_free_unpacked(message, NULL);
    else
        *out = message;
    return err;
}

bus_err bus_proto_from_json(ProtobufCMessage **out, const ProtobufCMessageDescriptor *type,
                            bus_view json)
{
    json_error_t bad;
    path p = {.text = "$", .len = 1};
    json_t *root = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, &bad);
    if (!root)
        return bus_fail(BUS_EINVAL, "JSON of %s, line %d, column %d: %s", type->name, bad.line,
                        bad.column, bad.text);
    bus_err err = read_message(out, type, root, &p);
    json_decref(root);
    return bus_note(err, "JSON of %s", type->name);
}
