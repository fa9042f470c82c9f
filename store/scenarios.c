#include "store/scenarios.h"

#include <stdlib.h>
#include <string.h>

#include "bus/base/kill_point.h"
#include "bus/base/log.h"
#include "bus/lane/lane.h"
#include "store/method.h"
#include "store/scenarios_impl.h"

typedef const Virtufin__Api__V1__CreateScenarioRequest create_request;
typedef Virtufin__Api__V1__Scenario scenario_message;

// --- reading and writing ------------------------------------------------------------------------------

bus_err store_scenarios_read(bus_conn *conn, const char *id, store_scenario *out, bool *broken)
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
    bus_err err = store_scenarios_read(conn, id, out, &broken);
    return broken ? bus_fail(err, "%s; Delete removes it", bus_err_text()) : err;
}

bus_err store_scenarios_write(store_scenarios *ss, store_scenario *s)
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
    bus_kill_point("scenario.written");
    return BUS_OK;
}

void store_scenarios_finish(bus_call *call, bus_err err, store_scenario *s)
{
    scenario_message *m = NULL;
    if (!err)
        err = store_scenario_to_proto(&m, s);
    if (err)
        bus_call_failed(call, err);
    else
        bus_call_reply(call, &m->base);
    store_scenario_proto_free(m);
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
    if (err)
        return err;
    bus_kill_point("scenario.stream");
    return store_scenarios_write(ss, s);
}

static void on_create(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    store_scenario s = {0};
    bus_err err = create(ctx, (create_request *)request, &s);
    if (!err)
        bus_info("scenario '%s' is registered", s.id);
    store_scenarios_finish(call, err, &s);
}

static void on_get(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    store_scenarios *ss = ctx;
    store_scenario s = {0};
    const Virtufin__Api__V1__GetScenarioRequest *r = (const void *)request;
    store_scenarios_finish(call, store_scenarios_get(ss->conn, r->id, &s), &s);
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
    bus_call_answer(call, bus_note(err, "listing scenarios"), &reply.base);
    for (size_t i = 0; i < l.count; i++)
        store_scenario_proto_free(l.item[i]);
    free(l.item);
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
        STORE_METHOD("Pause", pause_scenario_request, scenario, false, store_scenarios_on_pause),
        STORE_METHOD("Resume", resume_scenario_request, scenario, false, store_scenarios_on_resume),
        STORE_METHOD("Archive", archive_scenario_request, scenario, false,
                     store_scenarios_on_archive),
        STORE_METHOD("Restore", restore_scenario_request, scenario, false,
                     store_scenarios_on_restore),
        STORE_METHOD("Delete", delete_scenario_request, delete_scenario_reply, false,
                     store_scenarios_on_delete),
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
        err = store_scenarios_remove(p->ss, s.id, &messages, &keys);
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
