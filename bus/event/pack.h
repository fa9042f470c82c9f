// pack: a msgpack writer into the caller's buffer and a cursor over validated bytes.
// Writer: never allocates; a full buffer sets `overflow` and further calls do nothing, so only the end
// is checked. Minimal encodings always. Thread: the owner's. Source: schemas/specs/envelope.md.
#ifndef BUS_EVENT_PACK_H
#define BUS_EVENT_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/base/err.h"
#include "bus/base/view.h"

typedef struct {
    uint8_t *buf;
    size_t len, cap;
    bool overflow;
} bus_pack;

static inline bus_pack bus_pack_to(void *buf, size_t cap)
{
    return (bus_pack){(uint8_t *)buf, 0, cap, false};
}
void bus_pack_nil(bus_pack *p);
void bus_pack_bool(bus_pack *p, bool v);
void bus_pack_int(bus_pack *p, int64_t v);
void bus_pack_uint(bus_pack *p, uint64_t v);
void bus_pack_double(bus_pack *p, double v);
void bus_pack_bin(bus_pack *p, bus_view v);
// Short strings and arrays are most of what is written, so they are without a call.
void bus_pack_str_any(bus_pack *p, bus_view v);
void bus_pack_array_any(bus_pack *p, uint32_t count);
static inline void bus_pack_str(bus_pack *p, bus_view v)
{
    if (v.len > 31 || p->overflow || p->cap - p->len < 32) {
        bus_pack_str_any(p, v);
        return;
    }
    uint8_t *at = p->buf + p->len;
    uint64_t a, b, c,
        d; // all is read before any is written: the text may lie ahead in the same buffer
    p->len += 1 + v.len;
    if (v.len >= 16) {
        memcpy(&a, v.ptr, 8);
        memcpy(&b, v.ptr + 8, 8);
        memcpy(&c, v.ptr + v.len - 16, 8);
        memcpy(&d, v.ptr + v.len - 8, 8);
        memcpy(at + 1, &a, 8);
        memcpy(at + 9, &b, 8);
        memcpy(at + 1 + v.len - 16, &c, 8);
        memcpy(at + 1 + v.len - 8, &d, 8);
    } else if (v.len >= 8) {
        memcpy(&a, v.ptr, 8);
        memcpy(&b, v.ptr + v.len - 8, 8);
        memcpy(at + 1, &a, 8);
        memcpy(at + 1 + v.len - 8, &b, 8);
    } else {
        for (size_t i = 0; i < v.len; i++)
            at[1 + i] = (uint8_t)v.ptr[i];
    }
    at[0] = (uint8_t)(0xa0 | v.len);
}
static inline void bus_pack_array(bus_pack *p, uint32_t count)
{
    if (count > 15 || p->overflow || p->cap == p->len)
        bus_pack_array_any(p, count);
    else
        p->buf[p->len++] = (uint8_t)(0x90 | count);
}
void bus_pack_map(bus_pack *p, uint32_t pairs);
void bus_pack_raw(bus_pack *p, bus_view v); // already packed
static inline void bus_pack_key(bus_pack *p, const char *key)
{
    bus_pack_str(p, bus_view_of(key));
}

// bus_pack_validate proves that bytes are exactly one msgpack value within the limits: depth, nodes,
// counts against remaining bytes, UTF-8 in str, no duplicate keys in a map, keys are str, no ext but
// timestamp (-1). Non-recursive. Errors name the byte offset and the rule. The cursor relies on it.
typedef struct {
    uint32_t depth_max; // containers within containers; 0: 32
    uint32_t nodes_max; // values in all; 0: 65,536
    size_t
        json_len; // the bytes were made of JSON of this length, and errors speak of that; 0: they were not
} bus_pack_limits;
bus_err bus_pack_validate(bus_view bytes, const bus_pack_limits *limits);

typedef enum {
    BUS_PACK_NIL,
    BUS_PACK_BOOL,
    BUS_PACK_INT,
    BUS_PACK_UINT, // UINT only above INT64_MAX
    BUS_PACK_DOUBLE,
    BUS_PACK_STR,
    BUS_PACK_BIN,
    BUS_PACK_ARRAY,
    BUS_PACK_MAP,
    BUS_PACK_TIME,
} bus_pack_kind;

typedef struct {
    bus_pack_kind kind;
    union {
        bool boolean;
        int64_t integer;
        uint64_t uinteger;
        double real;
        bus_view bytes; // STR, BIN
        uint32_t count; // ARRAY elements, MAP pairs
    } as;
} bus_pack_value;

typedef struct {
    const uint8_t *at, *end;
} bus_cursor;

static inline bus_cursor bus_cursor_of(bus_view bytes)
{
    const uint8_t *at = (const uint8_t *)(bytes.ptr ? bytes.ptr : "");
    return (bus_cursor){at, at + bytes.len};
}
// bus_cursor_next reads one header or scalar; false at the end or on bytes that validation would refuse.
// Strings of up to 255 bytes are most of what there is, so they are read without a call.
bool bus_cursor_next_any(bus_cursor *c, bus_pack_value *out);
static inline bool bus_cursor_next(bus_cursor *c, bus_pack_value *out)
{
    size_t left = (size_t)(c->end - c->at), head = 0, len = 0;
    if (left >= 1 && (c->at[0] & 0xe0) == 0xa0) {
        head = 1;
        len = c->at[0] & 0x1f;
    } else if (left >= 2 && c->at[0] == 0xd9) {
        head = 2;
        len = c->at[1];
    }
    if (head == 0 || len > left - head)
        return bus_cursor_next_any(c, out);
    out->kind = BUS_PACK_STR;
    out->as.bytes = (bus_view){(const char *)c->at + head, len};
    c->at += head + len;
    return true;
}
// bus_cursor_skip steps over one whole value and, when out is not NULL, returns its bytes.
bool bus_cursor_skip(bus_cursor *c, bus_view *out);
// bus_map_find: the value of `key` in the map that `map` (one packed map) is; false when absent.
bool bus_map_find(bus_view map, const char *key, bus_cursor *value);
bool bus_map_str(bus_view map, const char *key, bus_view *out);
bool bus_map_int(bus_view map, const char *key, int64_t *out);
bool bus_map_bool(bus_view map, const char *key, bool *out);

// JSON text <-> msgpack of JSON's data model. Numbers: integers that fit 64 bits become integers, others
// doubles. bin becomes base64 text in JSON; NaN and infinities are refused.
bus_err bus_pack_to_json(char **out, size_t *len, bus_view packed); // malloc'ed, one line
bus_err bus_pack_from_json(bus_pack *p, bus_view json);             // BUS_ELIMIT when p is full

#endif
