// Lines "name:value", a blank line, a payload: an event in headers. What we read, we write as headers and
// read again with the same canonical strings.
#include <stdlib.h>
#include <string.h>

#include "bus/event/event.h"

enum { HEADERS_MAX = 64 };

typedef struct {
    bus_header list[HEADERS_MAX];
    size_t count;
} headers;

static void demand(bool ok)
{
    if (!ok)
        abort();
}

static char *copy(const char *text)
{
    char *out = strdup(text);
    demand(out != NULL);
    return out;
}

static void collect(void *ctx, const char *name, const char *value)
{
    headers *h = ctx;
    demand(h->count < HEADERS_MAX);
    for (const char *s = value; *s; s++)
        demand(*s > 0x20 && *s < 0x7f && *s != '"');
    h->list[h->count++] = (bus_header){bus_view_of(copy(name)), bus_view_of(copy(value))};
}

static bus_view split(bus_view text, headers *h)
{
    while (text.len && h->count < HEADERS_MAX) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t len = end ? (size_t)(end - text.ptr) : text.len;
        const char *colon = memchr(text.ptr, ':', len);
        size_t name = colon ? (size_t)(colon - text.ptr) : len;
        bus_view value = colon ? (bus_view){colon + 1, len - name - 1} : (bus_view){"", 0};
        bus_view line = {text.ptr, name};
        size_t used = end ? len + 1 : len;
        text = (bus_view){text.ptr + used, text.len - used};
        if (len == 0)
            break;
        h->list[h->count++] = (bus_header){line, value};
    }
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bus_scratch first, second, third;
    headers in = {.count = 0}, out = {.count = 0};
    bus_event event, again;
    bus_view body = split((bus_view){(const char *)data, size}, &in), payload;
    if (bus_event_decode_headers(&event, in.list, in.count, body, &first) != BUS_OK)
        return 0;
    bus_err err = bus_event_encode_headers(&event, &second, &payload, collect, &out);
    if (!err) {
        demand(bus_event_decode_headers(&again, out.list, out.count, payload, &third) == BUS_OK);
        demand(bus_view_eq(event.id, again.id) && bus_view_eq(event.source, again.source));
        demand(bus_view_eq(event.type, again.type) && event.extra_count == again.extra_count);
    }
    for (size_t i = 0; i < out.count; i++) {
        free((void *)(uintptr_t)out.list[i].name.ptr);
        free((void *)(uintptr_t)out.list[i].value.ptr);
    }
    return 0;
}
