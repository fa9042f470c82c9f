#include "bus/event/attribute.h"

#include <stdlib.h>

#include "bus/event/text.h"

#define KIND_id              ATTRIBUTE_TEXT, true
#define KIND_source          ATTRIBUTE_URI_REF, true
#define KIND_type            ATTRIBUTE_TEXT, true
#define KIND_subject         ATTRIBUTE_TEXT, true
#define KIND_time            ATTRIBUTE_TIME, true
#define KIND_datacontenttype ATTRIBUTE_MEDIA, true
#define KIND_dataschema      ATTRIBUTE_URI, true
#define KIND_correlationid   ATTRIBUTE_TEXT, false
#define KIND_causationid     ATTRIBUTE_TEXT, false
#define KIND_causationseq    ATTRIBUTE_TEXT, false
#define KIND_scenarioid      ATTRIBUTE_TEXT, false
#define KIND_runid           ATTRIBUTE_TEXT, false
#define KIND_exchange        ATTRIBUTE_TEXT, false
#define KIND_clocktype       ATTRIBUTE_TEXT, false
#define KIND_eventtime       ATTRIBUTE_TIME, false
#define KIND_recordedtime    ATTRIBUTE_TIME, false
#define KIND_walltime        ATTRIBUTE_TIME, false
#define KIND_marketlane      ATTRIBUTE_TEXT, false
#define KIND_marketselector  ATTRIBUTE_TEXT, false
#define KIND_portfoliolane   ATTRIBUTE_TEXT, false
#define KIND_strategylane    ATTRIBUTE_TEXT, false
#define KIND_replytopic      ATTRIBUTE_TEXT, false
#define KIND_traceparent     ATTRIBUTE_TEXT, false

const attribute_row attribute_rows[ATTRIBUTE_COUNT] = {
#define X(field, name)                                                                             \
    {0xa0 | (sizeof(name) - 1), name, sizeof(name) - 1, KIND_##field, offsetof(bus_event, field)},
    BUS_EVENT_ATTRIBUTES(X)
#undef X
};

// As published; CloudEvents allows no dot in a name, so on the wire they are written without it.
static const struct {
    const char *dotted, *name;
} spellings[] = {
    {"market.lane", "marketlane"},
    {"market.selector", "marketselector"},
    {"portfolio.lane", "portfoliolane"},
    {"strategy.lane", "strategylane"},
};

static bool row_is(const attribute_row *row, bus_view name)
{
    return row->name_len == name.len && memcmp(row->name, name.ptr, name.len) == 0;
}

static const attribute_row *find_dotted(bus_view name)
{
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
        if (bus_view_is(name, spellings[i].dotted))
            return attribute_find(bus_view_of(spellings[i].name), 0);
    return NULL;
}

const attribute_row *attribute_find(bus_view name, unsigned guess)
{
    for (unsigned i = guess; i < ATTRIBUTE_COUNT; i++)
        if (row_is(&attribute_rows[i], name))
            return &attribute_rows[i];
    for (unsigned i = 0; i < guess && i < ATTRIBUTE_COUNT; i++)
        if (row_is(&attribute_rows[i], name))
            return &attribute_rows[i];
    return name.len && memchr(name.ptr, '.', name.len) ? find_dotted(name) : NULL;
}

bus_view *bus_event_attribute(bus_event *event, bus_view name)
{
    const attribute_row *row = attribute_find(name, 0);
    return row ? attribute_slot(event, row) : NULL;
}

static bus_err broken(const char *what, bus_view name, const char *rule, size_t at, bus_view value)
{
    return bus_fail(BUS_EINVAL, "%s '%.*s' %s (byte %zu of '%.*s')", what, BUS_VIEW_ARG(name), rule,
                    at, (int)(value.len > 100 ? 100 : value.len), value.ptr);
}

static bus_view row_name(const attribute_row *row)
{
    return (bus_view){row->name, row->name_len};
}

bus_err attribute_check(const attribute_row *row, bus_view value)
{
    size_t at = 0;
    const char *rule = NULL;
    switch ((attribute_kind)row->kind) {
    case ATTRIBUTE_TEXT:
        rule = bus_text_attribute(value, &at);
        break;
    case ATTRIBUTE_URI_REF:
        rule = bus_text_uri_ref(value, &at);
        break;
    case ATTRIBUTE_URI:
        rule = bus_text_uri(value, &at);
        break;
    case ATTRIBUTE_TIME:
        rule = bus_text_time(value, &at);
        break;
    case ATTRIBUTE_MEDIA:
        rule = bus_text_media_type(value, &at);
        break;
    }
    return rule ? broken("attribute", row_name(row), rule, at, value) : BUS_OK;
}

bus_err attribute_set(bus_event *event, const attribute_row *row, bus_view value)
{
    bus_view *slot = attribute_slot(event, row);
    if (slot->len)
        return bus_fail(BUS_EINVAL, "attribute '%s' is given twice", row->name);
    if (value.len == 0) {
        if (row->core || row->kind == ATTRIBUTE_TIME)
            return bus_fail(BUS_EINVAL, "attribute '%s' must not be empty", row->name);
        return BUS_OK; // an empty extension says as much as an absent one
    }
    bus_err err = attribute_check(row, value);
    if (!err)
        *slot = value;
    return err;
}

static bool is_reserved(bus_view name)
{
    return bus_view_is(name, "data") || bus_view_is(name, "specversion") ||
           attribute_find(name, 0) != NULL;
}

static bus_err check_extra_value(const bus_event_extra *extra)
{
    bus_cursor c = bus_cursor_of(extra->packed);
    bus_pack_value v;
    if (!bus_cursor_next(&c, &v))
        return bus_fail(BUS_EINVAL, "extension '%.*s' holds no packed value",
                        BUS_VIEW_ARG(extra->name));
    size_t at = 0;
    const char *rule = "must be a string, a boolean, a 32-bit integer or bytes";
    if (v.kind == BUS_PACK_STR)
        rule = bus_text_attribute(v.as.bytes, &at);
    else if (v.kind == BUS_PACK_BOOL || v.kind == BUS_PACK_BIN)
        rule = NULL;
    else if (v.kind == BUS_PACK_INT && v.as.integer >= INT32_MIN && v.as.integer <= INT32_MAX)
        rule = NULL;
    if (!rule && c.at != c.end)
        rule = "must be one value";
    if (rule)
        return bus_fail(BUS_EINVAL, "extension '%.*s' %s (byte %zu)", BUS_VIEW_ARG(extra->name),
                        rule, at);
    return BUS_OK;
}

bus_err attribute_check_extra(const bus_event_extra *extra)
{
    size_t at = 0;
    const char *rule = bus_text_name(extra->name, &at);
    if (rule)
        return broken("extension name", extra->name, rule, at, extra->name);
    if (is_reserved(extra->name))
        return bus_fail(BUS_EINVAL, "extension '%.*s' has the name of an attribute",
                        BUS_VIEW_ARG(extra->name));
    return check_extra_value(extra);
}

bus_err attribute_add_extra(bus_event *event, bus_view name, bus_view packed)
{
    bus_event_extra extra = {name, packed};
    bus_err err = attribute_check_extra(&extra);
    if (err)
        return err;
    if (event->extra_count == BUS_EVENT_EXTRA_MAX)
        return bus_fail(BUS_ELIMIT, "extension '%.*s' is one more than the %d allowed",
                        BUS_VIEW_ARG(name), BUS_EVENT_EXTRA_MAX);
    for (uint32_t i = 0; i < event->extra_count; i++)
        if (bus_view_eq(event->extra[i].name, name))
            return bus_fail(BUS_EINVAL, "extension '%.*s' is given twice", BUS_VIEW_ARG(name));
    event->extra[event->extra_count++] = extra;
    return BUS_OK;
}

bus_err attribute_check_required(const bus_event *event)
{
    const char *missing = event->id.len == 0       ? "id"
                          : event->source.len == 0 ? "source"
                          : event->type.len == 0   ? "type"
                                                   : NULL;
    return missing ? bus_fail(BUS_EINVAL, "required attribute '%s' is missing", missing) : BUS_OK;
}

bus_err scratch_need(bus_scratch *scratch, size_t need)
{
    if (need <= scratch->cap)
        return BUS_OK;
    size_t cap = scratch->cap ? scratch->cap : 4096;
    while (cap < need)
        cap *= 2;
    uint8_t *buf = realloc(scratch->buf, cap);
    if (!buf)
        return bus_fail(BUS_ENOMEM, "event scratch of %zu bytes", cap);
    scratch->buf = buf;
    scratch->cap = cap;
    return BUS_OK;
}

void bus_scratch_release(bus_scratch *scratch)
{
    if (!scratch)
        return;
    free(scratch->buf);
    *scratch = (bus_scratch){0};
}
