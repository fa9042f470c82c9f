#include "workhost/runtime/actor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/kill_point.h"
#include "bus/base/log.h"

// A small state is saved as often as progress, so that little is fed again after a death.
enum { WRITE_EVERY_MS = 250, SAVE_EVERY_MS = 250, SAVE_LARGE_EVERY_MS = 1000, LARGE_BYTES = 16384 };

// --- life --------------------------------------------------------------------------------------------

static bus_err open_instance(work_actor *a)
{
    work_instance_opts opts = {.worker = a->spec->name,
                               .scenario = a->plan->scenario,
                               .settings = a->spec->settings,
                               .setting_count = a->spec->setting_count};
    work_instance_close(a->self);
    a->self = NULL;
    a->now_ns = 0;
    return work_instance_open(&a->self, a->code, &opts);
}

bus_err work_actor_open(work_actor *a, const work_plan *plan, const work_plan_worker *spec)
{
    *a = (work_actor){.plan = plan, .spec = spec};
    const work_engine *engine = work_engine_for(spec->mime);
    if (!engine)
        return bus_fail(BUS_EUNSUPPORTED, "no engine for MIME type '%s'", spec->mime);
    for (uint32_t i = 0; i < spec->input_count; i++) {
        int n = plan->hyp ? snprintf(a->filter[i], BUS_SUBJECT_BUF, "hyp.%s.%s", plan->selector,
                                     spec->inputs[i])
                          : snprintf(a->filter[i], BUS_SUBJECT_BUF, "act.%s", spec->inputs[i]);
        if (n >= BUS_SUBJECT_BUF)
            return bus_fail(BUS_EINVAL, "input '%.80s…' is too long", spec->inputs[i]);
    }
    bus_err err = work_code_load(&a->code, engine, spec->code);
    return err ? err : open_instance(a);
}

void work_actor_close(work_actor *a)
{
    work_instance_close(a->self);
    work_code_release(a->code);
    work_saved_release(&a->saved);
    *a = (work_actor){0};
}

bool work_actor_wants(const work_actor *a, bus_view topic)
{
    for (uint32_t i = 0; i < a->spec->input_count; i++) {
        if (bus_subject_match(bus_view_of(a->filter[i]), topic))
            return true;
    }
    return false;
}

// --- beginning ---------------------------------------------------------------------------------------

bus_err work_actor_recall(work_actor *a, bus_conn *conn)
{
    bus_err err = work_progress_read(conn, a->plan->scenario, a->spec->name, &a->progress);
    if (err && err != BUS_ENOTFOUND && err != BUS_EDATALOSS)
        return err;
    if (err == BUS_EDATALOSS)
        bus_warn("%s: beginning anew", bus_err_text());
    err = work_saved_read(conn, a->plan->scenario, a->spec->name, &a->saved);
    if (err == BUS_EDATALOSS)
        bus_warn("%s: feeding from start_seq", bus_err_text());
    return err == BUS_ENOTFOUND || err == BUS_EDATALOSS ? BUS_OK : err;
}

static void begin(work_actor *a, uint64_t start_seq, uint64_t out_seq)
{
    work_progress *p = &a->progress;
    p->start_seq = start_seq;
    p->done_seq = start_seq - 1;
    p->outputs = 0;
    p->out_seq = out_seq;
    p->seen = (bus_mark){0};
    p->end = false;
    p->generation = a->spec->generation;
    snprintf(p->sha256, sizeof p->sha256, "%s", a->spec->sha256);
    a->position = start_seq - 1;
    a->saved_pending = false;
    a->dirty = a->at_once = true;
}

static void next_session(work_actor *a, uint64_t start_seq, uint64_t out_seq)
{
    work_progress *p = &a->progress;
    snprintf(p->session, sizeof p->session, "%lld", atoll(p->session) + 1);
    snprintf(p->stream, sizeof p->stream, "ACT");
    p->runid[0] = '\0';
    begin(a, start_seq, out_seq);
}

bus_err work_actor_reset(work_actor *a, uint64_t seq, uint64_t out_seq)
{
    bus_err err = open_instance(a);
    if (!err)
        next_session(a, seq, out_seq);
    return err;
}

// Whether what is saved belongs to the present session or run, generation and code.
static bool saved_is_current(const work_actor *a)
{
    const work_saved *s = &a->saved;
    const work_progress *p = &a->progress;
    return s->bytes && work_instance_can_save(a->self) && strcmp(s->session, p->session) == 0 &&
           strcmp(s->runid, p->runid) == 0 && s->generation == p->generation &&
           strcmp(s->sha256, p->sha256) == 0 && s->seq + 1 >= p->start_seq;
}

static bus_err load_saved(work_actor *a)
{
    a->position = a->progress.start_seq - 1;
    if (!saved_is_current(a))
        return BUS_OK;
    if (work_instance_load(a->self, (bus_view){(const char *)a->saved.bytes, a->saved.len})) {
        bus_warn("worker %s does not take its saved state (%s): feeding from %llu", a->spec->name,
                 bus_err_text(), (unsigned long long)a->progress.start_seq);
        return open_instance(a);
    }
    a->position = a->saved.seq;
    a->now_ns = a->saved.now_ns;
    return BUS_OK;
}

static bus_err go_on(work_actor *a, const work_source *act, uint64_t first, uint64_t out_seq,
                     bus_seq_range *lost)
{
    const work_progress *p = &a->progress;
    uint64_t fed = p->seen.seq > p->done_seq ? p->seen.seq : p->done_seq;
    bus_err err = load_saved(a);
    bool went_back = fed >= act->fresh, gone = a->position + 1 < first;
    if (err || !(went_back || gone))
        return err;
    uint64_t from = went_back ? act->fresh : first;
    *lost = went_back ? (bus_seq_range){from, fed} : (bus_seq_range){a->position + 1, from - 1};
    return work_actor_reset(a, from, out_seq);
}

bus_err work_actor_begin_session(work_actor *a, const work_source *act, uint64_t out_seq,
                                 bus_seq_range *lost)
{
    work_progress *p = &a->progress;
    bus_seq_range range = act->range;
    bool empty = range.last < range.first;
    uint64_t first = range.first ? range.first : 1;
    bus_err err = BUS_OK;
    *lost = (bus_seq_range){0};
    if (!*p->session) {
        uint64_t next = empty && range.last < first ? first : range.last + 1;
        next_session(a, a->spec->start_first ? first : next, out_seq);
    } else if (p->generation != a->spec->generation) {
        next_session(a, p->done_seq + 1, out_seq);
    } else {
        err = go_on(a, act, first, out_seq, lost);
    }
    return err;
}

bus_err work_actor_begin_run(work_actor *a, const char *run, const char *stream, uint64_t first_seq,
                             uint64_t out_seq)
{
    bus_err err = open_instance(a);
    if (err)
        return err;
    snprintf(a->progress.runid, sizeof a->progress.runid, "%s", run);
    snprintf(a->progress.stream, sizeof a->progress.stream, "%s", stream);
    a->progress.session[0] = '\0';
    begin(a, first_seq, out_seq);
    return BUS_OK;
}

bus_err work_actor_resume_run(work_actor *a)
{
    a->position = 0;
    if (!*a->progress.runid || a->progress.generation != a->spec->generation) {
        a->progress.runid[0] = '\0'; // whatever run comes is a new one
        return BUS_OK;
    }
    return load_saved(a);
}

// --- keeping -----------------------------------------------------------------------------------------

static bool due(bus_mono now, bus_mono then, int ms)
{
    return bus_mono_since(now, then).ns >= BUS_SPAN_MS(ms).ns;
}

void work_actor_snapshot(work_actor *a, bus_mono now, bool at_once)
{
    bus_view state;
    int every_ms = a->saved.len > LARGE_BYTES ? SAVE_LARGE_EVERY_MS : SAVE_EVERY_MS;
    if (a->tainted || a->saved_pending || !work_instance_can_save(a->self) ||
        (a->saved.bytes && a->saved.seq == a->position && saved_is_current(a)) ||
        a->position + 1 == a->progress.start_seq || !(at_once || due(now, a->saved_at, every_ms)))
        return;
    a->saved_at = now;
    if (work_instance_save(a->self, &state)) {
        if (!a->save_warned)
            bus_warn("state of worker %s is not saved: %s", a->spec->name, bus_err_text());
        a->save_warned = true;
        return;
    }
    uint8_t *bytes = realloc(a->saved.bytes, state.len + 1);
    if (!bytes)
        return; // the next one may find room
    if (state.len)
        memcpy(bytes, state.ptr, state.len);
    work_saved *s = &a->saved;
    s->bytes = bytes;
    s->len = state.len;
    s->seq = a->position;
    s->now_ns = a->now_ns;
    s->generation = a->progress.generation;
    memcpy(s->session, a->progress.session, sizeof s->session);
    memcpy(s->runid, a->progress.runid, sizeof s->runid);
    memcpy(s->sha256, a->progress.sha256, sizeof s->sha256);
    a->saved_pending = true;
}

static bus_err write_progress(work_actor *a, bus_conn *conn, bus_mono now)
{
    if (!a->dirty || !(a->at_once || due(now, a->written_at, WRITE_EVERY_MS)))
        return BUS_OK;
    a->written_at = now;
    bus_err err = work_progress_write(conn, &a->progress);
    if (!err)
        a->dirty = a->at_once = false;
    return err;
}

bus_err work_actor_store(work_actor *a, bus_conn *conn, uint64_t done_seq, bus_mono now)
{
    if (done_seq > a->progress.done_seq) {
        a->progress.done_seq = done_seq;
        a->dirty = true;
    }
    bus_err err = write_progress(a, conn, now);
    if (err || !a->saved_pending || a->saved.seq > a->progress.done_seq)
        return err;
    bus_kill_point("worker.saving");
    err = work_saved_write(conn, a->plan->scenario, a->spec->name, &a->saved);
    a->saved_pending = err && err != BUS_ECONFLICT;
    return err;
}
