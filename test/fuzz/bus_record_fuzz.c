// What a bus client reads of the buckets `scenarios` and `replays`.
#include <stdlib.h>
#include <string.h>

#include "bus/nats/participant_impl.h"
#include "bus/nats/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    replay_record record = {0};
    bus_view json = {(const char *)data, size};
    if (bus_scenario_status_read(json) == BUS_SCENARIO_NONE)
        abort(); // who has a record is registered
    if (bus_part_record_read(&record, json) && !(*record.runid && *record.stream && *record.state))
        abort();
    return 0;
}
