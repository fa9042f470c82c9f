#include "workhost/planner.h"

#include <stdlib.h>
#include <string.h>

#include "bus/base/log.h"
#include "workhost/code.h"
#include "workhost/runtime/plan.h"

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

// The worker's own settings, then what the scenario's parameters "<worker>.<name>" say.
static json_t *settings_of(const work_record *record, json_t *parameters)
{
    json_t *config = json_copy(record->config);
    size_t len = strlen(record->name);
    const char *name;
    json_t *value;
    json_object_foreach (parameters, name, value) {
        if (strncmp(name, record->name, len) == 0 && name[len] == '.' && json_is_string(value))
            json_object_set(config, name + len + 1, value);
    }
    return config;
}

static json_t *inputs_of(const work_record *record)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < record->input_count; i++)
        json_array_append_new(list, json_string(record->inputs[i]));
    return list;
}

static json_t *worker_of(const work_roster *roster, const work_record *record, json_t *parameters)
{
    char path[1024];
    if (work_code_path(roster->code_dir, record->sha256, path, sizeof path)) {
        bus_warn("worker %s: %s", record->name, bus_err_text());
        return NULL;
    }
    return json_pack("{s:s,s:s,s:s,s:s,s:I,s:s,s:o,s:o}", "name", record->name, "mime",
                     record->mime, "code", path, "sha256", record->sha256, "generation",
                     (json_int_t)record->generation, "start",
                     record->start_first ? "first" : "next", "inputs", inputs_of(record), "config",
                     settings_of(record, parameters));
}

static json_t *workers_of(const work_roster *roster, const char *scenario, const char *strategy,
                          json_t *parameters)
{
    json_t *list = json_array();
    for (size_t i = 0; i < roster->count && json_array_size(list) < WORK_PLAN_WORKERS_MAX; i++) {
        const work_record *record = roster->records[i];
        bool serves = work_record_serves(record, scenario) || strcmp(record->name, strategy) == 0;
        if (!serves || !record->running)
            continue;
        json_t *worker = worker_of(roster, record, parameters);
        if (worker)
            json_array_append_new(list, worker);
    }
    return list;
}

static json_t *broker_of(const bus_daemon_settings *d)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "url", d->nats_url, "creds", d->nats_creds,
                     "user", d->nats_user, "password", d->nats_password, "token", d->nats_token,
                     "ca", d->nats_ca);
}

bool work_plan_is_live(bus_view record_json)
{
    json_t *record = json_loadb(record_json.ptr, record_json.len, 0, NULL);
    // the other two follow the market where they say nothing
    bool live = strcmp(text(json_object_get(record, "market"), "lane"), "act") == 0 &&
                strcmp(text(json_object_get(record, "portfolio"), "lane"), "hyp") != 0 &&
                strcmp(text(json_object_get(record, "strategy"), "lane"), "hyp") != 0;
    json_decref(record);
    return live;
}

bus_err work_plan_make(char **plan, const work_roster *roster, const bus_daemon_settings *daemon,
                       bus_view scenario, bus_view record_json)
{
    char id[WORK_NAME_MAX + 1];
    json_t *record = json_loadb(record_json.ptr, record_json.len, 0, NULL);
    *plan = NULL;
    if (!json_is_object(record) || !bus_view_copy(scenario, id, sizeof id)) {
        json_decref(record);
        return bus_fail(BUS_EDATALOSS, "the record of scenario '%.*s' cannot be read",
                        BUS_VIEW_ARG(scenario));
    }
    const json_t *market = json_object_get(record, "market");
    const json_t *strategy = json_object_get(record, "strategy");
    const json_t *portfolio = json_object_get(record, "portfolio");
    json_t *workers =
        workers_of(roster, id, text(strategy, "id"), json_object_get(record, "parameters"));
    json_t *root = NULL;
    if (json_array_size(workers))
        root = json_pack("{s:s,s:s,s:s,s:s,s:s,s:o,s:s,s:s,s:s,s:O}", "scenario", id, "lane",
                         text(market, "lane"), "selector", text(market, "selector"), "portfolio",
                         text(portfolio, "lane"), "strategy", text(strategy, "lane"), "nats",
                         broker_of(daemon), "clock", daemon->clock, "log_level", daemon->log_level,
                         "log_format", daemon->log_format, "workers", workers);
    if (root)
        *plan = json_dumps(root, JSON_COMPACT);
    bool missing = json_array_size(workers) && !*plan;
    json_decref(root);
    json_decref(workers);
    json_decref(record);
    return missing ? bus_fail(BUS_ENOMEM, "plan of scenario '%s'", id) : BUS_OK;
}
