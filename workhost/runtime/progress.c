#include "workhost/runtime/progress.h"

#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/nats/wait.h"

static void key_of(char key[WORK_KEY_TEXT], const char *scenario, const char *worker,
                   const char *suffix)
{
    snprintf(key, WORK_KEY_TEXT, "sc.%s.%s%s", scenario, worker, suffix);
}

// What is there has to be what the writer writes; what is not there is empty.
static bus_err take_text(const json_t *object, const char *key, char *out, size_t cap)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return BUS_OK;
    if (!json_is_string(value) || json_string_length(value) >= cap)
        return bus_fail(BUS_EDATALOSS, "'%s' is no string of at most %zu bytes", key, cap - 1);
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    return BUS_OK;
}

static bus_err take_number(const json_t *object, const char *key, uint64_t *out)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return BUS_OK;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return bus_fail(BUS_EDATALOSS, "'%s' is no integer from 0 on", key);
    *out = (uint64_t)json_integer_value(value);
    return BUS_OK;
}

static void begin_place(work_place *place)
{
    place->revision = 0;
    snprintf(place->by, sizeof place->by, "%016" PRIx64, bus_machine_random());
}

static bus_err parse(json_t **root, bus_view json)
{
    *root = json_loadb(json.ptr ? json.ptr : "", json.len, JSON_REJECT_DUPLICATES, NULL);
    return json_is_object(*root) ? BUS_OK : bus_fail(BUS_EDATALOSS, "it is not a JSON object");
}

// A created key may have been deleted before: then its history goes on, and only an update with
// revision 0 fails; create handles both.
static bus_err put(bus_conn *conn, const char *key, bus_view value, work_place *place)
{
    bus_err err = place->revision ? bus_kv_update(conn, WORK_BUCKET, key, value, place->revision,
                                                  &place->revision)
                                  : bus_kv_create(conn, WORK_BUCKET, key, value, &place->revision);
    return err == BUS_EEXISTS ? BUS_ECONFLICT : err;
}

// After a write that met another revision than we know: is it an earlier write of our own, one that got no
// answer? Each names the revision before it, so then nobody wrote between what we know and what is there.
// BUS_OK: the place is where it stands now. No answer: not known yet.
static bus_err find_own(bus_conn *conn, const char *key, work_place *place)
{
    bus_kv_entry entry = {0};
    json_t *root = NULL;
    bus_err err = bus_kv_get(conn, WORK_BUCKET, key, &entry);
    if (!err)
        err = parse(&root, entry.value);
    const char *by = json_string_value(json_object_get(root, "by"));
    // Behind what we know; before it, it is the store that went back.
    bool ours = by && strcmp(by, place->by) == 0 && entry.revision > place->revision;
    uint64_t revision = entry.revision;
    json_decref(root);
    bus_kv_entry_release(&entry);
    if (err == BUS_ENOTFOUND || err == BUS_EDATALOSS)
        return bus_fail(BUS_ECONFLICT, "revision %" PRIu64 " of ours is gone", place->revision);
    if (err)
        return err;
    if (!ours)
        return bus_fail(BUS_ECONFLICT, "revision %" PRIu64 " is another writer's", revision);
    place->revision = revision;
    return BUS_OK;
}

static bus_err store(bus_conn *conn, const char *key, json_t *root, work_place *place)
{
    if (!*place->by)
        begin_place(place);
    json_object_set_new(root, "by", json_string(place->by));
    char *text = json_dumps(root, JSON_COMPACT);
    if (!text)
        return bus_fail(BUS_ENOMEM, "record '%s'", key);
    bus_err err = put(conn, key, bus_view_of(text), place);
    if (err == BUS_ECONFLICT && !(err = find_own(conn, key, place)))
        err = put(conn, key, bus_view_of(text), place);
    free(text);
    return err;
}

static bus_err take_skipped(work_progress *p, const json_t *list)
{
    size_t count = json_array_size(list);
    if (list && (!json_is_array(list) || count > WORK_SKIPPED_MAX))
        return bus_fail(BUS_EDATALOSS, "'skipped' is no array of at most %d", WORK_SKIPPED_MAX);
    for (size_t i = 0; i < count; i++) {
        json_int_t seq = json_integer_value(json_array_get(list, i));
        if (seq <= 0 || (i > 0 && (uint64_t)seq <= p->skipped[i - 1]))
            return bus_fail(BUS_EDATALOSS, "'skipped' is not rising");
        p->skipped[p->skipped_count++] = (uint64_t)seq;
    }
    return BUS_OK;
}

static bus_err take_progress(work_progress *p, const json_t *root)
{
    char stored[BUS_TIME_TEXT] = "";
    const struct {
        const char *key;
        char *out;
        size_t cap;
    } texts[] = {
        {"stream", p->stream, sizeof p->stream}, {"session", p->session, sizeof p->session},
        {"runid", p->runid, sizeof p->runid},    {"sha256", p->sha256, sizeof p->sha256},
        {"seen_stored", stored, sizeof stored},
    };
    const struct {
        const char *key;
        uint64_t *out;
    } numbers[] = {
        {"start_seq", &p->start_seq}, {"done_seq", &p->done_seq},     {"outputs", &p->outputs},
        {"out_seq", &p->out_seq},     {"generation", &p->generation}, {"seen_seq", &p->seen.seq},
    };
    bus_err err = BUS_OK;
    for (size_t i = 0; i < sizeof texts / sizeof *texts && !err; i++)
        err = take_text(root, texts[i].key, texts[i].out, texts[i].cap);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && !err; i++)
        err = take_number(root, numbers[i].key, numbers[i].out);
    if (!err && *stored && bus_time_parse(bus_view_of(stored), &p->seen.stored.ns))
        err = bus_fail(BUS_EDATALOSS, "'seen_stored' is no time");
    if (!err)
        err = take_skipped(p, json_object_get(root, "skipped"));
    p->end = json_is_true(json_object_get(root, "end"));
    return err;
}

bus_err work_progress_from_json(work_progress *out, bus_view json)
{
    work_progress p = *out;
    json_t *root = NULL;
    bus_err err = parse(&root, json);
    if (!err)
        err = take_progress(&p, root);
    json_decref(root);
    if (!err)
        *out = p;
    return err;
}

bus_err work_progress_read(bus_conn *conn, const char *scenario, const char *worker,
                           work_progress *out)
{
    char key[WORK_KEY_TEXT];
    bus_kv_entry entry = {0};
    key_of(key, scenario, worker, "");
    *out = (work_progress){0};
    snprintf(out->scenario, sizeof out->scenario, "%s", scenario);
    snprintf(out->worker, sizeof out->worker, "%s", worker);
    begin_place(&out->place);
    bus_err err = bus_kv_get(conn, WORK_BUCKET, key, &entry);
    if (err)
        return err;
    out->place.revision = entry.revision; // also of what is no record: it is written over
    err = work_progress_from_json(out, entry.value);
    bus_kv_entry_release(&entry);
    return bus_note(err, "key '%s' of bucket " WORK_BUCKET, key);
}

bus_err work_progress_write(bus_conn *conn, work_progress *p)
{
    char key[WORK_KEY_TEXT], now[BUS_TIME_TEXT], stored[BUS_TIME_TEXT] = "";
    key_of(key, p->scenario, p->worker, "");
    bus_time_format(bus_now_wall().ns, now);
    if (p->seen.seq)
        bus_time_format(p->seen.stored.ns, stored);
    json_t *skipped = json_array();
    for (uint32_t i = 0; i < p->skipped_count; i++)
        json_array_append_new(skipped, json_integer((json_int_t)p->skipped[i]));
    json_t *root = json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:I,s:s,s:I,s:I,s:b,s:I,s:I,s:o,s:I,s:s,s:s}", "scenario",
        p->scenario, "worker", p->worker, "stream", p->stream, "session", p->session, "runid",
        p->runid, "seen_seq", (json_int_t)p->seen.seq, "seen_stored", stored, "start_seq",
        (json_int_t)p->start_seq, "done_seq", (json_int_t)p->done_seq, "end", (int)p->end,
        "outputs", (json_int_t)p->outputs, "out_seq", (json_int_t)p->out_seq, "skipped", skipped,
        "generation", (json_int_t)p->generation, "sha256", p->sha256, "updated", now);
    if (!root)
        return bus_fail(BUS_ENOMEM, "progress of '%s'", key);
    bus_err err = store(conn, key, root, &p->place);
    json_decref(root);
    return bus_note(err, "writing progress '%s'", key);
}

bool work_progress_skips(const work_progress *p, uint64_t seq)
{
    for (uint32_t i = 0; i < p->skipped_count; i++) {
        if (p->skipped[i] == seq)
            return true;
    }
    return false;
}

bus_err work_progress_skip(work_progress *p, uint64_t seq)
{
    if (work_progress_skips(p, seq))
        return BUS_OK;
    if (p->skipped_count == WORK_SKIPPED_MAX)
        return bus_fail(BUS_ELIMIT, "worker '%s' in scenario '%s' has %d dead letters already",
                        p->worker, p->scenario, WORK_SKIPPED_MAX);
    uint32_t i = p->skipped_count++;
    for (; i > 0 && p->skipped[i - 1] > seq; i--)
        p->skipped[i] = p->skipped[i - 1];
    p->skipped[i] = seq;
    return BUS_OK;
}

const char *work_progress_run(const work_progress *p)
{
    return *p->runid ? p->runid : p->session;
}

// --- saved state -------------------------------------------------------------------------------------

static bool decode_base64(const char *text, work_saved *out)
{
    size_t len = strlen(text);
    out->bytes = malloc(len / 4 * 3 + 1);
    int n = out->bytes ? EVP_DecodeBlock(out->bytes, (const unsigned char *)text, (int)len) : -1;
    if (n < 0)
        return false;
    out->len = (size_t)n; // the library counts padding as zero bytes
    for (size_t i = len; i > 0 && text[i - 1] == '=' && len - i < 2; i--)
        out->len--;
    return true;
}

static bus_err take_saved(work_saved *s, const json_t *root)
{
    const char *state = json_string_value(json_object_get(root, "state"));
    bus_err err = take_number(root, "seq", &s->seq);
    if (!err)
        err = take_number(root, "generation", &s->generation);
    if (!err)
        err = take_text(root, "session", s->session, sizeof s->session);
    if (!err)
        err = take_text(root, "runid", s->runid, sizeof s->runid);
    if (!err)
        err = take_text(root, "sha256", s->sha256, sizeof s->sha256);
    s->now_ns = json_integer_value(json_object_get(root, "now"));
    if (!err && (!state || !decode_base64(state, s)))
        err = bus_fail(BUS_EDATALOSS, "'state' is no base64");
    return err;
}

bus_err work_saved_from_json(work_saved *out, bus_view json)
{
    work_saved s = *out;
    json_t *root = NULL;
    bus_err err = parse(&root, json);
    s.bytes = NULL;
    if (!err)
        err = take_saved(&s, root);
    json_decref(root);
    if (err)
        work_saved_release(&s);
    else
        *out = s;
    return err;
}

bus_err work_saved_read(bus_conn *conn, const char *scenario, const char *worker, work_saved *out)
{
    char key[WORK_KEY_TEXT];
    bus_kv_entry entry = {0};
    key_of(key, scenario, worker, ".state");
    *out = (work_saved){0};
    begin_place(&out->place);
    bus_err err = bus_kv_get(conn, WORK_BUCKET, key, &entry);
    if (err)
        return err;
    out->place.revision = entry.revision;
    err = work_saved_from_json(out, entry.value);
    bus_kv_entry_release(&entry);
    return bus_note(err, "key '%s' of bucket " WORK_BUCKET, key);
}

bus_err work_saved_write(bus_conn *conn, const char *scenario, const char *worker,
                         work_saved *saved)
{
    char key[WORK_KEY_TEXT];
    key_of(key, scenario, worker, ".state");
    char *text = malloc((saved->len + 2) / 3 * 4 + 1);
    if (!text)
        return bus_fail(BUS_ENOMEM, "state '%s'", key);
    EVP_EncodeBlock((unsigned char *)text, saved->bytes, (int)saved->len);
    json_t *root = json_pack("{s:I,s:s,s:s,s:I,s:s,s:I,s:s}", "seq", (json_int_t)saved->seq,
                             "session", saved->session, "runid", saved->runid, "generation",
                             (json_int_t)saved->generation, "sha256", saved->sha256, "now",
                             (json_int_t)saved->now_ns, "state", text);
    free(text);
    if (!root)
        return bus_fail(BUS_ENOMEM, "state '%s'", key);
    bus_err err = store(conn, key, root, &saved->place);
    json_decref(root);
    return bus_note(err, "saving state '%s'", key);
}

void work_saved_release(work_saved *saved)
{
    free(saved->bytes);
    saved->bytes = NULL;
}
