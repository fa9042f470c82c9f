// lease: one holder of a name at a time, by compare-and-set in a bucket.
// The holder renews every third of the span; whoever waits takes over when the record has not changed
// for a whole span on the waiter's own monotonic clock. held_until is on OUR clock and ends before
// anybody else can take over. A holder that was too late to renew is LAPSED: it may not act, but it has not
// lost anything until the record was changed by somebody else; its thread goes on renewing, and when that
// succeeds the session goes on under the same fence. A thread of its own talks to the bucket, so that a broker that stands still
// never holds up the owner. Before a virtual clock is told nobody takes one: what a holder does has a date.
// Thread: the owner's. Source: schemas/specs/recording.md, "Leases".
#ifndef BUS_NATS_LEASE_H
#define BUS_NATS_LEASE_H

#include "bus/nats/conn.h"

typedef struct bus_lease bus_lease;
typedef struct {
    const char *bucket; // made when absent
    const char *key;    // e.g. "feed.binance"
    const char *holder; // who we are: host, pid and a random part
    bus_span span;      // 0: 15 s
    bus_wake wake;      // taken, lapsed, going on, lost, or bus_lease_why says something else
} bus_lease_opts;
bus_err bus_lease_open(bus_lease **out, bus_conn *conn, const bus_lease_opts *opts);
// bus_lease_poll: may we act, by our own clock? No I/O. fence (may be NULL): the session's, also while it is
// lapsed; 0: none. It rises with every change of holder: the record's revision at taking. Whoever began
// something under one fence pauses while this is false and ends it when the fence is another.
bool bus_lease_poll(bus_lease *lease, uint64_t *fence);
// bus_lease_held: bus_lease_poll without the fence; any thread, without a lock: call it before each act.
bool bus_lease_held(const bus_lease *lease);
// bus_lease_holder: who has it, as last seen; "" nobody or not known.
const char *bus_lease_holder(const bus_lease *lease, char *buf, size_t cap);
// bus_lease_why: why the bucket could not be asked at the last try; "" when it could.
const char *bus_lease_why(const bus_lease *lease, char *buf, size_t cap);
// bus_lease_close gives it back when held: somebody else may take it at once. Only when everything sent under
// it is acknowledged; else bus_lease_abandon, which lets it run out.
void bus_lease_abandon(bus_lease *lease);
void bus_lease_close(bus_lease *lease);

#endif
