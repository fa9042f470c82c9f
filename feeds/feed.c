#include "feeds/feed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/log.h"
#include "bus/nats/lease.h"
#include "feeds/backoff.h"
#include "feeds/connection.h"
#include "feeds/counters.h"
#include "feeds/lifecycle.h"
#include "feeds/recall.h"
#include "feeds/requests.h"

enum {
    TURN_MAX_MS = 20,
    TICK_MS = 50,
    RECALL_AGAIN_MS = 500,
    FRAMES_A_TURN = 4096,
    STOP_QUEUE_MS = 1500, // how long an end waits for what is queued, and for acknowledgements
    STOP_OUTBOX_MS = 3500,
};

typedef enum { WANT_LEASE, WANT_RECALL, RUNNING, STOPPING, ENDED } phase;

struct feed {
    feed_settings set;
    pthread_t thread;
    bool thread_runs;
    _Atomic bool stop;
    bus_wake done;
    feed_status status;
    // all below belongs to the venue thread
    phase phase;
    feed_net *net;
    bus_lease *lease;
    feed_outbox outbox;
    bool outbox_open;
    feed_session *session;
    feed_connection live, coming; // coming: connecting, or up and waiting to take over
    bool have_live, have_coming, gave_up;
    feed_backoff backoff;
    bus_mono connect_due, next_tick, recall_due;
    bus_wall created;
    feed_lifecycle life;
    feed_requests requests;
    bus_mono stop_since;
    char why[256];
};

// Frames that waited through a change of connection may have been read before the last one published.
static bus_recorded_time not_before_last(const feed *f, bus_recorded_time received)
{
    bool before = f->session && received.ns < f->session->last_received.ns;
    return before ? f->session->last_received : received;
}

static feed_now now_of(const feed *f)
{
    feed_now now = {.mono = bus_now_mono(), .wall = bus_now_wall()};
    feed_fifo_record head;
    now.received.ns = now.wall.ns;
    // what we make while frames wait is not younger than they are
    if (f->have_live && feed_fifo_front(&f->live.queue, &head) && head.at < now.received.ns)
        now.received = not_before_last(f, (bus_recorded_time){head.at});
    return now;
}

static void why(feed *f, const char *text)
{
    snprintf(f->why, sizeof f->why, "%s", text);
}

static feed_link link_of(const feed *f, bool rotation)
{
    return (feed_link){.connection_id = f->set.connection_id,
                       .url = f->set.ws_url,
                       .attempt = f->backoff.failures,
                       .streams = f->set.symbol_count * f->set.channel_count,
                       .rotation = rotation};
}

static void tell_status(feed *f)
{
    feed_status_view view = {.leased = f->phase > WANT_LEASE,
                             .recalled = f->phase > WANT_RECALL,
                             .attempt = f->backoff.failures,
                             .streams = f->set.symbol_count * f->set.channel_count,
                             .created = f->created};
    bool up = f->phase == RUNNING && f->have_live;
    view.kind = up                                           ? FEED_STATUS_CONNECTED
                : f->gave_up || f->phase >= STOPPING         ? FEED_STATUS_DISCONNECTED
                : f->phase == RUNNING && f->backoff.failures ? FEED_STATUS_ERROR
                                                             : FEED_STATUS_CONNECTING;
    if (!up)
        snprintf(view.why, sizeof view.why, "%s", f->why);
    feed_status_set(&f->status, &view);
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
                      .snapshot_limit = f->set.snapshot_limit,
                      .event = on_event,
                      .request = on_request,
                      .ctx = f};
    return f->set.venue->open(&f->session, &opts);
}

// --- the connections ---------------------------------------------------------------------------------

static void connect_failed(feed *f, const feed_connection *c)
{
    bus_span wait = feed_backoff_failed(&f->backoff);
    bus_warn("connection to %s: %s (%s); next try in %lld ms", f->set.ws_url, c->text, c->reason,
             (long long)(wait.ns / 1000000));
    feed_count(FEED_COUNT_FAILURES, 1);
    why(f, c->text);
    feed_lifecycle_tell(&f->life, &f->outbox, "error", 0, c->reason, c->text);
    f->connect_due = bus_mono_add(bus_now_mono(), wait);
    if (f->set.reconnect_attempts && f->backoff.failures >= f->set.reconnect_attempts &&
        !f->have_live) {
        f->gave_up = true;
        bus_error("giving up on %s after %u tries", f->set.ws_url, f->backoff.failures);
        feed_lifecycle_tell(&f->life, &f->outbox, "disconnected", 0, NULL, NULL);
    }
}

static void connect_start(feed *f)
{
    feed_connection_opts opts = {.venue = f->set.venue,
                                 .session = f->session,
                                 .url = f->set.ws_url,
                                 .connect_timeout = f->set.connect_timeout,
                                 .stale_after = f->set.stale_after,
                                 .dead_after = f->set.dead_after,
                                 .queue_bytes = f->set.queue_bytes};
    bool again = f->created.ns != 0 && !f->have_live;
    if (!f->have_live)
        feed_lifecycle_tell(&f->life, &f->outbox, again ? "reconnecting" : "connecting",
                            again ? f->backoff.failures + 1 : 0, NULL, NULL);
    if (!f->created.ns)
        f->created = bus_now_wall();
    f->have_coming = true;
    if (feed_connection_open(&f->coming, f->net, &opts, bus_now_mono()))
        feed_connection_end(&f->coming, "refused", bus_err_text());
}

static void coming_over(feed *f)
{
    connect_failed(f, &f->coming);
    feed_connection_close(&f->coming, true);
    f->have_coming = false;
}

// The old connection's end. rotation: the other one carries the streams.
static void live_over(feed *f, const char *reason, const char *text, bool rotation)
{
    feed_link link = link_of(f, rotation);
    f->have_live = false; // first: what is still in its queue was received before now
    feed_now now = now_of(f);
    feed_session_down(f->session, &link, reason, text, &now);
    if (!rotation) {
        bus_warn("connection to %s ended: %s (%s)", f->set.ws_url, text, reason);
        feed_lifecycle_tell(&f->life, &f->outbox, "error", 0, reason, text);
        why(f, text);
    }
    feed_connection_close(&f->live, !rotation);
}

static void pass_socket(feed_connection *to, feed_connection *from);

static void take_over(feed *f)
{
    bool rotation = f->have_live;
    feed_connection old = f->live;
    feed_link link = link_of(f, rotation);
    f->live = f->coming;
    pass_socket(&f->live, &f->coming);
    f->have_live = true;
    f->have_coming = false;
    feed_now now = now_of(f);
    feed_session_opened(f->session, &now);
    feed_session_up(f->session, &link, &now);
    if (rotation) {
        feed_session_down(f->session, &link, "rotation", "a new connection took over", &now);
        feed_connection_close(&old, false);
        feed_count(FEED_COUNT_ROTATIONS, 1);
    } else {
        feed_lifecycle_tell(&f->life, &f->outbox, "connected", 0, NULL, NULL);
        bus_info("connected to %s: %u streams", f->set.ws_url, link.streams);
    }
    feed_backoff_worked(&f->backoff);
}

// A frame of the live connection.
static void take_frame(feed *f, bus_view text, bus_recorded_time received)
{
    feed_now now = {.received = received, .mono = bus_now_mono(), .wall = bus_now_wall()};
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
}

// --- callbacks of the sockets ------------------------------------------------------------------------

static feed_connection *connection_of(feed *f, feed_socket *socket)
{
    if (f->have_live && f->live.socket == socket)
        return &f->live;
    return f->have_coming && f->coming.socket == socket ? &f->coming : NULL;
}

static void on_opened(void *ctx, feed_socket *socket)
{
    feed_connection *c = connection_of(ctx, socket);
    if (c)
        feed_connection_opened(c, bus_now_mono());
}

static void on_message(void *ctx, feed_socket *socket, bus_view text, bus_recorded_time received)
{
    feed *f = ctx;
    feed_connection *c = connection_of(f, socket);
    if (!c || c->state == FEED_OVER)
        return;
    bus_mono now = bus_now_mono();
    feed_connection_frame(c, now);
    feed_count(FEED_COUNT_FRAMES, 1);
    if (c == &f->coming && feed_connection_control(c, text, now))
        return;
    if (c == &f->live && c->queue.count == 0 && feed_outbox_ready(&f->outbox) &&
        f->phase == RUNNING)
        take_frame(f, text, received);
    else
        feed_connection_keep(c, text, received);
}

static void on_alive(void *ctx, feed_socket *socket)
{
    feed_connection *c = connection_of(ctx, socket);
    if (c)
        feed_connection_alive(c, bus_now_mono());
}

static void on_closed(void *ctx, feed_socket *socket, bool clean, const char *text)
{
    feed_connection *c = connection_of(ctx, socket);
    if (c)
        feed_connection_closed(c, clean, text);
}

static void on_answered(void *ctx, uint64_t tag, int status, bus_view body, const char *text)
{
    feed_requests_answer(&((feed *)ctx)->requests, tag, status, body, text);
}

static void pass_socket(feed_connection *to, feed_connection *from)
{
    to->socket = from->socket;
    *from = (feed_connection){0};
}

// --- turns -------------------------------------------------------------------------------------------

static void take_answers(feed *f)
{
    feed_answer a;
    while (feed_outbox_ready(&f->outbox) && feed_requests_next(&f->requests, &a)) {
        feed_now now = now_of(f);
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
        if (!feed_fifo_front(&f->live.queue, &r))
            break;
        take_frame(f, r.piece[0], not_before_last(f, (bus_recorded_time){r.at}));
        feed_fifo_pop(&f->live.queue);
    }
    feed_connection_relieve(&f->live);
}

// Frames of the old connection come first, also those that still wait.
static bool may_take_over(const feed *f, bus_mono now)
{
    if (!f->have_live)
        return true;
    bool overlapped = now.ns - f->coming.up_since.ns >= f->set.rotate_overlap.ns;
    return f->live.queue.count == 0 && (f->live.state == FEED_OVER || overlapped);
}

static void connections_turn(feed *f, bus_mono now)
{
    if (f->have_live && feed_connection_tick(&f->live, now)) {
        feed_now at = now_of(f);
        bus_warn("nothing from %s for %lld ms", f->set.venue->name,
                 (long long)(f->set.stale_after.ns / 1000000));
        feed_session_stale(f->session, bus_mono_since(now, f->live.last_frame), f->set.stale_after,
                           &at);
    }
    if (f->have_coming) {
        feed_connection_tick(&f->coming, now);
        if (f->coming.state == FEED_OVER)
            coming_over(f);
        else if (f->coming.state == FEED_UP && may_take_over(f, now))
            take_over(f);
    }
    // what a dead connection had delivered is taken first
    if (f->have_live && f->live.state == FEED_OVER && f->live.queue.count == 0)
        live_over(f, f->live.reason, f->live.text, false);
    bool rotate = f->have_live &&
                  (f->live.shutdown || now.ns - f->live.up_since.ns >= f->set.rotate_after.ns);
    if (!f->have_coming && !f->gave_up && now.ns >= f->connect_due.ns && (!f->have_live || rotate))
        connect_start(f);
}

static void run(feed *f, bus_mono now)
{
    take_answers(f);
    if (f->have_live)
        take_queue(f);
    if (!feed_outbox_ready(&f->outbox))
        return; // the publisher's wake brings us back
    connections_turn(f, now);
    if (now.ns < f->next_tick.ns)
        return;
    f->next_tick = bus_mono_add(now, BUS_SPAN_MS(TICK_MS));
    if (f->have_live) {
        feed_now at = now_of(f);
        f->session->venue->tick(f->session, &at);
    }
    feed_count_session(&f->session->stats, &f->outbox,
                       f->have_live ? feed_fifo_bytes(&f->live.queue) : 0);
}

// Everything that must not outlive the lease.
static void drop_all(feed *f)
{
    if (f->have_live)
        feed_connection_close(&f->live, true);
    if (f->have_coming)
        feed_connection_close(&f->coming, true);
    f->have_live = f->have_coming = false;
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
    char holder[256];
    if (!bus_lease_poll(f->lease, NULL)) {
        bus_lease_holder(f->lease, holder, sizeof holder);
        snprintf(f->why, sizeof f->why, holder[0] ? "the lease is held by %s" : "no lease yet%s",
                 holder);
        return;
    }
    f->recall_due = bus_now_mono();
    f->phase = WANT_RECALL;
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
    return err;
}

static void want_recall(feed *f, bus_mono now)
{
    if (now.ns < f->recall_due.ns)
        return;
    bus_err err = recall(f);
    if (!err) {
        f->phase = RUNNING;
        f->connect_due = now;
        why(f, "connecting to the venue");
        return;
    }
    why(f, err == BUS_ENOTFOUND ? "the stream ACT is not there (stored makes it)" : bus_err_text());
    bus_debug("%s", bus_err_text());
    f->recall_due = bus_mono_add(now, BUS_SPAN_MS(RECALL_AGAIN_MS));
    drop_all(f); // the session may have been told half
}

static void begin_stop(feed *f)
{
    if (f->phase == RUNNING && f->have_live) {
        feed_link link = link_of(f, false);
        feed_now now = now_of(f);
        feed_session_down(f->session, &link, "stopped", "feedd ends", &now);
        feed_lifecycle_tell(&f->life, &f->outbox, "disconnected", 0, NULL, NULL);
        feed_connection_close(&f->live, false);
        f->have_live = false;
    }
    if (f->have_coming)
        feed_connection_close(&f->coming, false);
    f->have_coming = false;
    f->phase = STOPPING;
}

// What was received is published first, and what is published acknowledged; but not for ever.
static void stop_turn(feed *f, bus_mono now)
{
    if (!f->stop_since.ns)
        f->stop_since = now;
    int64_t waited_ms = (now.ns - f->stop_since.ns) / 1000000;
    bool queued = f->have_live && f->live.queue.count > 0;
    if (f->phase < STOPPING && (!queued || waited_ms > STOP_QUEUE_MS))
        begin_stop(f);
    if (f->phase == STOPPING &&
        (!f->outbox_open || feed_outbox_empty(&f->outbox) || waited_ms > STOP_OUTBOX_MS))
        f->phase = ENDED;
}

static void turn(feed *f)
{
    bus_mono now = bus_now_mono();
    if (f->outbox_open)
        feed_outbox_turn(&f->outbox);
    if (f->phase > WANT_LEASE && f->phase < STOPPING && !bus_lease_poll(f->lease, NULL)) {
        bus_error("the lease on %s is lost: everything begins anew", f->set.venue->name);
        drop_all(f);
        f->phase = WANT_LEASE;
    }
    if (f->outbox_open && f->outbox.lost) {
        bus_error("events could not be kept for the broker: everything begins anew");
        drop_all(f);
        f->phase = WANT_LEASE;
    }
    if (atomic_load(&f->stop))
        stop_turn(f, now);
    switch (f->phase) {
    case WANT_LEASE:
        want_lease(f);
        break;
    case WANT_RECALL:
        want_recall(f, now);
        break;
    case RUNNING:
        run(f, now);
        break;
    default:
        break;
    }
    tell_status(f);
}

static void *venue_thread(void *arg)
{
    feed *f = arg;
    while (f->phase != ENDED) {
        feed_net_turn(f->net);
        turn(f);
    }
    feed_net_turn(f->net); // the closing handshake goes out
    drop_all(f);
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
    feed_backoff_init(&f->backoff, settings->reconnect_min, settings->reconnect_max,
                      (uint64_t)bus_now_wall().ns ^ (uint64_t)(uintptr_t)f);
    why(f, "no lease yet");
    bus_err err = open_parts(f);
    if (!err && pthread_create(&f->thread, NULL, venue_thread, f))
        err = bus_fail(BUS_EIO, "the venue thread");
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
