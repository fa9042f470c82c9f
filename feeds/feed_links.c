
#include "bus/base/log.h"
#include "feeds/counters.h"
#include "feeds/feed_impl.h"

// Silence of the old connection after which its replacement does not wait any more.
enum { PROOF_MS = 5000 };

static feed_link link_of(const feed *f, bool rotation)
{
    return (feed_link){.connection_id = f->set.connection_id,
                       .url = f->set.ws_url,
                       .attempt = f->backoff.failures,
                       .streams = f->session->streams,
                       .rotation = rotation,
                       .stood = f->coming.stood,
                       .lost_after = f->lost_after};
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
    f->proof = 0;
    if (f->have_live && f->live.state == FEED_UP)
        feed_connection_ping(&f->live, bus_now_mono()); // how far it is, should it end too early
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
    feed_link link = link_of(f, rotation);
    f->have_live = false; // first: what is still in its queue was received before now
    feed_now now = feed_now_of(f);
    feed_session_down(f->session, &link, reason, text, &now);
    if (!rotation) {
        bus_warn("connection to %s ended: %s (%s)", f->set.ws_url, text, reason);
        feed_count(FEED_COUNT_DISCONNECTS, 1);
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

static bool proved(const feed *f)
{
    return f->proof != 0 && f->live.pong >= f->proof;
}

// The old one ended, or never will answer: what it had not delivered may be missing.
static void interrupted(feed *f, const char *reason, const char *text)
{
    // frames that came although the other one stood already may be old ones: when they were sent is not known
    if (f->session->last_received.ns >= f->coming.stood.ns)
        f->lost_after = f->live.sure;
    live_over(f, reason, text, false);
    feed_lifecycle_tell(&f->life, &f->outbox, "reconnecting", 1, NULL, NULL);
}

static void take_over(feed *f)
{
    bool rotation = f->have_live;
    feed_connection old = f->live;
    feed_link link = link_of(f, rotation);
    f->live = f->coming;
    pass_socket(&f->live, &f->coming);
    f->have_live = true;
    f->have_coming = false;
    f->proof = 0;
    f->lost_after = (bus_wall){0};
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

static bus_span longer(bus_span a, bus_span b)
{
    return a.ns > b.ns ? a : b;
}

// Two connections are up. Frames of the old one come first, also those that still wait; then, with the
// proof that all of them are in, the new one takes over.
static void replace(feed *f, bus_mono now)
{
    bus_mono up = f->coming.up_since,
             heard = f->live.last_frame.ns > up.ns ? f->live.last_frame : up;
    bus_span patience = longer(f->set.rotate_overlap, BUS_SPAN_MS(PROOF_MS));
    if (f->proof == 0 && f->live.state != FEED_OVER)
        f->proof = feed_connection_ping(&f->live, now);
    if (f->live.queue.count > 0)
        return;
    if (!proved(f) && f->live.state == FEED_OVER)
        interrupted(f, f->live.reason, f->live.text);
    else if (!proved(f) && (now.ns - heard.ns >= patience.ns ||
                            now.ns - up.ns >= longer(patience, f->set.dead_after).ns))
        interrupted(f, "silent", "no answer to a ping before its replacement takes over");
    else if (!proved(f) ||
             (f->live.state != FEED_OVER && now.ns - up.ns < f->set.rotate_overlap.ns))
        return;
    take_over(f);
}

void feed_links_turn(feed *f, bus_mono now)
{
    if (f->have_live && feed_connection_tick(&f->live, now)) {
        feed_now at = feed_now_of(f);
        bus_warn("nothing from %s for %lld ms", f->set.venue->name,
                 (long long)(f->set.stale_after.ns / 1000000));
        feed_count(FEED_COUNT_STALE, 1);
        feed_session_stale(f->session, bus_mono_since(now, f->live.last_frame), f->set.stale_after,
                           &at);
    }
    if (f->have_coming && f->session->renew)
        coming_drop(f); // it has asked for other streams than are wanted by now
    if (f->have_coming) {
        feed_connection_tick(&f->coming, now);
        if (f->coming.state == FEED_OVER)
            coming_over(f);
        else if (f->coming.state == FEED_UP && f->have_live)
            replace(f, now);
        else if (f->coming.state == FEED_UP)
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
        feed_link link = link_of(f, false);
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
