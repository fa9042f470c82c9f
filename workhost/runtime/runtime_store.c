// A store that went back: the broker came back on an older copy. Then sequences that we know stand for other
// records, or will, and outputs that were acknowledged may be gone. Nothing that was decided from them is sent;
// a new session begins behind the last input whose outputs are there.
// Source: schemas/specs/workers.md, "Sessions and feeding".
#include <stdio.h>

#include "workhost/runtime/runtime_impl.h"

bool work_runtime_confirm(void *ctx)
{
    runtime *r = ctx;
    char stream[64];
    snprintf(stream, sizeof stream, "SC_%s", r->plan.scenario);
    if (r->went_back)
        return false;
    bus_holds holds =
        bus_stream_holds(r->conn, "ACT", r->last_input); // hyp: nothing is known of it
    if (holds == BUS_HOLDS_YES)
        holds = bus_stream_holds(r->conn, stream, (bus_mark){.seq = work_outbox_acked(r->outbox)});
    r->went_back = holds == BUS_HOLDS_NO;
    if (r->went_back)
        bus_error("%s: the store went back", bus_err_text());
    return holds == BUS_HOLDS_YES;
}

bool work_runtime_confirm_input(runtime *r)
{
    uint32_t epoch = bus_conn_epoch(r->conn);
    while (r->confirmed_epoch != epoch && !work_runtime_confirm(r)) {
        if (r->went_back || !work_runtime_going(r))
            return false;
        work_runtime_rest(20);
        epoch = bus_conn_epoch(r->conn);
    }
    r->confirmed_epoch = epoch;
    return true;
}

// What is stored is what is true now; only the session's number goes on from what we know, so that no id is
// given out a second time.
static void recall_but_session(runtime *r)
{
    char session[WORK_PLAN_WORKERS_MAX][sizeof r->actors[0].progress.session];
    for (uint32_t i = 0; i < r->count; i++) {
        memcpy(session[i], r->actors[i].progress.session, sizeof session[i]);
        work_saved_release(&r->actors[i].saved);
    }
    work_runtime_recall(r);
    for (uint32_t i = 0; i < r->count; i++)
        memcpy(r->actors[i].progress.session, session[i], sizeof session[i]);
}

static bool begin_session(runtime *r, work_actor *a, uint64_t known_to, uint64_t out_seq)
{
    uint64_t done = a->progress.done_seq > known_to ? a->progress.done_seq : known_to;
    uint64_t was = a->position;
    if (work_actor_reset(a, done + 1, out_seq)) {
        work_runtime_tell_failed(r, a->spec->name);
        return false;
    }
    work_runtime_report_reset(r, a, (bus_seq_range){done + 1, was > done ? was : done + 1});
    return true;
}

static bus_err open_outbox(runtime *r)
{
    work_outbox_close(r->outbox);
    r->outbox = NULL;
    return work_outbox_open(&r->outbox, r->conn, &r->plan, work_runtime_confirm, r,
                            work_runtime_wake(r));
}

// The lowest place behind which outputs may be stored that no progress tells of.
static uint64_t known_from(const runtime *r, uint64_t last)
{
    uint64_t from = last;
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->actors[i].progress.out_seq < from)
            from = r->actors[i].progress.out_seq;
    }
    return from;
}

void work_runtime_begin_anew(runtime *r)
{
    if (r->plan
            .hyp) { // the run goes on where the stored progress says, and reads what it missed itself
        work_runtime_leave(r, WORK_EXIT_AGAIN);
        return;
    }
    work_runtime_close_feed(r, false);
    r->went_back = false;
    r->last_input = (bus_mark){0};
    uint64_t out_seq = 0;
    bus_err err = open_outbox(r);
    if (!err)
        work_runtime_await_registry(r);
    if (!err)
        recall_but_session(r);
    // Progress that is stored still and tells of more than ACT holds: ACT alone is another one, and none of our
    // sequences counts in it.
    if (!err && bus_stream_holds(r->conn, "ACT", work_runtime_seen(r)) != BUS_HOLDS_YES)
        err = BUS_EDATALOSS;
    if (!err && work_runtime_going(r))
        err = work_outbox_last_seq(r->outbox, &out_seq);
    if (!err && work_runtime_going(r))
        err = work_outbox_recall(r->outbox, known_from(r, out_seq));
    for (uint32_t i = 0; i < r->count && !err && work_runtime_going(r); i++) {
        if (!begin_session(r, &r->actors[i], work_outbox_last_input(r->outbox), out_seq))
            return;
    }
    if (!err && work_runtime_going(r))
        work_runtime_store_beginnings(r);
    if (!err && work_runtime_going(r))
        err = work_runtime_open_feed(r);
    if (err) {
        bus_error("%s", bus_err_text());
        work_runtime_leave(r, WORK_EXIT_AGAIN);
    }
}
