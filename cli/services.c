#include "cli/services.h"

#include "bus/event/identity.h"
#include "cli/verbs.h"

bus_err lane_services_ask(lane_cli *cli, const char *verb, const char *name, json_t **answers)
{
    char inbox[80], subject[160], id[BUS_UUID_TEXT];
    bus_sub *sub = NULL;
    bus_err err = bus_identity_run(id);
    snprintf(inbox, sizeof inbox, "_INBOX.lane.%s", id);
    snprintf(subject, sizeof subject, "$SRV.%s%s%s", verb, name ? "." : "", name ? name : "");
    if (!err)
        err = bus_sub_open(&sub, cli->conn, &(bus_sub_opts){.subject = inbox});
    uint64_t denials = bus_conn_denials(cli->conn);
    if (!err)
        err = bus_publish(cli->conn, subject, inbox, NULL, 0, (bus_view){0});
    json_t *list = json_array();
    bus_mono end = bus_mono_add(bus_now_mono(), BUS_SPAN_S(2));
    while (!err && bus_now_mono().ns < end.ns) {
        bus_msg *msg = bus_sub_next(sub, BUS_SPAN_MS(250));
        if (!msg || bus_msg_no_responders(msg)) {
            bus_msg_release(msg);
            break;
        }
        bus_view text = bus_msg_payload(msg);
        json_t *answer = lane_json_parse(text);
        if (answer)
            json_array_append_new(list, answer);
        bus_msg_release(msg);
    }
    bus_sub_close(sub);
    if (!err && json_array_size(list) == 0)
        err = bus_conn_denied(cli->conn, subject, denials);
    if (err)
        json_decref(list);
    else
        *answers = list;
    return err;
}

static int run_ls(lane_cli *cli)
{
    static const lane_column columns[] = {{"SERVICE", "name"},    {"VERSION", "version"},
                                          {"ENDPOINTS", "count"}, {"DESCRIPTION", "description"},
                                          {"ID", "id"},           {0}};
    json_t *answers, *row;
    size_t i;
    bus_err err = lane_connect(cli);
    if (!err)
        err = lane_services_ask(cli, "INFO", NULL, &answers);
    if (err)
        return lane_fail(cli, err);
    json_array_foreach (answers, i, row)
        json_object_set_new(
            row, "count",
            json_integer((json_int_t)json_array_size(json_object_get(row, "endpoints"))));
    lane_rows(cli, columns, answers);
    return 0;
}

// Every endpoint of a service with its counters.
static json_t *endpoints_of(const json_t *services)
{
    json_t *rows = json_array(), *service, *endpoint;
    size_t i, j;
    json_array_foreach (services, i, service) {
        json_array_foreach (json_object_get(service, "endpoints"), j, endpoint) {
            json_t *row = json_deep_copy(endpoint);
            json_object_set(row, "service", json_object_get(service, "name"));
            json_array_append_new(rows, row);
        }
    }
    return rows;
}

static int run_info(lane_cli *cli)
{
    static const lane_column columns[] = {
        {"SERVICE", "service"},       {"ENDPOINT", "name"},
        {"SUBJECT", "subject"},       {"REQUESTS", "num_requests"},
        {"ERRORS", "num_errors"},     {"AVERAGE NS", "average_processing_time"},
        {"LAST ERROR", "last_error"}, {0}};
    json_t *answers;
    const char *name = lane_arg(cli, 0);
    bus_err err = lane_connect(cli);
    if (!err)
        err = lane_services_ask(cli, "STATS", name, &answers);
    if (!err && name && json_array_size(answers) == 0) {
        json_decref(answers);
        err = bus_fail(BUS_ENOTFOUND, "no service '%s' answers", name);
    }
    if (err)
        return lane_fail(cli, err);
    lane_rows(cli, columns, endpoints_of(answers));
    json_decref(answers);
    return 0;
}

const lane_verb lane_services_verbs[] = {
    {"services ls", "", 0, 0, "what answers on the bus", NULL, run_ls},
    {"services info", "[NAME]", 0, 1, "endpoints and their counters", NULL, run_info},
    {0},
};
