// lease: one holder of a name at a time, by compare-and-set in a bucket.
// The holder renews every third of the span; whoever waits takes over when the record has not changed
// for a whole span on the waiter's own monotonic clock. held_until is on OUR clock and ends before
// anybody else can take over. A thread of its own talks to the bucket, so that a broker that stands still
// never holds up the owner. Thread: the owner's. Source: schemas/specs/recording.md, "Leases".
#ifndef BUS_NATS_LEASE_H
#define BUS_NATS_LEASE_H

#include "bus/nats/conn.h"

typedef struct bus_lease bus_lease;
typedef struct {
    const char *bucket; // made when absent
    const char *key;    // e.g. "feed.binance"
    const char *holder; // who we are: host, pid and a random part
    bus_span span;      // 0: 15 s
    bus_wake wake;      // taken or lost
} bus_lease_opts;
bus_err bus_lease_open(bus_lease **out, bus_conn *conn, const bus_lease_opts *opts);
// bus_lease_poll: is it ours, by our own clock? No I/O; call it before each act that needs the lease.
// fence (may be NULL, set when held) rises with every change of holder: the record's revision at taking.
bool bus_lease_poll(bus_lease *lease, uint64_t *fence);
bool bus_lease_held(const bus_lease *lease); // bus_lease_poll without the fence
// bus_lease_holder: who has it, as last seen; "" nobody or not known.
const char *bus_lease_holder(const bus_lease *lease, char *buf, size_t cap);
// bus_lease_close gives it back when held: somebody else may take it at once. Only when everything sent under
// it is acknowledged; else bus_lease_abandon, which lets it run out.
void bus_lease_abandon(bus_lease *lease);
void bus_lease_close(bus_lease *lease);

#endif
