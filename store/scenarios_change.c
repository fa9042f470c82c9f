// Scenarios that change their state, or end.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bus/base/log.h"
#include "store/scenarios_impl.h"

// --- transitions --------------------------------------------------------------------------------------

static bus_err check_etag(const store_scenario *s, const char *etag)
{
    uint64_t expected;
    if (!*etag)
        return BUS_OK;
    bus_err err = bus_kv_etag_parse(etag, &expected);
    if (err)
        return bus_note(err, "etag of scenario '%s'", s->id);
    if (expected == s->revision)
        return BUS_OK;
    return bus_fail(BUS_ECONFLICT,
                    "scenario '%s' has revision %" PRIu64 ", not %" PRIu64 ": it was changed",
                    s->id, s->revision, expected);
}

// LIVE is told apart in any case of letters, so that "live" is not a mere "not registered".
static bus_err refuse_live(void)
{
    return bus_fail(BUS_EPERM, "scenario 'LIVE' is never changed or deleted by a call");
}

static bus_err read_to_change(store_scenarios *ss, const char *id, const char *etag,
                              store_scenario *s)
{
    if (store_scenario_is_live(id))
        return refuse_live();
    bus_err err = store_scenarios_get(ss->conn, id, s);
    return err ? err : check_etag(s, etag);
}

static bus_err move(store_scenarios *ss, const char *id, const char *etag, store_scenario *s,
                    store_scenario_status from_only, store_scenario_status to)
{
    bus_err err = read_to_change(ss, id, etag, s);
    if (err)
        return err;
    // Resume and Restore both lead to active, each from its own state
    if (from_only != STORE_SCENARIO_DELETED && s->status != from_only)
        return bus_fail(BUS_ESTATE, "scenario '%s' is %s, not %s: it cannot become %s by this call",
                        id, store_scenario_status_name(s->status),
                        store_scenario_status_name(from_only), store_scenario_status_name(to));
    store_scenario_status was = s->status;
    err = store_scenario_move(s, to, bus_now_wall());
    if (!err && to == STORE_SCENARIO_ACTIVE)
        err = store_scenario_stream_ensure(ss->conn, s->id, ss->limits);
    if (!err)
        err = store_scenarios_write(ss, s);
    if (!err)
        bus_info("scenario '%s': %s -> %s", id, store_scenario_status_name(was),
                 store_scenario_status_name(to));
    return err;
}

// The four requests have one shape: id = 1, etag = 2.
typedef Virtufin__Api__V1__PauseScenarioRequest move_request;

static void answer_move(void *ctx, bus_call *call, const ProtobufCMessage *request,
                        store_scenario_status from_only, store_scenario_status to)
{
    const move_request *r = (const void *)request;
    store_scenario s = {0};
    store_scenarios_finish(call, move(ctx, r->id, r->etag, &s, from_only, to), &s);
}

void store_scenarios_on_pause(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    answer_move(ctx, call, request, STORE_SCENARIO_DELETED, STORE_SCENARIO_PAUSED);
}

void store_scenarios_on_resume(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    answer_move(ctx, call, request, STORE_SCENARIO_PAUSED, STORE_SCENARIO_ACTIVE);
}

void store_scenarios_on_archive(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    answer_move(ctx, call, request, STORE_SCENARIO_DELETED, STORE_SCENARIO_ARCHIVED);
}

void store_scenarios_on_restore(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    answer_move(ctx, call, request, STORE_SCENARIO_ARCHIVED, STORE_SCENARIO_ACTIVE);
}

// --- Delete -------------------------------------------------------------------------------------------

typedef struct {
    bus_conn *conn;
    const char *bucket;
    char pattern[STORE_SCENARIO_ID_MAX + 8];
    uint64_t keys;
    bus_err err;
} purge;

static void purge_key(void *ctx, const bus_kv_entry *entry)
{
    purge *p = ctx;
    if (p->err)
        return;
    p->err = bus_kv_delete(p->conn, p->bucket, entry->key.ptr, 0);
    p->keys += !p->err;
}

static void purge_bucket(void *ctx, const char *bucket, uint64_t values, uint64_t bytes)
{
    purge *p = ctx;
    (void)bytes;
    if (p->err || values == 0)
        return;
    p->bucket = bucket;
    bus_err err = bus_kv_each(p->conn, bucket, p->pattern, purge_key, p);
    if (err && !p->err)
        p->err = bus_note(err, "keys '%s' of bucket '%s'", p->pattern, bucket);
}

bus_err store_scenarios_remove(store_scenarios *ss, const char *id, uint64_t *messages,
                               uint64_t *keys)
{
    purge p = {.conn = ss->conn};
    snprintf(p.pattern, sizeof p.pattern, "sc.%s.>", id);
    bus_err err = store_scenario_stream_delete(ss->conn, id, messages);
    if (!err)
        err = bus_kv_buckets(ss->conn, purge_bucket, &p);
    if (!err)
        err = p.err;
    if (!err)
        err = bus_kv_delete(ss->conn, STORE_SCENARIOS_BUCKET, id, 0);
    *keys = p.keys;
    if (!err)
        bus_warn("scenario '%s' is deleted: %" PRIu64 " messages and %" PRIu64 " keys are gone", id,
                 *messages, *keys);
    return bus_note(err, "deleting scenario '%s'", id);
}

static bus_err ask_again(store_scenarios *ss, const char *id)
{
    char stream[STORE_STREAM_NAME_MAX];
    bus_stream_info info = {0};
    store_scenario_stream_name(stream, id);
    bus_err err = bus_stream_info_get(ss->conn, stream, &info);
    if (err && err != BUS_ENOTFOUND)
        return err;
    return bus_fail(BUS_ESTATE,
                    "scenario '%s', its stream %s with %" PRIu64
                    " messages and its keys would be deleted for good: confirm with its id",
                    id, stream, info.messages);
}

// A record that is none is deleted as well: nothing of it is needed but its revision.
static bus_err stand_in(const store_scenarios *ss, const char *id, const char *etag,
                        store_scenario *s)
{
    bus_kv_entry entry = {0};
    bus_err err = bus_kv_get(ss->conn, STORE_SCENARIOS_BUCKET, id, &entry);
    if (err)
        return err;
    *s = (store_scenario){.revision = entry.revision};
    snprintf(s->id, sizeof s->id, "%s", id);
    snprintf(s->name, sizeof s->name, "%s", id);
    bus_time_format(entry.time.ns, s->created);
    bus_kv_entry_release(&entry);
    return check_etag(s, etag);
}

static bus_err read_to_delete(store_scenarios *ss,
                              const Virtufin__Api__V1__DeleteScenarioRequest *r, store_scenario *s)
{
    bool broken = false;
    if (store_scenario_is_live(r->id))
        return refuse_live();
    bus_err err = store_scenarios_read(ss->conn, r->id, s, &broken);
    return broken ? stand_in(ss, r->id, r->etag, s) : err ? err : check_etag(s, r->etag);
}

static bus_err delete_scenario(store_scenarios *ss,
                               const Virtufin__Api__V1__DeleteScenarioRequest *r,
                               uint64_t *messages, uint64_t *keys)
{
    store_scenario s = {0};
    bus_err err = read_to_delete(ss, r, &s);
    if (!err && strcmp(r->confirm, r->id) != 0)
        err = ask_again(ss, r->id);
    if (!err)
        err = store_scenario_move(&s, STORE_SCENARIO_DELETED, bus_now_wall());
    if (!err)
        err = store_scenarios_write(ss, &s);
    if (!err)
        err = store_scenarios_remove(ss, r->id, messages, keys);
    store_scenario_release(&s);
    return err;
}

void store_scenarios_on_delete(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    const Virtufin__Api__V1__DeleteScenarioRequest *r = (const void *)request;
    Virtufin__Api__V1__DeleteScenarioReply reply = VIRTUFIN__API__V1__DELETE_SCENARIO_REPLY__INIT;
    bus_err err = delete_scenario(ctx, r, &reply.messages, &reply.keys);
    reply.id = r->id;
    bus_call_answer(call, err, &reply.base);
}
