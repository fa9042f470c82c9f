#include "bus/nats/registry.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/log.h"
#include "bus/lane/lane.h"
#include "bus/nats/kv.h"

// Scenarios are few (tens): a list is enough, and the last hit is asked first because a publisher
// mostly publishes on one.
typedef struct entry {
    char id[BUS_LANE_NAME_MAX + 1];
    bus_scenario_status status;
    char *json;
    size_t json_len;
    struct entry *next;
} entry;

struct bus_registry {
    bus_conn *conn;
    bus_registry_opts opts;
    bus_kv_watch *watch; // NULL while the bucket is not there yet
    entry *entries;
    entry *last_hit;
    bool current;
    bus_mono next_try;
};

static void try_watch(bus_registry *r)
{
    bus_mono now = bus_machine_mono();
    if (r->watch || bus_conn_state_of(r->conn) != BUS_CONN_UP ||
        (r->next_try.ns && now.ns < r->next_try.ns))
        return;
    // the bucket comes with stored, which may start after us
    if (bus_kv_watch_open(&r->watch, r->conn, "scenarios", ">", r->opts.wake))
        r->next_try = bus_mono_add(now, BUS_SPAN_MS(500));
}

bus_err bus_registry_open(bus_registry **out, bus_conn *conn, const bus_registry_opts *opts)
{
    bus_registry *r = calloc(1, sizeof *r);
    if (!r)
        return bus_fail(BUS_ENOMEM, "registry");
    r->conn = conn;
    if (opts)
        r->opts = *opts;
    try_watch(r);
    *out = r;
    return BUS_OK;
}

void bus_registry_close(bus_registry *r)
{
    if (!r)
        return;
    bus_kv_watch_close(r->watch);
    while (r->entries) {
        entry *e = r->entries;
        r->entries = e->next;
        free(e->json);
        free(e);
    }
    free(r);
}

static entry *find(bus_registry *r, bus_view id)
{
    if (r->last_hit && bus_view_is(id, r->last_hit->id))
        return r->last_hit;
    for (entry *e = r->entries; e; e = e->next)
        if (bus_view_is(id, e->id))
            return r->last_hit = e;
    return NULL;
}

static void forget(bus_registry *r, bus_view id)
{
    for (entry **at = &r->entries; *at; at = &(*at)->next) {
        entry *e = *at;
        if (!bus_view_is(id, e->id))
            continue;
        *at = e->next;
        r->last_hit = NULL;
        free(e->json);
        free(e);
        return;
    }
}

bus_scenario_status bus_scenario_status_read(bus_view json)
{
    static const char *const names[] = {"active", "paused", "archived", "deleted"};
    json_t *record = json_loadb(json.ptr ? json.ptr : "", json.len, 0, NULL);
    const char *text = json_string_value(json_object_get(record, "status"));
    bus_scenario_status status = BUS_SCENARIO_BROKEN;
    for (int i = 0; text && i < 4; i++)
        if (strcmp(text, names[i]) == 0)
            status = (bus_scenario_status)(BUS_SCENARIO_ACTIVE + i);
    json_decref(record);
    return status;
}

static entry *add(bus_registry *r, bus_view id)
{
    entry *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    if (!bus_view_copy(id, e->id, sizeof e->id)) {
        free(e); // longer than any legal id: no publisher can ask for it
        return NULL;
    }
    e->next = r->entries;
    r->entries = e;
    return e;
}

static void take(bus_registry *r, const bus_kv_entry *kv)
{
    if (kv->deleted) {
        forget(r, kv->key);
        return;
    }
    entry *e = find(r, kv->key);
    if (!e)
        e = add(r, kv->key);
    char *json = malloc(kv->value.len + 1);
    if (!e || !json) {
        free(json);
        return;
    }
    if (kv->value.len)
        memcpy(json, kv->value.ptr, kv->value.len);
    json[kv->value.len] = 0;
    free(e->json);
    e->json = json;
    e->json_len = kv->value.len;
    e->status = bus_scenario_status_read(kv->value);
    if (e->status == BUS_SCENARIO_BROKEN)
        bus_warn("scenario '%s': its record in bucket scenarios is no scenario record", e->id);
}

bool bus_registry_poll(bus_registry *r)
{
    bool changed = false;
    try_watch(r);
    while (r->watch) {
        bus_kv_entry kv = {0};
        switch (bus_kv_watch_next(r->watch, (bus_span){0}, &kv)) {
        case BUS_KV_ENTRY:
            take(r, &kv);
            bus_kv_entry_release(&kv);
            changed = true;
            break;
        case BUS_KV_CURRENT:
            changed = changed || !r->current;
            r->current = true;
            break;
        case BUS_KV_NOTHING:
            return changed;
        }
    }
    return changed;
}

static bus_registry_answer allow_scenario(bus_registry *r, bus_view subject, bus_view id)
{
    if (bus_view_is(id, "LIVE")) {
        if (r->opts.elevated)
            return BUS_REGISTRY_YES;
        bus_fail(BUS_EPERM, "subject '%.*s': publishing on sc.LIVE needs the elevated role",
                 BUS_VIEW_ARG(subject));
        return BUS_REGISTRY_NOT_ELEVATED;
    }
    if (!r->current) {
        bus_fail(BUS_EUNAVAILABLE, "subject '%.*s': the scenario registry has not been read yet",
                 BUS_VIEW_ARG(subject));
        return BUS_REGISTRY_UNKNOWN;
    }
    static const char *const names[] = {"",         "active",  "paused",
                                        "archived", "deleted", "unreadable"};
    entry *e = find(r, id);
    if (!e) {
        bus_fail(BUS_ENOTFOUND, "subject '%.*s': scenario '%.*s' is not registered",
                 BUS_VIEW_ARG(subject), BUS_VIEW_ARG(id));
        return BUS_REGISTRY_UNREGISTERED;
    }
    if (e->status == BUS_SCENARIO_ACTIVE)
        return BUS_REGISTRY_YES;
    bus_fail(BUS_ESTATE, "subject '%.*s': scenario '%s' is %s, not active", BUS_VIEW_ARG(subject),
             e->id, names[e->status]);
    return BUS_REGISTRY_INACTIVE;
}

bus_registry_answer bus_registry_allow(bus_registry *r, bus_view subject)
{
    if (!bus_lane_is_lane(subject))
        return bus_subject_check(subject, false) ? BUS_REGISTRY_BAD : BUS_REGISTRY_YES;
    bus_lane lane;
    if (bus_lane_parse(&lane, subject))
        return BUS_REGISTRY_BAD;
    return lane.kind == BUS_LANE_SC ? allow_scenario(r, subject, lane.scenario) : BUS_REGISTRY_YES;
}

bus_err bus_registry_err(bus_registry_answer answer)
{
    static const bus_err errs[] = {
        [BUS_REGISTRY_YES] = BUS_OK,
        [BUS_REGISTRY_BAD] = BUS_EINVAL,
        [BUS_REGISTRY_UNREGISTERED] = BUS_ENOTFOUND,
        [BUS_REGISTRY_INACTIVE] = BUS_ESTATE,
        [BUS_REGISTRY_NOT_ELEVATED] = BUS_EPERM,
        [BUS_REGISTRY_UNKNOWN] = BUS_EUNAVAILABLE,
    };
    return errs[answer];
}

bus_scenario_status bus_registry_status(bus_registry *r, bus_view id, bus_view *json)
{
    entry *e = find(r, id);
    if (e && json)
        *json = (bus_view){e->json, e->json_len};
    return e ? e->status : BUS_SCENARIO_NONE;
}

void bus_registry_each(bus_registry *r, bus_registry_fn fn, void *ctx)
{
    for (entry *e = r->entries; e; e = e->next)
        fn(ctx, bus_view_of(e->id), e->status, (bus_view){e->json, e->json_len});
}

bool bus_registry_current(const bus_registry *r)
{
    return r->current;
}
