// The calls of the Replay service. What a replay itself must answer goes to it as a command; the answer
// comes back through store_replays_poll.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/method.h"
#include "store/replay_form.h"
#include "store/replay_slots.h"
#include "store/scenarios.h"
#include "store/worker_start.h"

// --- Start --------------------------------------------------------------------------------------------

typedef const Virtufin__Api__V1__StartReplayRequest start_request;

static bus_err check_stream_name(const char *name)
{
    size_t len = strlen(name);
    if (len < 1 || len > 63 || strpbrk(name, ".*> \t\r\n/\\"))
        return bus_fail(BUS_EINVAL, "stream '%.80s': 1 to 63 bytes without . * > / \\ and blanks",
                        name);
    return BUS_OK;
}

static bus_err check_scenario(store_replays *rs, const char *id, const char *selector)
{
    store_scenario s = {0};
    bus_err err = store_scenarios_get(rs->opts.conn, id, &s);
    if (err)
        return err;
    if (s.status != STORE_SCENARIO_ACTIVE)
        err = bus_fail(BUS_ESTATE, "scenario '%s' is %s, not active", id,
                       store_scenario_status_name(s.status));
    else if (!s.hyp || strcmp(s.selector, selector) != 0)
        err = bus_fail(BUS_ESTATE, "scenario '%s' has its market on %s%s, not on hyp.%s", id,
                       s.hyp ? "hyp." : "act", s.selector, selector);
    store_scenario_release(&s);
    return err;
}

static bus_err read_time(const char *field, const char *text, bool *has, bus_recorded_time *out)
{
    *has = *text != 0;
    return *has ? bus_note(bus_time_parse(bus_view_of(text), &out->ns), "%s", field) : BUS_OK;
}

static bus_err read_range(store_replays *rs, start_request *r, store_range_ask *ask)
{
    ask->stream = *r->stream ? r->stream : "ACT";
    ask->from_seq = r->from_seq;
    ask->to_seq = r->to_seq;
    bus_err err = check_stream_name(ask->stream);
    if (!err)
        err = read_time("from_time", r->from_time, &ask->has_from, &ask->from);
    if (!err)
        err = read_time("to_time", r->to_time, &ask->has_to, &ask->to);
    if (!err && !ask->from_seq && !ask->has_from && strcmp(ask->stream, "ACT") == 0)
        err = store_worker_start(rs->opts.conn, "LIVE", &ask->default_first);
    return err;
}

static bus_err read_start(store_replays *rs, start_request *r, store_replay_opts *opts)
{
    bus_err err = bus_lane_check_selector(bus_view_of(r->selector), "selector");
    if (!err)
        err = store_speed_parse(bus_view_of(r->speed), &opts->speed);
    if (!err && r->join_timeout_ms > 600000)
        err =
            bus_fail(BUS_EINVAL, "join_timeout_ms %" PRIu32 ": at most 600000", r->join_timeout_ms);
    if (!err && r->n_scenarios > STORE_REPLAY_SCENARIOS_MAX)
        err = bus_fail(BUS_EINVAL, "%zu scenarios are named: at most %d", r->n_scenarios,
                       STORE_REPLAY_SCENARIOS_MAX);
    for (size_t i = 0; !err && i < r->n_scenarios; i++)
        err = check_scenario(rs, r->scenarios[i], r->selector);
    if (!err)
        err = read_range(rs, r, &opts->range);
    if (err)
        return err;
    opts->selector = r->selector;
    opts->scenarios = (const char *const *)r->scenarios;
    opts->scenario_count = r->n_scenarios;
    opts->paused = r->paused;
    opts->join_timeout = BUS_SPAN_MS(r->join_timeout_ms);
    opts->source = rs->opts.source;
    opts->window_events = rs->opts.window_events;
    opts->window_bytes = rs->opts.window_bytes;
    opts->lease = rs->opts.lease;
    opts->keeper = rs->opts.keeper;
    opts->wake = rs->opts.wake;
    return BUS_OK;
}

static bus_err start(store_replays *rs, bus_call *call, start_request *r)
{
    store_replay_opts opts = {0};
    bus_err err = read_start(rs, r, &opts);
    if (err)
        return err;
    store_slot *s = store_slot_find(rs, r->selector);
    if (s && s->started && store_replay_is_end(s->info.state)) {
        store_replay_join(s->replay); // it has ended but for closing its connections
        store_slot_poll(rs, s, bus_machine_mono());
    }
    if (s && s->replay && !s->started)
        return bus_fail(BUS_EEXISTS, "a replay on '%s' is being started", r->selector);
    if (s && s->replay)
        return bus_fail(BUS_EEXISTS, "selector '%s' has a replay already: run %s is %s",
                        r->selector, s->info.runid, store_replay_state_name(s->info.state));
    if (rs->running == STORE_REPLAYS_RUNNING_MAX)
        return bus_fail(BUS_ELIMIT, "%d replays run already", STORE_REPLAYS_RUNNING_MAX);
    if (!s)
        s = store_slot_make(rs, r->selector);
    if (!s)
        return bus_fail(BUS_ENOMEM, "replay on '%s'", r->selector);
    err = store_replay_open(&s->replay, &opts, call);
    rs->running += !err;
    return err;
}

static void on_start(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    start_request *r = (const void *)request;
    bus_err err = start(ctx, call, r);
    if (err)
        bus_call_failed(call, bus_note(err, "starting a replay on '%.40s'", r->selector));
}

// --- the other calls ----------------------------------------------------------------------------------

static void send_to(store_slot *s, bus_call *call, const store_replay_command *c)
{
    bus_err err = BUS_OK;
    if (!s->replay)
        err = bus_fail(BUS_ESTATE, "replay on '%s' is over: it is %s", s->selector,
                       store_replay_state_name(s->info.state));
    if (!err)
        err = store_replay_send(s->replay, c);
    if (err) {
        free(c->filter);
        bus_call_failed(call, err);
    }
}

static void command(store_replays *rs, bus_call *call, const char *selector, store_replay_command c)
{
    store_slot *s;
    bus_err err = store_slot_known(rs, selector, &s);
    c.call = call;
    if (err)
        bus_call_failed(call, err);
    else
        send_to(s, call, &c);
}

static void on_pause(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    const Virtufin__Api__V1__PauseReplayRequest *r = (const void *)request;
    command(ctx, call, r->selector, (store_replay_command){.verb = STORE_REPLAY_PAUSE});
}

static void on_resume(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    const Virtufin__Api__V1__ResumeReplayRequest *r = (const void *)request;
    command(ctx, call, r->selector, (store_replay_command){.verb = STORE_REPLAY_RESUME});
}

static void on_stop(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    const Virtufin__Api__V1__StopReplayRequest *r = (const void *)request;
    command(ctx, call, r->selector, (store_replay_command){.verb = STORE_REPLAY_STOP});
}

static void on_step(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    const Virtufin__Api__V1__StepReplayRequest *r = (const void *)request;
    if (r->count > 1000000) {
        bus_call_failed(call, bus_fail(BUS_EINVAL, "count %" PRIu64 ": at most 1000000", r->count));
        return;
    }
    command(ctx, call, r->selector,
            (store_replay_command){.verb = STORE_REPLAY_STEP, .n = r->count ? r->count : 1});
}

static void on_seek(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    const Virtufin__Api__V1__SeekReplayRequest *r = (const void *)request;
    store_replay_command c = {.verb = STORE_REPLAY_SEEK, .n = r->seq};
    bool by_time;
    bus_err err = read_time("time", r->time, &by_time, &c.time);
    if (!err && by_time == (r->seq != 0))
        err = bus_fail(BUS_EINVAL, "seek: a sequence or a time is expected, and not both");
    if (err)
        bus_call_failed(call, err);
    else
        command(ctx, call, r->selector, c);
}

static void on_speed(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    const Virtufin__Api__V1__SetReplaySpeedRequest *r = (const void *)request;
    store_replay_command c = {.verb = STORE_REPLAY_SPEED};
    bus_err err = store_speed_parse(bus_view_of(r->speed), &c.speed);
    if (err)
        bus_call_failed(call, err);
    else
        command(ctx, call, r->selector, c);
}

static void on_get(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    const Virtufin__Api__V1__GetReplayRequest *r = (const void *)request;
    store_slot *s;
    bus_err err = store_slot_known(ctx, r->selector, &s);
    if (!err && !s->known)
        err = bus_fail(BUS_ENOTFOUND, "the replay on '%s' is being started", r->selector);
    if (err)
        bus_call_failed(call, err);
    else
        store_slot_reply(call, &s->info);
}

static void on_list(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    store_replays *rs = ctx;
    Virtufin__Api__V1__ListReplaysReply reply = VIRTUFIN__API__V1__LIST_REPLAYS_REPLY__INIT;
    size_t count = 0;
    (void)request;
    for (store_slot *s = rs->slots; s; s = s->next)
        count += s->known;
    reply.replays = calloc(count + 1, sizeof *reply.replays);
    for (store_slot *s = rs->slots; s && reply.replays; s = s->next)
        if (s->known && (reply.replays[reply.n_replays] = store_replay_to_proto(&s->info)))
            reply.n_replays++;
    if (reply.n_replays == count)
        bus_call_reply(call, &reply.base);
    else
        bus_call_fail(call, BUS_ENOMEM, "list of replays");
    for (size_t i = 0; i < reply.n_replays; i++)
        store_replay_proto_free(reply.replays[i]);
    free(reply.replays);
}

static bus_err copy_filters(store_replay_command *c, char *const *filters, size_t count)
{
    if (count > BUS_CREDIT_FILTERS_MAX)
        return bus_fail(BUS_EINVAL, "%zu filters: at most %d", count, BUS_CREDIT_FILTERS_MAX);
    c->filter = count ? calloc(count, sizeof *c->filter) : NULL;
    if (count && !c->filter)
        return bus_fail(BUS_ENOMEM, "filters of a participant");
    for (c->filters = 0; c->filters < count; c->filters++)
        if (!bus_view_copy(bus_view_of(filters[c->filters]), c->filter[c->filters],
                           sizeof *c->filter))
            return bus_fail(BUS_EINVAL, "filter '%.60s…' is longer than %d bytes",
                            filters[c->filters], BUS_SUBJECT_MAX);
    return BUS_OK;
}

static bus_err participant_slot(store_replays *rs, const char *name, const char *participant,
                                store_replay_command *c, store_slot **out)
{
    *out = store_slot_of(rs, name);
    if (!*out)
        return bus_fail(BUS_ENOTFOUND, "no replay '%.80s' (an id or a selector)", name);
    bus_err err = bus_participant_name_check(bus_view_of(participant));
    if (!err)
        snprintf(c->participant, sizeof c->participant, "%s", participant);
    return err;
}

static void on_join(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    const Virtufin__Api__V1__JoinReplayRequest *r = (const void *)request;
    store_replay_command c = {.verb = STORE_REPLAY_JOIN, .call = call, .n = r->done_seq};
    store_slot *s;
    bus_err err = participant_slot(ctx, r->replay, r->participant, &c, &s);
    if (!err)
        err = copy_filters(&c, r->filters, r->n_filters);
    if (err) {
        free(c.filter);
        bus_call_failed(call, err);
        return;
    }
    snprintf(c.runid, sizeof c.runid, "%s", r->runid);
    send_to(s, call, &c);
}

static void on_done(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    const Virtufin__Api__V1__DoneReplayRequest *r = (const void *)request;
    store_replay_command c = {
        .verb = STORE_REPLAY_DONE, .call = call, .n = r->seq, .leave = r->leave};
    store_slot *s;
    bus_err err = participant_slot(ctx, r->replay, r->participant, &c, &s);
    if (err) {
        bus_call_failed(call, err);
        return;
    }
    snprintf(c.runid, sizeof c.runid, "%s", r->runid);
    send_to(s, call, &c);
}

static void on_watch(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    store_replays *rs = ctx;
    const Virtufin__Api__V1__WatchReplayRequest *r = (const void *)request;
    store_slot *s;
    bus_err err = store_slot_known(rs, r->selector, &s);
    if (!err && r->interval_ms && (r->interval_ms < 100 || r->interval_ms > 60000))
        err = bus_fail(BUS_EINVAL, "interval_ms %" PRIu32 ": 100 to 60000", r->interval_ms);
    if (!err && rs->watcher_count == STORE_WATCHERS_MAX)
        err = bus_fail(BUS_ELIMIT, "%d callers watch replays already", STORE_WATCHERS_MAX);
    store_watcher *w = err ? NULL : calloc(1, sizeof *w);
    if (!w) {
        bus_call_failed(call, err ? err : bus_fail(BUS_ENOMEM, "watch of a replay"));
        return;
    }
    w->call = call;
    w->slot = s;
    w->interval = BUS_SPAN_MS(r->interval_ms ? r->interval_ms : 500);
    w->next_watcher = rs->watchers;
    rs->watchers = w;
    rs->watcher_count++;
}

const bus_method *store_replays_methods(void)
{
    static const bus_method methods[] = {
        STORE_METHOD("Start", start_replay_request, replay_info, false, on_start),
        STORE_METHOD("Pause", pause_replay_request, replay_info, false, on_pause),
        STORE_METHOD("Resume", resume_replay_request, replay_info, false, on_resume),
        STORE_METHOD("Step", step_replay_request, replay_info, false, on_step),
        STORE_METHOD("Seek", seek_replay_request, replay_info, false, on_seek),
        STORE_METHOD("SetSpeed", set_replay_speed_request, replay_info, false, on_speed),
        STORE_METHOD("Stop", stop_replay_request, replay_info, false, on_stop),
        STORE_METHOD("Get", get_replay_request, replay_info, false, on_get),
        STORE_METHOD("List", list_replays_request, list_replays_reply, false, on_list),
        STORE_METHOD("Watch", watch_replay_request, replay_info, true, on_watch),
        STORE_METHOD("Join", join_replay_request, join_replay_reply, false, on_join),
        STORE_METHOD("Done", done_replay_request, done_replay_reply, false, on_done),
        {.method = NULL},
    };
    return methods;
}
