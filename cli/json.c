#include "cli/json.h"

#include "bus/base/time.h"

json_t *lane_json_parse(bus_view text)
{
    return json_loadb(text.ptr ? text.ptr : "", text.len, 0, NULL);
}

const char *lane_json_text(const json_t *object, const char *field)
{
    const char *value = json_string_value(json_object_get(object, field));
    return value ? value : "";
}

uint64_t lane_json_u64(const json_t *object, const char *field)
{
    uint64_t v = 0;
    const json_t *value = json_object_get(object, field);
    if (json_is_string(value))
        bus_view_u64(bus_view_of(json_string_value(value)), &v);
    return json_is_integer(value) ? (uint64_t)json_integer_value(value) : v;
}

json_t *lane_json_view(bus_view text)
{
    json_t *value = json_stringn(text.ptr ? text.ptr : "", text.len);
    return value ? value : json_null();
}

json_t *lane_json_time(int64_t ns)
{
    char text[BUS_TIME_TEXT];
    bus_time_format(ns, text);
    return json_string(text);
}
