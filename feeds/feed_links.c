#include <stdio.h>

#include "bus/base/log.h"
#include "feeds/counters.h"
#include "feeds/feed_impl.h"

feed_link feed_link_of(const feed *f, bool rotation)
{
    return (feed_link){.connection_id = f->set.connection_id,
                       .url = f->set.ws_url,
                       .attempt = f->backoff.failures,
                       .streams = f->session->streams,
                       .rotation = rotation};
}

static void connect_failed(feed *f, const feed_connection *c)
{
    bus_span wait = feed_backoff_failed(&f->backoff);
    bus_warn("connection to %s: %s (%s); next try in %lld ms", f->set.ws_url, c->text, c->reason,
             (long long)(wait.ns / 1000000));
    feed_count(FEED_COUNT_FAILURES, 1);
    feed_why(f, c->text);
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
    f->session->renew = false;
    if (feed_connection_open(&f->coming, f->net, &opts, bus_now_mono()))
        feed_connection_end(&f->coming, "refused", bus_err_text());
}

static void coming_drop(feed *f)
{
    feed_connection_close(&f->coming, true);
    f->have_coming = false;
}

static void coming_over(feed *f)
{
    connect_failed(f, &f->coming);
    f->session->renew = f->have_live;
    coming_drop(f);
}

// The old connection's end. rotation: the other one carries the streams.
static void live_over(feed *f, const char *reason, const char *text, bool rotation)
{
    feed_link link = feed_link_of(f, rotation);
    f->have_live = false; // first: what is still in its queue was received before now
    feed_now now = feed_now_of(f);
    feed_session_down(f->session, &link, reason, text, &now);
    if (!rotation) {
        bus_warn("connection to %s ended: %s (%s)", f->set.ws_url, text, reason);
        feed_lifecycle_tell(&f->life, &f->outbox, "error", 0, reason, text);
        feed_why(f, text);
    }
    feed_connection_close(&f->live, !rotation);
}

static void pass_socket(feed_connection *to, feed_connection *from)
{
    to->socket = from->socket;
    *from = (feed_connection){0};
}

static void take_over(feed *f)
{
    bool rotation = f->have_live;
    feed_connection old = f->live;
    feed_link link = feed_link_of(f, rotation);
    f->live = f->coming;
    pass_socket(&f->live, &f->coming);
    f->have_live = true;
    f->have_coming = false;
    feed_now now = feed_now_of(f);
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

// Frames of the old connection come first, also those that still wait.
static bool may_take_over(const feed *f, bus_mono now)
{
    if (!f->have_live)
        return true;
    bool overlapped = now.ns - f->coming.up_since.ns >= f->set.rotate_overlap.ns;
    return f->live.queue.count == 0 && (f->live.state == FEED_OVER || overlapped);
}

void feed_links_turn(feed *f, bus_mono now)
{
    if (f->have_live && feed_connection_tick(&f->live, now)) {
        feed_now at = feed_now_of(f);
        bus_warn("nothing from %s for %lld ms", f->set.venue->name,
                 (long long)(f->set.stale_after.ns / 1000000));
        feed_session_stale(f->session, bus_mono_since(now, f->live.last_frame), f->set.stale_after,
                           &at);
    }
    if (f->have_coming && f->session->renew)
        coming_drop(f); // it has asked for other streams than are wanted by now
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
    bool rotate = f->have_live && (f->live.shutdown || f->session->renew ||
                                   now.ns - f->live.up_since.ns >= f->set.rotate_after.ns);
    if (!f->have_coming && !f->gave_up && now.ns >= f->connect_due.ns && (!f->have_live || rotate))
        connect_start(f);
}

void feed_links_stop(feed *f)
{
    if (f->have_live) {
        feed_link link = feed_link_of(f, false);
        feed_now now = feed_now_of(f);
        feed_session_down(f->session, &link, "stopped", "feedd ends", &now);
        feed_lifecycle_tell(&f->life, &f->outbox, "disconnected", 0, NULL, NULL);
        feed_connection_close(&f->live, false);
    }
    if (f->have_coming)
        feed_connection_close(&f->coming, false);
    f->have_live = f->have_coming = false;
}

void feed_links_drop(feed *f)
{
    if (f->have_live)
        feed_connection_close(&f->live, true);
    if (f->have_coming)
        feed_connection_close(&f->coming, true);
    f->have_live = f->have_coming = false;
}

feed_connection *feed_connection_of(feed *f, const feed_socket *socket)
{
    if (f->have_live && f->live.socket == socket)
        return &f->live;
    return f->have_coming && f->coming.socket == socket ? &f->coming : NULL;
}
