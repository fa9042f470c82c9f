#include "store/live.h"

#include <stdlib.h>

#include "bus/base/log.h"
#include "store/scenario.h"
#include "store/scenarios.h"

enum { CHANGES_MAX = 64 }; // looked at in one turn
static const bus_span retry = {INT64_C(2000000000)};

static bool is_right(bus_view json)
{
    store_scenario s = {0};
    bool right = store_scenario_from_json(&s, "LIVE", json) == BUS_OK &&
                 s.status == STORE_SCENARIO_ACTIVE && !s.hyp && !s.portfolio_hyp && !s.strategy_hyp;
    store_scenario_release(&s);
    return right;
}

// over: the revision it takes the place of; 0: there must be none.
static bus_err write_record(bus_conn *conn, uint64_t over, bool *written)
{
    store_scenario live;
    char *json = NULL;
    size_t len = 0;
    store_scenario_live(&live, bus_now_wall());
    bus_err err = store_scenario_to_json(&live, &json, &len);
    if (err)
        return err;
    bus_view value = {json, len};
    err = over ? bus_kv_update(conn, STORE_SCENARIOS_BUCKET, "LIVE", value, over, NULL)
               : bus_kv_create(conn, STORE_SCENARIOS_BUCKET, "LIVE", value, NULL);
    free(json);
    *written = !err;
    // Somebody wrote in between: the watch brings it, and it is looked at then.
    return err == BUS_ECONFLICT || err == BUS_EEXISTS ? BUS_OK : err;
}

bus_err store_live_ensure(bus_conn *conn, bool *seeded)
{
    bus_kv_entry entry = {0};
    *seeded = false;
    bus_err err = bus_kv_get(conn, STORE_SCENARIOS_BUCKET, "LIVE", &entry);
    if (err == BUS_ENOTFOUND || (!err && !is_right(entry.value)))
        err = write_record(conn, entry.revision, seeded);
    bus_kv_entry_release(&entry);
    return bus_note(err, "seeding scenario 'LIVE'");
}

static void take_changes(store_live *live)
{
    for (int i = 0; i < CHANGES_MAX; i++) {
        bus_kv_entry entry = {0};
        bus_kv_result result = bus_kv_watch_next(live->watch, (bus_span){0}, &entry);
        if (result == BUS_KV_NOTHING)
            return;
        if (result == BUS_KV_ENTRY)
            live->wrong = entry.deleted || !is_right(entry.value);
        bus_kv_entry_release(&entry);
    }
}

static bus_err mend(store_live *live)
{
    bool seeded;
    bus_err err = store_live_ensure(live->conn, &seeded);
    if (!err && seeded)
        bus_warn("the record of scenario 'LIVE' was deleted or overwritten: it is seeded again");
    live->wrong = err != BUS_OK;
    return err;
}

void store_live_poll(store_live *live, bus_mono now)
{
    bus_err err = BUS_OK;
    if (live->next_try.ns && now.ns < live->next_try.ns)
        return;
    if (!live->watch)
        err =
            bus_kv_watch_open(&live->watch, live->conn, STORE_SCENARIOS_BUCKET, "LIVE", live->wake);
    if (!err) {
        take_changes(live);
        if (live->wrong)
            err = mend(live);
    }
    live->next_try = err ? bus_mono_add(now, retry) : (bus_mono){0};
    if (err)
        bus_warn("%s; trying again", bus_err_text());
}

void store_live_release(store_live *live)
{
    bus_kv_watch_close(live->watch);
    live->watch = NULL;
}
