#include "bus/nats/rights.h"

#include <jansson.h>

#include "bus/lane/lane.h"

enum { ASK_MS = 1000 };

static bool any(const json_t *patterns, bus_view subject)
{
    size_t at;
    json_t *item;
    json_array_foreach (patterns, at, item) {
        const char *pattern = json_string_value(item);
        if (pattern && bus_subject_match(bus_view_of(pattern), subject))
            return true;
    }
    return false;
}

bool bus_rights_read(bus_view info, const char *subject)
{
    json_t *answer = json_loadb(info.ptr, info.len, 0, NULL);
    const json_t *data = json_object_get(answer, "data");
    const json_t *publish = json_object_get(json_object_get(data, "permissions"), "publish");
    const json_t *allow = json_object_get(publish, "allow");
    bus_view view = bus_view_of(subject);
    bool may = (json_array_size(allow) == 0 || any(allow, view)) &&
               !any(json_object_get(publish, "deny"), view);
    json_decref(answer);
    return may;
}

bool bus_rights_publish(bus_conn *conn, const char *subject)
{
    bus_msg *reply = NULL;
    bus_err err = bus_request(conn, "$SYS.REQ.USER.INFO", NULL, 0, (bus_view){0},
                              BUS_SPAN_MS(ASK_MS), &reply);
    bool may = err || bus_rights_read(bus_msg_payload(reply), subject);
    bus_msg_release(reply);
    return may;
}
