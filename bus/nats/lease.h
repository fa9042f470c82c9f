// lease: one holder of a name at a time, by compare-and-set in a bucket.
// The holder renews every third of the span; whoever waits takes over when the record has not changed
// for a whole span on the waiter's own monotonic clock. held_until is on OUR clock and ends before
// anybody else can take over. Thread: the owner's. Source: schemas/specs/recording.md, "Leases".
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
// bus_lease_poll tries, renews, notices loss; call every second and before trusting the lease.
// Returns true while held; fence rises with every change of holder (the record's revision at taking).
bool bus_lease_poll(bus_lease *lease, uint64_t *fence);
bool bus_lease_held(const bus_lease *lease);          // by our own clock alone: no I/O
const char *bus_lease_holder(const bus_lease *lease); // who has it, as last seen
void bus_lease_close(bus_lease *lease);               // gives it back when held

#endif
