// Any bytes as a packed value and as an event. What we accept, the reference unpacker must read as
// exactly one value of the same shape; and what we read, we write and read again unchanged.
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "bus/event/event.h"

static void demand(bool ok)
{
    if (!ok)
        abort();
}

static void same(bus_cursor *c, const msgpack_object *theirs)
{
    bus_pack_value ours;
    demand(bus_cursor_next(c, &ours));
    switch (theirs->type) {
    case MSGPACK_OBJECT_NIL:
        demand(ours.kind == BUS_PACK_NIL);
        break;
    case MSGPACK_OBJECT_BOOLEAN:
        demand(ours.kind == BUS_PACK_BOOL && ours.as.boolean == theirs->via.boolean);
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        demand((ours.kind == BUS_PACK_INT && (uint64_t)ours.as.integer == theirs->via.u64) ||
               (ours.kind == BUS_PACK_UINT && ours.as.uinteger == theirs->via.u64));
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        demand(ours.kind == BUS_PACK_INT && ours.as.integer == theirs->via.i64);
        break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        demand(ours.kind == BUS_PACK_DOUBLE &&
               (ours.as.real == theirs->via.f64 || theirs->via.f64 != theirs->via.f64));
        break;
    case MSGPACK_OBJECT_STR:
    case MSGPACK_OBJECT_BIN:
        demand(ours.kind == (theirs->type == MSGPACK_OBJECT_STR ? BUS_PACK_STR : BUS_PACK_BIN));
        demand(ours.as.bytes.len == theirs->via.str.size);
        demand(ours.as.bytes.len == 0 ||
               memcmp(ours.as.bytes.ptr, theirs->via.str.ptr, ours.as.bytes.len) == 0);
        break;
    case MSGPACK_OBJECT_EXT:
        demand(ours.kind == BUS_PACK_TIME && theirs->via.ext.type == -1);
        break;
    case MSGPACK_OBJECT_ARRAY:
        demand(ours.kind == BUS_PACK_ARRAY && ours.as.count == theirs->via.array.size);
        for (uint32_t i = 0; i < ours.as.count; i++)
            same(c, &theirs->via.array.ptr[i]);
        break;
    case MSGPACK_OBJECT_MAP:
        demand(ours.kind == BUS_PACK_MAP && ours.as.count == theirs->via.map.size);
        for (uint32_t i = 0; i < ours.as.count; i++) {
            same(c, &theirs->via.map.ptr[i].key);
            same(c, &theirs->via.map.ptr[i].val);
        }
        break;
    }
}

static void compare_with_reference(bus_view bytes)
{
    msgpack_unpacked result;
    msgpack_unpacked_init(&result);
    size_t used = 0;
    demand(msgpack_unpack_next(&result, bytes.ptr, bytes.len, &used) == MSGPACK_UNPACK_SUCCESS);
    demand(used == bytes.len);
    bus_cursor c = bus_cursor_of(bytes);
    same(&c, &result.data);
    demand(c.at == c.end);
    msgpack_unpacked_destroy(&result);
}

static void write_again(const bus_event *event)
{
    static uint8_t buf[1 << 17], twice[1 << 17];
    bus_pack p = bus_pack_to(buf, sizeof buf), q = bus_pack_to(twice, sizeof twice);
    bus_event again;
    if (bus_event_encode(&p, event) != BUS_OK)
        return; // longer than allowed in its shortest form, never
    demand(bus_event_decode_msgpack(&again, (bus_view){(const char *)buf, p.len}) == BUS_OK);
    demand(bus_event_encode(&q, &again) == BUS_OK);
    demand(p.len == q.len && memcmp(buf, twice, p.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bus_view bytes = {(const char *)data, size};
    bus_event event;
    char *json = NULL;
    if (bus_pack_validate(bytes, &(bus_pack_limits){.depth_max = 24}) == BUS_OK) {
        compare_with_reference(bytes);
        if (bus_pack_to_json(&json, NULL, bytes) == BUS_OK)
            free(json);
    } else { // unvalidated bytes must do no harm either
        bus_cursor c = bus_cursor_of(bytes);
        bus_cursor_skip(&c, NULL);
        if (bus_pack_to_json(&json, NULL, bytes) == BUS_OK)
            free(json);
    }
    if (bus_event_decode_msgpack(&event, bytes) == BUS_OK)
        write_again(&event);
    return 0;
}
