// lane workers: the workers of workhostd, through its service. Source: schemas/specs/workers.md.
#include "cli/workers.h"

#include <ctype.h>
#include <string.h>

#include "cli/call.h"
#include "cli/verbs.h"
#include "virtufin/workmanager/v1/workmanager.pb-c.h"

#define RPC(method_, request_, reply_)                                                             \
    {                                                                                              \
        "virtufin.workmanager.v1.WorkManager", method_,                                            \
            &virtufin__workmanager__v1__##request_##__descriptor,                                  \
            &virtufin__workmanager__v1__##reply_##__descriptor                                     \
    }

// The service's enum is WORKER_STATUS_RUNNING; people say running.
static void say_status(json_t *worker)
{
    static const char prefix[] = "WORKER_STATUS_";
    const char *status = json_string_value(json_object_get(worker, "status"));
    char word[32];
    size_t len = 0;
    if (!status || strncmp(status, prefix, sizeof prefix - 1) != 0)
        return;
    for (const char *s = status + sizeof prefix - 1; *s && len + 1 < sizeof word; s++)
        word[len++] = (char)tolower((unsigned char)*s);
    word[len] = '\0';
    json_object_set_new(worker, "status", json_string(word));
}

bus_err lane_workers_list(lane_cli *cli, json_t **workers)
{
    static const lane_rpc rpc = RPC("ListWorkers", list_workers_request, list_workers_reply);
    json_t *reply = NULL;
    bus_err err = lane_call(cli, &rpc, json_object(), &reply);
    if (err)
        return err;
    json_t *rows = json_object_get(reply, "workers");
    *workers = rows ? json_incref(rows) : json_array();
    size_t i;
    json_t *worker;
    json_array_foreach (*workers, i, worker)
        say_status(worker);
    json_decref(reply);
    return BUS_OK;
}

// One row for each scenario a worker serves.
static json_t *by_instance(const json_t *workers)
{
    json_t *rows = json_array(), *worker, *instance;
    size_t i, j;
    json_array_foreach (workers, i, worker) {
        const json_t *instances = json_object_get(worker, "instances");
        if (json_array_size(instances) == 0)
            json_array_append(rows, worker);
        json_array_foreach (instances, j, instance) {
            json_t *row = json_copy(worker);
            json_object_set(row, "instance", instance);
            json_array_append_new(rows, row);
        }
    }
    return rows;
}

static int run_ls(lane_cli *cli)
{
    static const lane_column columns[] = {{"WORKER", "id"},
                                          {"STATUS", "status"},
                                          {"SCENARIO", "instance.scenario"},
                                          {"STATE", "instance.state"},
                                          {"PID", "instance.pid"},
                                          {"RESTARTS", "instance.restarts"},
                                          {"ERROR", "instance.error"},
                                          {0}};
    json_t *workers = NULL;
    bus_err err = lane_workers_list(cli, &workers);
    if (err)
        return lane_fail(cli, err);
    json_t *rows = cli->json ? json_incref(workers) : by_instance(workers);
    json_decref(workers);
    lane_rows(cli, columns, rows);
    return 0;
}

static int run_info(lane_cli *cli)
{
    json_t *workers = NULL, *worker, *found = NULL;
    size_t i;
    bus_err err = lane_workers_list(cli, &workers);
    if (err)
        return lane_fail(cli, err);
    json_array_foreach (workers, i, worker) {
        const char *id = json_string_value(json_object_get(worker, "id"));
        if (id && strcmp(id, lane_arg(cli, 0)) == 0)
            found = json_incref(worker);
    }
    json_decref(workers);
    if (!found)
        return lane_fail(cli, bus_fail(BUS_ENOTFOUND, "no worker '%s'", lane_arg(cli, 0)));
    lane_object(cli, found);
    return 0;
}

static int change(lane_cli *cli, const lane_rpc *rpc)
{
    json_t *reply = NULL;
    bus_err err = lane_call(cli, rpc, json_pack("{s:s}", "id", lane_arg(cli, 0)), &reply);
    json_decref(reply);
    return err ? lane_fail(cli, err) : 0;
}

static int run_start(lane_cli *cli)
{
    static const lane_rpc rpc = RPC("StartWorker", start_worker_request, start_worker_reply);
    return change(cli, &rpc);
}

static int run_stop(lane_cli *cli)
{
    static const lane_rpc rpc = RPC("StopWorker", stop_worker_request, stop_worker_reply);
    return change(cli, &rpc);
}

const lane_verb lane_workers_verbs[] = {
    {"workers ls", "", 0, 0, "workers, and what runs of them in which scenario", NULL, run_ls},
    {"workers info", "ID", 1, 1, "one worker", NULL, run_info},
    {"workers start", "ID", 1, 1, "start it in the scenarios it serves", NULL, run_start},
    {"workers stop", "ID", 1, 1, "stop it everywhere", NULL, run_stop},
    {0},
};
