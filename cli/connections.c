// lane connections: the venue connections, as feedd keeps them in the bucket. Source:
// schemas/specs/feed-events.md, "Connection record and lifecycle".
#include "bus/nats/kv.h"
#include "cli/session.h"
#include "cli/verbs.h"

static void add_connection(void *ctx, const bus_kv_entry *entry)
{
    json_t *row = lane_json_parse(entry->value);
    if (!row)
        row = json_pack("{s:o,s:s}", "id", lane_json_view(entry->key), "status",
                        "(its record is no JSON)");
    json_object_set_new(row, "changed", lane_json_time(entry->time.ns));
    json_array_append_new(ctx, row);
}

static int run_connections(lane_cli *cli)
{
    static const lane_column columns[] = {{"CONNECTION", "id"},
                                          {"STATUS", "status"},
                                          {"URL", "url"},
                                          {"TOPIC", "topic"},
                                          {"INSTANCE", "instance_id"},
                                          {"CHANGED", "changed"},
                                          {0}};
    json_t *rows = json_array();
    bus_err err = lane_connect(cli);
    if (!err)
        err = bus_kv_each(cli->conn, "connections", NULL, add_connection, rows);
    if (err) {
        json_decref(rows);
        return lane_fail(cli, err);
    }
    lane_rows(cli, columns, rows);
    return 0;
}

const lane_verb lane_connections_verbs[] = {
    {"connections", "", 0, 0, "venue connections", NULL, run_connections},
    {0},
};
