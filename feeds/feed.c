#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/kill_point.h"
#include "bus/base/log.h"
#include "bus/base/thread.h"
#include "bus/nats/stream.h"
#include "feeds/counters.h"
#include "feeds/feed_impl.h"
#include "feeds/recall.h"

enum {
    TURN_MAX_MS = 20,
    RECALL_AGAIN_MS = 500,
    STOP_QUEUE_MS = 1500, // how long an end waits for what is queued, and for acknowledgements
    STOP_OUTBOX_MS = 3500,
};

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

// --- turns -------------------------------------------------------------------------------------------

// Everything that must not outlive the lease.
static void drop_all(feed *f)
{
    feed_links_drop(f);
    if (f->outbox_open) {
        f->known_seq = f->outbox.known_seq;
        if (f->told_back[0] && !feed_outbox_empty(&f->outbox)) // it was not said after all
            memcpy(f->went_back, f->told_back, sizeof f->went_back);
        f->told_back[0] = '\0';
        feed_outbox_close(&f->outbox);
    }
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
    if (!f->life.epoch_ms) // the clock stood at 0 when it was opened
        f->life.epoch_ms = bus_now_wall().ns / 1000000;
    f->recall_due = bus_now_mono();
    f->phase = FEED_WANT_RECALL;
    bus_kill_point("feed.leased");
}

// A store that went back may have lost the lease as well, and that is often seen first.
static bus_err look_for_what_was_known(feed *f)
{
    bus_holds holds = bus_stream_holds(f->set.conn, "ACT", (bus_mark){.seq = f->known_seq});
    if (holds == BUS_HOLDS_NOT_KNOWN)
        return BUS_EUNAVAILABLE;
    if (holds == BUS_HOLDS_NO) {
        snprintf(f->went_back, sizeof f->went_back, "%s", bus_err_text());
        bus_error("%s: the store went back", f->went_back);
    }
    f->known_seq = 0;
    return BUS_OK;
}

static bus_err recall(feed *f)
{
    bool fresh;
    bus_err err = feed_run_open(f);
    if (!err)
        err = look_for_what_was_known(f);
    if (!err)
        err = feed_recall(f->session, f->set.conn, &fresh);
    // Of a lane on which nothing of ours is left no tail tells what is missing: all that we ever sent.
    f->all_is_lost = !err && fresh && f->went_back[0];
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
        bus_kill_point("feed.recalled");
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
        feed_run_turn(f, now);
        break;
    default:
        break;
    }
}

// What was received and not acknowledged comes again behind the end of the lane as it is now. What had been
// acknowledged since that end is gone for good: a gap before them.
static bus_err go_on_behind(feed *f)
{
    feed_lane_end end;
    bool stored;
    bus_err err = feed_recall_end(f->session, f->set.conn, &end);
    const feed_lane_last last = {end.subject, end.msg_id, end.last_seq};
    if (!err)
        err = feed_outbox_reopen(&f->outbox, &f->set.publisher, (bus_wake){wake_net, f}, &last,
                                 &stored);
    if (err)
        return err;
    feed_now now = feed_now_of(f);
    feed_outbox_held(&f->outbox, &now.received);
    if (!end.received.ns) // nothing is left; we wrote nothing before we were there
        end.received.ns = f->life.epoch_ms * 1000000;
    feed_session_went_back(f->session, end.received, !stored, f->went_back, &now);
    feed_outbox_resend(&f->outbox);
    bus_info("what was not acknowledged goes on behind sequence %llu",
             (unsigned long long)end.last_seq);
    memcpy(f->told_back, f->went_back, sizeof f->told_back);
    f->went_back[0] = '\0';
    return BUS_OK;
}

// The broker came back on an older copy of its store. The connection to the venue, and what is known of it, stay.
static void follow_store(feed *f, bool may_act, bus_mono now)
{
    if (!f->outbox_open || !f->outbox.went_back)
        return;
    if (!f->went_back[0]) {
        bus_error("%s: the store went back", f->outbox.why);
        memcpy(f->went_back, f->outbox.why, sizeof f->went_back);
        f->recall_due = now;
    }
    if (!may_act || now.ns < f->recall_due.ns || !go_on_behind(f))
        return;
    feed_why(f, bus_err_text());
    bus_debug("%s", bus_err_text());
    f->recall_due = bus_mono_add(now, BUS_SPAN_MS(RECALL_AGAIN_MS));
}

static void turn(feed *f)
{
    bus_mono now = bus_now_mono();
    bool may_act = check_lease(f);
    if (f->outbox_open && may_act)
        feed_outbox_turn(&f->outbox);
    follow_store(f, may_act, now);
    if (f->outbox_open && f->told_back[0] && feed_outbox_empty(&f->outbox))
        f->told_back[0] = '\0';
    if (f->outbox_open && f->outbox.lost) {
        bus_error("events could not be kept for the broker: everything begins anew");
        drop_all(f);
        f->phase = FEED_WANT_LEASE;
    }
    if (atomic_load(&f->stop))
        stop_turn(f, now);
    if (may_act)
        act(f, now);
    if (f->outbox_open)
        feed_outbox_push(&f->outbox);
    feed_run_count(f, now);
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
    feed_net_events events = feed_run_events(f);
    feed_net_opts net = {.tls = tls,
                         .ca_file = f->set.ca_file,
                         .rest_timeout = f->set.rest_timeout,
                         .turn_max = BUS_SPAN_MS(TURN_MAX_MS)};
    char key[64];
    snprintf(key, sizeof key, "feed.%s", f->set.venue->name);
    bus_err err = feed_net_check_url(f->set.ws_url, true);
    if (!err)
        err = feed_net_check_url(f->set.rest_url, false);
    if (!err) // shows now what would be wrong later
        err = feed_run_open(f);
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
                               .epoch_ms = bus_now_wall().ns / 1000000}; // 0: not told yet
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
