// The writer. Every value goes out in its shortest form, so equal values are equal bytes.
#include "bus/event/pack.h"

#include <string.h>

static uint8_t *claim(bus_pack *p, size_t len)
{
    if (p->overflow || len > p->cap - p->len) {
        p->overflow = true;
        return NULL;
    }
    uint8_t *at = p->buf + p->len;
    p->len += len;
    return at;
}

static void put_be(uint8_t *at, uint64_t v, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--, v >>= 8)
        at[i] = (uint8_t)v;
}

static void put_tag(bus_pack *p, uint8_t tag, uint64_t v, int bytes)
{
    uint8_t *at = claim(p, 1 + (size_t)bytes);
    if (!at)
        return;
    at[0] = tag;
    put_be(at + 1, v, bytes);
}

void bus_pack_nil(bus_pack *p)
{
    put_tag(p, 0xc0, 0, 0);
}

void bus_pack_bool(bus_pack *p, bool v)
{
    put_tag(p, v ? 0xc3 : 0xc2, 0, 0);
}

void bus_pack_uint(bus_pack *p, uint64_t v)
{
    if (v < 0x80)
        put_tag(p, (uint8_t)v, 0, 0);
    else if (v <= UINT8_MAX)
        put_tag(p, 0xcc, v, 1);
    else if (v <= UINT16_MAX)
        put_tag(p, 0xcd, v, 2);
    else if (v <= UINT32_MAX)
        put_tag(p, 0xce, v, 4);
    else
        put_tag(p, 0xcf, v, 8);
}

void bus_pack_int(bus_pack *p, int64_t v)
{
    if (v >= 0)
        bus_pack_uint(p, (uint64_t)v);
    else if (v >= -32)
        put_tag(p, (uint8_t)v, 0, 0);
    else if (v >= INT8_MIN)
        put_tag(p, 0xd0, (uint64_t)v, 1);
    else if (v >= INT16_MIN)
        put_tag(p, 0xd1, (uint64_t)v, 2);
    else if (v >= INT32_MIN)
        put_tag(p, 0xd2, (uint64_t)v, 4);
    else
        put_tag(p, 0xd3, (uint64_t)v, 8);
}

void bus_pack_double(bus_pack *p, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_tag(p, 0xcb, bits, 8);
}

static void put_bytes(bus_pack *p, bus_view v)
{
    uint8_t *at = claim(p, v.len);
    if (at && v.len)
        memmove(at, v.ptr, v.len); // the JSON reader packs text that lies ahead in the same buffer
}

void bus_pack_str_any(bus_pack *p, bus_view v)
{
    if (v.len < 32)
        put_tag(p, (uint8_t)(0xa0 | v.len), 0, 0);
    else if (v.len <= UINT8_MAX)
        put_tag(p, 0xd9, v.len, 1);
    else if (v.len <= UINT16_MAX)
        put_tag(p, 0xda, v.len, 2);
    else if (v.len <= UINT32_MAX)
        put_tag(p, 0xdb, v.len, 4);
    else
        p->overflow = true;
    put_bytes(p, v);
}

void bus_pack_bin(bus_pack *p, bus_view v)
{
    if (v.len <= UINT8_MAX)
        put_tag(p, 0xc4, v.len, 1);
    else if (v.len <= UINT16_MAX)
        put_tag(p, 0xc5, v.len, 2);
    else if (v.len <= UINT32_MAX)
        put_tag(p, 0xc6, v.len, 4);
    else
        p->overflow = true;
    put_bytes(p, v);
}

void bus_pack_array_any(bus_pack *p, uint32_t count)
{
    if (count < 16)
        put_tag(p, (uint8_t)(0x90 | count), 0, 0);
    else if (count <= UINT16_MAX)
        put_tag(p, 0xdc, count, 2);
    else
        put_tag(p, 0xdd, count, 4);
}

void bus_pack_map(bus_pack *p, uint32_t pairs)
{
    if (pairs < 16)
        put_tag(p, (uint8_t)(0x80 | pairs), 0, 0);
    else if (pairs <= UINT16_MAX)
        put_tag(p, 0xde, pairs, 2);
    else
        put_tag(p, 0xdf, pairs, 4);
}

void bus_pack_raw(bus_pack *p, bus_view v)
{
    put_bytes(p, v);
}
