#include "store/scenarios.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/log.h"
#include "bus/lane/lane.h"
#include "store/live.h"
#include "store/method.h"
#include "store/watches.h"

typedef const Virtufin__Api__V1__CreateScenarioRequest create_request;
typedef Virtufin__Api__V1__Scenario scenario_message;

struct store_scenarios {
    bus_conn *conn;
    store_role role;
    const store_limits *limits;
    store_watches watches;
    store_live live;
};

// --- reading and writing ------------------------------------------------------------------------------

// *broken: there is something under the key, and it is no record.
static bus_err read_record(bus_conn *conn, const char *id, store_scenario *out, bool *broken)
{
    bus_kv_entry entry;
    bus_err err = bus_lane_check_scenario(bus_view_of(id));
    if (err)
        return err;
    err = bus_kv_get(conn, STORE_SCENARIOS_BUCKET, id, &entry);
    if (err == BUS_ENOTFOUND)
        return bus_fail(BUS_ENOTFOUND, "scenario '%s' is not registered", id);
    if (err)
        return bus_note(err, "reading scenario '%s'", id);
    err = store_scenario_from_json(out, id, entry.value);
    *broken = err != BUS_OK;
    if (!err)
        out->revision = entry.revision;
    bus_kv_entry_release(&entry);
    return err;
}

bus_err store_scenarios_get(bus_conn *conn, const char *id, store_scenario *out)
{
    bool broken = false;
    bus_err err = read_record(conn, id, out, &broken);
    return broken ? bus_fail(err, "%s; Delete removes it", bus_err_text()) : err;
}

// Writes over the revision it was read at; 0: it must be new.
static bus_err put(store_scenarios *ss, store_scenario *s)
{
    char *json = NULL;
    size_t len = 0;
    uint64_t revision = 0;
    bus_err err = store_scenario_to_json(s, &json, &len);
    if (err)
        return err;
    bus_view value = {json, len};
    if (s->revision)
        err = bus_kv_update(ss->conn, STORE_SCENARIOS_BUCKET, s->id, value, s->revision, &revision);
    else
        err = bus_kv_create(ss->conn, STORE_SCENARIOS_BUCKET, s->id, value, &revision);
    free(json);
    if (err)
        return bus_note(err, "writing scenario '%s'", s->id);
    s->revision = revision;
    return BUS_OK;
}

static void reply_scenario(bus_call *call, const store_scenario *s)
{
    scenario_message *m = NULL;
    bus_err err = store_scenario_to_proto(&m, s);
    if (err) {
        bus_call_failed(call, err);
        return;
    }
    bus_call_reply(call, &m->base);
    store_scenario_proto_free(m);
}

// Answers with the scenario or the error, and gives up the scenario.
static void finish(bus_call *call, bus_err err, store_scenario *s)
{
    if (err)
        bus_call_failed(call, err);
    else
        reply_scenario(call, s);
    store_scenario_release(s);
}

// --- Create, Get, List --------------------------------------------------------------------------------

// Of two accounts LIVE has what trades with real orders, RESEARCH all else.
static bus_err check_role(const store_scenarios *ss, const store_scenario *s)
{
    bool real = !s->hyp && !s->portfolio_hyp;
    if (ss->role == STORE_ROLE_ALL || real == (ss->role == STORE_ROLE_LIVE))
        return BUS_OK;
    if (real)
        return bus_fail(
            BUS_EINVAL,
            "scenario '%s' has real orders (market and portfolio on act): it is made on "
            "the LIVE side, not in RESEARCH",
            s->id);
    return bus_fail(
        BUS_EINVAL,
        "scenario '%s' has its market or portfolio on hyp: it is made in RESEARCH, not on "
        "the LIVE side",
        s->id);
}

static bus_err create(store_scenarios *ss, create_request *r, store_scenario *s)
{
    store_scenario there = {0};
    bus_err err = store_scenario_create(s, r, bus_now_wall());
    if (!err)
        err = check_role(ss, s);
    if (err)
        return err;
    err = store_scenarios_get(ss->conn, s->id, &there);
    if (err == BUS_OK) {
        err = bus_fail(BUS_EEXISTS, "scenario '%s' is registered already: it is %s", s->id,
                       store_scenario_status_name(there.status));
        store_scenario_release(&there);
        return err;
    }
    if (err != BUS_ENOTFOUND)
        return err;
    // The stream first: once the record stands, publishers may publish.
    err = store_scenario_stream_ensure(ss->conn, s->id, ss->limits);
    return err ? err : put(ss, s);
}

static void on_create(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    store_scenario s = {0};
    bus_err err = create(ctx, (create_request *)request, &s);
    if (!err)
        bus_info("scenario '%s' is registered", s.id);
    finish(call, err, &s);
}

static void on_get(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    store_scenarios *ss = ctx;
    store_scenario s = {0};
    const Virtufin__Api__V1__GetScenarioRequest *r = (const void *)request;
    finish(call, store_scenarios_get(ss->conn, r->id, &s), &s);
}

typedef struct {
    scenario_message **item;
    size_t count, cap;
    const Virtufin__Api__V1__ListScenariosRequest *request;
    bus_err err;
} listing;

static bool wanted(const listing *l, const store_scenario *s)
{
    if (*l->request->status && strcmp(l->request->status, store_scenario_status_name(s->status)))
        return false;
    return !*l->request->selector || (s->hyp && strcmp(l->request->selector, s->selector) == 0);
}

static void add_listed(void *ctx, const bus_kv_entry *entry)
{
    listing *l = ctx;
    store_scenario s = {0};
    if (l->err)
        return;
    if (store_scenario_from_json(&s, entry->key.ptr, entry->value)) {
        bus_warn("%s", bus_err_text());
        return; // one bad record must not hide the others
    }
    s.revision = entry->revision;
    if (wanted(l, &s)) {
        if (l->count == l->cap) {
            size_t cap = l->cap ? 2 * l->cap : 16;
            scenario_message **bigger = realloc(l->item, cap * sizeof *bigger);
            l->err = bigger ? BUS_OK : bus_fail(BUS_ENOMEM, "list of %zu scenarios", cap);
            l->item = bigger ? bigger : l->item;
            l->cap = bigger ? cap : l->cap;
        }
        if (!l->err)
            l->err = store_scenario_to_proto(&l->item[l->count], &s);
        l->count += !l->err;
    }
    store_scenario_release(&s);
}

static int by_id(const void *a, const void *b)
{
    return strcmp((*(scenario_message *const *)a)->id, (*(scenario_message *const *)b)->id);
}

static void on_list(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    store_scenarios *ss = ctx;
    listing l = {.request = (const void *)request};
    bus_err err = bus_kv_each(ss->conn, STORE_SCENARIOS_BUCKET, ">", add_listed, &l);
    err = err ? err : l.err;
    if (l.count)
        qsort(l.item, l.count, sizeof *l.item, by_id);
    Virtufin__Api__V1__ListScenariosReply reply = VIRTUFIN__API__V1__LIST_SCENARIOS_REPLY__INIT;
    reply.n_scenarios = l.count;
    reply.scenarios = l.item;
    if (err)
        bus_call_failed(call, bus_note(err, "listing scenarios"));
    else
        bus_call_reply(call, &reply.base);
    for (size_t i = 0; i < l.count; i++)
        store_scenario_proto_free(l.item[i]);
    free(l.item);
}

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
        err = put(ss, s);
    if (!err)
        bus_info("scenario '%s': %s -> %s", id, store_scenario_status_name(was),
                 store_scenario_status_name(to));
    return err;
}

// The four requests have one shape: id = 1, etag = 2.
typedef Virtufin__Api__V1__PauseScenarioRequest move_request;

#define MOVE_HANDLER(name, from, to)                                                               \
    static void on_##name(void *ctx, bus_call *call, const ProtobufCMessage *request)              \
    {                                                                                              \
        const move_request *r = (const void *)request;                                             \
        store_scenario s = {0};                                                                    \
        finish(call, move(ctx, r->id, r->etag, &s, from, to), &s);                                 \
    }
MOVE_HANDLER(pause, STORE_SCENARIO_DELETED, STORE_SCENARIO_PAUSED)
MOVE_HANDLER(resume, STORE_SCENARIO_PAUSED, STORE_SCENARIO_ACTIVE)
MOVE_HANDLER(archive, STORE_SCENARIO_DELETED, STORE_SCENARIO_ARCHIVED)
MOVE_HANDLER(restore, STORE_SCENARIO_ARCHIVED, STORE_SCENARIO_ACTIVE)

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

// Steps 2 to 4: the stream, the keys, the record.
static bus_err remove_rest(store_scenarios *ss, const char *id, uint64_t *messages, uint64_t *keys)
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
    bus_err err = read_record(ss->conn, r->id, s, &broken);
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
        err = put(ss, &s);
    if (!err)
        err = remove_rest(ss, r->id, messages, keys);
    store_scenario_release(&s);
    return err;
}

static void on_delete(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    const Virtufin__Api__V1__DeleteScenarioRequest *r = (const void *)request;
    Virtufin__Api__V1__DeleteScenarioReply reply = VIRTUFIN__API__V1__DELETE_SCENARIO_REPLY__INIT;
    bus_err err = delete_scenario(ctx, r, &reply.messages, &reply.keys);
    reply.id = r->id;
    if (err)
        bus_call_failed(call, err);
    else
        bus_call_reply(call, &reply.base);
}

// --- Watch --------------------------------------------------------------------------------------------

static bus_call_result send_change(void *ctx, bus_call *call, const bus_kv_entry *entry)
{
    (void)ctx;
    Virtufin__Api__V1__ScenarioChange change = VIRTUFIN__API__V1__SCENARIO_CHANGE__INIT;
    store_scenario s = {.status = STORE_SCENARIO_DELETED};
    scenario_message *m = NULL;
    if (!entry) {
        change.current = true;
        return bus_call_send(call, &change.base);
    }
    change.deleted = entry->deleted;
    if (entry->deleted)
        bus_view_copy(entry->key, s.id, sizeof s.id);
    else if (store_scenario_from_json(&s, entry->key.ptr, entry->value))
        return BUS_CALL_SENT; // unreadable: logged by whoever wrote or lists it
    s.revision = entry->revision;
    bus_call_result result = BUS_CALL_SENT;
    if (store_scenario_to_proto(&m, &s) == BUS_OK) {
        change.scenario = m;
        result = bus_call_send(call, &change.base);
    }
    store_scenario_proto_free(m);
    store_scenario_release(&s);
    return result;
}

static void on_watch(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    store_scenarios *ss = ctx;
    const Virtufin__Api__V1__WatchScenariosRequest *r = (const void *)request;
    bus_err err = *r->id ? bus_lane_check_scenario(bus_view_of(r->id)) : BUS_OK;
    if (!err)
        err = store_watches_add(&ss->watches, call, *r->id ? r->id : ">");
    if (err)
        bus_call_failed(call, err);
}

// --- life ---------------------------------------------------------------------------------------------

const bus_method *store_scenarios_methods(void)
{
    static const bus_method methods[] = {
        STORE_METHOD("Create", create_scenario_request, scenario, false, on_create),
        STORE_METHOD("Get", get_scenario_request, scenario, false, on_get),
        STORE_METHOD("List", list_scenarios_request, list_scenarios_reply, false, on_list),
        STORE_METHOD("Pause", pause_scenario_request, scenario, false, on_pause),
        STORE_METHOD("Resume", resume_scenario_request, scenario, false, on_resume),
        STORE_METHOD("Archive", archive_scenario_request, scenario, false, on_archive),
        STORE_METHOD("Restore", restore_scenario_request, scenario, false, on_restore),
        STORE_METHOD("Delete", delete_scenario_request, delete_scenario_reply, false, on_delete),
        STORE_METHOD("Watch", watch_scenarios_request, scenario_change, true, on_watch),
        {.method = NULL},
    };
    return methods;
}

bus_err store_scenarios_open(store_scenarios **out, bus_conn *conn, store_role role,
                             const store_limits *limits, bus_wake wake)
{
    store_scenarios *ss = calloc(1, sizeof *ss);
    if (!ss)
        return bus_fail(BUS_ENOMEM, "scenario service");
    ss->conn = conn;
    ss->role = role;
    ss->limits = limits;
    ss->watches = (store_watches){.conn = conn,
                                  .bucket = STORE_SCENARIOS_BUCKET,
                                  .wake = wake,
                                  .send = send_change,
                                  .ctx = ss};
    ss->live = (store_live){.conn = conn, .wake = wake};
    *out = ss;
    return BUS_OK;
}

void store_scenarios_close(store_scenarios *ss)
{
    if (!ss)
        return;
    store_watches_release(&ss->watches);
    store_live_release(&ss->live);
    free(ss);
}

void store_scenarios_poll(store_scenarios *ss, bus_mono now)
{
    if (ss->role != STORE_ROLE_RESEARCH)
        store_live_poll(&ss->live, now);
    store_watches_poll(&ss->watches);
}

typedef struct {
    store_scenarios *ss;
    bus_err err; // the first
} preparing;

static void prepare_one(void *ctx, const bus_kv_entry *entry)
{
    preparing *p = ctx;
    store_scenario s = {0};
    uint64_t messages, keys;
    bus_err err = BUS_OK;
    if (bus_view_is(entry->key, "LIVE"))
        return;
    if (store_scenario_from_json(&s, entry->key.ptr, entry->value)) {
        bus_warn("%s", bus_err_text()); // unusable, and named; the others go on
        return;
    }
    if (s.status == STORE_SCENARIO_DELETED)
        err = remove_rest(p->ss, s.id, &messages, &keys);
    else
        err = store_scenario_stream_ensure(p->ss->conn, s.id, p->ss->limits);
    if (err && !p->err)
        p->err = err;
    store_scenario_release(&s);
}

bus_err store_scenarios_prepare(store_scenarios *ss)
{
    preparing p = {.ss = ss};
    bool seeded = false;
    bus_err err = BUS_OK;
    if (ss->role != STORE_ROLE_RESEARCH)
        err = store_live_ensure(ss->conn, &seeded);
    if (seeded)
        bus_info("scenario 'LIVE' is seeded");
    if (!err)
        err = bus_kv_each(ss->conn, STORE_SCENARIOS_BUCKET, ">", prepare_one, &p);
    return bus_note(err ? err : p.err, "preparing the scenarios");
}
