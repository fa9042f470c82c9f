// The JSON codec. Reading goes through msgpack: the text becomes one packed map in the scratch, and the
// map is read by the same function as an event that came packed; so one set of rules holds for both.
#include <stdlib.h>

#include "bus/base/base64.h"
#include "bus/event/attribute.h"
#include "bus/event/json.h"

// --- writing --------------------------------------------------------------------------------------

static void put_name(json_text *t, bus_view name)
{
    json_put(t, BUS_VIEW(",\""));
    json_put(t, name);
    json_put(t, BUS_VIEW("\":"));
}

static bus_err put_data(json_text *t, bus_view data)
{
    bus_cursor c = bus_cursor_of(data);
    bus_pack_value v;
    if (bus_cursor_next(&c, &v) && v.kind == BUS_PACK_BIN) {
        put_name(t, BUS_VIEW("data_base64"));
        json_put_base64(t, v.as.bytes);
        return BUS_OK;
    }
    put_name(t, BUS_VIEW("data"));
    return json_put_packed(t, data);
}

bus_err bus_event_encode_json(char **out, size_t *len, const bus_event *event)
{
    json_text t = {0};
    bus_err err = bus_event_check(event);
    if (err)
        return err;
    json_put(&t, BUS_VIEW("{\"specversion\":\"1.0\""));
    for (int i = 0; i < ATTRIBUTE_COUNT; i++) {
        const attribute_row *row = &attribute_rows[i];
        bus_view value = attribute_get(event, row);
        if (!value.len)
            continue;
        put_name(&t, (bus_view){row->name, row->name_len});
        json_put_string(&t, value);
    }
    for (uint32_t i = 0; i < event->extra_count && !err; i++) {
        put_name(&t, event->extra[i].name);
        err = json_put_packed(&t, event->extra[i].packed);
    }
    if (event->data.len && !err)
        err = put_data(&t, event->data);
    json_put(&t, BUS_VIEW("}"));
    err = json_finish(&t, err, out, len);
    return err ? bus_note(err, "event '%.*s' as JSON", BUS_VIEW_ARG(event->id)) : BUS_OK;
}

// --- reading --------------------------------------------------------------------------------------

// The bytes of data_base64, as a packed bin in the free end of the scratch.
static bus_err take_base64(bus_event *event, bus_view base64, bus_pack *p)
{
    if (event->data.len)
        return bus_fail(BUS_EINVAL, "both 'data' and 'data_base64' are given");
    size_t len = 0;
    uint8_t *bytes = p->buf + p->len + 5; // behind the longest header, and moved to the real one
    if (!bus_base64_read(bytes, &len, base64))
        return bus_fail(BUS_EINVAL, "'data_base64' is not base64");
    size_t from = p->len;
    bus_pack_bin(p, (bus_view){(const char *)bytes, len});
    event->data = (bus_view){(const char *)p->buf + from, p->len - from};
    return BUS_OK;
}

// No value grows by more than threefold ("1e9" becomes nine bytes); the rest is headers and base64.
static size_t packed_bound(size_t json_len)
{
    return 3 * json_len + json_len + 64;
}

static bus_err decode_json(bus_event *event, bus_view payload, bus_scratch *scratch)
{
    // Text may be longer than the same event packed, but not by more than escapes make it.
    if (payload.len > 6 * bus_event_size_max())
        return bus_fail(BUS_ELIMIT, "%zu bytes of text, at most %zu are allowed", payload.len,
                        6 * bus_event_size_max());
    bus_err err = scratch_need(scratch, packed_bound(payload.len));
    if (err)
        return err;
    bus_pack p = bus_pack_to(scratch->buf, scratch->cap);
    err = bus_pack_from_json(&p, payload);
    if (err)
        return err;
    if (p.len > bus_event_size_max())
        return bus_fail(BUS_ELIMIT, "event of %zu bytes packed, at most %zu are allowed", p.len,
                        bus_event_size_max());
    bus_view base64 = {0};
    err = event_take_map(event, (bus_view){(const char *)p.buf, p.len}, &base64);
    if (!err && base64.ptr)
        err = take_base64(event, base64, &p);
    return err;
}

bus_err bus_event_decode_json(bus_event *out, bus_view payload, bus_scratch *scratch)
{
    bus_event event;
    bus_err err = decode_json(&event, payload, scratch);
    if (err)
        return bus_note(err, "JSON event");
    event_copy(out, &event);
    return BUS_OK;
}
