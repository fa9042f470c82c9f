// The header codec: attributes as ce-* headers with percent-encoded canonical strings, data as the
// payload. Header names are compared without regard to case: NATS keeps case, but events also come from
// protocols that do not.
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "bus/event/attribute.h"
#include "bus/event/text.h"

// --- writing --------------------------------------------------------------------------------------

static bool goes_plain(unsigned char c)
{
    return c > 0x20 && c < 0x7f && c != '"' && c != '%';
}

static size_t percent_encode(char *out, bus_view v)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t at = 0;
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.ptr[i];
        if (goes_plain(c)) {
            out[at++] = (char)c;
        } else {
            out[at++] = '%';
            out[at++] = hex[c >> 4];
            out[at++] = hex[c & 15];
        }
    }
    out[at] = '\0';
    return at;
}

typedef struct {
    bus_header_fn fn;
    void *ctx;
    char *value; // room for the longest value percent-encoded
} header_out;

static void give(header_out *out, bus_view name, bus_view value)
{
    char full[3 + 64 + 1];
    snprintf(full, sizeof full, "ce-%.*s", BUS_VIEW_ARG(name));
    percent_encode(out->value, value);
    out->fn(out->ctx, full, out->value);
}

// Canonical string of an extension: bool, integer and base64 of bytes as CloudEvents writes them.
static bus_err give_extra(header_out *out, const bus_event_extra *extra)
{
    bus_cursor c = bus_cursor_of(extra->packed);
    bus_pack_value v;
    bus_cursor_next(&c, &v);
    if (v.kind == BUS_PACK_STR) {
        give(out, extra->name, v.as.bytes);
        return BUS_OK;
    }
    char *text;
    size_t len;
    bus_err err = bus_pack_to_json(&text, &len, extra->packed);
    if (err)
        return err;
    bool quoted = v.kind == BUS_PACK_BIN;
    give(out, extra->name, quoted ? (bus_view){text + 1, len - 2} : (bus_view){text, len});
    free(text);
    return BUS_OK;
}

static size_t longest_value(const bus_event *event)
{
    size_t longest = sizeof "application/json";
    for (int i = 0; i < ATTRIBUTE_COUNT; i++) {
        size_t len = attribute_get(event, &attribute_rows[i]).len;
        longest = len > longest ? len : longest;
    }
    for (uint32_t i = 0; i < event->extra_count; i++) {
        size_t len = 2 * event->extra[i].packed.len + 24; // base64 is the longest form
        longest = len > longest ? len : longest;
    }
    return longest;
}

static bus_err copy_json(bus_scratch *scratch, bus_view data, size_t reserve, bus_view *payload)
{
    char *text;
    size_t len;
    bus_err err = bus_pack_to_json(&text, &len, data);
    if (err)
        return err;
    err = scratch_need(scratch, reserve + len);
    if (!err) {
        memcpy(scratch->buf + reserve, text, len);
        *payload = (bus_view){(const char *)scratch->buf + reserve, len};
    }
    free(text);
    return err;
}

static bus_err make_payload(const bus_event *event, bus_scratch *scratch, size_t reserve,
                            bus_view *payload)
{
    bus_view type = event->datacontenttype;
    bus_cursor c = bus_cursor_of(event->data);
    bus_pack_value v;
    *payload = (bus_view){0};
    if (!event->data.len || !bus_cursor_next(&c, &v))
        return BUS_OK;
    if (bus_media_is_msgpack(type)) {
        *payload = event->data;
        return BUS_OK;
    }
    if (v.kind == BUS_PACK_BIN) {
        *payload = v.as.bytes;
        return BUS_OK;
    }
    if (type.len == 0 || bus_media_is_json(type))
        return copy_json(scratch, event->data, reserve, payload);
    if (v.kind != BUS_PACK_STR)
        return bus_fail(BUS_EINVAL, "data of datacontenttype '%.*s' must be text or bytes",
                        BUS_VIEW_ARG(type));
    *payload = v.as.bytes;
    return BUS_OK;
}

static bus_err encode_headers(const bus_event *event, bus_scratch *scratch, bus_view *payload,
                              bus_header_fn fn, void *ctx)
{
    size_t reserve = 3 * longest_value(event) + 1;
    bus_err err = scratch_need(scratch, reserve);
    bus_view body = {0};
    if (!err)
        err = make_payload(event, scratch, reserve, &body);
    if (err)
        return err;
    header_out out = {fn, ctx, (char *)scratch->buf};
    give(&out, BUS_VIEW("specversion"), BUS_VIEW("1.0"));
    for (int i = 0; i < ATTRIBUTE_COUNT; i++) {
        const attribute_row *row = &attribute_rows[i];
        bus_view value = attribute_get(event, row);
        if (value.len)
            give(&out, (bus_view){row->name, row->name_len}, value);
    }
    // JSON is implied inside an event; beside a bare payload it has to be said.
    bool json_made = body.len && (uint8_t *)body.ptr == scratch->buf + reserve;
    if (json_made && event->datacontenttype.len == 0)
        give(&out, BUS_VIEW("datacontenttype"), BUS_VIEW("application/json"));
    for (uint32_t i = 0; i < event->extra_count && !err; i++)
        err = give_extra(&out, &event->extra[i]);
    *payload = body;
    return err;
}

bus_err bus_event_encode_headers(const bus_event *event, bus_scratch *scratch, bus_view *payload,
                                 bus_header_fn fn, void *ctx)
{
    bus_err err = bus_event_check(event);
    for (uint32_t i = 0; i < event->extra_count && !err; i++)
        if (event->extra[i].name.len > 64)
            err = bus_fail(BUS_ELIMIT, "extension name '%.*s' is longer than 64",
                           BUS_VIEW_ARG(event->extra[i].name));
    if (!err)
        err = encode_headers(event, scratch, payload, fn, ctx);
    return err ? bus_note(err, "event '%.*s' as headers", BUS_VIEW_ARG(event->id)) : BUS_OK;
}

// --- reading --------------------------------------------------------------------------------------

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Un-quotes "…" with its backslashes, then takes %XX once. out has room for in.len bytes.
static bus_err percent_decode(char *out, size_t *len, bus_view in)
{
    bool quoted = in.len >= 2 && in.ptr[0] == '"' && in.ptr[in.len - 1] == '"';
    if (quoted)
        in = (bus_view){in.ptr + 1, in.len - 2};
    *len = 0;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i];
        if (quoted && c == '\\' && i + 1 < in.len)
            c = in.ptr[++i];
        if (c == '%') {
            int high = in.len - i >= 3 ? hex_digit(in.ptr[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(in.ptr[i + 2]) : -1;
            if (low < 0)
                return bus_fail(BUS_EINVAL, "'%%' at byte %zu needs two hex digits", i);
            c = (char)(high << 4 | low);
            i += 2;
        }
        out[(*len)++] = c;
    }
    size_t at;
    const char *rule = bus_text_utf8((bus_view){out, *len}, &at);
    return rule ? bus_fail(BUS_EINVAL, "value %s (byte %zu)", rule, at) : BUS_OK;
}

static bool is_attribute_header(bus_view name)
{
    return name.len > 3 && strncasecmp(name.ptr, "ce-", 3) == 0;
}

static void lower(char *out, bus_view name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
}

static bus_err take_version(bus_view value, bool *seen)
{
    if (*seen)
        return bus_fail(BUS_EINVAL, "is given twice");
    *seen = true;
    return bus_view_is(value, "1.0")
               ? BUS_OK
               : bus_fail(BUS_EINVAL, "specversion '%.*s' is not '1.0'", BUS_VIEW_ARG(value));
}

// One ce- header. Name and value are written to p, where the event will point.
static bus_err take_header(bus_event *event, const bus_header *header, bus_pack *p, bool *version)
{
    bus_view raw = {header->name.ptr + 3, header->name.len - 3};
    char *name = (char *)p->buf + p->len;
    lower(name, raw);
    p->len += raw.len;
    bus_view key = {name, raw.len};
    char *text = (char *)p->buf + p->len + 5; // behind the longest str header
    size_t len = 0;
    bus_err err = percent_decode(text, &len, header->value);
    if (err)
        return err;
    bus_view value = {text, len};
    if (bus_view_eq(key, BUS_VIEW("specversion")))
        return take_version(value, version);
    const attribute_row *row = attribute_find(key, 0);
    if (row) {
        p->len += 5 + len;
        return attribute_set(event, row, value);
    }
    size_t from = p->len;
    bus_pack_str(p, value);
    return attribute_add_extra(event, key, (bus_view){(const char *)p->buf + from, p->len - from});
}

// What the payload is follows from datacontenttype; where none is given JSON is tried first.
static bus_err take_payload(bus_event *event, bus_view payload, bus_pack *p)
{
    bus_view type = event->datacontenttype;
    size_t from = p->len, at;
    if (payload.len == 0)
        return BUS_OK;
    if (bus_media_is_msgpack(type)) {
        bus_err err = bus_pack_validate(payload, NULL);
        event->data = payload;
        return err;
    }
    bool json = bus_media_is_json(type);
    bus_err err = BUS_OK;
    if (json || type.len == 0)
        err = bus_pack_from_json(p, payload);
    if (json && err)
        return err;
    if (err || (type.len && !json)) {
        if (bus_text_utf8(payload, &at) == NULL)
            bus_pack_str(p, payload);
        else
            bus_pack_bin(p, payload);
    }
    event->data = (bus_view){(const char *)p->buf + from, p->len - from};
    return BUS_OK;
}

static size_t scratch_bound(const bus_header *headers, size_t count, bus_view payload)
{
    size_t bound = 3 * payload.len + 64;
    for (size_t i = 0; i < count; i++)
        bound += headers[i].name.len + headers[i].value.len + 5;
    return bound;
}

static bus_err decode_headers(bus_event *event, const bus_header *headers, size_t count,
                              bus_view payload, bus_scratch *scratch)
{
    bus_err err = scratch_need(scratch, scratch_bound(headers, count, payload));
    if (err)
        return err;
    bus_pack p = bus_pack_to(scratch->buf, scratch->cap);
    bool version = false;
    event_clear(event);
    for (size_t i = 0; i < count; i++) {
        if (!is_attribute_header(headers[i].name))
            continue;
        err = take_header(event, &headers[i], &p, &version);
        if (err)
            return bus_note(err, "header '%.*s'", BUS_VIEW_ARG(headers[i].name));
    }
    if (!version)
        return bus_fail(BUS_EINVAL, "header 'ce-specversion' is missing");
    for (size_t i = 0; i < count && !event->datacontenttype.len; i++)
        if (headers[i].name.len == 12 && strncasecmp(headers[i].name.ptr, "content-type", 12) == 0)
            err = attribute_set(event, attribute_find(BUS_VIEW("datacontenttype"), 0),
                                headers[i].value);
    if (!err)
        err = attribute_check_required(event);
    if (!err)
        err = take_payload(event, payload, &p);
    if (!err && p.len > bus_event_size_max())
        err = bus_fail(BUS_ELIMIT, "event of %zu bytes packed, at most %zu are allowed", p.len,
                       bus_event_size_max());
    return err;
}

bus_err bus_event_decode_headers(bus_event *out, const bus_header *headers, size_t count,
                                 bus_view payload, bus_scratch *scratch)
{
    bus_event event;
    bus_err err = decode_headers(&event, headers, count, payload, scratch);
    if (err)
        return bus_note(err, "event in headers");
    event_copy(out, &event);
    return BUS_OK;
}
