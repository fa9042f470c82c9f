// Any text as JSON and as an event. What we accept, jansson must accept (but for numbers beyond its
// 64 signed bits and deep nesting); what we read, we write and read again the same.
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "bus/event/event.h"

static void demand(bool ok)
{
    if (!ok)
        abort();
}

static void compare_with_jansson(const char *text, size_t len, bool accepted)
{
    json_error_t error;
    json_t *root =
        json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (accepted && !root)
        demand(json_error_code(&error) == json_error_numeric_overflow ||
               json_error_code(&error) == json_error_null_byte_in_key);
    json_decref(root);
}

static void read_and_write(bus_view text)
{
    static uint8_t buf[1 << 17], twice[1 << 17];
    bus_pack p = bus_pack_to(buf, sizeof buf), q = bus_pack_to(twice, sizeof twice);
    bus_err err = bus_pack_from_json(&p, text);
    if (err == BUS_ELIMIT)
        return;
    compare_with_jansson(text.ptr, text.len, err == BUS_OK);
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
