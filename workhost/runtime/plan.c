#include "workhost/runtime/plan.h"

#include <jansson.h>
#include <string.h>

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static bus_err parse_worker(work_plan_worker *w, const json_t *json)
{
    const json_t *inputs = json_object_get(json, "inputs");
    json_t *config = json_object_get(json, "config");
    const char *name;
    json_t *value;
    w->name = text(json, "name");
    w->mime = text(json, "mime");
    w->code = text(json, "code");
    w->sha256 = text(json, "sha256");
    w->generation = (uint64_t)json_integer_value(json_object_get(json, "generation"));
    w->start_first = strcmp(text(json, "start"), "first") == 0;
    if (!*w->name || json_array_size(inputs) > WORK_INPUTS_MAX ||
        json_object_size(config) > WORK_SETTINGS_MAX)
        return bus_fail(BUS_EINVAL, "plan: a worker without name, or with too many inputs");
    for (size_t i = 0; i < json_array_size(inputs); i++) {
        w->inputs[i] = json_string_value(json_array_get(inputs, i));
        w->input_count += w->inputs[i] != NULL;
    }
    json_object_foreach (config, name, value) {
        w->settings[w->setting_count++] = (work_setting){name, json_string_value(value)};
        if (!json_is_string(value))
            return bus_fail(BUS_EINVAL, "plan: setting '%.80s' is not a text", name);
    }
    if (w->input_count != json_array_size(inputs))
        return bus_fail(BUS_EINVAL, "plan: an input of worker '%s' is not a text", w->name);
    return BUS_OK;
}

bus_err work_plan_parse(work_plan *out, const char *json, size_t len)
{
    bus_err err = BUS_OK;
    json_error_t why;
    *out = (work_plan){0};
    json_t *root = json_loadb(json, len, 0, &why);
    if (!root)
        return bus_fail(BUS_EINVAL, "plan: %s", why.text);
    out->owner = root;
    const json_t *nats = json_object_get(root, "nats");
    const json_t *workers = json_object_get(root, "workers");
    out->scenario = text(root, "scenario");
    out->hyp = strcmp(text(root, "lane"), "hyp") == 0;
    out->selector = text(root, "selector");
    out->portfolio = text(root, "portfolio");
    out->strategy = text(root, "strategy");
    out->clock = text(root, "clock");
    out->log_level = text(root, "log_level");
    out->log_format = text(root, "log_format");
    out->conn = (bus_conn_opts){.url = text(nats, "url"),
                                .creds = text(nats, "creds"),
                                .user = text(nats, "user"),
                                .password = text(nats, "password"),
                                .token = text(nats, "token"),
                                .ca = text(nats, "ca")};
    if (!*out->scenario || json_array_size(workers) > WORK_PLAN_WORKERS_MAX) {
        err = bus_fail(BUS_EINVAL, "plan: no scenario, or more than %d workers",
                       WORK_PLAN_WORKERS_MAX);
        goto done;
    }
    for (size_t i = 0; i < json_array_size(workers) && !err; i++)
        err = parse_worker(&out->workers[out->worker_count++], json_array_get(workers, i));
done:
    if (err)
        work_plan_release(out);
    return err;
}

void work_plan_release(work_plan *plan)
{
    json_decref(plan->owner);
    plan->owner = NULL;
}
