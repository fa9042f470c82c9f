// Any bytes as a packed value and as an event, against the reference unpacker (msgpack-c). We accept what it reads as
// exactly one value, but for what schemas/specs/envelope.md, "msgpack" forbids: nesting beyond the bound, strings that
// are not UTF-8 (jansson's opinion, not ours), keys that are no strings or stand twice, extensions but timestamps, and
// timestamps that 64-bit nanoseconds do not hold. Values are the same, and what we read, we write and read again
// unchanged.
#include <jansson.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "bus/event/event.h"

static void demand(bool ok)
{
    if (!ok)
        abort();
}

enum { DEPTH_MAX = 24 };

// --- what is one whole value -----------------------------------------------------------------------------
// The reference believes counts before it has the bytes, so a small reader of its own goes first.

static uint64_t big_endian(const uint8_t *at, size_t bytes)
{
    uint64_t v = 0;
    while (bytes--)
        v = v << 8 | *at++;
    return v;
}

// What follows the first byte: a length of `length` bytes, `fixed` bytes, `values` more values.
typedef struct {
    size_t length, fixed;
    uint64_t values;
    bool counts, pairs, never;
} form;

static form form_of(uint8_t b)
{
    static const uint8_t lengths[] = {1, 2, 4};
    if (b <= 0x7f || b >= 0xe0)
        return (form){0};
    if (b <= 0x8f)
        return (form){.values = 2 * (uint64_t)(b & 15)};
    if (b <= 0x9f)
        return (form){.values = b & 15};
    if (b <= 0xbf)
        return (form){.fixed = b & 31};
    if (b >= 0xc4 && b <= 0xc6)
        return (form){.length = lengths[b - 0xc4]};
    if (b >= 0xc7 && b <= 0xc9)
        return (form){.length = lengths[b - 0xc7], .fixed = 1};
    if (b >= 0xd9 && b <= 0xdb)
        return (form){.length = lengths[b - 0xd9]};
    if (b >= 0xdc)
        return (form){.length = b & 1 ? 4 : 2, .counts = true, .pairs = b >= 0xde};
    if (b >= 0xd4 && b <= 0xd8)
        return (form){.fixed = 1 + ((size_t)1 << (b - 0xd4))};
    if (b == 0xca || b == 0xcb)
        return (form){.fixed = b == 0xca ? 4 : 8};
    if (b >= 0xcc)
        return (form){.fixed = (size_t)1 << ((b - 0xcc) & 3)};
    return (form){.never = b == 0xc1};
}

static bool skip_one(const uint8_t **at, const uint8_t *end, int depth)
{
    if (*at == end || depth > 200)
        return false;
    form f = form_of(*(*at)++);
    if (f.never || (size_t)(end - *at) < f.length)
        return false;
    uint64_t n = big_endian(*at, f.length), bytes = f.fixed + (f.counts ? 0 : n);
    *at += f.length;
    if (bytes > (uint64_t)(end - *at))
        return false;
    *at += bytes;
    for (uint64_t i = f.counts ? n << f.pairs : f.values; i; i--)
        if (!skip_one(at, end, depth + 1))
            return false;
    return true;
}

static bool is_whole(bus_view bytes)
{
    const uint8_t *at = (const uint8_t *)bytes.ptr, *end = at + bytes.len;
    return skip_one(&at, end, 0) && at == end;
}

// --- what we must accept ---------------------------------------------------------------------------------

static bool is_utf8(const msgpack_object *o)
{
    json_t *text = json_stringn(o->via.str.ptr ? o->via.str.ptr : "", o->via.str.size);
    json_decref(text);
    return text != NULL;
}

static __int128 nanoseconds(const msgpack_object *o)
{
    msgpack_timestamp t;
    demand(msgpack_object_to_timestamp(o, &t));
    return (__int128)t.tv_sec * 1000000000 + t.tv_nsec;
}

// A second at either end of the range may be refused.
static bool is_time(const msgpack_object *o)
{
    msgpack_timestamp t;
    uint32_t size = o->via.ext.size;
    return o->via.ext.type == -1 && (size == 4 || size == 8 || size == 12) &&
           msgpack_object_to_timestamp(o, &t) && t.tv_nsec <= 999999999 &&
           t.tv_sec < INT64_MAX / 1000000000 && t.tv_sec > INT64_MIN / 1000000000;
}

static bool is_ours(const msgpack_object *o, int depth);

static bool is_same_text(const msgpack_object *a, const msgpack_object *b)
{
    return a->via.str.size == b->via.str.size &&
           (a->via.str.size == 0 || memcmp(a->via.str.ptr, b->via.str.ptr, a->via.str.size) == 0);
}

static bool is_our_map(const msgpack_object *o, int depth)
{
    const msgpack_object_map *m = &o->via.map;
    for (uint32_t i = 0; i < m->size; i++) {
        const msgpack_object *k = &m->ptr[i].key;
        if (k->type != MSGPACK_OBJECT_STR || !is_utf8(k) || !is_ours(&m->ptr[i].val, depth + 1))
            return false;
        for (uint32_t j = 0; j < i; j++)
            if (is_same_text(k, &m->ptr[j].key))
                return false;
    }
    return true;
}

static bool is_ours(const msgpack_object *o, int depth)
{
    bool container = o->type == MSGPACK_OBJECT_ARRAY || o->type == MSGPACK_OBJECT_MAP;
    if (container && depth == DEPTH_MAX)
        return false;
    if (o->type == MSGPACK_OBJECT_STR)
        return is_utf8(o);
    if (o->type == MSGPACK_OBJECT_EXT)
        return is_time(o);
    if (o->type == MSGPACK_OBJECT_MAP)
        return is_our_map(o, depth);
    for (uint32_t i = 0; container && i < o->via.array.size; i++)
        if (!is_ours(&o->via.array.ptr[i], depth + 1))
            return false;
    return true;
}

// --- the same values -------------------------------------------------------------------------------------

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
        demand(ours.kind == BUS_PACK_TIME && nanoseconds(theirs) == ours.as.integer);
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

static void compare_with_reference(bus_view bytes, bool accepted)
{
    msgpack_unpacked result;
    msgpack_unpacked_init(&result);
    size_t used = 0;
    msgpack_unpack_return code = msgpack_unpack_next(&result, bytes.ptr, bytes.len, &used);
    if (code == MSGPACK_UNPACK_NOMEM_ERROR) // its own bound of nesting, which is above ours
        demand(!accepted);
    else
        demand(code == MSGPACK_UNPACK_SUCCESS && used == bytes.len &&
               is_ours(&result.data, 0) == accepted);
    if (accepted) {
        bus_cursor c = bus_cursor_of(bytes);
        same(&c, &result.data);
        demand(c.at == c.end);
    }
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
    bus_err err = bus_pack_validate(bytes, &(bus_pack_limits){.depth_max = DEPTH_MAX});
    if (is_whole(bytes))
        compare_with_reference(bytes, err == BUS_OK);
    else
        demand(err != BUS_OK);
    if (err) { // unvalidated bytes must do no harm either
        bus_cursor c = bus_cursor_of(bytes);
        bus_cursor_skip(&c, NULL);
    }
    if (bus_pack_to_json(&json, NULL, bytes) == BUS_OK)
        free(json);
    if (bus_event_decode_msgpack(&event, bytes) == BUS_OK)
        write_again(&event);
    return 0;
}
