// The feed while it runs: what the sockets tell goes to the adapter, frames in order, and what the adapter
// makes of it to the outbox.
#include <stdio.h>

#include "bus/base/log.h"
#include "feeds/counters.h"
#include "feeds/feed_impl.h"

enum { TICK_MS = 50, COMPLAIN_MS = 1000, FRAMES_A_TURN = 4096 };

// --- the present -------------------------------------------------------------------------------------

// What waited through a change of connection may have been read before the last event published.
static bus_recorded_time not_before_last(const feed *f, bus_recorded_time received)
{
    if (!f->session)
        return received;
    bus_recorded_time last = f->session->emit.last_recorded;
    if (last.ns < f->session->last_received.ns) // nothing yet since the start
        last = f->session->last_received;
    return received.ns < last.ns ? last : received;
}

// Since when the oldest frame waits, of both connections: `now` when none does.
static int64_t oldest_waiting(const feed *f, int64_t now_ns)
{
    feed_fifo_record head;
    if (f->have_live && feed_fifo_front(&f->live.queue, &head) && head.at < now_ns)
        now_ns = head.at;
    if (f->have_coming && feed_fifo_front(&f->coming.queue, &head) && head.at < now_ns)
        now_ns = head.at;
    return now_ns;
}

feed_now feed_now_of(const feed *f)
{
    feed_now now = {.mono = bus_now_mono(), .wall = bus_now_wall()};
    // what we make while frames wait is not younger than they are
    now.received.ns = oldest_waiting(f, now.wall.ns);
    if (now.received.ns < now.wall.ns)
        now.received = not_before_last(f, now.received);
    return now;
}

// --- the adapter's way out ---------------------------------------------------------------------------

static void on_event(void *ctx, const char *subject, const bus_event *event)
{
    feed *f = ctx;
    feed_outbox_event(&f->outbox, subject, event);
}

static void on_request(void *ctx, const feed_request *request)
{
    feed *f = ctx;
    uint64_t tag;
    if (!feed_requests_add(&f->requests, request, &tag)) // as if the venue had not answered
        feed_requests_answer(&f->requests, tag, 0, (bus_view){0}, "too many requests at once");
    else if (feed_net_get(f->net, f->set.rest_url, request->path, tag))
        feed_requests_answer(&f->requests, tag, 0, (bus_view){0}, bus_err_text());
}

bus_err feed_run_open(feed *f)
{
    feed_opts opts = {.symbols = f->set.symbols,
                      .symbol_count = f->set.symbol_count,
                      .channels = f->set.channels,
                      .channel_count = f->set.channel_count,
                      .snapshot_every = f->set.snapshot_every,
                      .duplicates_after = f->set.duplicates_after,
                      .snapshot_limit = f->set.snapshot_limit,
                      .event = on_event,
                      .request = on_request,
                      .ctx = f};
    return f->set.venue->open(&f->session, &opts);
}

// --- frames ---------------------------------------------------------------------------------------

// A frame of the live connection. Whoever calls has looked at the lease just now: a process that was
// stopped for a while must not go on writing where another one has taken over.
static void take_frame(feed *f, bus_view text, bus_recorded_time received)
{
    feed_now now = {.received = received, .mono = bus_now_mono(), .wall = bus_now_wall()};
    f->outbox.received = received;
    switch (f->session->venue->frame(f->session, text, &now)) {
    case FEED_FRAME_ERROR: {
        char reason[512];
        snprintf(reason, sizeof reason, "%s", bus_err_text());
        bus_warn("frame to dead letters: %s", reason);
        feed_outbox_dead_letter(&f->outbox, text, reason, received);
        break;
    }
    case FEED_FRAME_REFUSED:
        bus_warn("%s", bus_err_text());
        feed_session_degraded(f->session, NULL, "refused", bus_err_text(), &now);
        break;
    case FEED_FRAME_SHUTDOWN:
        f->live.shutdown = true;
        bus_info("%s announces its shutdown", f->set.venue->name);
        break;
    default:
        break;
    }
    f->outbox.received = (bus_recorded_time){0};
}

// --- callbacks of the sockets ------------------------------------------------------------------------

static void on_opened(void *ctx, feed_socket *socket)
{
    feed_connection *c = feed_connection_of(ctx, socket);
    if (c)
        feed_connection_opened(c, bus_now_mono());
}

static void on_message(void *ctx, feed_socket *socket, bus_view text, bus_recorded_time received)
{
    feed *f = ctx;
    feed_connection *c = feed_connection_of(f, socket);
    if (!c || c->state == FEED_OVER)
        return;
    bus_mono now = bus_now_mono();
    feed_connection_frame(c, now);
    feed_count_frame(text.len, received);
    if (c == &f->coming && feed_connection_control(c, text, now))
        return;
    if (c == &f->live && c->queue.count == 0 && feed_outbox_ready(&f->outbox) &&
        f->phase == FEED_RUNNING && bus_lease_held(f->lease))
        take_frame(f, text, received);
    else
        feed_connection_keep(c, text, received);
}

static void on_alive(void *ctx, feed_socket *socket, uint64_t pong)
{
    feed_connection *c = feed_connection_of(ctx, socket);
    if (c)
        feed_connection_alive(c, pong, bus_now_mono());
}

static void on_closed(void *ctx, feed_socket *socket, bool clean, const char *text)
{
    feed_connection *c = feed_connection_of(ctx, socket);
    if (c)
        feed_connection_closed(c, clean, text);
}

static void on_answered(void *ctx, uint64_t tag, int status, bus_view body, const char *text)
{
    feed_requests_answer(&((feed *)ctx)->requests, tag, status, body, text);
}

feed_net_events feed_run_events(feed *f)
{
    return (feed_net_events){on_opened, on_message, on_alive, on_closed, on_answered, f};
}

// --- a turn ------------------------------------------------------------------------------------------

static void take_answers(feed *f)
{
    feed_answer a;
    while (feed_outbox_ready(&f->outbox) && feed_requests_next(&f->requests, &a)) {
        feed_now now = feed_now_of(f);
        if (a.status == 0)
            bus_warn("%s: %s", a.request.path, a.text);
        if (f->session->venue->response(f->session, &a.request, a.status, a.body, &now))
            bus_warn("%s", bus_err_text());
        feed_requests_done(&f->requests);
    }
}

static void take_queue(feed *f)
{
    feed_fifo_record r;
    for (int i = 0; i < FRAMES_A_TURN && feed_outbox_ready(&f->outbox); i++) {
        if (!feed_fifo_front(&f->live.queue, &r) || !bus_lease_held(f->lease))
            break;
        take_frame(f, r.piece[0], not_before_last(f, (bus_recorded_time){r.at}));
        feed_fifo_pop(&f->live.queue);
    }
    feed_connection_relieve(&f->live);
}

// What the broker would not take is told on the lane, once a second at most: it would be as many events again.
static void tell_refusals(feed *f, bus_mono now)
{
    feed_complaint c;
    char text[640];
    if (now.ns < f->next_complaint.ns)
        return;
    feed_now at = feed_now_of(f);
    if (feed_complaint_take(&f->outbox.refusals, &c)) {
        snprintf(text, sizeof text, "%llu events are in dead letters; the first: %s",
                 (unsigned long long)c.count, c.first);
        feed_session_degraded(f->session, NULL, "event_refused", text, &at);
        f->next_complaint = bus_mono_add(now, BUS_SPAN_MS(COMPLAIN_MS));
    }
    if (feed_complaint_take(&f->outbox.losses, &c)) {
        snprintf(text, sizeof text, "%llu dead letters are lost; the first: %s",
                 (unsigned long long)c.count, c.first);
        feed_session_degraded(f->session, NULL, "dead_letter_lost", text, &at);
        f->next_complaint = bus_mono_add(now, BUS_SPAN_MS(COMPLAIN_MS));
    }
}

// Of a feed that had to begin anew meanwhile; else it is told before what is sent again.
static void tell_went_back(feed *f)
{
    if (!f->have_live || !f->went_back[0] || f->outbox.went_back)
        return;
    feed_now at = feed_now_of(f);
    const feed_gap gap = {
        .reason = "store_went_back", .after = {f->life.epoch_ms * 1000000}, .before = at.received};
    if (f->all_is_lost)
        feed_session_gap(f->session, &gap, &at);
    f->all_is_lost = false;
    feed_session_degraded(f->session, NULL, "store_went_back", f->went_back, &at);
    f->went_back[0] = '\0';
}

void feed_run_turn(feed *f, bus_mono now)
{
    take_answers(f);
    if (f->have_live)
        take_queue(f);
    if (!feed_outbox_ready(&f->outbox))
        return; // the publisher's wake brings us back
    feed_links_turn(f, now);
    if (now.ns < f->next_tick.ns)
        return;
    f->next_tick = bus_mono_add(now, BUS_SPAN_MS(TICK_MS));
    tell_refusals(f, now);
    tell_went_back(f);
    if (f->have_live) {
        feed_now at = feed_now_of(f);
        f->session->venue->tick(f->session, &at);
    }
}

// Also while nothing moves: what waits is worth seeing then.
void feed_run_count(feed *f, bus_mono now)
{
    if (!f->outbox_open || now.ns < f->next_count.ns)
        return;
    f->next_count = bus_mono_add(now, BUS_SPAN_MS(TICK_MS));
    feed_count_session(&f->session->stats, &f->outbox,
                       f->have_live ? feed_fifo_bytes(&f->live.queue) : 0);
}
