#include "store/worker_start.h"

#include <jansson.h>
#include <stdio.h>

#include "bus/nats/kv.h"

uint64_t store_worker_start_of(bus_view json)
{
    json_t *record = json_loadb(json.ptr ? json.ptr : "", json.len, 0, NULL);
    json_int_t start = json_integer_value(json_object_get(record, "start_seq"));
    json_decref(record);
    return start > 0 ? (uint64_t)start : 0;
}

static void lowest(void *ctx, const bus_kv_entry *entry)
{
    uint64_t *seq = ctx, start = store_worker_start_of(entry->value);
    if (start && (*seq == 0 || start < *seq))
        *seq = start;
}

bus_err store_worker_start(bus_conn *conn, const char *scenario, uint64_t *seq)
{
    char pattern[64];
    snprintf(pattern, sizeof pattern, "sc.%s.>", scenario);
    *seq = 0;
    bus_err err = bus_kv_each(conn, "workers", pattern, lowest, seq);
    if (err == BUS_ENOTFOUND)
        return BUS_OK;
    return bus_note(err, "where the workers of '%s' began", scenario);
}
