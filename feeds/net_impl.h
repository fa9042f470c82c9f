// net, inside: what its files share, the only ones that see libwebsockets.
//   net.c          the context and its loop, which callback is whose, where a URL leads
//   net_socket.c   a WebSocket
//   net_request.c  a REST request
// Thread: the one that runs the net. Source: schemas/specs/feedd.md.
#ifndef FEEDS_NET_IMPL_H
#define FEEDS_NET_IMPL_H

#include <libwebsockets.h>

#include "feeds/net.h"

enum {
    FEED_READ_BYTES = 64 * 1024, // of one read from a socket
    FEED_SENDS_MAX = 64,         // waiting messages of one socket
};

typedef struct {
    char *ptr;
    size_t len, cap;
} feed_bytes;

// libwebsockets reports the end of any connection to the first protocol's callback, whichever it
// belongs to: so both kinds of ours begin with what they are.
typedef enum { FEED_SOCKET, FEED_REQUEST } feed_net_kind;

struct feed_socket {
    feed_net_kind kind; // FEED_SOCKET
    feed_net *net;
    struct lws *wsi; // NULL: destroyed, or never made
    void *owner;
    feed_bytes message; // of fragments so far
    struct {
        unsigned char *text; // LWS_PRE bytes before it
        size_t len;
    } send[FEED_SENDS_MAX];
    unsigned sends;
    uint64_t ping; // to send; 0: none
    bool open, told, released, closing, peer_closed;
    bool want_pause, paused;
    char why[256];
    feed_socket *next;
};

typedef struct feed_request {
    feed_net_kind kind; // FEED_REQUEST
    feed_net *net;
    struct lws *wsi;
    uint64_t tag;
    int status;
    feed_bytes body;
    bool told;
    struct feed_request *next;
} feed_request;

struct feed_net {
    struct lws_context *context;
    feed_net_events on;
    bus_span turn_max;
    lws_sorted_usec_list_t timer;
    feed_socket *sockets;
    feed_request *requests;
    bool closing;
    char ca_file[1024];
};

// feed_bytes_append: false when it would be more than `max`, or memory is out.
bool feed_bytes_append(feed_bytes *b, const void *ptr, size_t len, size_t max);

// What libwebsockets tells of one; the result is for it: 0 goes on, -1 closes.
int feed_socket_event(struct lws *wsi, enum lws_callback_reasons reason, feed_socket *s, void *in,
                      size_t len);
int feed_request_event(struct lws *wsi, enum lws_callback_reasons reason, feed_request *r, void *in,
                       size_t len);
void feed_socket_free(feed_socket *s);
void feed_request_free(feed_request *r);

// Where a URL and a path below it lead.
typedef struct {
    char text[1024], path[4608];
    const char *host;
    int port;
    bool tls;
} feed_target;
bus_err feed_target_of(feed_target *t, const char *url, const char *path, bool websocket);
// feed_net_start: NULL when it failed at once; the callback may have said so already.
struct lws *feed_net_start(feed_net *net, feed_target *t, const char *method, const char *protocol,
                           void *user, struct lws **wsi);

#endif
