// The validator: one pass with a stack of its own, so that no input can make it recurse, and no count
// is believed before the bytes for it are there.
#include <stdlib.h>
#include <string.h>

#include "bus/event/pack.h"
#include "bus/event/text.h"

enum {
    DEPTH_PRESET = 32,
    DEPTH_LIMIT = 64, // of frames, whatever the caller asks for
    NODES_PRESET = 65536,
    KEYS_NEAR =
        40, // keys of one map that are remembered on the way; larger maps are checked at their end
};

typedef struct {
    uint32_t left; // values still to come; in a map keys and values count one each
    bool map;
    uint32_t keys; // of a map: remembered so far
    uint32_t pairs;
    const uint8_t *body; // first byte after the header
} frame;

typedef struct {
    uint32_t hash;
    uint32_t len;
    const char *ptr;
} key;

typedef struct {
    const uint8_t *start;
    bus_cursor c;
    uint32_t nodes, nodes_max, depth, depth_max;
    frame frames[DEPTH_LIMIT];
    key keys[DEPTH_LIMIT][KEYS_NEAR];
} validator;

static size_t offset_of(const validator *v)
{
    return (size_t)(v->c.at - v->start);
}

static uint32_t hash_key(bus_view k)
{
    uint64_t head = 0, tail = 0;
    if (k.len >= 8) {
        memcpy(&head, k.ptr, 8);
        memcpy(&tail, k.ptr + k.len - 8, 8);
    } else if (k.len) {
        memcpy(&head, k.ptr, k.len);
    }
    uint64_t h = (head ^ (tail * 0x9e3779b97f4a7c15ULL) ^ k.len) * 0xff51afd7ed558ccdULL;
    return (uint32_t)(h >> 32);
}

static bus_err duplicate_key(const validator *v, bus_view k)
{
    return bus_fail(BUS_EINVAL, "at byte %zu: key '%.*s' stands twice in one map",
                    (size_t)((const uint8_t *)k.ptr - v->start), (int)(k.len > 64 ? 64 : k.len),
                    k.ptr);
}

static bus_err remember_key(validator *v, frame *f, bus_view k)
{
    key *keys = v->keys[f - v->frames];
    key fresh = {hash_key(k), (uint32_t)k.len, k.ptr};
    for (uint32_t i = 0; i < f->keys; i++)
        if (keys[i].hash == fresh.hash && keys[i].len == fresh.len &&
            memcmp(keys[i].ptr, fresh.ptr, k.len) == 0)
            return duplicate_key(v, k);
    keys[f->keys++] = fresh;
    return BUS_OK;
}

// The next key of a map's body; what is walked has been validated.
static bus_view walk_key(bus_cursor *c)
{
    bus_pack_value k;
    if (!bus_cursor_next(c, &k) || !bus_cursor_skip(c, NULL))
        return (bus_view){0};
    return k.as.bytes;
}

// A map with many keys, at its end: a hash table of them, the only allocation in this file. FNV-1a of
// the whole key: a hash of its ends could be made to collide throughout.
static uint64_t hash_whole(bus_view k, uint64_t seed)
{
    uint64_t h = 0xcbf29ce484222325ULL ^ seed;
    for (size_t i = 0; i < k.len; i++)
        h = (h ^ (unsigned char)k.ptr[i]) * 0x100000001b3ULL;
    return h ^ h >> 29;
}

static bus_err check_many_keys(const validator *v, const frame *f)
{
    size_t slots = 64;
    while (slots < 2 * (size_t)f->pairs)
        slots *= 2;
    bus_view *table = calloc(slots, sizeof *table);
    if (!table)
        return bus_fail(BUS_ENOMEM, "checking a map of %u keys", f->pairs);
    bus_err err = BUS_OK;
    bus_cursor c = {f->body, v->c.at};
    for (uint32_t i = 0; i < f->pairs && !err; i++) {
        bus_view k = walk_key(&c);
        size_t slot = (size_t)hash_whole(k, (uintptr_t)table) & (slots - 1);
        for (; table[slot].ptr; slot = (slot + 1) & (slots - 1))
            if (bus_view_eq(table[slot], k)) {
                err = duplicate_key(v, k);
                break;
            }
        table[slot] = k;
    }
    free(table);
    return err;
}

static bus_err enter(validator *v, const bus_pack_value *value)
{
    bool map = value->kind == BUS_PACK_MAP;
    uint64_t values = map ? 2 * (uint64_t)value->as.count : value->as.count;
    uint64_t remain = (uint64_t)(v->c.end - v->c.at);
    if (values > remain)
        return bus_fail(BUS_EINVAL,
                        "at byte %zu: %s of %u needs at least %llu more bytes, %llu are left",
                        offset_of(v), map ? "a map" : "an array", value->as.count,
                        (unsigned long long)values, (unsigned long long)remain);
    if (values > v->nodes_max - v->nodes)
        return bus_fail(BUS_ELIMIT, "at byte %zu: more than %u values", offset_of(v), v->nodes_max);
    if (v->depth == v->depth_max)
        return bus_fail(BUS_ELIMIT, "at byte %zu: nested deeper than %u", offset_of(v),
                        v->depth_max);
    v->frames[v->depth++] = (frame){(uint32_t)values, map, 0, value->as.count, v->c.at};
    return BUS_OK;
}

static bus_err check_value(validator *v, bool is_key)
{
    size_t at = offset_of(v);
    bus_pack_value value;
    if (v->nodes++ >= v->nodes_max)
        return bus_fail(BUS_ELIMIT, "at byte %zu: more than %u values", at, v->nodes_max);
    if (v->c.at == v->c.end)
        return bus_fail(BUS_EINVAL, "at byte %zu: ends inside a value", at);
    if (!bus_cursor_next(&v->c, &value))
        return bus_fail(BUS_EINVAL,
                        "at byte %zu: type byte 0x%02x is cut short, not allowed, or a timestamp "
                        "out of range",
                        at, v->start[at]);
    if (is_key && value.kind != BUS_PACK_STR)
        return bus_fail(BUS_EINVAL, "at byte %zu: a key must be a string", at);
    if (value.kind == BUS_PACK_STR) {
        size_t bad;
        const char *rule = bus_text_utf8(value.as.bytes, &bad);
        if (rule)
            return bus_fail(BUS_EINVAL, "at byte %zu: a string %s (byte %zu of it)", at, rule, bad);
    }
    if (is_key) {
        frame *f = &v->frames[v->depth - 1];
        return f->pairs <= KEYS_NEAR ? remember_key(v, f, value.as.bytes) : BUS_OK;
    }
    if (value.kind == BUS_PACK_ARRAY || value.kind == BUS_PACK_MAP)
        return enter(v, &value);
    return BUS_OK;
}

static bus_err leave_finished(validator *v)
{
    while (v->depth && v->frames[v->depth - 1].left == 0) {
        const frame *f = &v->frames[--v->depth];
        if (f->map && f->pairs > KEYS_NEAR) {
            bus_err err = check_many_keys(v, f);
            if (err)
                return err;
        }
    }
    return BUS_OK;
}

bus_err bus_pack_validate(bus_view bytes, const bus_pack_limits *limits)
{
    validator v; // 64 KiB of it are key slots, written before they are read
    v.start = (const uint8_t *)bytes.ptr;
    v.c = bus_cursor_of(bytes);
    v.nodes = v.depth = 0;
    v.depth_max = limits && limits->depth_max ? limits->depth_max : DEPTH_PRESET;
    if (v.depth_max > DEPTH_LIMIT)
        v.depth_max = DEPTH_LIMIT;
    v.nodes_max = limits && limits->nodes_max ? limits->nodes_max : NODES_PRESET;

    bus_err err = check_value(&v, false);
    if (!err)
        err = leave_finished(&v);
    while (!err && v.depth) {
        frame *f = &v.frames[v.depth - 1];
        bool is_key = f->map && f->left % 2 == 0;
        f->left--;
        err = check_value(&v, is_key);
        if (!err)
            err = leave_finished(&v);
    }
    if (!err && v.c.at != v.c.end)
        err = bus_fail(BUS_EINVAL, "at byte %zu: %zu bytes follow the value", offset_of(&v),
                       (size_t)(v.c.end - v.c.at));
    return err ? bus_note(err, "msgpack of %zu bytes", bytes.len) : BUS_OK;
}
