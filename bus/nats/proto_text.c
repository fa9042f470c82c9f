// A message from bytes, with its texts looked at: protobuf-c unpacks a string of any bytes, and what is made of one
// here (JSON, a subject, a key) is refused later, by somebody who cannot say why.
#include <stdlib.h>

#include "bus/event/text.h"
#include "bus/nats/proto_json.h"
#include "bus/nats/service.h"

static bus_err check_message(const ProtobufCMessage *message, int depth);

static bus_err check_value(const ProtobufCFieldDescriptor *field, const void *at, int depth)
{
    const ProtobufCMessage *const *inner = at;
    const char *const *text = at;
    size_t bad;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return *inner ? bus_note(check_message(*inner, depth + 1), "%s", field->name) : BUS_OK;
    if (field->type != PROTOBUF_C_TYPE_STRING || !*text)
        return BUS_OK;
    const char *rule = bus_text_utf8(bus_view_of(*text), &bad);
    return rule ? bus_fail(BUS_EINVAL, "%s: byte %zu: a text %s", field->name, bad, rule) : BUS_OK;
}

static bus_err check_field(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                           int depth)
{
    const char *base = (const char *)message, *at = base + field->offset;
    bus_err err = BUS_OK;
    if (field->type != PROTOBUF_C_TYPE_MESSAGE && field->type != PROTOBUF_C_TYPE_STRING)
        return BUS_OK;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t count = *(const size_t *)(base + field->quantifier_offset);
        const char *items = *(const char *const *)at;
        for (size_t i = 0; i < count && !err; i++)
            err = check_value(field, items + i * sizeof(void *), depth);
        return err;
    }
    bool other = (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
                 *(const uint32_t *)(base + field->quantifier_offset) != field->id;
    return other ? BUS_OK : check_value(field, at, depth);
}

static bus_err check_message(const ProtobufCMessage *message, int depth)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    bus_err err = BUS_OK;
    if (depth > PROTO_DEPTH_MAX)
        return bus_fail(BUS_ELIMIT, "%s: nested deeper than %d", type->name, PROTO_DEPTH_MAX);
    for (unsigned i = 0; i < type->n_fields && !err; i++)
        err = check_field(message, &type->fields[i], depth);
    return err;
}

static void *unpack_alloc(void *failed, size_t bytes)
{
    void *got = malloc(bytes);
    if (!got)
        *(bool *)failed = true;
    return got;
}

static void unpack_free(void *failed, void *ptr)
{
    (void)failed;
    free(ptr);
}

bus_err bus_proto_unpack(ProtobufCMessage **out, const ProtobufCMessageDescriptor *type,
                         bus_view bytes)
{
    bool failed = false; // the library does not say why it gave nothing
    ProtobufCAllocator memory = {unpack_alloc, unpack_free, &failed};
    ProtobufCMessage *message =
        protobuf_c_message_unpack(type, &memory, bytes.len, (const uint8_t *)bytes.ptr);
    if (!message)
        return failed ? bus_fail(BUS_ENOMEM, "a %s of %zu bytes", type->name, bytes.len)
                      : bus_fail(BUS_EINVAL, "%zu bytes are no %s", bytes.len, type->name);
    bus_err err = check_message(message, 0);
    if (err) {
        protobuf_c_message_free_unpacked(message, NULL);
        return bus_note(err, "%s", type->name);
    }
    *out = message;
    return BUS_OK;
}
