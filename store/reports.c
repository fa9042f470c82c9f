#include "store/reports.h"

#include <stdio.h>
#include <string.h>

#include "bus/base/log.h"

enum { REPORTS_MAX = 1024 }; // taken in one turn

// --- joins and reports --------------------------------------------------------------------------------

void store_player_join(store_player *p, const store_replay_command *c)
{
    store_replay_result r = {.verb = c->verb, .call = c->call};
    bus_view filter[BUS_CREDIT_FILTERS_MAX];
    for (size_t i = 0; i < c->filters && i < BUS_CREDIT_FILTERS_MAX; i++)
        filter[i] = bus_view_of(c->filter[i]);
    uint64_t done = strcmp(c->runid, p->info.runid) == 0 ? c->n : 0;
    r.err = bus_credit_join(p->credit, bus_view_of(c->participant), filter, c->filters, done,
                            bus_machine_mono(), &r.base_seq);
    if (r.err)
        snprintf(r.text, sizeof r.text, "%s", bus_err_text());
    else
        bus_info("replay on '%s': '%s' takes part", p->info.selector, c->participant);
    memcpy(r.runid, p->info.runid, sizeof r.runid);
    r.first_seq = p->info.first_seq;
    r.last_seq = p->info.last_seq;
    r.window_events = p->opts.window_events ? p->opts.window_events : BUS_CREDIT_WINDOW_EVENTS;
    r.window_bytes = p->opts.window_bytes ? p->opts.window_bytes : BUS_CREDIT_WINDOW_BYTES;
    r.lease = p->opts.lease.ns ? p->opts.lease : BUS_SPAN_MS(BUS_CREDIT_LEASE_MS);
    store_mailbox_answer(p->box, &r);
}

void store_player_report(store_player *p, bus_view participant, uint64_t seq, bool leave)
{
    bus_credit_done(p->credit, participant, seq, bus_machine_mono());
    if (leave)
        bus_credit_leave(p->credit, participant);
}

static void take_report(store_player *p, const bus_msg *msg)
{
    bus_view runid, participant;
    uint64_t seq;
    bool leave;
    bus_err err = bus_done_subject_read(bus_msg_subject(msg), &runid, &participant);
    if (!err)
        err = bus_done_parse(bus_msg_payload(msg), &seq, &leave);
    if (!err)
        store_player_report(p, participant, seq, leave);
    else
        bus_warn("replay on '%s': a report on '%.*s' was ignored: %s", p->info.selector,
                 BUS_VIEW_ARG(bus_msg_subject(msg)), bus_err_text());
}

// Is it in a list like "participants lapsed: a, b"?
static bool names(const char *list, bus_view name)
{
    for (const char *at = list; (at = memmem(at, strlen(at), name.ptr, name.len)); at++) {
        char end = at[name.len];
        if (at != list && at[-1] == ' ' && (end == ',' || end == '\0'))
            return true;
    }
    return false;
}

static void name_lapsed(void *ctx, bus_view name)
{
    store_player *p = ctx;
    size_t len = strlen(p->info.message);
    bus_warn("replay on '%s': participant '%.*s' lapsed: it fell silent", p->info.selector,
             BUS_VIEW_ARG(name));
    if (names(p->info.message, name)) // it came back, and fell silent again
        return;
    snprintf(p->info.message + len, sizeof p->info.message - len, "%s%.*s",
             len ? ", " : "participants lapsed: ", BUS_VIEW_ARG(name));
    p->info.change++;
}

void store_player_reports(store_player *p)
{
    for (int i = 0; i < REPORTS_MAX; i++) {
        bus_msg *msg = bus_sub_next(p->done, (bus_span){0});
        if (!msg)
            break;
        take_report(p, msg);
        bus_msg_release(msg);
    }
    bus_credit_lapse(p->credit, bus_machine_mono(), name_lapsed, p);
}

size_t store_player_missing(store_player *p, char *names, size_t cap)
{
    size_t missing = 0, len = 0;
    names[0] = 0;
    for (uint32_t i = 0; i < p->info.expected_count; i++) {
        bus_credit_member m;
        const char *name = p->info.expected[i];
        bool here =
            bus_credit_find(p->credit, bus_view_of(name), &m) && m.state == BUS_MEMBER_JOINED;
        p->info.awaited[i] = !here;
        if (here)
            continue;
        if (len < cap)
            len += (size_t)snprintf(names + len, cap - len, "%s%s", missing ? ", " : "", name);
        missing++;
    }
    return missing;
}

// --- watermarks ---------------------------------------------------------------------------------------

void store_player_watermark(store_player *p, bool end, const char *state)
{
    uint8_t bytes[BUS_WATERMARK_BYTES_MAX];
    char subject[BUS_SUBJECT_BUF];
    bus_watermark mark = {0};
    bus_lane_stamp stamp;
    bus_watermark_envelope envelope = {.selector = bus_view_of(p->info.selector),
                                       .runid = bus_view_of(p->info.runid),
                                       .n = ++p->marks,
                                       .recorded = p->highest,
                                       .walltime = bus_now_wall()};
    bus_credit_watermark(p->credit, bus_machine_mono(), &mark, &stamp);
    mark.end = end;
    mark.state = bus_view_of(state ? state : store_replay_state_name(p->info.state));
    bus_pack pack = bus_pack_to(bytes, sizeof bytes);
    bus_err err = bus_watermark_encode(&pack, &mark, &envelope);
    bus_watermark_subject(subject, envelope.selector);
    if (!err)
        err = bus_publish_block(p->publish, bus_view_of(subject), (bus_view){0},
                                bus_lane_block_of(&p->headers, &stamp),
                                (bus_view){(const char *)bytes, pack.len});
    if (err) // the next one says the same and more
        bus_debug("replay on '%s': watermark: %s", p->info.selector, bus_err_text());
}

// --- the picture --------------------------------------------------------------------------------------

static double rate(store_player *p, bus_mono now)
{
    enum { SAMPLES = sizeof p->sample / sizeof *p->sample };
    uint64_t sent = p->info.sent;
    if (store_replay_is_end(p->info.state)) {
        double run_s = (double)bus_mono_since(now, p->run_began).ns / 1e9;
        return run_s > 0 ? (double)sent / run_s : 0;
    }
    uint32_t last = (p->samples + SAMPLES - 1) % SAMPLES;
    if (p->samples == 0 || bus_mono_since(now, p->sample[last].at).ns >= 90000000) {
        p->sample[p->samples % SAMPLES].at = now;
        p->sample[p->samples++ % SAMPLES].sent = sent;
    }
    // the youngest sample that is a second old, else the oldest there is
    uint32_t oldest = p->samples > SAMPLES ? p->samples - SAMPLES : 0, from = oldest;
    for (uint32_t i = oldest; i < p->samples; i++)
        if (bus_mono_since(now, p->sample[i % SAMPLES].at).ns >= INT64_C(1000000000))
            from = i;
    double span_s = (double)bus_mono_since(now, p->sample[from % SAMPLES].at).ns / 1e9;
    return span_s > 0 ? (double)(sent - p->sample[from % SAMPLES].sent) / span_s : 0;
}

static void picture_members(store_player *p)
{
    store_replay_info *info = &p->info;
    bus_credit_member m;
    info->member_count = 0;
    info->slowest[0] = 0;
    for (size_t i = 0; i < BUS_PARTICIPANTS_MAX && bus_credit_at(p->credit, i, &m); i++) {
        store_replay_member *to = &info->member[info->member_count++];
        bus_view_copy(m.name, to->name, sizeof to->name);
        to->state = m.state;
        to->done = m.done;
        to->behind = m.behind;
    }
    if ((p->blocked || p->range_over) && bus_credit_slowest(p->credit, &m) && m.behind)
        bus_view_copy(m.name, info->slowest, sizeof info->slowest);
}

void store_player_picture(store_player *p, bus_mono now)
{
    char missing[STORE_REPLAY_TEXT];
    p->info.updated = bus_now_wall();
    if (!p->credit)
        return;
    p->info.position = bus_credit_position(p->credit);
    p->info.sent = bus_credit_sent(p->credit);
    p->info.skipped = p->source.skipped;
    p->info.missing = p->source.missing;
    p->info.events_per_s = rate(p, now);
    store_player_missing(p, missing, sizeof missing);
    if (p->info.state == STORE_REPLAY_FINISHED || p->info.state == STORE_REPLAY_STOPPED)
        memset(p->info.awaited, 0, sizeof p->info.awaited);
    picture_members(p);
    p->blocked = false;
}
