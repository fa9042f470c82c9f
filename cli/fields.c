#include "cli/fields.h"

bus_err lane_need_text(bus_view data, const char *name, bus_view *out)
{
    if (bus_map_str(data, name, out))
        return BUS_OK;
    return bus_fail(BUS_EINVAL, "data has no text '%s'", name);
}

bus_err lane_need_id(bus_view data, const char *name, uint64_t *out)
{
    int64_t v;
    if (!bus_map_int(data, name, &v) || v < 0)
        return bus_fail(BUS_EINVAL, "data has no id '%s'", name);
    *out = (uint64_t)v;
    return BUS_OK;
}

bus_err lane_need_amount(bus_view data, const char *name, lane_amount *out)
{
    bus_view text;
    bus_err err = lane_need_text(data, name, &text);
    return err ? err : lane_amount_parse(text, out);
}
