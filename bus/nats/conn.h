// conn: one connection to the broker; core publish, subscribe, request. nats.h is seen only in this folder.
// The library's threads only enqueue: messages are taken by the owner with *_next, and `wake` tells it
// when. A connection may be used for publishing from any thread. Source: schemas/specs/recording.md.
#ifndef BUS_NATS_CONN_H
#define BUS_NATS_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/base/daemon.h"
#include "bus/base/err.h"
#include "bus/base/loop.h"
#include "bus/base/time.h"
#include "bus/base/view.h"
#include "bus/event/event.h"

typedef struct bus_conn bus_conn;

// A side is where things live: LIVE holds feeds, live runtimes, ACT; RESEARCH replays and backtests. By
// default both are the same broker and account; code asks for the side it means all the same.
typedef enum { BUS_SIDE_LIVE, BUS_SIDE_RESEARCH } bus_side;
// LATENCY sends each message at once (SendAsap); BULK lets the library gather writes. OWNER is for hundreds of
// thousands of messages a second: whoever opened it reads and writes the socket on its own thread (no thread,
// lock or allocation per message); it publishes, subscribes and flushes, but makes no requests, gets no wakes,
// and sends with bus_conn_push. With TLS it is BULK, and all of that works the same.
typedef enum { BUS_PROFILE_LATENCY, BUS_PROFILE_BULK, BUS_PROFILE_OWNER } bus_profile;
typedef enum {
    BUS_CONN_CONNECTING, // never been up yet, or between tries
    BUS_CONN_UP,
    BUS_CONN_REFUSED, // the broker is too old, or says no (credentials): bus_conn_why tells
} bus_conn_state;

typedef struct {
    const char *url; // comma-separated; borrowed until open returns, like all strings here
    const char *creds, *user, *password, *token, *ca; // NULL or "" when not used
    const char *name;                                 // shown by the broker, e.g. "feedd"
    bus_side side;
    bus_profile profile;
    bus_wake wake; // state changes
} bus_conn_opts;

bus_conn_opts bus_conn_opts_of(const bus_daemon_settings *settings, const char *name, bus_side side,
                               bus_profile profile);

// bus_conn_open returns at once; connecting goes on in the background, for ever, with back-off (at most
// 2 s) and after every loss. Errors: BUS_EINVAL for a bad URL or unreadable credentials.
bus_err bus_conn_open(bus_conn **out, const bus_conn_opts *opts);
void bus_conn_close(bus_conn *conn); // after everything opened on it was closed; flushes
bus_conn_state bus_conn_state_of(const bus_conn *conn);
uint32_t bus_conn_epoch(const bus_conn *conn); // +1 each time it comes up; 0: never yet
bus_err bus_conn_wait(bus_conn *conn,
                      bus_span timeout); // until UP; BUS_EUNAVAILABLE, BUS_ESTATE (too old)
const char *bus_conn_why(const bus_conn *conn, char *buf, size_t cap);
// broker version as major*1000000+minor*1000+patch; 0 before the first connection. >= 2.11.1 or REFUSED.
uint32_t bus_conn_broker(const bus_conn *conn);
// bus_conn_fault: what is known against that version, in words for a person; NULL: nothing, or no connection yet.
const char *bus_conn_fault(const bus_conn *conn);
// bus_conn_in_clear: the password or token of the last connection went over the network without TLS. It is logged too.
bool bus_conn_in_clear(const bus_conn *conn);
int64_t bus_conn_max_payload(const bus_conn *conn);
// bus_conn_flush: everything sent has reached the broker; if it said no to some of it, for the first time on this
// connection, bus_conn_denied knows.
bus_err bus_conn_flush(bus_conn *conn, bus_span timeout);
// The broker says no to a subject after the fact, and refuses nothing else: bus_conn_denials counts how often it did;
// bus_conn_denied: did it, on this subject of ours (also a wildcard's), since that count was `since`? Then BUS_EPERM,
// "not permitted: <subject>". What it said about an earlier connection does not count.
uint64_t bus_conn_denials(bus_conn *conn);
bus_err bus_conn_denied(bus_conn *conn, const char *subject, uint64_t since);
// bus_conn_push, OWNER: sends what was published and looks after the connection: call it at the end of each
// batch and at least each second. The other profiles do that by themselves.
void bus_conn_push(bus_conn *conn);

// --- messages --------------------------------------------------------------------------------------
typedef struct bus_msg bus_msg; // one received message; owns its bytes
bus_view bus_msg_subject(const bus_msg *msg);
bus_view bus_msg_reply(const bus_msg *msg);
bus_view bus_msg_payload(const bus_msg *msg);
// bus_msg_header: exact case; the value is not NUL-terminated. A status line ("NATS/1.0 404 No Messages") reads
// as the headers "Status" and "Description".
bool bus_msg_header(const bus_msg *msg, const char *name, bus_view *value);
bool bus_msg_no_responders(const bus_msg *msg);
void bus_msg_release(bus_msg *msg); // NULL is fine
// bus_msg_event decodes the payload by its Content-Type (or ce- headers). The event lives as long as
// msg and, for JSON and headers, scratch.
bus_err bus_msg_event(const bus_msg *msg, bus_event *out, bus_scratch *scratch);

typedef struct {
    const char *name, *value;
} bus_header_pair;

// Core publish (at most once): for what is not recorded, replies and hyp lanes. Copies.
// `headers` may be NULL when count is 0. BUS_EUNAVAILABLE when down, BUS_ELIMIT beyond max_payload.
bus_err bus_publish(bus_conn *conn, const char *subject, const char *reply,
                    const bus_header_pair *headers, size_t count, bus_view payload);
// The same with views, reply empty for none, and the headers ready for the wire: "NATS/1.0", then lines "<name>: <value>", then an empty line, each
// ended by CR LF; empty: none.
bus_err bus_publish_block(bus_conn *conn, bus_view subject, bus_view reply, bus_view headers,
                          bus_view payload);
// bus_request waits for one answer. BUS_EUNAVAILABLE: no responders, down, or lost meanwhile; BUS_ETIMEOUT; BUS_EPERM,
// at once, when the user may not ask this.
bus_err bus_request(bus_conn *conn, const char *subject, const bus_header_pair *headers,
                    size_t count, bus_view payload, bus_span timeout, bus_msg **reply);

// --- subscriptions -----------------------------------------------------------------------------------
typedef struct bus_sub bus_sub;
typedef struct {
    const char *subject;
    const char *queue_group; // NULL: every subscriber gets every message
    uint32_t pending_max;    // messages held for the owner; 0: 65,536. Beyond: dropped and counted
    uint64_t bytes_max;      // the same in bytes of payload; 0: 64 MiB
    bus_wake wake;
    // The owner takes messages straight from the library: no thread in between, which at hundreds of
    // thousands a second costs more than the messages; but then no wake and no bounds either.
    bool direct;
} bus_sub_opts;
bus_err bus_sub_open(bus_sub **out, bus_conn *conn,
                     const bus_sub_opts *opts); // survives reconnects
bus_msg *bus_sub_next(bus_sub *sub,
                      bus_span timeout);   // NULL: nothing within timeout; the caller releases it
uint64_t bus_sub_lost(const bus_sub *sub); // dropped so far, here and in the library
bus_err bus_sub_denied(
    const bus_sub *sub); // BUS_EPERM: the user may not subscribe to this: nothing will come
void bus_sub_close(bus_sub *sub);

#endif
