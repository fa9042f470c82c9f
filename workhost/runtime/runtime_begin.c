// Where a runtime begins: sessions on the act lane, runs on a hyp lane, what to do about inputs that are gone.
// Source: schemas/specs/workers.md, "Sessions and feeding".
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "bus/nats/credit.h"
#include "bus/nats/stream.h"
#include "workhost/runtime/runtime_impl.h"

// Repeats a request of the bus until it is answered, for one that fails because the broker is away.
static bool retry_later(runtime *r, bus_err err, const char *what)
{
    if (!err || !work_runtime_going(r))
        return false;
    work_runtime_complain(r, what, bus_err_text());
    work_runtime_rest(100);
    return work_runtime_going(r);
}

// A moment as a rule: the registry is read over the bus. One that stays away is complained of.
void work_runtime_await_registry(runtime *r)
{
    bus_mono begin = bus_machine_mono();
    while (!work_outbox_knows(r->outbox) && work_runtime_going(r)) {
        work_outbox_poll(r->outbox);
        if (bus_mono_since(bus_machine_mono(), begin).ns > BUS_SPAN_S(2).ns)
            work_runtime_complain(r, "waiting", "the scenario registry has not been read yet");
        work_runtime_rest(1);
    }
}

void work_runtime_recall(runtime *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        bus_err err;
        do
            err = work_actor_recall(&r->actors[i], r->conn);
        while (retry_later(r, err, "reading progress"));
    }
}

static uint64_t last_output(runtime *r)
{
    uint64_t seq = 0;
    bus_err err;
    do
        err = work_outbox_last_seq(r->outbox, &seq);
    while (retry_later(r, err, "asking for the scenario's stream"));
    return seq;
}

bus_mark work_runtime_seen(const runtime *r)
{
    bus_mark seen = {0};
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->actors[i].progress.seen.seq > seen.seq)
            seen = r->actors[i].progress.seen;
    }
    return seen;
}

// The first sequence that was stored after `then`: what a stream that went back has got since, or all of one that
// was made anew.
static bus_err first_after(runtime *r, bus_wall then, const bus_seq_range *range, uint64_t *out)
{
    bus_reader *reader = NULL;
    bus_record record;
    bus_seq_range gap;
    bus_reader_opts opts = {.stream = "ACT", .from_time = {then.ns + 1}};
    bus_err err = bus_reader_open(&reader, r->conn, &opts);
    if (err)
        return err;
    bus_reader_result got;
    do // what is gone besides is told to whoever reads on
        got = bus_reader_next(reader, BUS_SPAN_MS(1000), &record, &gap);
    while (got == BUS_READER_GAP);
    if (got == BUS_READER_RECORD)
        *out = record.seq;
    else if (got == BUS_READER_CAUGHT_UP)
        *out = range->last + 1;
    else
        err = bus_fail(BUS_EUNAVAILABLE, "ACT does not tell what was stored since it went back");
    bus_reader_close(reader);
    return err;
}

static bus_err look_at(runtime *r, bus_mark seen, work_source *act)
{
    bus_err err = bus_stream_range(r->conn, "ACT", &act->range);
    if (err)
        return err;
    act->fresh = act->range.last + 1;
    switch (bus_stream_holds(r->conn, "ACT", seen)) {
    case BUS_HOLDS_YES:
        r->last_input = seen;
        return BUS_OK;
    case BUS_HOLDS_NO:
        bus_error("%s", bus_err_text());
        err = first_after(r, seen.stored, &act->range, &act->fresh);
        if (act->fresh > seen.seq) // an older record where ours was: not our stream in any part
            act->fresh = act->range.first;
        return err;
    default:
        return BUS_EUNAVAILABLE;
    }
}

// No stream at all counts as an empty one while nobody was ever fed from it; after that it is waited for.
static work_source source_now(runtime *r)
{
    work_source act = {0};
    bus_err err;
    bool was_fed = false;
    for (uint32_t i = 0; i < r->count; i++)
        was_fed = was_fed || *r->actors[i].progress.session;
    do
        err = look_at(r, work_runtime_seen(r), &act);
    while ((was_fed || err != BUS_ENOTFOUND) && retry_later(r, err, "asking for ACT"));
    return err ? (work_source){{1, 0}, 1} : act;
}

void work_runtime_report_reset(runtime *r, const work_actor *a, bus_seq_range lost)
{
    char packed[256];
    bus_pack p = bus_pack_to(packed, sizeof packed);
    bus_warn("inputs %llu..%llu of worker %s are not stored any more: session %s begins at %llu",
             (unsigned long long)lost.first, (unsigned long long)lost.last, a->spec->name,
             a->progress.session, (unsigned long long)a->progress.start_seq);
    bus_pack_map(&p, 5);
    bus_pack_key(&p, "worker");
    bus_pack_key(&p, a->spec->name);
    bus_pack_key(&p, "session");
    bus_pack_key(&p, a->progress.session);
    bus_pack_key(&p, "first_missing");
    bus_pack_uint(&p, lost.first);
    bus_pack_key(&p, "last_missing");
    bus_pack_uint(&p, lost.last);
    bus_pack_key(&p, "start_seq");
    bus_pack_uint(&p, a->progress.start_seq);
    while (work_outbox_control(r->outbox, a, "state_reset", a->progress.start_seq,
                               (bus_view){packed, p.len}) == WORK_OUTBOX_HOLD &&
           work_runtime_going(r)) {
        work_outbox_poll(r->outbox);
        work_runtime_rest(1);
    }
}

// Every actor's place: sessions on the act lane, the run of the last time on hyp. Then what the
// scenario's stream holds behind the last known output.
void work_runtime_begin(runtime *r)
{
    uint64_t out_seq = last_output(r), known_from = out_seq;
    work_source act = {0};
    if (!r->plan.hyp)
        act = source_now(r);
    for (uint32_t i = 0; i < r->count && work_runtime_going(r); i++) {
        work_actor *a = &r->actors[i];
        bus_seq_range lost = {0};
        bus_err err = r->plan.hyp ? work_actor_resume_run(a)
                                  : work_actor_begin_session(a, &act, out_seq, &lost);
        if (err) {
            work_runtime_tell_failed(r, a->spec->name);
            return;
        }
        if (lost.last)
            work_runtime_report_reset(r, a, lost);
        if (a->progress.out_seq < known_from)
            known_from = a->progress.out_seq;
    }
    bus_err err;
    do
        err = work_outbox_recall(r->outbox, known_from);
    while (retry_later(r, err, "reading stored outputs"));
}

// Where each session begins is stored before anything is fed, so that a death in the very first call
// cannot make the next start begin elsewhere.
void work_runtime_store_beginnings(runtime *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        bool stored;
        do
            stored = !r->actors[i].dirty || work_runtime_store(r, i, bus_machine_mono(), false);
        while (!stored && retry_later(r, BUS_EUNAVAILABLE, "storing progress"));
    }
}

uint64_t work_runtime_position(const runtime *r)
{
    uint64_t lowest = UINT64_MAX;
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->actors[i].position < lowest)
            lowest = r->actors[i].position;
    }
    return lowest;
}

// The run that all actors can go on with; "" when they differ.
static const char *common_run(const runtime *r)
{
    for (uint32_t i = 1; i < r->count; i++) {
        if (strcmp(r->actors[i].progress.runid, r->actors[0].progress.runid) != 0)
            return "";
    }
    return r->actors[0].progress.runid;
}

bus_err work_runtime_open_feed(runtime *r)
{
    const char *filters[WORK_PLAN_WORKERS_MAX * WORK_INPUTS_MAX];
    size_t count = 0;
    char name[80], all[BUS_SUBJECT_BUF];
    for (uint32_t i = 0; i < r->count; i++) {
        for (uint32_t k = 0; k < r->actors[i].spec->input_count; k++)
            filters[count++] = r->actors[i].filter[k];
    }
    if (r->plan.hyp && count > BUS_CREDIT_FILTERS_MAX) { // each actor still takes only its own
        snprintf(all, sizeof all, "hyp.%s.exchange.>", r->plan.selector);
        filters[0] = all;
        count = 1;
    }
    snprintf(name, sizeof name, "scenario-%s", r->plan.scenario);
    uint64_t position = work_runtime_position(r);
    const char *run = common_run(r);
    work_feed_opts opts = {.hyp = r->plan.hyp,
                           .filters = filters,
                           .filter_count = count,
                           .from_seq = position + 1,
                           .selector = r->plan.selector,
                           .name = name,
                           .run = run,
                           .after_seq = *run ? position : 0};
    bus_err err = work_feed_open(&r->feed, r->conn, &opts);
    pthread_mutex_lock(&r->ring);
    r->sleeper = r->feed;
    pthread_mutex_unlock(&r->ring);
    return err;
}

void work_runtime_close_feed(runtime *r, bool leaves)
{
    pthread_mutex_lock(&r->ring);
    r->sleeper = NULL;
    pthread_mutex_unlock(&r->ring);
    work_feed_close(r->feed, leaves);
    r->feed = NULL;
}

// --- runs, marks, gaps -------------------------------------------------------------------------------

static void drain(runtime *r)
{
    while (work_outbox_pending(r->outbox) && work_runtime_going(r)) {
        work_outbox_poll(r->outbox);
        work_runtime_rest(1);
    }
}

// The run's source and first sequence, as the replay's record tells them.
static bus_err ask_run(runtime *r, const char *run, char *stream, size_t cap, uint64_t *first_seq)
{
    bus_kv_entry entry = {0};
    bus_err err = bus_kv_get(r->conn, "replays", r->plan.selector, &entry);
    if (err)
        return err;
    json_t *root = json_loadb(entry.value.ptr, entry.value.len, 0, NULL);
    bus_kv_entry_release(&entry);
    const char *runid = json_string_value(json_object_get(root, "runid"));
    const char *source = json_string_value(json_object_get(root, "stream"));
    *first_seq = (uint64_t)json_integer_value(json_object_get(root, "first_seq"));
    snprintf(stream, cap, "%s", source ? source : "");
    if (!runid || strcmp(runid, run) != 0 || !source || !*first_seq)
        err = bus_fail(BUS_ESTATE, "replays/%s does not tell of run %s", r->plan.selector, run);
    json_decref(root);
    return err;
}

void work_runtime_begin_run(runtime *r)
{
    const char *run = work_feed_run(r->feed);
    char stream[40] = "";
    uint64_t first_seq = 0;
    bool same = true;
    for (uint32_t i = 0; i < r->count; i++)
        same = same && strcmp(r->actors[i].progress.runid, run) == 0;
    r->ended = false;
    if (same)
        return;
    drain(r);
    bus_err err;
    do
        err = ask_run(r, run, stream, sizeof stream, &first_seq);
    while (retry_later(r, err, "reading the replay's record") &&
           strcmp(run, work_feed_run(r->feed)) == 0);
    uint64_t out_seq = last_output(r);
    if (!work_runtime_going(r))
        return;
    bus_info("run %s begins at %llu", run, (unsigned long long)first_seq);
    for (uint32_t i = 0; i < r->count; i++) {
        if (work_actor_begin_run(&r->actors[i], run, stream, first_seq, out_seq)) {
            work_runtime_tell_failed(r, r->actors[i].spec->name);
            return;
        }
    }
}

void work_runtime_skip_gap(runtime *r, bus_seq_range gap)
{
    uint64_t out_seq = last_output(r);
    for (uint32_t i = 0; i < r->count && work_runtime_going(r); i++) {
        work_actor *a = &r->actors[i];
        if (gap.last <= a->position)
            continue;
        if (work_actor_reset(a, gap.last + 1, out_seq)) {
            work_runtime_tell_failed(r, a->spec->name);
            return;
        }
        work_runtime_report_reset(r, a, gap);
    }
}
