// net: WebSocket and HTTP client of the venue thread.
// It has its own poll loop (feed_net_turn); everything but feed_net_wake belongs to the thread that
// runs it, and the callbacks come from there. Source: schemas/specs/feedd.md.
#ifndef FEEDS_NET_H
#define FEEDS_NET_H

#include <stdbool.h>

#include "bus/base/err.h"
#include "bus/base/time.h"
#include "bus/base/view.h"

typedef struct feed_net feed_net;
typedef struct feed_socket feed_socket; // one WebSocket

typedef struct {
    void (*opened)(void *ctx, feed_socket *socket);
    void (*message)(void *ctx, feed_socket *socket, bus_view text, bus_recorded_time received);
    void (*alive)(void *ctx, feed_socket *socket,
                  uint64_t number); // a pong, to that ping; 0: to none
    // closed: once for every socket, also for one that never opened; frees nothing.
    //   clean  the peer closed it in order
    void (*closed)(void *ctx, feed_socket *socket, bool clean, const char *text);
    // answered: once for every feed_net_get. status 0: none came.
    void (*answered)(void *ctx, uint64_t tag, int status, bus_view body, const char *text);
    void *ctx;
} feed_net_events;

typedef struct {
    bool tls;            // some URL will be wss or https
    const char *ca_file; // PEM, or "": the system's
    bus_span rest_timeout;
    bus_span turn_max; // feed_net_turn returns at least so often
} feed_net_opts;

bus_err feed_net_open(feed_net **out, const feed_net_opts *opts, const feed_net_events *events);
void feed_net_close(feed_net *net); // closes what is open, without further callbacks
void feed_net_turn(feed_net *net);  // waits for sockets, a wake or turn_max; runs callbacks
void feed_net_wake(feed_net *net);  // from any thread

// feed_net_check_url: ws, wss, http or https with a host.
bus_err feed_net_check_url(const char *url, bool websocket);
// feed_net_connect: the result comes as opened or closed, perhaps before this returns.
bus_err feed_net_connect(feed_net *net, feed_socket **out, const char *url, const char *path,
                         void *owner);
bus_err feed_socket_send(feed_socket *socket, bus_view text); // queued; at most 64 KiB
// feed_socket_ping: numbers rise; one that was not sent yet is left out for the next.
void feed_socket_ping(feed_socket *socket, uint64_t number);
// feed_socket_pause: stop or go on reading, from the next turn on: up to 64 KiB may still come.
void feed_socket_pause(feed_socket *socket, bool paused);
// feed_socket_release: the owner is done with it: no further callback; closed if it still is open.
//   abrupt  without a closing handshake
void feed_socket_release(feed_socket *socket, bool abrupt);

bus_err feed_net_get(feed_net *net, const char *url, const char *path, uint64_t tag);

#endif
