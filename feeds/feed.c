#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/log.h"
#include "bus/base/thread.h"
#include "bus/nats/reader.h"
#include "feeds/counters.h"
#include "feeds/feed_impl.h"
#include "feeds/recall.h"

enum {
    TURN_MAX_MS = 20,
    TICK_MS = 50,
    COMPLAIN_MS = 1000,
    RECALL_AGAIN_MS = 500,
    FRAMES_A_TURN = 4096,
    STOP_QUEUE_MS = 1500, // how long an end waits for what is queued, and for acknowledgements
    STOP_OUTBOX_MS = 3500,
};

// What waited through a change of connection may have been read before the last event published.
bus_recorded_time feed_not_before_last(const feed *f, bus_recorded_time received)
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
        now.received = feed_not_before_last(f, now.received);
    return now;
}

void feed_why(feed *f, const char *text)
{
    snprintf(f->why, sizeof f->why, "%s", text);
}

static void tell_status(feed *f)
{
    feed_status_view view = {.leased = f->phase > FEED_WANT_LEASE,
                             .recalled = f->phase > FEED_WANT_RECALL,
                             .attempt = f->backoff.failures,
                             .streams = f->session ? f->session->streams : 0,
                             .created = f->created};
    bool up = f->phase == FEED_RUNNING && f->have_live;
    view.kind = up                                                ? FEED_STATUS_CONNECTED
                : f->gave_up || f->phase >= FEED_STOPPING         ? FEED_STATUS_DISCONNECTED
                : f->phase == FEED_RUNNING && f->backoff.failures ? FEED_STATUS_ERROR
                                                                  : FEED_STATUS_CONNECTING;
    if (!up)
        snprintf(view.why, sizeof view.why, "%s", f->why);
    feed_status_set(&f->status, &view);
    feed_count_set(FEED_COUNT_LEASE, view.leased);
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

static bus_err session_open(feed *f)
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

// --- turns -------------------------------------------------------------------------------------------

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
        take_frame(f, r.piece[0], feed_not_before_last(f, (bus_recorded_time){r.at}));
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

static void tell_went_back(feed *f)
{
    if (!f->have_live || !f->went_back[0])
        return;
    feed_now at = feed_now_of(f);
    feed_session_degraded(f->session, NULL, "store_went_back", f->went_back, &at);
    f->went_back[0] = '\0';
}

static void run(feed *f, bus_mono now)
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
static void count(feed *f, bus_mono now)
{
    if (!f->outbox_open || now.ns < f->next_count.ns)
        return;
    f->next_count = bus_mono_add(now, BUS_SPAN_MS(TICK_MS));
    feed_count_session(&f->session->stats, &f->outbox,
                       f->have_live ? feed_fifo_bytes(&f->live.queue) : 0);
}

// Everything that must not outlive the lease.
static void drop_all(feed *f)
{
    feed_links_drop(f);
    if (f->outbox_open)
        feed_outbox_close(&f->outbox);
    f->outbox_open = false;
    if (f->session)
        f->set.venue->close(f->session);
    f->session = NULL;
    feed_requests_forget(&f->requests);
}

static void wake_net(void *ctx)
{
    feed_net_wake(((feed *)ctx)->net);
}

static void want_lease(feed *f)
{
    char text[256];
    if (!bus_lease_poll(f->lease, &f->fence)) {
        if (*bus_lease_why(f->lease, text, sizeof text))
            snprintf(f->why, sizeof f->why, "no lease yet: %s", text);
        else if (*bus_lease_holder(f->lease, text, sizeof text))
            snprintf(f->why, sizeof f->why, "the lease is held by %s", text);
        else
            snprintf(f->why, sizeof f->why, "no lease yet");
        return;
    }
    f->recall_due = bus_now_mono();
    f->phase = FEED_WANT_RECALL;
}

static bus_err recall(feed *f)
{
    bool fresh;
    bus_err err = session_open(f);
    if (!err)
        err = feed_recall(f->session, f->set.conn, &fresh);
    if (!err)
        err = feed_outbox_open(&f->outbox, f->set.venue->name, &f->set.publisher,
                               (bus_wake){wake_net, f});
    f->outbox_open = !err;
    if (err)
        return err;
    bus_seq_range known;
    f->outbox.ask = f->set.conn;
    if (!bus_stream_range(f->set.conn, "ACT", &known))
        f->outbox.known_seq = known.last;
    return BUS_OK;
}

static void want_recall(feed *f, bus_mono now)
{
    if (now.ns < f->recall_due.ns)
        return;
    bus_err err = recall(f);
    if (!err) {
        f->phase = FEED_RUNNING;
        f->connect_due = now;
        feed_why(f, "connecting to the venue");
        return;
    }
    feed_why(f, err == BUS_ENOTFOUND ? "the stream ACT is not there (stored makes it)"
                                     : bus_err_text());
    bus_debug("%s", bus_err_text());
    f->recall_due = bus_mono_add(now, BUS_SPAN_MS(RECALL_AGAIN_MS));
    drop_all(f); // the session may have been told half
}

static void begin_stop(feed *f)
{
    if (f->phase == FEED_RUNNING && bus_lease_held(f->lease))
        feed_links_stop(f);
    f->phase = FEED_STOPPING;
}

// What was received is published first, and what is published acknowledged; but not for ever.
static void stop_turn(feed *f, bus_mono now)
{
    if (!f->stop_since.ns)
        f->stop_since = now;
    int64_t waited_ms = (now.ns - f->stop_since.ns) / 1000000;
    bool queued = f->have_live && f->live.queue.count > 0;
    if (f->phase < FEED_STOPPING && (!queued || waited_ms > STOP_QUEUE_MS))
        begin_stop(f);
    if (f->phase == FEED_STOPPING &&
        (!f->outbox_open || feed_outbox_empty(&f->outbox) || waited_ms > STOP_OUTBOX_MS))
        f->phase = FEED_ENDED;
}

// False: nothing may go to the broker just now. What the venue sends meanwhile waits in its queue.
static bool check_lease(feed *f)
{
    uint64_t fence;
    if (f->phase == FEED_WANT_LEASE || f->phase == FEED_ENDED)
        return true;
    bool held = bus_lease_poll(f->lease, &fence);
    if (fence == f->fence)
        return held;
    bus_error("the lease on %s is lost: everything begins anew", f->set.venue->name);
    f->phase = f->phase == FEED_STOPPING ? FEED_ENDED : FEED_WANT_LEASE;
    drop_all(f);
    return true;
}

static void act(feed *f, bus_mono now)
{
    switch (f->phase) {
    case FEED_WANT_LEASE:
        want_lease(f);
        break;
    case FEED_WANT_RECALL:
        want_recall(f, now);
        break;
    case FEED_RUNNING:
        run(f, now);
        break;
    default:
        break;
    }
}

// The broker came back on an older copy of its store. What is in the window is not sent: the gap that the tail of
// what is there begins will hold it, and what was lost with the newer store.
static void begin_anew_when_store_went_back(feed *f)
{
    if (!f->outbox_open || !f->outbox.went_back)
        return;
    bus_error("%s: everything begins anew", f->outbox.why);
    memcpy(f->went_back, f->outbox.why, sizeof f->went_back);
    f->phase = f->phase == FEED_STOPPING ? FEED_ENDED : FEED_WANT_LEASE;
    drop_all(f);
}

static void turn(feed *f)
{
    bus_mono now = bus_now_mono();
    bool may_act = check_lease(f);
    if (f->outbox_open && may_act)
        feed_outbox_turn(&f->outbox);
    if (f->outbox_open && f->outbox.lost) {
        bus_error("events could not be kept for the broker: everything begins anew");
        drop_all(f);
        f->phase = FEED_WANT_LEASE;
    }
    begin_anew_when_store_went_back(f);
    if (atomic_load(&f->stop))
        stop_turn(f, now);
    if (may_act)
        act(f, now);
    if (f->outbox_open)
        feed_outbox_push(&f->outbox);
    count(f, now);
    tell_status(f);
}

static void *venue_thread(void *arg)
{
    feed *f = arg;
    while (f->phase != FEED_ENDED) {
        feed_net_turn(f->net);
        turn(f);
    }
    feed_net_turn(f->net); // the closing handshake goes out
    bool owes = f->outbox_open && !feed_outbox_empty(&f->outbox);
    drop_all(f);
    if (owes) // what was sent may still be stored: the next one comes when it no longer can
        bus_lease_abandon(f->lease);
    else
        bus_lease_close(f->lease);
    f->lease = NULL;
    tell_status(f);
    if (f->done.fn)
        f->done.fn(f->done.ctx);
    return NULL;
}

// --- from outside ------------------------------------------------------------------------------------

static bus_err open_parts(feed *f)
{
    bool tls = strncmp(f->set.ws_url, "wss", 3) == 0 || strncmp(f->set.rest_url, "https", 5) == 0;
    feed_net_opts net = {.tls = tls,
                         .ca_file = f->set.ca_file,
                         .rest_timeout = f->set.rest_timeout,
                         .turn_max = BUS_SPAN_MS(TURN_MAX_MS)};
    feed_net_events events = {on_opened, on_message, on_alive, on_closed, on_answered, f};
    char key[64];
    snprintf(key, sizeof key, "feed.%s", f->set.venue->name);
    bus_err err = feed_net_check_url(f->set.ws_url, true);
    if (!err)
        err = feed_net_check_url(f->set.rest_url, false);
    if (!err) // shows now what would be wrong later
        err = session_open(f);
    if (err)
        return err;
    f->set.venue->close(f->session);
    f->session = NULL;
    err = feed_net_open(&f->net, &net, &events);
    if (err)
        return err;
    bus_lease_opts lease = {.bucket = "leases",
                            .key = key,
                            .holder = f->set.instance_id,
                            .span = f->set.lease_span,
                            .wake = {wake_net, f}};
    return bus_lease_open(&f->lease, f->set.conn, &lease);
}

bus_err feed_open(feed **out, const feed_settings *settings)
{
    feed *f = calloc(1, sizeof *f);
    if (!f)
        return bus_fail(BUS_ENOMEM, "feed");
    f->set = *settings;
    feed_requests_init(&f->requests);
    f->life = (feed_lifecycle){.connection_id = settings->connection_id,
                               .url = settings->ws_url,
                               .instance_id = settings->instance_id,
                               .epoch_ms = bus_now_wall().ns / 1000000};
    feed_status_init(&f->status, settings->status_changed);
    feed_count_set(FEED_COUNT_QUEUE_LIMIT, (int64_t)settings->queue_bytes);
    feed_backoff_init(&f->backoff, settings->reconnect_min, settings->reconnect_max,
                      (uint64_t)bus_now_wall().ns ^ (uint64_t)(uintptr_t)f);
    feed_why(f, "no lease yet");
    bus_err err = open_parts(f);
    if (!err)
        err = bus_thread_start(&f->thread, venue_thread, f, "the venue");
    if (err) {
        feed_close(f);
        return bus_note(err, "feed of %s", settings->venue->name);
    }
    f->thread_runs = true;
    *out = f;
    return BUS_OK;
}

void feed_stop(feed *f, bus_wake done)
{
    f->done = done;
    atomic_store(&f->stop, true);
    feed_net_wake(f->net);
}

void feed_close(feed *f)
{
    if (!f)
        return;
    if (f->thread_runs) {
        if (!atomic_load(&f->stop))
            feed_stop(f, (bus_wake){0});
        pthread_join(f->thread, NULL);
    }
    drop_all(f);
    bus_lease_close(f->lease);
    feed_net_close(f->net);
    feed_requests_release(&f->requests);
    feed_status_release(&f->status);
    free(f);
}

void feed_status_of(feed *f, feed_status_view *out)
{
    feed_status_get(&f->status, out);
}
