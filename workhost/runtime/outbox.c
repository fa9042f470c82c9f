#include "workhost/runtime/outbox.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/log.h"
#include "bus/event/identity.h"
#include "bus/lane/lane.h"
#include "bus/nats/publisher.h"
#include "bus/nats/registry.h"
#include "bus/nats/stream.h"
#include "workhost/runtime/known.h"

enum { WINDOW = 4096, CONTROL = UINT32_MAX, PLACES = 8, PLACE_MS = 10000 };

typedef struct {
    uint32_t index; // of the actor; CONTROL: nobody waits for it
    uint64_t seq;
    work_actor *actor;
    bool elsewhere; // in another stream than the scenario's: its sequence says nothing here
} flight;

// A subject outside the scenario's own stream that some stream records.
typedef struct {
    char subject[BUS_SUBJECT_BUF];
    bus_mono until; // asked again then
} place;

struct work_outbox {
    const work_plan *plan;
    bus_conn *conn;
    bus_registry *registry;
    bus_publisher *publisher;
    work_known *known;
    char stream[64];
    flight ring[WINDOW]; // published and not acknowledged, oldest first
    uint32_t head, count;
    place places[PLACES]; // the last ones, in turn
    uint32_t next_place;
    bool refused;
    uint32_t refused_index;
    uint64_t refused_seq;
    char held[200]; // why the last send was held
    uint64_t acked_seq;
    bool (*confirm)(void *ctx);
    void *confirm_ctx;
};

// Acknowledgements come in order of sending.
static void on_ack(void *ctx, const bus_ack *ack)
{
    work_outbox *o = ctx;
    flight f = o->ring[o->head];
    o->head = (o->head + 1) % WINDOW;
    o->count--;
    if (ack->err) {
        bus_error("output of input %llu is refused: %s", (unsigned long long)f.seq, ack->text);
        if (f.index != CONTROL && !o->refused) {
            o->refused = true;
            o->refused_index = f.index;
            o->refused_seq = f.seq;
        }
        return;
    }
    uint64_t seq = f.elsewhere ? 0 : ack->stream_seq;
    if (seq > o->acked_seq)
        o->acked_seq = seq;
    if (f.index == CONTROL)
        return;
    work_progress *p = &f.actor->progress;
    p->outputs++;
    if (seq > p->out_seq)
        p->out_seq = seq;
}

static bool confirm(void *ctx)
{
    work_outbox *o = ctx;
    return !o->confirm || o->confirm(o->confirm_ctx);
}

bus_err work_outbox_open(work_outbox **out, bus_conn *conn, const work_plan *plan,
                         bool (*confirm_fn)(void *ctx), void *confirm_ctx, bus_wake wake)
{
    work_outbox *o = calloc(1, sizeof *o);
    if (!o)
        return bus_fail(BUS_ENOMEM, "outbox");
    o->plan = plan;
    o->conn = conn;
    o->confirm = confirm_fn;
    o->confirm_ctx = confirm_ctx;
    snprintf(o->stream, sizeof o->stream, "SC_%s", plan->scenario);
    bus_registry_opts registry = {.elevated = strcmp(plan->scenario, "LIVE") == 0};
    bus_publisher_opts publisher = {.conn = plan->conn,
                                    .window_msgs_max = WINDOW,
                                    .wake = wake,
                                    .on_ack = on_ack,
                                    .confirm = confirm,
                                    .on_ack_ctx = o};
    publisher.conn.name = "workhostd-runtime";
    publisher.conn.profile = plan->hyp ? BUS_PROFILE_BULK : BUS_PROFILE_LATENCY;
    bus_err err = bus_registry_open(&o->registry, conn, &registry);
    if (!err)
        err = bus_publisher_open(&o->publisher, &publisher);
    if (err) {
        work_outbox_close(o);
        return err;
    }
    *out = o;
    return BUS_OK;
}

void work_outbox_close(work_outbox *o)
{
    if (!o)
        return;
    if (o->publisher)
        bus_publisher_close(o->publisher);
    if (o->registry)
        bus_registry_close(o->registry);
    work_known_close(o->known);
    free(o);
}

bus_err work_outbox_recall(work_outbox *o, uint64_t after_seq)
{
    work_known *known = NULL;
    bus_err err = work_known_open(&known, o->conn, o->stream, after_seq);
    if (err)
        return err;
    work_known_close(o->known);
    o->known = known;
    return BUS_OK;
}

bus_err work_outbox_last_seq(work_outbox *o, uint64_t *seq)
{
    bus_seq_range range;
    bus_err err = bus_stream_range(o->conn, o->stream, &range);
    *seq = err ? 0 : range.last;
    return err == BUS_ENOTFOUND ? BUS_OK : err;
}

uint64_t work_outbox_last_input(const work_outbox *o)
{
    return o->known ? work_known_last_input(o->known) : 0;
}

uint64_t work_outbox_acked(const work_outbox *o)
{
    return o->acked_seq;
}

// LIVE's own lane needs no registry.
bool work_outbox_knows(const work_outbox *o)
{
    return strcmp(o->plan->scenario, "LIVE") == 0 || bus_registry_current(o->registry);
}

// --- making events -----------------------------------------------------------------------------------

// Texts that an event's views point to.
typedef struct {
    char subject[BUS_SUBJECT_BUF];
    char type[BUS_SUBJECT_BUF], source[80];
    char id[33], seq[24], walltime[BUS_TIME_TEXT], correlation[BUS_UUID_TEXT];
} texts;

static bus_view print_view(char *buf, size_t cap, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static bus_view print_view(char *buf, size_t cap, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(buf, cap, fmt, args);
    va_end(args);
    return (bus_view){buf, n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1};
}

// What the scenario says of each event of it.
static void put_scenario(const work_plan *plan, const work_progress *progress, bus_event *e)
{
    e->scenarioid = bus_view_of(plan->scenario);
    e->runid = bus_view_of(progress->runid);
    e->clocktype = plan->hyp ? BUS_VIEW("historical") : BUS_VIEW("wall");
    e->marketlane = plan->hyp ? BUS_VIEW("hyp") : BUS_VIEW("act");
    e->marketselector = bus_view_of(plan->selector);
    e->portfoliolane = bus_view_of(plan->portfolio);
    e->strategylane = bus_view_of(plan->strategy);
}

static bus_err put_lane(const work_plan *plan, bus_view name, texts *t, bus_event *e)
{
    bus_lane lane;
    bus_view subject =
        print_view(t->subject, sizeof t->subject, "sc.%s.%.*s", plan->scenario, BUS_VIEW_ARG(name));
    bus_err err = bus_lane_parse(&lane, subject);
    if (err)
        return err;
    e->source =
        print_view(t->source, sizeof t->source, "urn:com.virtufin.%.*s", BUS_VIEW_ARG(lane.domain));
    if (!e->type.len)
        e->type = print_view(t->type, sizeof t->type, "com.virtufin.%.*s.%.*s.%.*s",
                             BUS_VIEW_ARG(lane.domain), BUS_VIEW_ARG(lane.entity),
                             BUS_VIEW_ARG(lane.event));
    return BUS_OK;
}

// Market data ask for no answer: whoever may write them must not be able to say where decisions go.
static bus_view reply_of(const work_cause *cause)
{
    bus_lane lane;
    bool market = bus_lane_parse(&lane, cause->topic) == BUS_OK && lane.kind != BUS_LANE_SC;
    return market ? (bus_view){0} : cause->event->replytopic;
}

// What others own, a worker does not write: it would be taken for theirs.
static bus_err check_owner(bus_view topic)
{
    static const char *const owned[] = {
        "act.", "hyp.", "$", "_", "svc.", "replay.", "dlq.", "websocketmanager.", "workmanager."};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) {
        size_t len = strlen(owned[i]);
        if (topic.len >= len && memcmp(topic.ptr, owned[i], len) == 0)
            return bus_fail(BUS_EPERM, "topic '%.*s': a worker does not publish on '%s…'",
                            BUS_VIEW_ARG(topic), owned[i]);
    }
    return bus_subject_check(topic, false);
}

static bus_err put_place(const work_cause *cause, const work_result *result, texts *t, bus_event *e)
{
    const char *worker = cause->actor->spec->name;
    bus_view reply = reply_of(cause);
    e->type = result->type;
    if (result->lane.len) {
        bus_err err = put_lane(cause->actor->plan, result->lane, t, e);
        if (err)
            return err;
    } else {
        e->source = print_view(t->source, sizeof t->source, "urn:com.virtufin.worker.%s", worker);
        if (!e->type.len)
            e->type = print_view(t->type, sizeof t->type, "com.virtufin.worker.%s", worker);
        print_view(t->subject, sizeof t->subject, "%.*s",
                   BUS_VIEW_ARG(result->topic.len ? result->topic : result->type));
    }
    if (reply.len)
        print_view(t->subject, sizeof t->subject, "%.*s", BUS_VIEW_ARG(reply));
    return check_owner(bus_view_of(t->subject));
}

static bus_err make_event(const work_cause *cause, const work_result *result, uint32_t n, texts *t,
                          bus_event *e)
{
    const work_plan *plan = cause->actor->plan;
    const bus_event *in = cause->event;
    memset(e, 0, sizeof *e);
    bus_err err = put_place(cause, result, t, e);
    if (err)
        return err;
    put_scenario(plan, &cause->actor->progress, e);
    bus_identity_output(t->id, e->scenarioid,
                        bus_view_of(work_progress_run(&cause->actor->progress)),
                        bus_view_of(cause->actor->spec->name), in->source, in->id, n);
    e->id = bus_view_of(t->id);
    e->subject = result->subject;
    e->datacontenttype = BUS_VIEW("application/json");
    e->time = in->time;
    e->eventtime = in->eventtime.len ? in->eventtime : in->time;
    e->recordedtime = in->recordedtime;
    e->exchange = in->exchange;
    bus_time_format(bus_now_wall().ns, t->walltime);
    e->walltime = bus_view_of(t->walltime);
    e->correlationid = in->correlationid;
    if (!e->correlationid.len) {
        bus_identity_correlation(t->correlation, in->source, in->id);
        e->correlationid = bus_view_of(t->correlation);
    }
    e->causationid = in->id;
    e->causationseq = print_view(t->seq, sizeof t->seq, "%llu", (unsigned long long)cause->seq);
    e->data = result->data;
    return BUS_OK;
}

// --- sending -----------------------------------------------------------------------------------------

static work_outbox_result hold(work_outbox *o, const char *why)
{
    snprintf(o->held, sizeof o->held, "%s", why);
    return WORK_OUTBOX_HOLD;
}

// May this go out now? The registry's cache answers without a look-up.
static work_outbox_result ask_registry(work_outbox *o, const char *subject)
{
    switch (bus_registry_allow(o->registry, bus_view_of(subject))) {
    case BUS_REGISTRY_YES:
        return WORK_OUTBOX_SENT;
    case BUS_REGISTRY_BAD:
    case BUS_REGISTRY_NOT_ELEVATED:
        return WORK_OUTBOX_BAD;
    default: // a scenario that is gone has its runtime ended; until then nothing is lost
        return hold(o, bus_err_text());
    }
}

// Whether the scenario's stream records it.
static bool is_own(const work_outbox *o, const char *subject)
{
    size_t len = strlen(o->plan->scenario);
    return strncmp(subject, "sc.", 3) == 0 && strncmp(subject + 3, o->plan->scenario, len) == 0 &&
           subject[3 + len] == '.';
}

// What no stream records would hold up everything behind it, waiting for one.
static work_outbox_result ask_streams(work_outbox *o, const char *subject)
{
    bus_mono now = bus_now_mono();
    for (uint32_t i = 0; i < PLACES; i++) {
        if (now.ns < o->places[i].until.ns && strcmp(o->places[i].subject, subject) == 0)
            return WORK_OUTBOX_SENT;
    }
    bus_err err = bus_stream_records(o->conn, subject);
    if (err == BUS_ENOTFOUND)
        return WORK_OUTBOX_BAD;
    if (err)
        return hold(o, bus_err_text());
    place *p = &o->places[o->next_place++ % PLACES];
    snprintf(p->subject, sizeof p->subject, "%s", subject);
    p->until = bus_mono_add(now, BUS_SPAN_MS(PLACE_MS));
    return WORK_OUTBOX_SENT;
}

static work_outbox_result publish(work_outbox *o, const char *subject, const bus_event *e, flight f)
{
    f.elsewhere = !is_own(o, subject);
    work_outbox_result result = ask_registry(o, subject);
    if (result == WORK_OUTBOX_SENT && f.elsewhere)
        result = ask_streams(o, subject);
    if (result != WORK_OUTBOX_SENT)
        return result;
    if (o->count == WINDOW)
        return hold(o, "the window is full");
    // The acknowledgement may come from within a later poll only, so the flight may be noted behind.
    switch (bus_publisher_event(o->publisher, subject, e, f.seq)) {
    case BUS_PUBLISH_FULL:
        return hold(o, "the window is full");
    case BUS_PUBLISH_ERROR:
        return WORK_OUTBOX_BAD;
    case BUS_PUBLISH_SENT:
        break;
    }
    o->held[0] = '\0';
    o->ring[(o->head + o->count++) % WINDOW] = f;
    return WORK_OUTBOX_SENT;
}

static work_outbox_result report_conflict(work_outbox *o, const work_cause *cause,
                                          const bus_event *e, uint64_t stored_seq)
{
    char packed[256];
    bus_pack p = bus_pack_to(packed, sizeof packed);
    bus_pack_map(&p, 4);
    bus_pack_key(&p, "worker");
    bus_pack_key(&p, cause->actor->spec->name);
    bus_pack_key(&p, "id");
    bus_pack_str(&p, e->id);
    bus_pack_key(&p, "input_seq");
    bus_pack_uint(&p, cause->seq);
    bus_pack_key(&p, "stored_seq");
    bus_pack_uint(&p, stored_seq);
    work_outbox_result told = work_outbox_control(o, cause->actor, "output_conflict", stored_seq,
                                                  (bus_view){packed, p.len});
    if (told != WORK_OUTBOX_HOLD) // else the caller comes again
        bus_error("output %.*s of input %llu is stored as %llu with other data: not sent",
                  BUS_VIEW_ARG(e->id), (unsigned long long)cause->seq,
                  (unsigned long long)stored_seq);
    return told;
}

work_outbox_result work_outbox_send(work_outbox *o, const work_cause *cause,
                                    const work_result *result, uint32_t n)
{
    texts t;
    bus_event e;
    uint64_t stored_seq = 0;
    if (make_event(cause, result, n, &t, &e))
        return WORK_OUTBOX_BAD;
    work_known_answer known =
        o->known ? work_known_find(o->known, e.id, e.runid, e.data, &stored_seq) : WORK_KNOWN_NO;
    if (known == WORK_KNOWN_NO)
        return publish(o, t.subject, &e, (flight){cause->index, cause->seq, cause->actor, false});
    if (known == WORK_KNOWN_OTHER)
        return report_conflict(o, cause, &e, stored_seq);
    work_progress *p = &cause->actor->progress;
    p->outputs++;
    if (stored_seq > p->out_seq)
        p->out_seq = stored_seq;
    return WORK_OUTBOX_SENT;
}

work_outbox_result work_outbox_control(work_outbox *o, const work_actor *actor, const char *what,
                                       uint64_t seq, bus_view data)
{
    texts t;
    char lane[160], id[200];
    bus_event e;
    memset(&e, 0, sizeof e);
    bus_view name = print_view(lane, sizeof lane, "control.worker.%s.%s", what, actor->spec->name);
    if (put_lane(actor->plan, name, &t, &e))
        return WORK_OUTBOX_BAD;
    put_scenario(actor->plan, &actor->progress, &e);
    e.id = print_view(id, sizeof id, "%s.%s.%s.%s.%llu", actor->plan->scenario, actor->spec->name,
                      work_progress_run(&actor->progress), what, (unsigned long long)seq);
    e.datacontenttype = BUS_VIEW("application/json");
    bus_time_format(bus_now_wall().ns, t.walltime);
    e.time = e.eventtime = e.recordedtime = e.walltime = bus_view_of(t.walltime);
    e.data = data;
    return publish(o, t.subject, &e, (flight){CONTROL, seq, NULL, false});
}

void work_outbox_poll(work_outbox *o)
{
    bus_registry_poll(o->registry);
    bus_publisher_poll(o->publisher);
}

uint32_t work_outbox_pending(const work_outbox *o)
{
    return o->count;
}

uint64_t work_outbox_done(const work_outbox *o, uint32_t index, uint64_t position)
{
    for (uint32_t i = 0; i < o->count; i++) {
        const flight *f = &o->ring[(o->head + i) % WINDOW];
        if (f->index == index)
            return f->seq - 1 < position ? f->seq - 1 : position;
    }
    return position;
}

bool work_outbox_refused(work_outbox *o, uint32_t *index, uint64_t *seq)
{
    if (!o->refused)
        return false;
    o->refused = false;
    *index = o->refused_index;
    *seq = o->refused_seq;
    return true;
}

const char *work_outbox_why(work_outbox *o, char *buf, size_t cap)
{
    snprintf(buf, cap, "%s", o->held);
    if (!o->held[0] && o->count && !bus_publisher_up(o->publisher))
        bus_publisher_why(o->publisher, buf, cap);
    return buf;
}
