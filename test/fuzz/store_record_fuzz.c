// Records of the buckets `scenarios` and `replays`: read or refused; what was read is written and read again.
#include <stdlib.h>
#include <string.h>

#include "store/replay_form.h"
#include "store/scenario.h"

static void try_scenario(bus_view json)
{
    store_scenario s = {0}, again = {0};
    char *text = NULL;
    size_t len = 0;
    if (store_scenario_from_json(&s, "bt1", json))
        return;
    if (store_scenario_to_json(&s, &text, &len) ||
        store_scenario_from_json(&again, "bt1", (bus_view){text, len}))
        abort();
    free(text);
    store_scenario_release(&s);
    store_scenario_release(&again);
}

static void try_replay(bus_view json)
{
    static store_replay_info info;
    char *text = NULL;
    size_t len = 0;
    if (store_replay_from_json(&info, "mon", json))
        return;
    store_replay_proto_free(store_replay_to_proto(&info));
    if (store_replay_to_json(&info, &text, &len) == BUS_OK)
        free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    bus_view json = {(const char *)data + 1, size - 1};
    if (data[0] & 1)
        try_scenario(json);
    else
        try_replay(json);
    return 0;
}
