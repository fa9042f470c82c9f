#include "cli/progress.h"

#include <string.h>

#include "bus/lane/lane.h"
#include "bus/nats/kv.h"
#include "bus/nats/stream.h"

bus_err lane_stream_of(char out[64], const char *scenario)
{
    bus_err err = bus_lane_check_scenario(bus_view_of(scenario));
    if (!err)
        snprintf(out, 64, "SC_%s", scenario);
    return err;
}

bus_err lane_scenario_range(lane_cli *cli, const char *scenario, char stream[64],
                            bus_seq_range *out)
{
    bus_kv_entry entry = {0};
    bus_err err = lane_stream_of(stream, scenario);
    if (!err)
        err = bus_stream_range(cli->conn, stream, out);
    if (err != BUS_ENOTFOUND)
        return err;
    err = bus_kv_get(cli->conn, "scenarios", scenario, &entry);
    bus_kv_entry_release(&entry);
    if (err == BUS_ENOTFOUND)
        return bus_fail(err, "scenario '%s' is not registered", scenario);
    return err ? err : bus_fail(BUS_ENOTFOUND, "scenario '%s' has no stream %s", scenario, stream);
}

json_t *lane_progress_row(bus_view key, bus_view value)
{
    static const char *const fields[] = {"runid", "session", "start_seq", "done_seq"};
    const char *worker = key.len > 3 ? strchr(key.ptr + 3, '.') : NULL;
    if (!worker || strchr(worker + 1, '.'))
        return NULL;
    json_t *record = lane_json_parse(value);
    json_t *row = json_pack("{s:s}", "worker", worker + 1);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        json_t *field = json_object_get(record, fields[i]);
        bool number = i >= 2;
        if (number ? json_is_integer(field) : json_is_string(field))
            json_object_set(row, fields[i], field);
    }
    json_t *end = json_object_get(record, "end");
    if (json_is_boolean(end))
        json_object_set(row, "end", end);
    json_decref(record);
    return row;
}

static void add_progress(void *ctx, const bus_kv_entry *entry)
{
    json_t *row = lane_progress_row(entry->key, entry->value);
    if (row)
        json_array_append_new(ctx, row);
}

bus_err lane_progress_read(lane_cli *cli, const char *scenario, json_t **out)
{
    char pattern[64];
    json_t *list = json_array();
    snprintf(pattern, sizeof pattern, "sc.%s.*", scenario);
    bus_err err = bus_kv_each(cli->conn, "workers", pattern, add_progress, list);
    if (err)
        json_decref(list);
    else
        *out = list;
    return err;
}
