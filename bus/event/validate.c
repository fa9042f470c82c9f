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
    KEYS_NEAR = 40, // a map of more keys is checked at its end, with a table
};

typedef struct {
    uint32_t left; // values still to come; in a map keys and values count one each
    uint32_t keys; // of a map: remembered so far
    uint32_t pairs;
    bool map;
    uint64_t
        seen[4]; // one bit a key hash: a clear bit proves a key new without looking at the others
    const uint8_t *body; // first byte after the header
} frame;

typedef struct {
    uint32_t hash;
    uint32_t len;
    const char *ptr;
} key;

typedef struct {
    const uint8_t *start;
    size_t json_len; // as in the limits
    bus_cursor c;
    uint32_t nodes, nodes_max, depth, depth_max;
    frame frames[DEPTH_LIMIT];
    key keys[DEPTH_LIMIT][KEYS_NEAR]; // 40 KiB, each written before it is read
} validator;

static size_t offset_of(const validator *v)
{
    return (size_t)(v->c.at - v->start);
}

// Of the ends of the key alone: near maps are small, so that a bad hash costs little.
static inline uint32_t hash_key(bus_view k)
{
    uint64_t head, tail;
    uint32_t half;
    if (k.len >= 8) {
        memcpy(&head, k.ptr, 8);
        memcpy(&tail, k.ptr + k.len - 8, 8);
    } else if (k.len >= 4) {
        memcpy(&half, k.ptr, 4);
        head = half;
        memcpy(&half, k.ptr + k.len - 4, 4);
        tail = half;
    } else {
        head = k.len ? (unsigned char)k.ptr[0] : 0;
        tail =
            k.len ? (uint64_t)(unsigned char)k.ptr[k.len / 2] << 8 | (unsigned char)k.ptr[k.len - 1]
                  : 0;
    }
    uint64_t h = (head ^ (tail * 0x9e3779b97f4a7c15ULL) ^ k.len) * 0xff51afd7ed558ccdULL;
    return (uint32_t)(h >> 32);
}

static bus_err duplicate_key(const validator *v, bus_view k)
{
    if (v->json_len)
        return bus_fail(BUS_EINVAL, "key '%.*s' is given twice in one object",
                        (int)(k.len > 64 ? 64 : k.len), k.ptr);
    return bus_fail(BUS_EINVAL, "at byte %zu: key '%.*s' stands twice in one map",
                    (size_t)((const uint8_t *)k.ptr - v->start), (int)(k.len > 64 ? 64 : k.len),
                    k.ptr);
}

static bus_err compare_keys(const validator *v, const frame *f, const key *fresh)
{
    const key *keys = v->keys[f - v->frames];
    for (uint32_t i = 0; i < f->keys; i++)
        if (keys[i].hash == fresh->hash && keys[i].len == fresh->len &&
            memcmp(keys[i].ptr, fresh->ptr, fresh->len) == 0)
            return duplicate_key(v, (bus_view){fresh->ptr, fresh->len});
    return BUS_OK;
}

static inline bus_err remember_key(validator *v, frame *f, bus_view k)
{
    key fresh = {hash_key(k), (uint32_t)k.len, k.ptr};
    uint64_t *word = &f->seen[fresh.hash >> 30], bit = 1ULL << (fresh.hash & 63);
    if (*word & bit) {
        bus_err err = compare_keys(v, f, &fresh);
        if (err)
            return err;
    }
    *word |= bit;
    v->keys[f - v->frames][f->keys++] = fresh;
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
    v->nodes += (uint32_t)values;
    frame *f = &v->frames[v->depth++];
    *f = (frame){.left = (uint32_t)values, .pairs = value->as.count, .map = map, .body = v->c.at};
    return BUS_OK;
}

static bus_err cut_short(const validator *v)
{
    size_t at = offset_of(v);
    if (v->c.at == v->c.end)
        return bus_fail(BUS_EINVAL, "at byte %zu: ends inside a value", at);
    return bus_fail(BUS_EINVAL,
                    "at byte %zu: type byte 0x%02x is cut short, not allowed, or a timestamp out "
                    "of range",
                    at, v->start[at]);
}

static inline bus_err check_string(const validator *v, bus_view text)
{
    size_t bad;
    if (text_is_ascii(text))
        return BUS_OK;
    const char *rule = bus_text_utf8(text, &bad);
    if (!rule)
        return BUS_OK;
    return bus_fail(BUS_EINVAL, "at byte %zu: a string %s (byte %zu of it)",
                    (size_t)((const uint8_t *)text.ptr - v->start), rule, bad);
}

static bus_err check_key(validator *v, frame *f)
{
    bus_pack_value k;
    size_t at = offset_of(v);
    if (!bus_cursor_next(&v->c, &k))
        return cut_short(v);
    if (k.kind != BUS_PACK_STR)
        return bus_fail(BUS_EINVAL, "at byte %zu: a key must be a string", at);
    bus_err err = check_string(v, k.as.bytes);
    return err || f->pairs > KEYS_NEAR ? err : remember_key(v, f, k.as.bytes);
}

static bus_err check_value(validator *v)
{
    bus_pack_value value;
    if (!bus_cursor_next(&v->c, &value))
        return cut_short(v);
    if (value.kind == BUS_PACK_STR)
        return check_string(v, value.as.bytes);
    if (value.kind == BUS_PACK_ARRAY || value.kind == BUS_PACK_MAP)
        return enter(v, &value);
    return BUS_OK;
}

static bus_err check_all(validator *v)
{
    bus_err err = check_value(v);
    while (!err && v->depth) {
        frame *f = &v->frames[v->depth - 1];
        if (f->left == 0) {
            v->depth--;
            if (f->map && f->pairs > KEYS_NEAR)
                err = check_many_keys(v, f);
            continue;
        }
        bool is_key = f->map && f->left % 2 == 0;
        f->left--;
        err = is_key ? check_key(v, f) : check_value(v);
    }
    return err;
}

bus_err bus_pack_validate(bus_view bytes, const bus_pack_limits *limits)
{
    validator v;
    v.start = (const uint8_t *)bytes.ptr;
    v.c = bus_cursor_of(bytes);
    v.nodes = 1;
    v.depth = 0;
    v.json_len = limits ? limits->json_len : 0;
    v.depth_max = limits && limits->depth_max ? limits->depth_max : DEPTH_PRESET;
    if (v.depth_max > DEPTH_LIMIT)
        v.depth_max = DEPTH_LIMIT;
    v.nodes_max = limits && limits->nodes_max ? limits->nodes_max : NODES_PRESET;

    bus_err err = check_all(&v);
    if (!err && v.c.at != v.c.end)
        err = bus_fail(BUS_EINVAL, "at byte %zu: %zu bytes follow the value", offset_of(&v),
                       (size_t)(v.c.end - v.c.at));
    if (err && v.json_len)
        return bus_note(err, "JSON of %zu bytes", v.json_len);
    return err ? bus_note(err, "msgpack of %zu bytes", bytes.len) : BUS_OK;
}
