#include "bus/nats/stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/lane/lane.h"
#include "bus/nats/api.h"

enum { BROKER_BATCHED = 2014000 };
static const int64_t DUPLICATES_NS = 120000000000;

// --- a row of the table as JSON ------------------------------------------------------------------------

static int64_t duplicates_of(const bus_stream_def *def)
{
    int64_t ns = def->duplicates.ns ? def->duplicates.ns : DUPLICATES_NS;
    return def->age_max.ns && ns > def->age_max.ns ? def->age_max.ns : ns;
}

static bus_err subjects_of(json_t **out, const bus_stream_def *def)
{
    json_t *list = json_array();
    for (size_t i = 0; def->subjects && def->subjects[i]; i++) {
        bus_err err = bus_subject_check(bus_view_of(def->subjects[i]), true);
        if (err) {
            json_decref(list);
            return bus_note(err, "subject %zu of stream '%s'", i + 1, def->name);
        }
        json_array_append_new(list, json_string(def->subjects[i]));
    }
    if (json_array_size(list) == 0) {
        json_decref(list);
        return bus_fail(BUS_EINVAL, "stream '%s' has no subjects", def->name);
    }
    *out = list;
    return BUS_OK;
}

// What only a stream has that is published to.
static bus_err add_own(json_t *row, const bus_conn *conn, const bus_stream_def *def)
{
    json_t *list = NULL;
    bus_err err = subjects_of(&list, def);
    if (err)
        return err;
    json_object_set_new(row, "subjects", list);
    json_object_set_new(row, "duplicate_window", json_integer((json_int_t)duplicates_of(def)));
    if (bus_conn_broker(conn) >= BROKER_BATCHED)
        json_object_set_new(row, "allow_batched", json_boolean(def->allow_batched));
    return BUS_OK;
}

static bus_err add_mirror(json_t *row, const bus_stream_def *def)
{
    const bus_stream_origin *from = &def->mirror;
    json_t *mirror = json_pack("{s:s, s:{s:s, s:s}}", "name", from->name, "external", "api",
                               from->api, "deliver", from->deliver);
    if (!mirror)
        return bus_fail(BUS_EINVAL, "stream '%s': a subject is not UTF-8", def->name);
    json_object_set_new(row, "mirror", mirror);
    return BUS_OK;
}

// The fields of recording.md, "Streams", and no others.
static bus_err ours(json_t **out, const bus_conn *conn, const bus_stream_def *def)
{
    json_t *row = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:i, s:b}", "name", def->name, "description",
        def->description ? def->description : "", "max_bytes",
        (json_int_t)(def->bytes_max ? def->bytes_max : -1), "max_age", (json_int_t)def->age_max.ns,
        "max_msg_size", (json_int_t)(def->message_bytes_max ? def->message_bytes_max : -1),
        "num_replicas", def->replicas ? def->replicas : 1, "allow_direct", (int)def->allow_direct);
    if (!row)
        return bus_fail(BUS_EINVAL, "stream '%s': a text is not UTF-8", def->name);
    bus_err err = def->mirror.name ? add_mirror(row, def) : add_own(row, conn, def);
    if (err) {
        json_decref(row);
        return err;
    }
    *out = row;
    return BUS_OK;
}

// An absent flag or text is false or "": the broker leaves those out of what it shows.
static bool same(const json_t *have, const json_t *want)
{
    if (!have)
        return json_is_false(want) || (json_is_string(want) && !*json_string_value(want)) ||
               (json_is_integer(want) && json_integer_value(want) == 0);
    return json_equal(have, want);
}

// Puts our fields into the configuration the broker showed; what it has beyond them stays.
static bool merge(json_t *config, json_t *row)
{
    bool differs = false;
    const char *key;
    json_t *want;
    json_object_foreach (row, key, want) {
        if (same(json_object_get(config, key), want))
            continue;
        json_object_set(config, key, want);
        differs = true;
    }
    return differs;
}

// --- keeping streams -----------------------------------------------------------------------------------

// Which stream holds one of our subjects already? "" when it cannot be found.
static void overlap_of(bus_conn *conn, const bus_stream_def *def, char *name, size_t cap)
{
    *name = '\0';
    for (size_t i = 0; def->subjects && def->subjects[i] && !*name; i++) {
        json_t *body = json_pack("{s:s}", "subject", def->subjects[i]), *answer = NULL;
        if (bus_api_call(&answer, conn, "$JS.API.STREAM.NAMES", body) == BUS_OK) {
            size_t at;
            json_t *item;
            json_array_foreach (json_object_get(answer, "streams"), at, item) {
                const char *other = json_string_value(item);
                if (other && strcmp(other, def->name) != 0 && !*name)
                    snprintf(name, cap, "%s", other);
            }
        }
        json_decref(answer);
        json_decref(body);
    }
}

bus_err bus_stream_records(bus_conn *conn, const char *subject)
{
    json_t *body = json_pack("{s:s}", "subject", subject), *answer = NULL;
    bus_err err = bus_api_call(&answer, conn, "$JS.API.STREAM.NAMES", body);
    if (!err && json_array_size(json_object_get(answer, "streams")) == 0)
        err = bus_fail(BUS_ENOTFOUND, "no stream records '%s'", subject);
    json_decref(answer);
    json_decref(body);
    return err;
}

static bus_err explain_overlap(bus_err err, bus_conn *conn, const bus_stream_def *def)
{
    if (err != BUS_ECONFLICT)
        return err;
    char words[512], other[80];
    snprintf(words, sizeof words, "%s", bus_err_text());
    overlap_of(conn, def, other, sizeof other);
    if (!*other)
        return bus_fail(err, "%s", words);
    return bus_fail(err, "its subjects overlap those of stream '%s'; %s", other, words);
}

static bus_err call(json_t **answer, bus_conn *conn, const char *api, const char *verb,
                    const char *name, const json_t *body)
{
    char subject[BUS_API_SUBJECT];
    snprintf(subject, sizeof subject, "%s.STREAM.%s.%s", api ? api : "$JS.API", verb, name);
    return bus_api_call(answer, conn, subject, body);
}

static bus_err create(bus_conn *conn, const bus_stream_def *def, json_t *row)
{
    json_object_set_new(row, "retention", json_string("limits"));
    json_object_set_new(row, "discard", json_string("old"));
    json_object_set_new(row, "storage", json_string("file"));
    json_t *answer = NULL;
    bus_err err = call(&answer, conn, def->api, "CREATE", def->name, row);
    json_decref(answer);
    return err;
}

static bus_err update(bus_conn *conn, const bus_stream_def *def, json_t *config)
{
    json_t *answer = NULL;
    bus_err err = call(&answer, conn, def->api, "UPDATE", def->name, config);
    json_decref(answer);
    return err;
}

static bus_err info_of(json_t **out, bus_conn *conn, const char *api, const char *name)
{
    bus_err err = bus_api_name_check(name, "stream name");
    return err ? err : call(out, conn, api, "INFO", name, NULL);
}

bus_err bus_stream_ensure(bus_conn *conn, const bus_stream_def *def, bool *changed)
{
    json_t *row = NULL, *info = NULL;
    bool differs = false;
    bus_err err = bus_api_name_check(def->name, "stream name");
    if (!err)
        err = ours(&row, conn, def);
    if (err)
        goto done;
    err = info_of(&info, conn, def->api, def->name);
    if (err == BUS_ENOTFOUND) {
        differs = true;
        err = create(conn, def, row);
    } else if (!err) {
        json_t *config = json_object_get(info, "config");
        differs = merge(config, row);
        err = differs ? update(conn, def, config) : BUS_OK;
    }
    err = explain_overlap(err, conn, def);
    if (!err && changed)
        *changed = differs;
done:
    json_decref(row);
    json_decref(info);
    return err ? bus_note(err, "stream '%s'", def->name) : BUS_OK;
}

bus_err bus_stream_delete(bus_conn *conn, const char *name)
{
    json_t *answer = NULL;
    bus_err err = bus_api_name_check(name, "stream name");
    if (!err)
        err = call(&answer, conn, NULL, "DELETE", name, NULL);
    json_decref(answer);
    return err ? bus_note(err, "deleting stream '%s'", name) : BUS_OK;
}

// --- looking at streams --------------------------------------------------------------------------------

static int64_t time_of(const json_t *object, const char *key)
{
    int64_t ns = 0;
    const char *text = json_string_value(json_object_get(object, key));
    if (text && bus_time_parse(bus_view_of(text), &ns))
        ns = 0;
    return ns;
}

static uint64_t number_of(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

static void fill(bus_stream_info *out, const json_t *info)
{
    const json_t *config = json_object_get(info, "config"), *state = json_object_get(info, "state");
    const char *name = json_string_value(json_object_get(config, "name"));
    *out = (bus_stream_info){0};
    snprintf(out->name, sizeof out->name, "%s", name ? name : "");
    size_t at, len = 0;
    json_t *item;
    json_array_foreach (json_object_get(config, "subjects"), at, item) {
        const char *subject = json_string_value(item);
        int n = snprintf(out->subjects + len, sizeof out->subjects - len, "%s%s", len ? "," : "",
                         subject ? subject : "");
        len = n > 0 && len + (size_t)n < sizeof out->subjects ? len + (size_t)n : len;
    }
    out->first_seq = number_of(state, "first_seq");
    out->last_seq = number_of(state, "last_seq");
    out->messages = number_of(state, "messages");
    out->bytes = number_of(state, "bytes");
    json_int_t bytes_max = json_integer_value(json_object_get(config, "max_bytes"));
    out->bytes_max = bytes_max > 0 ? bytes_max : 0;
    out->age_max.ns = json_integer_value(json_object_get(config, "max_age"));
    out->consumers = (uint32_t)number_of(state, "consumer_count");
    out->created.ns = time_of(info, "created");
    out->last_time.ns = time_of(state, "last_ts");
    out->answered.ns = time_of(info, "ts");
}

bus_err bus_stream_info_get(bus_conn *conn, const char *name, bus_stream_info *out)
{
    json_t *info = NULL;
    bus_err err = info_of(&info, conn, NULL, name);
    if (err == BUS_ENOTFOUND)
        return bus_fail(err, "there is no stream '%s'", name);
    if (err)
        return bus_note(err, "stream '%s'", name);
    fill(out, info);
    json_decref(info);
    return BUS_OK;
}

// The broker answers in pages; it says how many there are in all.
bus_err bus_stream_list(bus_conn *conn, bus_stream_fn fn, void *ctx)
{
    uint64_t offset = 0, total = 1;
    while (offset < total) {
        json_t *body = json_pack("{s:I}", "offset", (json_int_t)offset), *answer = NULL;
        bus_err err = bus_api_call(&answer, conn, "$JS.API.STREAM.LIST", body);
        json_decref(body);
        if (err)
            return bus_note(err, "listing streams");
        const json_t *page = json_object_get(answer, "streams");
        size_t at;
        json_t *item;
        json_array_foreach (page, at, item) {
            bus_stream_info info;
            fill(&info, item);
            fn(ctx, &info);
        }
        total = number_of(answer, "total");
        offset += json_array_size(page);
        bool done = json_array_size(page) == 0;
        json_decref(answer);
        if (done)
            break;
    }
    return BUS_OK;
}

bus_err bus_stream_range(bus_conn *conn, const char *stream, bus_seq_range *out)
{
    bus_stream_info info;
    bus_err err = bus_stream_info_get(conn, stream, &info);
    if (err)
        return err;
    *out = (bus_seq_range){.first = info.first_seq, .last = info.last_seq};
    return BUS_OK;
}
