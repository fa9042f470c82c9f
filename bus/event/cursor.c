// The cursor: one header or scalar at a time, with every bound checked, so that it is safe on any
// bytes; on validated ones it never fails before the end.
#include <limits.h>
#include <string.h>

#include "bus/event/pack.h"

static uint64_t get_be(const uint8_t *at, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v = v << 8 | at[i];
    return v;
}

static void set_uint(bus_pack_value *out, uint64_t v)
{
    if (v > INT64_MAX) {
        out->kind = BUS_PACK_UINT;
        out->as.uinteger = v;
    } else {
        out->kind = BUS_PACK_INT;
        out->as.integer = (int64_t)v;
    }
}

static void set_int(bus_pack_value *out, uint64_t bits, int bytes)
{
    out->kind = BUS_PACK_INT;
    int shift = 64 - 8 * bytes;
    out->as.integer = (int64_t)(bits << shift) >> shift;
}

static void set_float(bus_pack_value *out, uint64_t bits, int bytes)
{
    out->kind = BUS_PACK_DOUBLE;
    if (bytes == 4) {
        uint32_t narrow = (uint32_t)bits;
        float v;
        memcpy(&v, &narrow, sizeof v);
        out->as.real = (double)v;
    } else {
        memcpy(&out->as.real, &bits, sizeof bits);
    }
}

// Timestamp (ext -1) in its 4, 8 and 12 byte forms; false outside what int64 nanoseconds hold.
static bool set_time(bus_pack_value *out, const uint8_t *at, size_t len)
{
    uint64_t ns = 0;
    int64_t s;
    if (len == 4) {
        s = (int64_t)get_be(at, 4);
    } else if (len == 8) {
        uint64_t both = get_be(at, 8);
        ns = both >> 34;
        s = (int64_t)(both & 0x3ffffffffULL);
    } else if (len == 12) {
        ns = get_be(at, 4);
        s = (int64_t)get_be(at + 4, 8);
    } else {
        return false;
    }
    if (ns > 999999999 || s > INT64_MAX / 1000000000 - 1 || s < INT64_MIN / 1000000000 + 1)
        return false;
    out->kind = BUS_PACK_TIME;
    out->as.integer = s * 1000000000 + (int64_t)ns;
    return true;
}

// What follows a first byte 0xc0..0xdf: `length` bytes of count or value, then for str, bin and ext
// as many bytes as they say.
typedef enum { NIL, NEVER, NO, YES, BIN, EXT, FLOAT, UINT, INT, FIXEXT, STR, ARRAY, MAP } form;
typedef struct {
    uint8_t form, length;
} tag_row;
static const tag_row tags[32] = {
    {NIL, 0},    {NEVER, 0},  {NO, 0},     {YES, 0},     {BIN, 1},   {BIN, 2},  {BIN, 4},
    {EXT, 1},    {EXT, 2},    {EXT, 4},    {FLOAT, 4},   {FLOAT, 8}, {UINT, 1}, {UINT, 2},
    {UINT, 4},   {UINT, 8},   {INT, 1},    {INT, 2},     {INT, 4},   {INT, 8},  {FIXEXT, 1},
    {FIXEXT, 2}, {FIXEXT, 4}, {FIXEXT, 8}, {FIXEXT, 16}, {STR, 1},   {STR, 2},  {STR, 4},
    {ARRAY, 2},  {ARRAY, 4},  {MAP, 2},    {MAP, 4},
};

static bool take_bytes(bus_cursor *c, const uint8_t *at, uint64_t len, bus_pack_kind kind,
                       bus_pack_value *out)
{
    if (len > (uint64_t)(c->end - at))
        return false;
    out->kind = kind;
    out->as.bytes = (bus_view){(const char *)at, (size_t)len};
    c->at = at + len;
    return true;
}

static bool take_count(bus_cursor *c, const uint8_t *at, uint64_t count, bus_pack_kind kind,
                       bus_pack_value *out)
{
    out->kind = kind;
    out->as.count = (uint32_t)count;
    c->at = at;
    return true;
}

static bool take_ext(bus_cursor *c, const uint8_t *at, uint64_t len, bus_pack_value *out)
{
    if ((uint64_t)(c->end - at) < 1 + len || (int8_t)at[0] != -1 ||
        !set_time(out, at + 1, (size_t)len))
        return false;
    c->at = at + 1 + len;
    return true;
}

static bool take_tagged(bus_cursor *c, bus_pack_value *out)
{
    tag_row row = tags[*c->at - 0xc0];
    const uint8_t *at = c->at + 1;
    if (row.form == FIXEXT)
        return take_ext(c, at, row.length, out);
    if (row.length > c->end - at)
        return false;
    uint64_t v = get_be(at, row.length);
    at += row.length;
    switch ((form)row.form) {
    case BIN:
        return take_bytes(c, at, v, BUS_PACK_BIN, out);
    case STR:
        return take_bytes(c, at, v, BUS_PACK_STR, out);
    case ARRAY:
        return take_count(c, at, v, BUS_PACK_ARRAY, out);
    case MAP:
        return take_count(c, at, v, BUS_PACK_MAP, out);
    case EXT:
        return take_ext(c, at, v, out);
    case FLOAT:
        set_float(out, v, row.length);
        break;
    case UINT:
        set_uint(out, v);
        break;
    case INT:
        set_int(out, v, row.length);
        break;
    case NIL:
        out->kind = BUS_PACK_NIL;
        break;
    case NO:
    case YES:
        out->kind = BUS_PACK_BOOL;
        out->as.boolean = row.form == YES;
        break;
    case NEVER:
    case FIXEXT:
        return false;
    }
    c->at = at;
    return true;
}

bool bus_cursor_next_any(bus_cursor *c, bus_pack_value *out)
{
    if (c->at >= c->end)
        return false;
    uint8_t b = *c->at;
    if (b >= 0xc0 && b < 0xe0)
        return take_tagged(c, out);
    if (b >= 0xa0 && b < 0xc0)
        return take_bytes(c, c->at + 1, b & 0x1f, BUS_PACK_STR, out);
    if (b >= 0x80 && b < 0xa0)
        return take_count(c, c->at + 1, b & 0x0f, b < 0x90 ? BUS_PACK_MAP : BUS_PACK_ARRAY, out);
    out->kind = BUS_PACK_INT;
    out->as.integer = (int8_t)b;
    c->at++;
    return true;
}

bool bus_cursor_skip(bus_cursor *c, bus_view *out)
{
    bus_cursor walk = *c;
    // Values still to come. Each takes a byte at least, so more than are left is a false count.
    uint64_t open = 1;
    while (open) {
        bus_pack_value v;
        if (open > (uint64_t)(walk.end - walk.at) || !bus_cursor_next(&walk, &v))
            return false;
        open--;
        if (v.kind == BUS_PACK_ARRAY)
            open += v.as.count;
        else if (v.kind == BUS_PACK_MAP)
            open += 2 * (uint64_t)v.as.count;
    }
    if (out)
        *out = (bus_view){(const char *)c->at, (size_t)(walk.at - c->at)};
    *c = walk;
    return true;
}

// --- maps -----------------------------------------------------------------------------------------

bool bus_map_find(bus_view map, const char *key, bus_cursor *value)
{
    bus_cursor c = bus_cursor_of(map);
    bus_pack_value v;
    if (!bus_cursor_next(&c, &v) || v.kind != BUS_PACK_MAP)
        return false;
    size_t key_len = strlen(key);
    for (uint32_t left = v.as.count; left; left--) {
        bus_pack_value k;
        if (!bus_cursor_next(&c, &k) || k.kind != BUS_PACK_STR)
            return false;
        if (k.as.bytes.len == key_len && memcmp(k.as.bytes.ptr, key, key_len) == 0) {
            *value = c;
            return true;
        }
        if (!bus_cursor_skip(&c, NULL))
            return false;
    }
    return false;
}

static bool find_value(bus_view map, const char *key, bus_pack_kind kind, bus_pack_value *out)
{
    bus_cursor c;
    return bus_map_find(map, key, &c) && bus_cursor_next(&c, out) && out->kind == kind;
}

bool bus_map_str(bus_view map, const char *key, bus_view *out)
{
    bus_pack_value v;
    if (!find_value(map, key, BUS_PACK_STR, &v))
        return false;
    *out = v.as.bytes;
    return true;
}

bool bus_map_int(bus_view map, const char *key, int64_t *out)
{
    bus_pack_value v;
    if (!find_value(map, key, BUS_PACK_INT, &v))
        return false;
    *out = v.as.integer;
    return true;
}

bool bus_map_bool(bus_view map, const char *key, bool *out)
{
    bus_pack_value v;
    if (!find_value(map, key, BUS_PACK_BOOL, &v))
        return false;
    *out = v.as.boolean;
    return true;
}
