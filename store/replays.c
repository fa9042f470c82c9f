#include "store/replays.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/base/log.h"
#include "bus/nats/kv.h"
#include "store/counters.h"
#include "store/replay_form.h"
#include "store/replay_slots.h"

static const bus_span record_every = {INT64_C(1000000000)};

// --- records ------------------------------------------------------------------------------------------

static void write_record(store_replays *rs, store_slot *s, bus_mono now)
{
    char *json = NULL;
    size_t len = 0;
    if (bus_conn_state_of(rs->opts.conn) != BUS_CONN_UP)
        return; // written when the broker is back
    if (rs->opts.keeper && !bus_lease_held(rs->opts.keeper))
        return; // whoever took over has written what became of it
    bus_err err = store_replay_to_json(&s->info, &json, &len);
    if (!err)
        err = bus_kv_put(rs->opts.conn, STORE_REPLAYS_BUCKET, s->selector, (bus_view){json, len},
                         NULL);
    free(json);
    s->written_at = now; // a failure is tried again after the same time
    if (err) {
        bus_warn("record of the replay on '%s': %s", s->selector, bus_err_text());
        return;
    }
    s->written = s->info.change;
    s->written_sent = s->info.sent;
}

static bool record_due(const store_slot *s, bus_mono now)
{
    if (!s->known)
        return false;
    if (s->written != s->info.change)
        return true;
    return s->written_sent != s->info.sent &&
           bus_mono_since(now, s->written_at).ns >= record_every.ns;
}

static void recover_one(void *ctx, const bus_kv_entry *entry)
{
    store_replays *rs = ctx;
    store_replay_info info;
    if (bus_lane_check_selector(entry->key, "selector") ||
        store_replay_from_json(&info, entry->key.ptr, entry->value)) {
        bus_warn("bucket '%s': %s", STORE_REPLAYS_BUCKET, bus_err_text());
        return;
    }
    store_slot *s = store_slot_find(rs, info.selector);
    if (!s)
        s = store_slot_make(rs, info.selector);
    if (!s || s->replay)
        return;
    s->info = info;
    s->known = true;
    s->written = s->info.change = 0;
    s->written_sent = s->info.sent;
    if (store_replay_is_end(info.state))
        return;
    s->info.state = STORE_REPLAY_FAILED;
    s->info.error = BUS_ECANCELLED;
    s->info.ended = s->info.updated = bus_now_wall();
    snprintf(s->info.message, sizeof s->info.message,
             "stored ended while this replay was %s at sequence %" PRIu64 ": start it again",
             store_replay_state_name(info.state), info.position);
    s->info.change++;
    bus_warn("replay on '%s': %s", s->selector, s->info.message);
}

bus_err store_replays_recover(store_replays *rs)
{
    bus_err err = bus_kv_each(rs->opts.conn, STORE_REPLAYS_BUCKET, ">", recover_one, rs);
    if (err)
        return bus_note(err, "reading the records of replays");
    bus_mono now = bus_machine_mono();
    for (store_slot *s = rs->slots; s; s = s->next)
        if (record_due(s, now))
            write_record(rs, s, now);
    return BUS_OK;
}

// --- results and pictures -----------------------------------------------------------------------------

static void reply_join(bus_call *call, const store_replay_info *info, const store_replay_result *r)
{
    Virtufin__Api__V1__JoinReplayReply m = VIRTUFIN__API__V1__JOIN_REPLAY_REPLY__INIT;
    m.runid = (char *)r->runid;
    m.first_seq = r->first_seq;
    m.window_events = r->window_events;
    m.window_bytes = r->window_bytes;
    m.lease_ms = (uint32_t)(r->lease.ns / 1000000);
    m.selector = (char *)info->selector;
    m.stream = (char *)info->stream;
    m.last_seq = r->last_seq;
    m.base_seq = r->base_seq;
    bus_call_reply(call, &m.base);
}

static void answer(store_slot *s, const store_replay_result *r)
{
    Virtufin__Api__V1__DoneReplayReply done = VIRTUFIN__API__V1__DONE_REPLAY_REPLY__INIT;
    if (r->err)
        bus_call_fail(r->call, r->err, r->text);
    else if (r->verb == STORE_REPLAY_JOIN)
        reply_join(r->call, &s->info, r);
    else if (r->verb == STORE_REPLAY_DONE)
        bus_call_reply(r->call, &done.base);
    else
        store_slot_reply(r->call, &s->info);
}

static void take_picture(store_slot *s)
{
    store_replay_info_get(s->replay, &s->info);
    if (s->info.sent < s->counted || s->info.missing < s->counted_missing)
        s->counted = s->counted_missing = 0; // a new run
    store_counters_replayed(s->info.sent - s->counted);
    store_counters_missing(s->info.missing - s->counted_missing);
    s->counted = s->info.sent;
    s->counted_missing = s->info.missing;
}

static void drop_replay(store_replays *rs, store_slot *s)
{
    store_replay_close(s->replay);
    s->replay = NULL;
    s->started = false;
    s->counted = s->counted_missing = 0;
    rs->running--;
}

// It never was: what is known of an older replay stays.
static void refuse_start(store_replays *rs, store_slot *s, store_replay_result *r)
{
    char why[STORE_REPLAY_TEXT];
    bus_err err = r->err;
    snprintf(why, sizeof why, "%s", r->text);
    bus_call_fail(r->call, err, why);
    store_replay_join(s->replay);
    while (store_replay_take(s->replay, r)) // calls that were quick enough to find it
        bus_call_fail(r->call, err, why);
    drop_replay(rs, s);
}

static void take_results(store_replays *rs, store_slot *s, bus_mono now)
{
    store_replay_result r;
    while (store_replay_take(s->replay, &r)) {
        if (r.verb == STORE_REPLAY_START && r.err) {
            refuse_start(rs, s, &r);
            return;
        }
        if (r.verb == STORE_REPLAY_START) {
            s->known = s->started = true;
            s->written = UINT64_MAX;
        }
        take_picture(s);
        if (record_due(s, now))
            write_record(rs, s, now); // who is answered finds the record as the answer says
        answer(s, &r);
    }
}

void store_slot_poll(store_replays *rs, store_slot *s, bus_mono now)
{
    take_results(rs, s, now);
    if (!s->replay || !s->started)
        return;
    bool over = store_replay_over(s->replay); // asked before the picture: then it is the last
    take_picture(s);
    if (record_due(s, now))
        write_record(rs, s, now);
    if (over)
        drop_replay(rs, s);
}

static void feed_watchers(store_replays *rs, bus_mono now)
{
    for (store_watcher **at = &rs->watchers; *at;) {
        store_watcher *w = *at;
        if (store_watcher_feed(w, now)) {
            at = &w->next_watcher;
            continue;
        }
        *at = w->next_watcher;
        rs->watcher_count--;
        bus_call_end(w->call);
        free(w);
    }
}

// How far the slowest participant of all that run is behind.
static uint64_t most_behind(const store_replays *rs)
{
    uint64_t most = 0;
    for (const store_slot *s = rs->slots; s; s = s->next)
        for (uint32_t i = 0; s->replay && i < s->info.member_count; i++)
            if (s->info.member[i].state == BUS_MEMBER_JOINED && s->info.member[i].behind > most)
                most = s->info.member[i].behind;
    return most;
}

void store_replays_poll(store_replays *rs, bus_mono now)
{
    for (store_slot *s = rs->slots; s; s = s->next) {
        if (s->replay)
            store_slot_poll(rs, s, now);
        else if (record_due(s, now) && bus_mono_since(now, s->written_at).ns >= record_every.ns)
            write_record(rs, s, now); // the broker was away at the end
    }
    feed_watchers(rs, now);
    store_counters_running(rs->running, most_behind(rs));
}

// --- life ---------------------------------------------------------------------------------------------

bus_err store_replays_open(store_replays **out, const store_replays_opts *opts)
{
    store_replays *rs = calloc(1, sizeof *rs);
    if (!rs)
        return bus_fail(BUS_ENOMEM, "replay service");
    rs->opts = *opts;
    *out = rs;
    return BUS_OK;
}

static void end_watchers(store_replays *rs)
{
    while (rs->watchers) {
        store_watcher *w = rs->watchers;
        rs->watchers = w->next_watcher;
        bus_call_end(w->call);
        free(w);
    }
}

void store_replays_close(store_replays *rs)
{
    if (!rs)
        return;
    bus_mono now = bus_machine_mono();
    for (store_slot *s = rs->slots; s; s = s->next)
        if (s->replay)
            store_replay_quit(s->replay);
    for (store_slot *s = rs->slots; s; s = s->next) {
        if (!s->replay)
            continue;
        store_replay_join(s->replay);
        store_slot_poll(rs, s, now);
        if (s->replay)
            drop_replay(rs, s);
    }
    feed_watchers(rs, now);
    end_watchers(rs);
    while (rs->slots) {
        store_slot *s = rs->slots;
        rs->slots = s->next;
        free(s);
    }
    free(rs);
}
