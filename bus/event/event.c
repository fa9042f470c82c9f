// The msgpack codec and the rules of a whole event; attribute.c has those of one attribute.
#include "bus/event/event.h"

#include <assert.h>
#include <stdatomic.h>
#include <strings.h>

#include "bus/event/attribute.h"

// The validator's presets, for what stands inside the map of an event.
enum { USUAL_DEPTH = 31, USUAL_NODES = 65536 };

static _Atomic size_t size_max = BUS_EVENT_SIZE_MAX;

size_t bus_event_size_max(void)
{
    return atomic_load_explicit(&size_max, memory_order_relaxed);
}

void bus_event_set_size_max(size_t bytes)
{
    atomic_store_explicit(&size_max, bytes, memory_order_relaxed);
}

static bus_err check_size(size_t bytes)
{
    size_t max = bus_event_size_max();
    if (bytes > max)
        return bus_fail(BUS_ELIMIT, "event of %zu bytes, at most %zu are allowed", bytes, max);
    return BUS_OK;
}

void event_clear(bus_event *event)
{
    memset(event, 0, offsetof(bus_event, extra));
    event->extra_count = 0;
    event->data = (bus_view){0};
}

void event_copy(bus_event *out, const bus_event *event)
{
    memcpy(out, event, offsetof(bus_event, extra));
    memcpy(out->extra, event->extra, event->extra_count * sizeof *event->extra);
    out->extra_count = event->extra_count;
    out->data = event->data;
}

// --- rules ----------------------------------------------------------------------------------------

static bus_err check_extras(const bus_event *event)
{
    if (event->extra_count > BUS_EVENT_EXTRA_MAX)
        return bus_fail(BUS_ELIMIT, "%u extensions, at most %d are allowed", event->extra_count,
                        BUS_EVENT_EXTRA_MAX);
    for (uint32_t i = 0; i < event->extra_count; i++) {
        bus_err err = attribute_check_extra(&event->extra[i]);
        if (err)
            return err;
        for (uint32_t j = 0; j < i; j++)
            if (bus_view_eq(event->extra[i].name, event->extra[j].name))
                return bus_fail(BUS_EINVAL, "extension '%.*s' is given twice",
                                BUS_VIEW_ARG(event->extra[i].name));
    }
    return BUS_OK;
}

static bus_err check_event(const bus_event *event)
{
    bus_err err = attribute_check_required(event);
    for (int i = 0; i < ATTRIBUTE_COUNT && !err; i++) {
        bus_view value = attribute_get(event, &attribute_rows[i]);
        if (value.len)
            err = attribute_check(&attribute_rows[i], value);
    }
    return err ? err : check_extras(event);
}

// An upper bound of what encode writes: 5 bytes lead every string at most.
static size_t size_bound(const bus_event *event)
{
    size_t size = 5 +
                  sizeof "\xabspecversion\xa3"
                         "1.0" +
                  5 + event->data.len;
    for (int i = 0; i < ATTRIBUTE_COUNT; i++) {
        bus_view value = attribute_get(event, &attribute_rows[i]);
        if (value.len)
            size += 1u + attribute_rows[i].name_len + 5 + value.len;
    }
    for (uint32_t i = 0; i < event->extra_count && i < BUS_EVENT_EXTRA_MAX; i++)
        size += 5 + event->extra[i].name.len + event->extra[i].packed.len;
    return size;
}

bus_err bus_event_check(const bus_event *event)
{
    bus_err err = check_event(event);
    if (!err)
        err = check_size(size_bound(event));
    return err ? bus_note(err, "event '%.*s'", BUS_VIEW_ARG(event->id)) : BUS_OK;
}

// --- writing --------------------------------------------------------------------------------------

#ifdef TL_DEBUG // walks all of it: a tenth of the time of a depth event
static bool is_one_value(bus_view packed)
{
    bus_cursor c = bus_cursor_of(packed);
    return bus_cursor_skip(&c, NULL) && c.at == c.end;
}
#endif

uint32_t bus_event_pairs(const bus_event *event)
{
    uint32_t pairs = 1 + event->extra_count + (event->data.len ? 1 : 0);
    for (int i = 0; i < ATTRIBUTE_COUNT; i++)
        pairs += attribute_get(event, &attribute_rows[i]).len != 0;
    return pairs;
}

static void pack_event(bus_pack *p, const bus_event *event)
{
    bus_pack_map(p, bus_event_pairs(event));
    bus_pack_raw(p, BUS_VIEW("\xabspecversion\xa3"
                             "1.0"));
    for (int i = 0; i < ATTRIBUTE_COUNT; i++) {
        const attribute_row *row = &attribute_rows[i];
        bus_view value = attribute_get(event, row);
        if (!value.len)
            continue;
        bus_pack_raw(p, (bus_view){(const char *)&row->tag, 1u + row->name_len});
        bus_pack_str(p, value);
    }
    for (uint32_t i = 0; i < event->extra_count; i++) {
        bus_pack_str(p, event->extra[i].name);
        bus_pack_raw(p, event->extra[i].packed);
    }
    if (event->data.len) {
        bus_pack_raw(p, BUS_VIEW("\xa4"
                                 "data"));
        bus_pack_raw(p, event->data);
    }
}

bus_err bus_event_encode(bus_pack *p, const bus_event *event)
{
    bus_err err = check_event(event);
    if (err)
        return bus_note(err, "encoding event '%.*s'", BUS_VIEW_ARG(event->id));
#ifdef TL_DEBUG
    assert(!event->data.len || is_one_value(event->data));
#endif
    bus_pack before = *p;
    pack_event(p, event);
    if (p->overflow)
        err = bus_fail(BUS_ELIMIT, "buffer with %zu free bytes is too small for it",
                       before.cap - before.len);
    else
        err = check_size(p->len - before.len);
    if (err) {
        *p = before;
        return bus_note(err, "encoding event '%.*s'", BUS_VIEW_ARG(event->id));
    }
    return BUS_OK;
}

// --- reading --------------------------------------------------------------------------------------

static bus_err take_known(bus_event *out, const attribute_row *row, bus_cursor *c)
{
    bus_pack_value v;
    bus_cursor_next(c, &v);
    if (v.kind == BUS_PACK_STR)
        return attribute_set(out, row, v.as.bytes);
    if (v.kind == BUS_PACK_NIL)
        return BUS_OK; // unset
    return bus_fail(BUS_EINVAL, "attribute '%s' must be a string", row->name);
}

static bus_err take_version(bus_cursor *c, bool *seen)
{
    bus_pack_value v;
    bus_cursor_next(c, &v);
    *seen = true;
    if (v.kind == BUS_PACK_STR && bus_view_is(v.as.bytes, "1.0"))
        return BUS_OK;
    if (v.kind == BUS_PACK_STR)
        return bus_fail(BUS_EINVAL, "specversion '%.*s' is not '1.0'",
                        (int)(v.as.bytes.len > 32 ? 32 : v.as.bytes.len), v.as.bytes.ptr);
    return bus_fail(BUS_EINVAL, "attribute 'specversion' must be the string '1.0'");
}

static bus_err take_base64(bus_cursor *c, bus_view *base64)
{
    bus_pack_value v;
    bus_cursor_next(c, &v);
    if (v.kind != BUS_PACK_STR)
        return bus_fail(BUS_EINVAL, "'data_base64' must be a string");
    *base64 = v.as.bytes;
    return BUS_OK;
}

static bus_err take_extra(bus_event *out, bus_view name, bus_cursor *c)
{
    bus_view packed = {0};
    if (*c->at == 0xc0) {
        c->at++;
        return BUS_OK; // nil: unset
    }
    bus_cursor_skip(c, &packed);
    return attribute_add_extra(out, name, packed);
}

bus_err event_take_map(bus_event *out, bus_view packed, bus_view *base64)
{
    bus_cursor c = bus_cursor_of(packed);
    bus_pack_value map, name;
    if (!bus_cursor_next(&c, &map) || map.kind != BUS_PACK_MAP)
        return bus_fail(BUS_EINVAL, "an event must be a map");
    event_clear(out);
    bus_err err = BUS_OK;
    bool version = false;
    unsigned guess = 0;
    for (uint32_t left = map.as.count; left && !err; left--) {
        bus_cursor_next(&c, &name);
        bus_view key = name.as.bytes;
        const attribute_row *row;
        if (bus_view_eq(key, BUS_VIEW("data"))) {
            if (left == 1) // the last value runs to the end: no need to walk it
                out->data = (bus_view){(const char *)c.at, (size_t)(c.end - c.at)};
            else
                bus_cursor_skip(&c, &out->data);
        } else if (bus_view_eq(key, BUS_VIEW("specversion"))) {
            err = take_version(&c, &version);
        } else if ((row = attribute_find(key, guess))) {
            guess = (unsigned)(row - attribute_rows) + 1;
            err = take_known(out, row, &c);
        } else if (base64 && bus_view_is(key, "data_base64")) {
            err = take_base64(&c, base64);
        } else {
            err = take_extra(out, key, &c);
        }
    }
    if (!err && !version)
        err = bus_fail(BUS_EINVAL, "required attribute 'specversion' is missing");
    return err ? err : attribute_check_required(out);
}

// --- the usual form: what our own writers send ------------------------------------------------------
// The version first, known attributes in their order and so each once, all strings, `data` last. Then one
// pass takes and checks the attributes, and the validator needs to see `data` alone. Whatever is different, or
// wrong, goes the long way, which knows all forms and names what is wrong.

static bool take_short_str(const uint8_t **at, const uint8_t *end, bus_view *out)
{
    size_t left = (size_t)(end - *at), head = 0, len = 0;
    if (left >= 1 && ((*at)[0] & 0xe0) == 0xa0) {
        head = 1;
        len = (*at)[0] & 0x1f;
    } else if (left >= 2 && (*at)[0] == 0xd9) {
        head = 2;
        len = (*at)[1];
    }
    if (len == 0 || len > left - head)
        return false;
    *out = (bus_view){(const char *)*at + head, len};
    *at += head + len;
    return true;
}

// The row of the packed key at `at`, not before `row`; NULL: it is not one of them.
static const attribute_row *usual_row(const attribute_row *row, const uint8_t *at,
                                      const uint8_t *end)
{
    for (; row < attribute_rows + ATTRIBUTE_COUNT; row++)
        if (row->tag == *at && end - at > row->name_len &&
            memcmp(row->name, at + 1, row->name_len) == 0)
            return row;
    return NULL;
}

// A quoted parameter of a media type may hold bytes that only the validator judges.
static bool usual_value(const attribute_row *row, bus_view value)
{
    if (row->kind == ATTRIBUTE_MEDIA)
        return bus_view_eq(value, BUS_VIEW("application/json"));
    return attribute_check(row, value) == BUS_OK;
}

static bool take_usual_data(bus_event *out, const uint8_t *at, const uint8_t *end, uint32_t pairs)
{
    const bus_pack_limits within = {.depth_max = USUAL_DEPTH, .nodes_max = USUAL_NODES - 2 * pairs};
    out->data = (bus_view){(const char *)at, (size_t)(end - at)};
    return bus_pack_validate(out->data, &within) == BUS_OK &&
           attribute_check_required(out) == BUS_OK;
}

static bool take_usual(bus_event *out, bus_view payload)
{
    static const char version[] = "\xabspecversion\xa3"
                                  "1.0",
                      data[] = "\xa4"
                               "data";
    const uint8_t *at = (const uint8_t *)payload.ptr, *end = at + payload.len;
    const attribute_row *row = attribute_rows;
    uint32_t pairs = 0;
    if (payload.len < sizeof version + 3)
        return false;
    if ((*at & 0xf0) == 0x80)
        pairs = *at++ & 0x0f;
    else if (*at == 0xde)
        pairs = (uint32_t)at[1] << 8 | at[2], at += 3;
    if (pairs == 0 || memcmp(at, version, sizeof version - 1) != 0)
        return false;
    at += sizeof version - 1;
    event_clear(out);
    for (uint32_t left = pairs - 1; left; left--) {
        if (left == 1 && (size_t)(end - at) >= sizeof data &&
            memcmp(at, data, sizeof data - 1) == 0)
            return take_usual_data(out, at + sizeof data - 1, end, pairs);
        row = at < end ? usual_row(row, at, end) : NULL;
        if (!row)
            return false;
        at += 1 + row->name_len;
        bus_view *slot = attribute_slot(out, row);
        if (!take_short_str(&at, end, slot) || !usual_value(row, *slot))
            return false;
        row++;
    }
    return at == end && attribute_check_required(out) == BUS_OK;
}

bus_err bus_event_decode_msgpack(bus_event *out, bus_view payload)
{
    bus_event event;
    bus_err err = check_size(payload.len);
    if (!err && take_usual(&event, payload)) {
        event_copy(out, &event);
        return BUS_OK;
    }
    if (!err)
        err = bus_pack_validate(payload, NULL);
    if (!err)
        err = event_take_map(&event, payload, NULL);
    if (err)
        return bus_note(err, "msgpack event");
    event_copy(out, &event);
    return BUS_OK;
}

static bool has_prefix(bus_view type, const char *prefix)
{
    size_t len = strlen(prefix);
    return type.len >= len && strncasecmp(type.ptr, prefix, len) == 0;
}

bus_err bus_event_decode(bus_event *out, bus_view content_type, bus_view payload,
                         bus_scratch *scratch)
{
    if (has_prefix(content_type, "application/cloudevents-batch"))
        return bus_fail(BUS_EUNSUPPORTED, "content type '%.*s': batches are not read here",
                        BUS_VIEW_ARG(content_type));
    if (has_prefix(content_type, BUS_CONTENT_MSGPACK))
        return bus_event_decode_msgpack(out, payload);
    if (has_prefix(content_type, BUS_CONTENT_JSON))
        return bus_event_decode_json(out, payload, scratch);
    unsigned char first = payload.len ? (unsigned char)payload.ptr[0] : 0;
    if ((first >= 0x80 && first <= 0x8f) || first == 0xde || first == 0xdf)
        return bus_event_decode_msgpack(out, payload);
    if (first == '{' || first == ' ' || first == '\n' || first == '\t' || first == '\r')
        return bus_event_decode_json(out, payload, scratch);
    return bus_fail(BUS_EINVAL,
                    "payload of %zu bytes, content type '%.*s', is neither a msgpack map nor a "
                    "JSON object",
                    payload.len, BUS_VIEW_ARG(content_type));
}
