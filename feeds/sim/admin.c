// The endpoints of simexd itself. Source: schemas/specs/simexd.md, "Admin endpoints".
#include "feeds/sim/inside.h"
#include "feeds/sim/json.h"

enum {
    LOG_LIMIT = 10000,
    LOG_LIMIT_MAX = 100000,
    IDS_LIMIT = 10000,
    IDS_LIMIT_MAX = 1000000,
};

static void refuse(sim_answer *a, bus_err err)
{
    a->status = err == BUS_ENOTFOUND ? 404
                : err == BUS_ESTATE  ? 409
                : err == BUS_ENOMEM  ? 500
                                     : 400;
    a->type = "application/json;charset=UTF-8";
    sim_text_clear(&a->body);
    sim_text_str(&a->body, "{\"error\":");
    sim_text_quoted(&a->body, bus_view_of(bus_err_text()));
    sim_text_str(&a->body, "}");
}

// A number parameter; absent: preset. False: refused.
static bool read_number(const sim_ask *ask, const char *key, uint64_t preset, uint64_t max,
                        uint64_t *out, sim_answer *a)
{
    bus_view text;
    *out = preset;
    if (!sim_query_get(ask->query, key, &text))
        return true;
    if (bus_view_u64(text, out) && *out <= max)
        return true;
    refuse(a, bus_fail(BUS_EINVAL, "'%s' must be a number up to %llu, not '%.*s'", key,
                       (unsigned long long)max, BUS_VIEW_ARG(text)));
    return false;
}

static sim_instrument *read_symbol(sim_exchange *x, const sim_ask *ask, sim_answer *a)
{
    bus_view name = {0};
    (void)sim_query_get(ask->query, "symbol", &name);
    int no = sim_topics_symbol(&x->hub.topics, name);
    if (no >= 0)
        return &x->instrument[no];
    refuse(a, bus_fail(BUS_ENOTFOUND, "symbol '%.*s' is not traded here", BUS_VIEW_ARG(name)));
    return NULL;
}

// --- status -----------------------------------------------------------------------------------------

static const char *state_name(const sim_exchange *x)
{
    static const char *const names[] = {"waiting", "playing", "holding", "ended"};
    if (x->synth)
        return names[sim_synth_feed_state(x)];
    return x->play.paused ? "holding" : names[x->play.state];
}

static void render_hold(const sim_exchange *x, bus_mono now, sim_text *t)
{
    if (x->play.paused || x->pace.paused)
        sim_text_str(t, "{\"symbol\":\"\",\"since_ms\":0}");
    else if (x->capture && x->play.state == SIM_HOLDING)
        sim_text_printf(t, "{\"symbol\":\"%s\",\"since_ms\":%lld}", x->play.record.symbol,
                        (long long)(bus_mono_since(now, x->play.held_since).ns / 1000000));
    else
        sim_text_str(t, "null");
}

static void render_waiting_for(const sim_exchange *x, sim_text *t)
{
    bool first = true;
    sim_text_str(t, "[");
    for (size_t i = 0; x->capture && x->play.state == SIM_WAITING && i < x->hub.topics.count; i++) {
        if (sim_hub_listened(&x->hub, (int)i))
            continue;
        sim_text_printf(t, "%s\"%s\"", first ? "" : ",", x->hub.topics.topic[i].name);
        first = false;
    }
    sim_text_str(t, "]");
}

static void render_symbol(const sim_exchange *x, size_t no, sim_text *t)
{
    const sim_instrument *in = &x->instrument[no];
    bool first = true;
    sim_text_printf(t, "\"%s\":{\"channels\":{", in->name);
    for (size_t i = 0; i < x->hub.topics.count; i++) {
        const sim_topic *topic = &x->hub.topics.topic[i];
        if (topic->symbol_no != (int)no || topic->played == 0)
            continue;
        sim_text_printf(t, "%s\"%s\":%llu", first ? "" : ",", topic->channel,
                        (unsigned long long)topic->played);
        first = false;
    }
    sim_text_printf(t, "},\"last_update_id\":%lld,\"gaps\":%llu}",
                    (long long)sim_history_last_id(in->history),
                    (unsigned long long)sim_history_gaps(in->history));
}

static void render_clients(const sim_exchange *x, bus_mono now, sim_text *t)
{
    sim_text_str(t, "[");
    for (const sim_client *c = x->hub.clients; c; c = c->next) {
        sim_text_printf(t, "%s{\"id\":%llu,\"path\":", c == x->hub.clients ? "" : ",",
                        (unsigned long long)c->id);
        sim_text_quoted(t, bus_view_of(c->path));
        sim_text_printf(t,
                        ",\"combined\":%s,\"streams\":%u,\"queued_bytes\":%zu,"
                        "\"sent_frames\":%llu,\"age_ms\":%lld}",
                        c->combined ? "true" : "false", c->sub_used, c->queued_bytes,
                        (unsigned long long)c->sent_frames,
                        (long long)(bus_mono_since(now, c->opened).ns / 1000000));
    }
    sim_text_str(t, "]");
}

static void render_faults(const sim_exchange *x, sim_text *t)
{
    long long count[3] = {0}, hits = 0;
    for (size_t i = 0; i < x->hub.faults.count; i++) {
        count[x->hub.faults.fault[i]->state]++;
        hits += x->hub.faults.fault[i]->hits;
    }
    sim_text_printf(t, "{\"armed\":%lld,\"active\":%lld,\"done\":%lld,\"hits\":%lld}",
                    count[SIM_FAULT_ARMED], count[SIM_FAULT_ACTIVE], count[SIM_FAULT_DONE], hits);
}

static void status(sim_exchange *x, const sim_ask *ask, sim_answer *a, bus_mono now)
{
    sim_text *t = &a->body;
    (void)ask;
    a->status = 200;
    sim_text_printf(t, "{\"mode\":\"%s\",\"state\":\"%s\",\"speed\":\"%s\",\"seed\":%lld,",
                    x->capture ? "capture" : "synthetic", state_name(x), x->opts.speed,
                    (long long)x->opts.seed);
    sim_text_printf(t, "\"frames_played\":%llu,\"frames_total\":%llu,\"bad_lines\":%llu,\"hold\":",
                    (unsigned long long)x->hub.frames,
                    (unsigned long long)(x->capture ? sim_capture_frames(x->capture) : 0),
                    (unsigned long long)(x->capture ? sim_capture_bad_lines(x->capture) : 0));
    render_hold(x, now, t);
    sim_text_str(t, ",\"waiting_for\":");
    render_waiting_for(x, t);
    sim_text_printf(t,
                    ",\"snapshots\":{\"recorded\":%llu,\"passed\":%llu,\"served\":%llu,"
                    "\"own\":%llu,\"waiting\":%zu},\"symbols\":{",
                    (unsigned long long)x->snapshots.recorded,
                    (unsigned long long)x->snapshots.passed,
                    (unsigned long long)x->snapshots.served, (unsigned long long)x->snapshots.own,
                    x->waiter_count);
    for (size_t i = 0; i < x->instrument_count; i++) {
        sim_text_str(t, i ? "," : "");
        render_symbol(x, i, t);
    }
    sim_text_str(t, "},\"clients\":");
    render_clients(x, now, t);
    sim_text_printf(t, ",\"log\":{\"first\":%llu,\"last\":%llu},\"faults\":",
                    (unsigned long long)sim_sendlog_first(x->log),
                    (unsigned long long)sim_sendlog_last(x->log));
    render_faults(x, t);
    sim_text_str(t, "}");
}

// --- books ------------------------------------------------------------------------------------------

static void render_book(const sim_instrument *in, const sim_book *book, sim_history_mark mark,
                        sim_text *t)
{
    sim_text_printf(t,
                    "{\"symbol\":\"%s\",\"update_id\":%lld,\"base_id\":%lld,\"complete\":%s,"
                    "\"bids\":",
                    in->name, (long long)mark.update_id, (long long)mark.base_id,
                    mark.complete ? "true" : "false");
    sim_levels_render(book, SIM_BID, SIZE_MAX, in->price_digits, in->quantity_digits, t);
    sim_text_str(t, ",\"asks\":");
    sim_levels_render(book, SIM_ASK, SIZE_MAX, in->price_digits, in->quantity_digits, t);
    sim_text_str(t, "}");
}

static void book(sim_exchange *x, const sim_ask *ask, sim_answer *a, bus_mono now)
{
    bus_view at;
    uint64_t update_id;
    sim_history_mark mark;
    (void)now;
    sim_instrument *in = read_symbol(x, ask, a);
    if (!in || !read_number(ask, "update_id", 0, INT64_MAX, &update_id, a))
        return;
    if (sim_query_get(ask->query, "at", &at) && !bus_view_is(at, "end")) {
        refuse(a, bus_fail(BUS_EINVAL, "'at' must be 'end', not '%.*s'", BUS_VIEW_ARG(at)));
        return;
    }
    if (update_id == 0)
        update_id = (uint64_t)sim_history_last_id(in->history);
    bus_err err = sim_history_at(in->history, (int64_t)update_id, &x->scratch, &mark);
    if (err) {
        refuse(a, bus_note(err, "book of %s", in->name));
        return;
    }
    a->status = 200;
    render_book(in, &x->scratch, mark, &a->body);
}

static void add_id(void *ctx, int64_t first_id, int64_t last_id)
{
    sim_text *t = ctx;
    bool first = t->ptr[t->len - 1] == '[';
    sim_text_printf(t, "%s[%lld,%lld]", first ? "" : ",", (long long)first_id, (long long)last_id);
}

static void book_ids(sim_exchange *x, const sim_ask *ask, sim_answer *a, bus_mono now)
{
    uint64_t from, limit;
    (void)now;
    sim_instrument *in = read_symbol(x, ask, a);
    if (!in || !read_number(ask, "from", 0, INT64_MAX, &from, a) ||
        !read_number(ask, "limit", IDS_LIMIT, IDS_LIMIT_MAX, &limit, a))
        return;
    a->status = 200;
    sim_text_printf(&a->body, "{\"symbol\":\"%s\",\"ids\":[", in->name);
    sim_history_ids(in->history, (int64_t)from, limit, add_id, &a->body);
    sim_text_str(&a->body, "]}");
}

// --- log, faults, play ------------------------------------------------------------------------------

static void send_log(sim_exchange *x, const sim_ask *ask, sim_answer *a, bus_mono now)
{
    uint64_t from, limit;
    (void)now;
    if (!read_number(ask, "from", 1, INT64_MAX, &from, a) ||
        !read_number(ask, "limit", LOG_LIMIT, LOG_LIMIT_MAX, &limit, a))
        return;
    bus_err err = sim_sendlog_render(x->log, from ? from : 1, limit, &a->body);
    if (err) {
        refuse(a, err);
        return;
    }
    a->status = 200;
    a->type = "application/x-ndjson";
}

static void list_faults(sim_exchange *x, const sim_ask *ask, sim_answer *a, bus_mono now)
{
    (void)ask, (void)now;
    a->status = 200;
    sim_faults_render(&x->hub.faults, &a->body);
}

static void add_fault(sim_exchange *x, const sim_ask *ask, sim_answer *a, bus_mono now)
{
    static const char *const states[] = {"armed", "active", "done"};
    sim_fault *fault;
    bus_err err = sim_fault_from_json(&x->hub.faults, ask->body, &fault);
    if (err) {
        refuse(a, err);
        return;
    }
    sim_hub_arm(&x->hub, fault, now);
    a->status = 200;
    sim_text_printf(&a->body, "{\"id\":%d,\"kind\":\"%s\",\"state\":\"%s\"}", fault->id,
                    sim_fault_name(fault->kind), states[fault->state]);
}

static void end_faults(sim_exchange *x, const sim_ask *ask, sim_answer *a, bus_mono now)
{
    sim_hub_disarm(&x->hub);
    list_faults(x, ask, a, now);
}

static void control_play(sim_exchange *x, const sim_ask *ask, sim_answer *a, bus_mono now)
{
    bus_view body = ask->body, object, action = {0};
    bus_err err = BUS_OK;
    if (sim_json_value(&body, &object) && sim_json_get(object, "action", &action))
        (void)sim_json_text(action, &action);
    bool pause = bus_view_is(action, "pause");
    if (bus_view_is(action, "start"))
        err = x->capture ? sim_play_start(&x->play)
                         : bus_fail(BUS_ESTATE, "play: the synthetic market runs by itself");
    else if ((pause || bus_view_is(action, "resume")) && x->synth)
        sim_synth_feed_pause(x, pause, now);
    else if (pause || bus_view_is(action, "resume"))
        sim_play_pause(&x->play, pause, now);
    else
        err = bus_fail(BUS_EINVAL, "play: 'action' must be start, pause or resume");
    if (err)
        refuse(a, err);
    else
        status(x, ask, a, now);
}

static const struct {
    const char *method, *path;
    void (*fn)(sim_exchange *x, const sim_ask *ask, sim_answer *a, bus_mono now);
} ROUTES[] = {
    {"GET", "/sim/v1/status", status},       {"GET", "/sim/v1/book", book},
    {"GET", "/sim/v1/book/ids", book_ids},   {"GET", "/sim/v1/log", send_log},
    {"GET", "/sim/v1/fault", list_faults},   {"POST", "/sim/v1/fault", add_fault},
    {"DELETE", "/sim/v1/fault", end_faults}, {"POST", "/sim/v1/play", control_play},
};

void sim_admin_ask(sim_exchange *x, const sim_ask *ask, sim_answer *a, bus_mono now)
{
    bool known = false;
    for (size_t i = 0; i < sizeof ROUTES / sizeof ROUTES[0]; i++) {
        if (!bus_view_is(ask->path, ROUTES[i].path))
            continue;
        known = true;
        if (!bus_view_is(ask->method, ROUTES[i].method))
            continue;
        ROUTES[i].fn(x, ask, a, now);
        return;
    }
    refuse(a, known ? bus_fail(BUS_EINVAL, "this endpoint does not answer %.*s",
                               BUS_VIEW_ARG(ask->method))
                    : bus_fail(BUS_ENOTFOUND, "no endpoint '%.*s'", BUS_VIEW_ARG(ask->path)));
    if (known)
        a->status = 405;
}
