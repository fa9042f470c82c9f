#include "feeds/connection.h"

#include <stdio.h>

enum { SUBSCRIBE_BYTES = 64 * 1024 };

bus_err feed_connection_open(feed_connection *c, feed_net *net, const feed_connection_opts *opts,
                             bus_mono now)
{
    *c = (feed_connection){.opts = *opts, .opened = now, .last_life = now, .last_frame = now};
    feed_fifo_init(&c->queue, opts->queue_bytes);
    return feed_net_connect(net, &c->socket, opts->url, opts->venue->path(opts->session), c);
}

void feed_connection_close(feed_connection *c, bool abrupt)
{
    feed_socket_release(c->socket, abrupt);
    c->socket = NULL;
    feed_fifo_release(&c->queue);
}

void feed_connection_end(feed_connection *c, const char *reason, const char *text)
{
    if (c->state == FEED_OVER)
        return;
    c->state = FEED_OVER;
    c->reason = reason;
    snprintf(c->text, sizeof c->text, "%s", text);
}

void feed_connection_opened(feed_connection *c, bus_mono now)
{
    c->state = FEED_SUBSCRIBING;
    c->next_send = c->last_life = now;
}

static void send_next(feed_connection *c, bus_mono now)
{
    static _Thread_local char text[SUBSCRIBE_BYTES];
    const feed_venue *venue = c->opts.venue;
    size_t len = venue->subscribe(c->opts.session, c->step, text, sizeof text);
    if (feed_socket_send(c->socket, (bus_view){text, len})) {
        feed_connection_end(c, "refused", bus_err_text());
        return;
    }
    c->step++;
    c->sent_all = venue->subscribe(c->opts.session, c->step, text, sizeof text) == 0;
    int64_t apart = 1000000000 / venue->messages_per_second + 20000000;
    c->next_send = bus_mono_add(now, (bus_span){apart});
}

bool feed_connection_control(feed_connection *c, bus_view text, bus_mono now)
{
    switch (c->opts.venue->control(text)) {
    case FEED_FRAME_ACK:
        c->acks++;
        if (c->sent_all && c->acks >= c->step && c->state == FEED_SUBSCRIBING) {
            c->state = FEED_UP;
            c->up_since = c->last_frame = now;
            c->stood = c->sure = bus_now_wall();
        }
        return true;
    case FEED_FRAME_REFUSED:
        feed_connection_end(c, "refused", bus_err_text());
        return true;
    case FEED_FRAME_SHUTDOWN:
        c->shutdown = true;
        return true;
    default:
        return false;
    }
}

void feed_connection_alive(feed_connection *c, uint64_t pong, bus_mono now)
{
    c->last_life = now;
    if (pong > c->pong && pong <= c->ping)
        c->pong = pong;
    if (pong == c->ping && pong != 0)
        c->sure = c->ping_sent;
}

uint64_t feed_connection_ping(feed_connection *c, bus_mono now)
{
    c->last_ping = now;
    c->ping_sent = bus_now_wall();
    feed_socket_ping(c->socket, ++c->ping);
    return c->ping;
}

void feed_connection_closed(feed_connection *c, bool clean, const char *text)
{
    feed_connection_end(c, c->shutdown ? "shutdown" : clean ? "closed" : "lost", text);
}

void feed_connection_keep(feed_connection *c, bus_view text, bus_recorded_time received)
{
    const bus_view piece[3] = {text};
    if (!feed_fifo_push(&c->queue, received.ns, piece)) {
        feed_connection_end(c, "overload", "more frames than the queue holds");
        return;
    }
    if (!c->paused && feed_fifo_bytes(&c->queue) > c->opts.queue_bytes / 2) {
        c->paused = true;
        feed_socket_pause(c->socket, true);
    }
}

void feed_connection_relieve(feed_connection *c)
{
    if (!c->paused || feed_fifo_bytes(&c->queue) > c->opts.queue_bytes / 4)
        return;
    c->paused = false;
    feed_socket_pause(c->socket, false);
}

static bool over(bus_mono now, bus_mono since, bus_span limit)
{
    return limit.ns > 0 && now.ns - since.ns >= limit.ns;
}

bool feed_connection_tick(feed_connection *c, bus_mono now)
{
    if (c->state == FEED_OVER)
        return false;
    if (c->state != FEED_UP) {
        if (c->state == FEED_SUBSCRIBING && !c->sent_all && c->next_send.ns <= now.ns)
            send_next(c, now);
        if (over(now, c->opened, c->opts.connect_timeout))
            feed_connection_end(c, "silent",
                                c->state == FEED_CONNECTING
                                    ? "no connection within connect_timeout"
                                    : "no acknowledgement within connect_timeout");
        return false;
    }
    if (c->paused) { // it is we who do not listen
        c->last_life = c->last_frame = now;
        return false;
    }
    if (over(now, c->last_life, c->opts.dead_after)) {
        feed_connection_end(c, "silent", "no sign of life within dead_after");
        return false;
    }
    if (!over(now, c->last_frame, c->opts.stale_after))
        return false;
    if (over(now, c->last_ping, c->opts.stale_after)) // is it there at all?
        feed_connection_ping(c, now);
    bool just_now = !c->stale;
    c->stale = true;
    return just_now;
}
