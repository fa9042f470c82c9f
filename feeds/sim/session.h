// session: what server.c (context and thread), session.c (connections, requests' heads), ws.c and http.c
// share. Nobody else's. Thread: the exchange's.
#ifndef FEEDS_SIM_SESSION_H
#define FEEDS_SIM_SESSION_H

#include <libwebsockets.h>
#include <pthread.h>
#include <stdatomic.h>

#include "feeds/sim/server.h"

enum {
    SIM_BODY_BYTES_MAX = 64 * 1024,
    SIM_REQUEST_BYTES_MAX = 64 * 1024,
    SIM_CHUNK_BYTES = 64 * 1024, // of an HTTP answer
    SIM_WRITES_A_TURN = 64,      // messages written to one connection before others get their turn
    SIM_CONNECTIONS_MAX = 500,
    SIM_DRAIN_NS = 1000000000, // how long a closing connection may take to empty its queue
};

// One connection: a WebSocket client, or an HTTP request being answered.
typedef struct sim_peer {
    sim_server *server;
    struct lws *wsi;
    sim_client *client; // WebSocket; NULL for HTTP
    sim_text inbound;   // message or body so far
    uint64_t body_left; // bytes of the request's body that have not come yet
    bool too_long;
    char method[8];
    char path[256], query[2048];
    bool waits; // the exchange will answer later
    bool answering;
    sim_answer answer;
    size_t sent;
    struct sim_peer *next;
} sim_peer;

struct sim_server {
    struct lws_context *context;
    struct lws_vhost *vhost;
    sim_exchange *exchange;
    pthread_t thread;
    bool thread_runs;
    lws_sorted_usec_list_t timer;
    sim_peer *peers;
    int port;
    _Atomic bool stop, serves;
    bool stopping;
    bus_mono stop_at;
    bus_wake done;
    pthread_mutex_t lock; // figures
    sim_exchange_figures figures;
    int weight; // used in this minute
    int64_t weight_minute;
};

// --- session.c
sim_peer *sim_peer_of(struct lws *wsi); // NULL: none yet
sim_server *sim_server_of(struct lws *wsi);
sim_peer *sim_peer_add(struct lws *wsi); // NULL: no memory
void sim_peer_remove(struct lws *wsi);   // takes one without a peer
bool sim_peer_read_head(sim_peer *p);    // method, path, query; false: no method that is known
// --- server.c: something came in that may let play go on: come back at once.
void sim_server_hurry(sim_server *s);

// --- ws.c, http.c: what the library calls; -1 ends the connection.
int sim_ws_upgrade(struct lws *wsi);
int sim_ws_message(sim_peer *p, const void *in, size_t len);
int sim_ws_writable(sim_peer *p);
void sim_ws_wake(void *ctx, sim_client *client); // of the hub
int sim_http_request(struct lws *wsi);
int sim_http_body(sim_peer *p, const void *in, size_t len);
int sim_http_ask(sim_peer *p);
int sim_http_writable(sim_peer *p);
void sim_http_answer(void *ctx, void *cookie, sim_answer *answer); // of the exchange

#endif
