// connection: one WebSocket to the venue on its way from connecting to subscribed, and its signs of
// life. What it receives is for its owner; while its data are not wanted they wait in its queue.
// Thread: the venue's. Source: schemas/specs/feedd.md, "Connection".
#ifndef FEEDS_CONNECTION_H
#define FEEDS_CONNECTION_H

#include "feeds/fifo.h"
#include "feeds/net.h"
#include "feeds/venues/session.h"

typedef enum { FEED_CONNECTING, FEED_SUBSCRIBING, FEED_UP, FEED_OVER } feed_connection_state;

typedef struct {
    const feed_venue *venue;
    const feed_session *session; // what to subscribe
    const char *url;
    bus_span connect_timeout, stale_after, dead_after;
    size_t queue_bytes;
} feed_connection_opts;

typedef struct {
    feed_connection_opts opts;
    feed_socket *socket;
    feed_connection_state state;
    uint32_t step, acks;                 // subscribe messages sent and acknowledged
    bool sent_all, peer_clean, shutdown; // shutdown: the venue announced it
    bool paused, stale;
    bus_mono opened, up_since, next_send, last_frame, last_life, last_ping;
    bus_wall stood;      // up_since by the wall clock
    uint64_t ping, pong; // number of the last one sent, and of the last one answered
    bus_wall ping_sent;
    bus_wall sure; // all that the venue had sent by then is in
    feed_fifo queue;
    const char *reason; // when OVER: of feed.disconnected
    char text[320];
} feed_connection;

bus_err feed_connection_open(feed_connection *c, feed_net *net, const feed_connection_opts *opts,
                             bus_mono now);
void feed_connection_close(feed_connection *c, bool abrupt); // NULL-safe socket; frees the queue
void feed_connection_end(feed_connection *c, const char *reason, const char *text); // -> OVER

// What the socket's callbacks are passed on to.
void feed_connection_opened(feed_connection *c, bus_mono now);
// feed_connection_control takes a message while SUBSCRIBING: true when it was none of the data.
bool feed_connection_control(feed_connection *c, bus_view text, bus_mono now);
void feed_connection_alive(feed_connection *c, uint64_t pong, bus_mono now);
// feed_connection_ping returns the number that `pong` will have reached when the answer is there.
uint64_t feed_connection_ping(feed_connection *c, bus_mono now);
void feed_connection_closed(feed_connection *c, bool clean, const char *text);
// feed_connection_keep puts a frame into the queue, and stops reading when it is half full.
void feed_connection_keep(feed_connection *c, bus_view text, bus_recorded_time received);
void feed_connection_relieve(feed_connection *c); // goes on reading when the queue has room again
// feed_connection_tick: next subscribe message, time-outs, silence. Returns true when it went stale
// just now.
bool feed_connection_tick(feed_connection *c, bus_mono now);
static inline void feed_connection_frame(feed_connection *c, bus_mono now)
{
    c->last_frame = c->last_life = now;
    c->stale = false;
}

#endif
