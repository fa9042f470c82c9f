// Any text as JSON and as an event, against jansson. We accept what it accepts and read the same values, but for
// nesting beyond 32 and numbers of more than 400 characters, which we refuse, and integers beyond 63 bits and NUL in a
// key, which it refuses; a NUL behind the value it takes for the end. What we read, we write and read again the same.
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "bus/event/event.h"

static void demand(bool ok)
{
    if (!ok)
        abort();
}

static void same(bus_cursor *c, const json_t *theirs)
{
    bus_pack_value v, key;
    demand(bus_cursor_next(c, &v));
    switch (json_typeof(theirs)) {
    case JSON_OBJECT:
        demand(v.kind == BUS_PACK_MAP && v.as.count == json_object_size(theirs));
        for (uint32_t i = 0; i < v.as.count; i++) {
            demand(bus_cursor_next(c, &key) && key.kind == BUS_PACK_STR);
            const json_t *value = json_object_getn(theirs, key.as.bytes.ptr, key.as.bytes.len);
            demand(value != NULL);
            same(c, value);
        }
        break;
    case JSON_ARRAY:
        demand(v.kind == BUS_PACK_ARRAY && v.as.count == json_array_size(theirs));
        for (uint32_t i = 0; i < v.as.count; i++)
            same(c, json_array_get(theirs, i));
        break;
    case JSON_STRING:
        demand(v.kind == BUS_PACK_STR && v.as.bytes.len == json_string_length(theirs) &&
               memcmp(v.as.bytes.ptr, json_string_value(theirs), v.as.bytes.len) == 0);
        break;
    case JSON_INTEGER:
        demand(v.kind == BUS_PACK_INT && v.as.integer == json_integer_value(theirs));
        break;
    case JSON_REAL:
        demand(v.kind == BUS_PACK_DOUBLE && v.as.real == json_real_value(theirs));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        demand(v.kind == BUS_PACK_BOOL && v.as.boolean == json_is_true(theirs));
        break;
    case JSON_NULL:
        demand(v.kind == BUS_PACK_NIL);
        break;
    }
}

static bool is_bound_of_ours(void)
{
    return strstr(bus_err_text(), "nested deeper than 32") || strstr(bus_err_text(), "400 char");
}

static void compare_with_jansson(bus_view text, bus_err err, bus_view packed)
{
    json_error_t error;
    json_t *root = json_loadb(text.ptr, text.len,
                              JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    bus_cursor c = bus_cursor_of(packed);
    if (root && err)
        demand(is_bound_of_ours() || memchr(text.ptr, '\0', text.len));
    else if (!root && !err)
        demand(json_error_code(&error) == json_error_numeric_overflow ||
               json_error_code(&error) == json_error_null_byte_in_key);
    else if (root)
        same(&c, root);
    json_decref(root);
}

static void read_and_write(bus_view text)
{
    static uint8_t buf[1 << 17], twice[1 << 17];
    bus_pack p = bus_pack_to(buf, sizeof buf), q = bus_pack_to(twice, sizeof twice);
    bus_err err = bus_pack_from_json(&p, text);
    if (err == BUS_ELIMIT)
        return;
    compare_with_jansson(text, err, (bus_view){(const char *)buf, err ? 0 : p.len});
    if (err)
        return;
    char *out;
    size_t len;
    demand(bus_pack_to_json(&out, &len, (bus_view){(const char *)buf, p.len}) == BUS_OK);
    demand(bus_pack_from_json(&q, (bus_view){out, len}) == BUS_OK);
    demand(p.len == q.len && memcmp(buf, twice, p.len) == 0);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bus_scratch scratch, second;
    bus_view text = {(const char *)data, size};
    bus_event event, again;
    if (size < 30000)
        read_and_write(text);
    if (bus_event_decode_json(&event, text, &scratch) == BUS_OK) {
        char *out;
        size_t len;
        if (bus_event_encode_json(&out, &len, &event) == BUS_OK) {
            demand(bus_event_decode_json(&again, (bus_view){out, len}, &second) == BUS_OK);
            demand(bus_view_eq(event.id, again.id) && bus_view_eq(event.data, again.data));
            free(out);
        }
    }
    return 0;
}
