#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/base/base64.h"
#include "bus/base/time.h"
#include "bus/event/json.h"

enum { DEPTH_MAX = 64 };

static char *claim(json_text *t, size_t len)
{
    if (t->failed)
        return NULL;
    if (len > t->cap - t->len) {
        size_t cap = t->cap ? t->cap : 512;
        while (cap - t->len < len)
            cap *= 2;
        char *buf = realloc(t->buf, cap);
        if (!buf) {
            t->failed = true;
            return NULL;
        }
        t->buf = buf;
        t->cap = cap;
    }
    char *at = t->buf + t->len;
    t->len += len;
    return at;
}

void json_put(json_text *t, bus_view raw)
{
    char *at = claim(t, raw.len);
    if (at && raw.len)
        memcpy(at, raw.ptr, raw.len);
}

static void put_escape(json_text *t, unsigned char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *short_form = c ? strchr(from, c) : NULL;
    char text[8];
    int len = short_form ? snprintf(text, sizeof text, "\\%c", to[short_form - from])
                         : snprintf(text, sizeof text, "\\u%04x", c);
    json_put(t, (bus_view){text, (size_t)len});
}

void json_put_string(json_text *t, bus_view utf8)
{
    json_put(t, BUS_VIEW("\""));
    size_t from = 0;
    for (size_t i = 0; i < utf8.len; i++) {
        unsigned char c = (unsigned char)utf8.ptr[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        json_put(t, (bus_view){utf8.ptr + from, i - from});
        put_escape(t, c);
        from = i + 1;
    }
    if (from < utf8.len)
        json_put(t, (bus_view){utf8.ptr + from, utf8.len - from});
    json_put(t, BUS_VIEW("\""));
}

void json_put_base64(json_text *t, bus_view bytes)
{
    json_put(t, BUS_VIEW("\""));
    char *at = claim(t, BUS_BASE64_CHARS(bytes.len) + 1);
    if (at) {
        bus_base64_write(at, bytes);
        t->len--; // its NUL
    }
    json_put(t, BUS_VIEW("\""));
}

// The shortest text that reads back as the same double, and reads back as a double: 1 is "1.0".
static bus_err put_double(json_text *t, double v)
{
    char text[40];
    if (!isfinite(v))
        return bus_fail(BUS_EINVAL, "JSON has no number for NaN or an infinity");
    int len = 0;
    for (int digits = 15; digits <= 17; digits++) {
        len = snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    json_put(t, (bus_view){text, (size_t)len});
    if (!strpbrk(text, ".e"))
        json_put(t, BUS_VIEW(".0"));
    return BUS_OK;
}

static void put_time(json_text *t, int64_t ns)
{
    char text[BUS_TIME_TEXT];
    int len = bus_time_format(ns, text);
    json_put_string(t, (bus_view){text, (size_t)len});
}

static bus_err put_scalar(json_text *t, const bus_pack_value *v)
{
    char text[24];
    int len = 0;
    switch (v->kind) {
    case BUS_PACK_NIL:
        json_put(t, BUS_VIEW("null"));
        break;
    case BUS_PACK_BOOL:
        json_put(t, v->as.boolean ? BUS_VIEW("true") : BUS_VIEW("false"));
        break;
    case BUS_PACK_INT:
        len = snprintf(text, sizeof text, "%lld", (long long)v->as.integer);
        break;
    case BUS_PACK_UINT:
        len = snprintf(text, sizeof text, "%llu", (unsigned long long)v->as.uinteger);
        break;
    case BUS_PACK_DOUBLE:
        return put_double(t, v->as.real);
    case BUS_PACK_STR:
        json_put_string(t, v->as.bytes);
        break;
    case BUS_PACK_BIN:
        json_put_base64(t, v->as.bytes);
        break;
    case BUS_PACK_TIME:
        put_time(t, v->as.integer);
        break;
    case BUS_PACK_ARRAY:
    case BUS_PACK_MAP:
        break; // not scalars
    }
    json_put(t, (bus_view){text, (size_t)len});
    return BUS_OK;
}

typedef struct {
    uint32_t left; // values still to come, keys included
    bool map;
} level;

// What stands before the next value of a container.
static void put_separator(json_text *t, level *at, bool first)
{
    if (at->map && at->left % 2 == 1)
        json_put(t, BUS_VIEW(":"));
    else if (!first)
        json_put(t, BUS_VIEW(","));
}

static bus_err open_level(json_text *t, const bus_pack_value *v, level *levels, int *depth,
                          size_t bytes_left)
{
    bool map = v->kind == BUS_PACK_MAP;
    if (*depth == DEPTH_MAX)
        return bus_fail(BUS_ELIMIT, "value is nested deeper than %d", DEPTH_MAX);
    if (v->as.count > bytes_left)
        return bus_fail(BUS_EINVAL, "a container of %u values with %zu bytes left", v->as.count,
                        bytes_left);
    uint32_t left = map ? 2 * v->as.count : v->as.count;
    levels[(*depth)++] = (level){left, map};
    json_put(t, map ? BUS_VIEW("{") : BUS_VIEW("["));
    return BUS_OK;
}

static void close_levels(json_text *t, const level *levels, int *depth)
{
    while (*depth && levels[*depth - 1].left == 0)
        json_put(t, levels[--*depth].map ? BUS_VIEW("}") : BUS_VIEW("]"));
}

bus_err json_put_packed(json_text *t, bus_view packed)
{
    level levels[DEPTH_MAX];
    int depth = 0;
    bool first = true; // just behind '{' or '['
    bus_cursor c = bus_cursor_of(packed);
    do {
        bus_pack_value v;
        bool is_key = depth && levels[depth - 1].map && levels[depth - 1].left % 2 == 0;
        if (!bus_cursor_next(&c, &v) || (is_key && v.kind != BUS_PACK_STR))
            return bus_fail(BUS_EINVAL, "at byte %zu: not msgpack of JSON's data model",
                            (size_t)((const char *)c.at - packed.ptr));
        if (depth) {
            put_separator(t, &levels[depth - 1], first);
            levels[depth - 1].left--;
        }
        bool container = v.kind == BUS_PACK_ARRAY || v.kind == BUS_PACK_MAP;
        bus_err err = container ? open_level(t, &v, levels, &depth, (size_t)(c.end - c.at))
                                : put_scalar(t, &v);
        if (err)
            return err;
        first = container;
        if (container && v.as.count == 0)
            first = false;
        close_levels(t, levels, &depth);
    } while (depth);
    if (c.at != c.end)
        return bus_fail(BUS_EINVAL, "%zu bytes follow the value", (size_t)(c.end - c.at));
    return BUS_OK;
}

bus_err json_finish(json_text *t, bus_err err, char **out, size_t *len)
{
    json_put(t, (bus_view){"", 1});
    if (!err && t->failed)
        err = bus_fail(BUS_ENOMEM, "JSON text");
    if (err) {
        free(t->buf);
        return err;
    }
    *out = t->buf;
    if (len)
        *len = t->len - 1;
    return BUS_OK;
}

bus_err bus_pack_to_json(char **out, size_t *len, bus_view packed)
{
    json_text t = {0};
    bus_err err = json_put_packed(&t, packed);
    return json_finish(&t, err, out, len);
}
