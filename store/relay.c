#include "store/relay.h"

#include <stdio.h>

// Each account's own name for the stream, and how it sees the one before it.
static const struct {
    const char *api, *suffix, *origin_api, *origin_suffix, *deliver;
} steps[] = {
    [STORE_RELAY_FIRST] = {"$JS.RELAY1.API", "_RELAY1", "$JS.LIVE.API", "", "xfer.relay1"},
    [STORE_RELAY_SECOND] = {"$JS.RELAY2.API", "_RELAY2", "$JS.RELAY1.API", "_RELAY1",
                            "xfer.relay2"},
    [STORE_RELAY_RESEARCH] = {NULL, "", "$JS.RELAY2.API", "_RELAY2", "xfer.research"},
};

void store_relay_make(store_relay *out, const bus_stream_def *live, store_relay_step step)
{
    out->def = *live;
    snprintf(out->name, sizeof out->name, "%s%s", live->name, steps[step].suffix);
    snprintf(out->origin, sizeof out->origin, "%s%s", live->name, steps[step].origin_suffix);
    snprintf(out->deliver, sizeof out->deliver, "%s.%s", steps[step].deliver, live->name);
    out->def.name = out->name;
    out->def.api = steps[step].api;
    out->def.mirror = (bus_stream_origin){
        .name = out->origin, .api = steps[step].origin_api, .deliver = out->deliver};
}
