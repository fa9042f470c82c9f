#include "store/player.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/kill_point.h"
#include "bus/base/log.h"
#include "store/commands.h"
#include "store/counters.h"
#include "store/reports.h"

enum { TURN_EVENTS = 512 }; // sent before commands and reports are looked at again
static const bus_span nap = {INT64_C(100000000)}; // the reader wants a look as often

// --- showing ------------------------------------------------------------------------------------------

static void show_now(store_player *p)
{
    bus_mono now = bus_machine_mono();
    store_player_picture(p, now);
    store_mailbox_show(p->box, &p->info);
    p->shown = now;
}

void store_player_state(store_player *p, store_replay_state state)
{
    p->info.state = state;
    p->info.change++;
    if (store_replay_is_end(state))
        p->info.ended = bus_now_wall();
}

void store_player_fail(store_player *p, bus_err err)
{
    p->info.error = err;
    snprintf(p->info.message, sizeof p->info.message, "%s", bus_err_text());
    bus_warn("replay on '%s' failed: %s", p->info.selector, p->info.message);
    store_player_state(p, STORE_REPLAY_FAILED);
}

void store_player_answer(store_player *p, store_replay_verb verb, void *call, bus_err err)
{
    store_replay_result result = {.verb = verb, .call = call, .err = err};
    if (err)
        snprintf(result.text, sizeof result.text, "%s", bus_err_text());
    show_now(p); // whoever gets the answer asks for the picture
    store_mailbox_answer(p->box, &result);
}

// --- runs ---------------------------------------------------------------------------------------------

static bus_wake wake_of(store_player *p)
{
    return (bus_wake){store_mailbox_raise, p->box};
}

static bus_err connect_one(store_player *p, bus_conn **out, bus_profile profile)
{
    bus_conn_opts opts = p->opts.source;
    opts.profile = profile;
    opts.wake = wake_of(p);
    bus_err err = bus_conn_open(out, &opts);
    for (int tries = 0; !err && tries < 50; tries++) {
        err = bus_conn_wait(*out, BUS_SPAN_MS(100));
        if (err != BUS_EUNAVAILABLE && err != BUS_ETIMEOUT)
            break;
        if (atomic_load(&p->box->quit))
            return bus_fail(BUS_ECANCELLED, "the replay was closed");
        if (tries < 49)
            err = BUS_OK;
    }
    return err;
}

static void close_run(store_player *p)
{
    bus_sub_close(p->done);
    p->done = NULL;
    store_source_release(&p->source);
    bus_credit_close(p->credit);
    p->credit = NULL;
}

static bus_err open_run(store_player *p)
{
    char subject[BUS_SUBJECT_BUF];
    snprintf(subject, sizeof subject, "replay.%s.done.*", p->info.runid);
    bus_sub_opts reports = {.subject = subject, .wake = wake_of(p)};
    bus_credit_opts credit = {.selector = p->info.selector,
                              .first_seq = p->info.first_seq,
                              .window_events = p->opts.window_events,
                              .window_bytes = p->opts.window_bytes,
                              .lease = p->opts.lease};
    bus_err err = bus_credit_open(&p->credit, &credit);
    if (!err)
        err = bus_lane_block_init(&p->headers, bus_view_of(p->info.runid));
    if (!err)
        err = bus_sub_open(&p->done, p->ask, &reports);
    if (!err)
        err = store_source_open(&p->source, p->read, p->info.stream, p->info.first_seq,
                                p->info.last_seq, p->info.selector, p->info.runid);
    return err;
}

bus_err store_player_begin(store_player *p, uint64_t first)
{
    close_run(p);
    bus_err err = bus_identity_run(p->info.runid);
    if (err)
        return err;
    store_replay_info *info = &p->info;
    info->first_seq = first;
    info->position = first - 1;
    info->sent = info->bytes = info->skipped = info->missing = 0;
    info->clock = p->highest = (bus_recorded_time){0};
    p->marks = 0;
    p->samples = 0;
    p->range_over = p->blocked = p->waited = false;
    p->due = (bus_mono){0};
    p->run_began = bus_machine_mono();
    store_pace_restart(&p->pace);
    err = open_run(p);
    if (err)
        return err;
    p->start_until = bus_mono_add(p->run_began, p->opts.join_timeout);
    store_player_state(p, info->expected_count ? STORE_REPLAY_STARTING
                          : p->resume_paused   ? STORE_REPLAY_PAUSED
                                               : STORE_REPLAY_RUNNING);
    bus_info("replay on '%s': run %s over '%s' %" PRIu64 "..%" PRIu64, info->selector, info->runid,
             info->stream, info->first_seq, info->last_seq);
    return BUS_OK;
}

static bus_err start(store_player *p)
{
    bus_seq_range range;
    bus_err err = connect_one(p, &p->ask, BUS_PROFILE_BULK);
    if (!err)
        err = connect_one(p, &p->read, BUS_PROFILE_OWNER);
    if (!err)
        err = connect_one(p, &p->publish, BUS_PROFILE_OWNER);
    if (!err)
        err = store_range_find(p->ask, &p->opts.range, &range);
    if (err)
        return err;
    p->info.last_seq = range.last;
    err = store_player_begin(p, range.first);
    memcpy(p->info.replay, p->info.runid, sizeof p->info.replay);
    return err;
}

// --- starting -----------------------------------------------------------------------------------------

static void leave_starting(store_player *p)
{
    store_pace_restart(&p->pace);
    store_player_state(p, p->resume_paused ? STORE_REPLAY_PAUSED : STORE_REPLAY_RUNNING);
}

static void check_start(store_player *p, bus_mono now)
{
    char missing[STORE_REPLAY_TEXT / 2];
    if (p->info.state != STORE_REPLAY_STARTING)
        return;
    if (store_player_missing(p, missing, sizeof missing) == 0) {
        leave_starting(p);
        return;
    }
    if (now.ns < p->start_until.ns)
        return;
    if (p->may_miss) {
        snprintf(p->info.message, sizeof p->info.message, "lapsed at the seek: %s", missing);
        leave_starting(p);
        return;
    }
    store_player_fail(p, bus_fail(BUS_ESTATE, "%s did not join within %" PRId64 " ms", missing,
                                  p->opts.join_timeout.ns / 1000000));
}

// --- playing ------------------------------------------------------------------------------------------

static bus_err send_event(store_player *p)
{
    store_source *s = &p->source;
    bus_lane_stamp stamp;
    bus_view subject = bus_view_of(s->subject);
    if (p->waited)
        store_source_restamp(s);
    p->waited = false;
    bus_err err = bus_credit_send(p->credit, s->seq, subject, s->payload.len, &stamp);
    if (err)
        return err;
    // A publish that fails is a lost message like any other: participants find it and read it back.
    if (bus_publish_block(p->publish, subject, (bus_view){0},
                          bus_lane_block_of(&p->headers, &stamp), s->payload))
        bus_debug("replay on '%s': sequence %" PRIu64 ": %s", p->info.selector, s->seq,
                  bus_err_text());
    p->info.bytes += s->payload.len;
    if (s->recorded.ns > p->highest.ns)
        p->highest = s->recorded;
    if (s->recorded.ns)
        p->info.clock = s->recorded;
    store_source_drop(s);
    bus_kill_point("replay.event");
    return BUS_OK;
}

// May the held event go now? If not, notes what it waits for. now: of the clock that paces, which may be virtual.
static bool clear_to_send(store_player *p, bus_mono now)
{
    store_source *s = &p->source;
    bus_mono due = now;
    p->due = (bus_mono){0};
    if (!p->stepping && s->recorded.ns) {
        due = store_pace_due(&p->pace, s->recorded, now);
        if (due.ns > now.ns) {
            p->due = due;
            p->waited = true;
            return false;
        }
    }
    bool credit = bus_credit_may_send(p->credit, s->payload.len);
    p->blocked = p->blocked || !credit;
    bool leased = !p->opts.keeper || bus_lease_held(p->opts.keeper);
    if (credit && leased && bus_conn_state_of(p->publish) == BUS_CONN_UP) {
        if (p->info.speed.millionths && !p->stepping)
            store_counters_late(bus_mono_since(now, due));
        return true;
    }
    p->waited = true;
    return false;
}

static void range_is_over(store_player *p)
{
    bus_credit_reach(p->credit, p->info.last_seq);
    bus_credit_stopped(p->credit);
    if (p->stepping)
        store_player_end_step(p, BUS_OK);
    else
        p->range_over = true;
}

// Whoever takes part waits in real time, whatever paces the events.
static bus_mono real_of(bus_mono now)
{
    return bus_clock_is_virtual() ? bus_machine_mono() : now;
}

static bool may_play(const store_player *p)
{
    return (p->info.state == STORE_REPLAY_RUNNING && !p->range_over) || p->stepping;
}

// Sends what may go now; true: there is more, do not sleep.
static bool play(store_player *p)
{
    p->starved = false;
    for (int i = 0; i < TURN_EVENTS && may_play(p); i++) {
        switch (store_source_fetch(&p->source)) {
        case STORE_SOURCE_EVENT:
            break;
        case STORE_SOURCE_END:
            range_is_over(p);
            return true;
        case STORE_SOURCE_ERROR:
            bus_debug("replay on '%s': %s", p->info.selector, bus_err_text());
            return false;
        case STORE_SOURCE_NOTHING:
            p->starved = true;
            return false;
        }
        bus_mono now = bus_now_mono();
        if (!clear_to_send(p, now))
            return false;
        bus_err err = send_event(p);
        if (err) {
            store_player_fail(p, err);
            return true;
        }
        if (bus_credit_watermark_due(p->credit, real_of(now)))
            store_player_watermark(p, false, NULL);
        if (p->stepping && --p->steps == 0)
            store_player_end_step(p, BUS_OK);
    }
    return may_play(p);
}

static bus_span sooner(bus_span a, bus_span b)
{
    return a.ns < b.ns ? a : b;
}

static bus_span next_wait(const store_player *p, bus_mono now)
{
    bus_span wait = sooner(nap, bus_credit_wait(p->credit, now));
    if (p->starved && may_play(p)) // the reader gives no wake
        wait = BUS_SPAN_MS(1);
    if (p->due.ns && may_play(p) && !bus_clock_is_virtual()) // else the clock wakes when it moves
        wait = sooner(wait, bus_mono_since(p->due, now));
    if (p->info.state == STORE_REPLAY_STARTING)
        wait = sooner(wait, bus_mono_since(p->start_until, now));
    return wait;
}

static void turn(store_player *p)
{
    uint64_t change = p->info.change;
    store_player_commands(p);
    if (store_replay_is_end(p->info.state))
        return;
    store_player_reports(p);
    check_start(p, bus_machine_mono());
    bool more = may_play(p) && play(p);
    bus_mono now = bus_machine_mono();
    if (p->range_over && bus_credit_all_done(p->credit)) {
        if (bus_credit_sent(p->credit) == 0 && !*p->info.message)
            snprintf(p->info.message, sizeof p->info.message,
                     "no event of act.exchange.> in this range");
        store_player_state(p, STORE_REPLAY_FINISHED);
    }
    if (store_replay_is_end(p->info.state))
        return;
    if (bus_credit_watermark_due(p->credit, now))
        store_player_watermark(p, p->range_over, p->range_over ? "finished" : NULL);
    if (change != p->info.change || bus_mono_since(now, p->shown).ns >= INT64_C(100000000))
        show_now(p);
    bus_conn_push(p->publish);
    bus_conn_push(p->read);
    if (!more)
        store_mailbox_wait(p->box, bus_mono_add(now, next_wait(p, now)));
}

// --- the whole ----------------------------------------------------------------------------------------

static void finish(store_player *p)
{
    if (p->credit) {
        bus_fail(BUS_ECANCELLED, "the replay is %s", store_replay_state_name(p->info.state));
        store_player_end_step(p, BUS_ECANCELLED);
        store_player_watermark(p, true, store_replay_state_name(p->info.state));
        if (bus_conn_state_of(p->publish) == BUS_CONN_UP)
            bus_conn_flush(p->publish, BUS_SPAN_S(1));
        bus_info("replay on '%s' is %s: %" PRIu64 " events up to sequence %" PRIu64,
                 p->info.selector, store_replay_state_name(p->info.state),
                 bus_credit_sent(p->credit), bus_credit_position(p->credit));
    }
    show_now(p);
    close_run(p);
    bus_conn_close(p->publish);
    bus_conn_close(p->read);
    bus_conn_close(p->ask);
    char text[STORE_REPLAY_TEXT];
    snprintf(text, sizeof text, "replay on '%s' is over: it is %s", p->info.selector,
             store_replay_state_name(p->info.state));
    store_mailbox_finish(p->box, BUS_ESTATE, text);
}

void store_player_run(store_player *p)
{
    store_pace_set(&p->pace, p->info.speed);
    bus_err err = start(p);
    p->range_first = p->info.first_seq;
    if (err)
        store_player_fail(p, err);
    store_player_answer(p, STORE_REPLAY_START, p->start_call, err);
    while (!store_replay_is_end(p->info.state)) {
        if (atomic_load(&p->box->quit))
            store_player_state(p, STORE_REPLAY_STOPPED);
        else
            turn(p);
    }
    finish(p);
}
