#include "workhost/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/kill_point.h"
#include "bus/lane/lane.h"
#include "workhost/runtime/progress.h"

bus_err work_record_new(work_record **out, const char *name)
{
    bus_err err = bus_lane_check_name(bus_view_of(name), "worker name");
    if (err)
        return err;
    work_record *r = calloc(1, sizeof *r);
    if (r) {
        r->config = json_object();
        r->tags = json_object();
        r->history = json_array();
    }
    if (!r || !r->config || !r->tags || !r->history) {
        work_record_free(r);
        return bus_fail(BUS_ENOMEM, "worker record");
    }
    snprintf(r->name, sizeof r->name, "%s", name);
    snprintf(r->mime, sizeof r->mime, "application/x-native-dll");
    bus_time_format(bus_now_wall().ns, r->created_at);
    *out = r;
    return BUS_OK;
}

void work_record_free(work_record *r)
{
    if (!r)
        return;
    json_decref(r->config);
    json_decref(r->tags);
    json_decref(r->history);
    free(r);
}

// The part of a subject behind its lane: "act." and "hyp.<selector>." are the scenario's matter.
static const char *without_lane(const char *input)
{
    if (strncmp(input, "act.", 4) == 0)
        return input + 4;
    if (strncmp(input, "hyp.", 4) == 0 && strchr(input + 4, '.'))
        return strchr(input + 4, '.') + 1;
    return input;
}

bus_err work_record_add_input(work_record *r, const char *input)
{
    const char *plain = without_lane(input);
    bus_err err = bus_subject_check(bus_view_of(plain), true);
    if (err)
        return bus_note(err, "input '%.80s'", input);
    if (strncmp(plain, "exchange.", 9) != 0)
        return bus_fail(BUS_EINVAL,
                        "input '%.80s': a market lane is wanted, exchange.<venue>.<entity>.<event>",
                        input);
    if (strlen(plain) > 200)
        return bus_fail(BUS_ELIMIT, "input '%.40s…' is longer than 200 bytes", input);
    if (r->input_count == WORK_RECORD_INPUTS)
        return bus_fail(BUS_ELIMIT, "more than %d inputs", WORK_RECORD_INPUTS);
    snprintf(r->inputs[r->input_count++], sizeof r->inputs[0], "%s", plain);
    return BUS_OK;
}

bus_err work_record_add_scenario(work_record *r, const char *scenario)
{
    bus_err err = bus_lane_check_scenario(bus_view_of(scenario));
    if (err)
        return err;
    if (r->scenario_count == WORK_RECORD_SCENARIOS)
        return bus_fail(BUS_ELIMIT, "more than %d scenarios", WORK_RECORD_SCENARIOS);
    snprintf(r->scenarios[r->scenario_count++], sizeof r->scenarios[0], "%s", scenario);
    return BUS_OK;
}

bool work_record_serves(const work_record *r, const char *scenario)
{
    for (uint32_t i = 0; i < r->scenario_count; i++) {
        if (strcmp(r->scenarios[i], scenario) == 0)
            return true;
    }
    return false;
}

void work_record_set_code(work_record *r, const char *sha256, uint64_t bytes, const char *source)
{
    char now[BUS_TIME_TEXT];
    bus_time_format(bus_now_wall().ns, now);
    snprintf(r->sha256, sizeof r->sha256, "%s", sha256);
    snprintf(r->source, sizeof r->source, "%s", source);
    r->bytes = bytes;
    r->generation++;
    r->error[0] = '\0';
    json_array_append_new(r->history, json_pack("{s:s,s:s,s:s}", "sha256", sha256, "code_source",
                                                source, "created_at", now));
}

// --- JSON --------------------------------------------------------------------------------------------

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static const char *item(const json_t *list, size_t i)
{
    const char *value = json_string_value(json_array_get(list, i));
    return value ? value : "";
}

static bus_err wrong(const char *key, const char *rule)
{
    return bus_fail(BUS_EDATALOSS, "'%s' is not %s", key, rule);
}

static bus_err take_text(const json_t *object, const char *key, char *out, size_t cap)
{
    const char *value = text(object, key);
    if (strlen(value) >= cap)
        return bus_fail(BUS_EDATALOSS, "'%s' is longer than %zu bytes", key, cap - 1);
    snprintf(out, cap, "%s", value);
    return BUS_OK;
}

static bus_err take_number(const json_t *object, const char *key, uint64_t *out)
{
    json_int_t n = json_integer_value(json_object_get(object, key));
    if (n < 0)
        return wrong(key, "a number from 0 on");
    *out = (uint64_t)n;
    return BUS_OK;
}

// An object of texts.
static bus_err take_texts(const json_t *object, const char *key, json_t **out, size_t max)
{
    json_t *value = json_object_get(object, key), *one;
    const char *name;
    if (!json_is_object(value))
        return value ? wrong(key, "an object") : BUS_OK;
    if (json_object_size(value) > max)
        return bus_fail(BUS_EDATALOSS, "'%s' has more than %zu pairs", key, max);
    json_object_foreach (value, name, one)
        if (!json_is_string(one))
            return wrong(key, "all texts");
    json_decref(*out);
    *out = json_incref(value);
    return BUS_OK;
}

// It names a file: nothing but a hash may get there.
static bus_err check_sha256(const char *hash)
{
    size_t len = strlen(hash);
    if (len == 0 || (len == 64 && strspn(hash, "0123456789abcdef") == 64))
        return BUS_OK;
    return wrong("sha256", "64 hex digits");
}

static bus_err take_code(work_record *r, const json_t *code)
{
    bus_err err = take_text(code, "sha256", r->sha256, sizeof r->sha256);
    if (!err)
        err = check_sha256(r->sha256);
    if (!err)
        err = take_text(code, "source", r->source, sizeof r->source);
    return err ? err : take_number(code, "bytes", &r->bytes);
}

static bus_err take_words(work_record *r, const json_t *root)
{
    bus_err err = take_text(root, "mime_type", r->mime, sizeof r->mime);
    if (!err)
        err = take_text(root, "created_at", r->created_at, sizeof r->created_at);
    if (!err)
        err = take_text(root, "group", r->group, sizeof r->group);
    if (!err)
        err = take_text(root, "file", r->file, sizeof r->file);
    if (!err)
        err = take_number(root, "generation", &r->generation);
    r->declared = json_is_true(json_object_get(root, "declared"));
    r->running = strcmp(text(root, "status"), "running") == 0;
    r->start_first = strcmp(text(root, "start"), "first") == 0;
    return err;
}

static bus_err take_lists(work_record *r, const json_t *root)
{
    const json_t *inputs = json_object_get(root, "inputs");
    const json_t *scenarios = json_object_get(root, "scenarios");
    json_t *history = json_object_get(root, "history");
    bus_err err = take_texts(root, "config", &r->config, WORK_RECORD_CONFIG);
    if (!err)
        err = take_texts(root, "tags", &r->tags, WORK_RECORD_TAGS);
    for (size_t i = 0; i < json_array_size(inputs) && !err; i++)
        err = work_record_add_input(r, item(inputs, i));
    for (size_t i = 0; i < json_array_size(scenarios) && !err; i++)
        err = work_record_add_scenario(r, item(scenarios, i));
    if (!err && json_is_array(history)) {
        json_decref(r->history);
        r->history = json_incref(history);
    }
    return err;
}

bus_err work_record_from_json(work_record **out, bus_view json)
{
    work_record *r = NULL;
    json_t *root = json_loadb(json.ptr ? json.ptr : "", json.len, JSON_REJECT_DUPLICATES, NULL);
    bus_err err = json_is_object(root) ? work_record_new(&r, text(root, "id"))
                                       : bus_fail(BUS_EDATALOSS, "not a JSON object");
    if (!err)
        err = take_words(r, root);
    if (!err)
        err = take_code(r, json_object_get(root, "code"));
    if (!err)
        err = take_lists(r, root);
    json_decref(root);
    if (err)
        work_record_free(r);
    else
        *out = r;
    return err;
}

static json_t *list_of(const char *first, size_t stride, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(first + i * stride));
    return list;
}

char *work_record_to_json(const work_record *r)
{
    json_t *root = json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:b,s:s,s:o,s:o,s:O,s:O,s:s,s:{s:s,s:s,s:I},s:O,s:I}", "id",
        r->name, "mime_type", r->mime, "language", "native", "topic",
        r->input_count ? r->inputs[0] : "", "group", r->group, "created_at", r->created_at,
        "status", r->running ? "running" : "stopped", "declared", (int)r->declared, "file", r->file,
        "inputs", list_of(r->inputs[0], sizeof r->inputs[0], r->input_count), "scenarios",
        list_of(r->scenarios[0], sizeof r->scenarios[0], r->scenario_count), "config", r->config,
        "tags", r->tags, "start", r->start_first ? "first" : "next", "code", "sha256", r->sha256,
        "source", r->source, "bytes", (json_int_t)r->bytes, "history", r->history, "generation",
        (json_int_t)r->generation);
    char *dump = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return dump;
}

bus_err work_record_store(bus_conn *conn, work_record *r)
{
    char key[64], *dump = work_record_to_json(r);
    snprintf(key, sizeof key, "worker.%s", r->name);
    bus_err err = dump ? bus_kv_put(conn, WORK_BUCKET, key, bus_view_of(dump), &r->revision)
                       : bus_fail(BUS_ENOMEM, "worker record");
    free(dump);
    if (err)
        return bus_note(err, "storing worker '%s'", r->name);
    bus_kill_point("host.recorded");
    return BUS_OK;
}

bus_err work_record_erase(bus_conn *conn, work_record *r)
{
    char key[64];
    snprintf(key, sizeof key, "worker.%s", r->name);
    bus_err err = bus_kv_delete(conn, WORK_BUCKET, key, 0);
    return err == BUS_ENOTFOUND ? BUS_OK : bus_note(err, "erasing worker '%s'", r->name);
}
