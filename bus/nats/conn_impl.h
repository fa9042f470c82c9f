// conn_impl: what conn, sub and their neighbours share. Internal to bus/nats.
#ifndef BUS_NATS_CONN_IMPL_H
#define BUS_NATS_CONN_IMPL_H

#include "bus/nats/link.h"
#include "bus/nats/pipe.h"
#include "bus/nats/request.h"

struct bus_conn {
    bus_link_opts opts;
    pthread_t supervisor;
    bus_gate gate; // guards what follows
    bool closing;
    bus_conn_state state;
    uint32_t epoch;
    uint32_t broker, in_clear; // of the last link
    int64_t max_payload;
    char why[BUS_LINK_WHY];
    bus_link *link; // NULL unless UP
    bool drop;      // the link is to be replaced
    bool warned;    // that a secret goes in clear; the supervisor's
    bus_sub *subs;  // linked by next

    bus_denied denied;
    bus_requests requests;

    // BUS_PROFILE_OWNER: the owner's alone
    bus_link *mine; // whose socket the pipe is on; NULL: none
    bus_pipe *pipe;
    uint64_t last_sid;
    bus_mono looked; // when the socket was read by the way of pushing
};

// bus_conn_link takes a reference on the live link, NULL when there is none.
bus_link *bus_conn_link(bus_conn *conn);
// bus_conn_drop has the supervisor replace this link, if it still is the live one. Does not block.
void bus_conn_drop(bus_conn *conn, bus_link *link);

// A message goes to `route` on the library's thread, which takes it over, instead of to an owner. It may not block, nor
// close the subscription; none comes after bus_sub_close has returned.
typedef void (*bus_route_fn)(void *ctx, bus_msg *msg);
bus_err bus_sub_open_routed(bus_sub **out, bus_conn *conn, const bus_sub_opts *opts,
                            bus_route_fn route, void *ctx);

struct bus_sub {
    _Atomic int refs; // the owner's, and one for each subscription the library still has
    bus_conn *conn;
    bus_sub *next;
    char *subject, *queue_group;
    natsSubscription *on; // of the live link, guarded by conn->gate
    uint64_t sid;         // BUS_PROFILE_OWNER: its number on the wire
    uint32_t pending_max;
    uint64_t bytes_max;
    bool direct;
    bus_wake wake;
    bus_route_fn route; // NULL: messages are kept for the owner
    void *route_ctx;

    bus_gate gate; // guards what the library's thread fills
    natsMsg **in;  // [in_cap], in order of arrival
    uint32_t in_len, in_cap;
    uint64_t bytes; // of `in` and of what is left in `out`
    uint64_t lost;
    bool closed, nudged;
    uint32_t out_left; // mirror of out_len - out_at for the bound, guarded by gate

    natsMsg **out; // the owner's half: taken in one exchange
    uint32_t out_at, out_len, out_cap;
};

// The supervisor puts every subscription on a fresh link, before the connection counts as up.
natsStatus bus_sub_attach(bus_sub *sub, natsConnection *nc);
void bus_sub_detach(bus_sub *sub);
bool bus_sub_wait(bus_sub *sub, bus_span timeout); // owner: is there a message for bus_sub_next?
// bus_sub_nudge, any thread: the owner's present or next wait ends without a message. Not for a direct one.
void bus_sub_nudge(bus_sub *sub);

bus_msg *bus_msg_of_pipe(bus_pipe_msg *msg);

// --- owner.c: BUS_PROFILE_OWNER; all on the owner's thread ------------------------------------------------
// bus_owner_pipe: the live pipe, made on the live link when that is a new one; NULL: down, or the library does
// the reading and writing (another profile, or TLS: then the link's fd is -1).
bus_pipe *bus_owner_pipe(bus_conn *conn);
bus_link *bus_owner_link(bus_conn *conn); // the live pipe's, borrowed; NULL: there is none just now
void bus_owner_release(bus_conn *conn);
int bus_conn_fd(bus_conn *conn); // to be polled for reading; -1: there is no pipe just now
bool bus_owner_flush(bus_conn *conn, bus_span timeout);
void bus_owner_subscribe(bus_sub *sub); // already in conn->subs
void bus_owner_unsubscribe(bus_sub *sub);
bool bus_owner_read(bus_sub *sub, bus_span timeout); // needs a pipe; is there a message for it now?

#endif
