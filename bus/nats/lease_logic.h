// lease_logic: when a lease may be taken, is held, must be renewed, is lost: a pure state machine over what
// the bucket's key was seen to be. It is given `now` and says what to do next; lease.c does it.
// Thread: the owner's. Source: schemas/specs/recording.md, "Leases".
#ifndef BUS_NATS_LEASE_LOGIC_H
#define BUS_NATS_LEASE_LOGIC_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/base/time.h"

typedef enum {
    BUS_LEASE_WAIT,   // nothing to do yet
    BUS_LEASE_READ,   // read the key, then bus_lease_logic_seen
    BUS_LEASE_CREATE, // create the key, then bus_lease_logic_written
    BUS_LEASE_UPDATE, // update it against `expected`, then bus_lease_logic_written
} bus_lease_step;

typedef enum {
    BUS_LEASE_NONE, // not ours: never taken, or lost
    BUS_LEASE_HELD, // ours, and we may act
    BUS_LEASE_LAPSED, // our time ran out, or a write met another revision: we may not act, and may still go on
} bus_lease_standing;

typedef enum {
    BUS_LEASE_FREE,   // no key, or nobody is named
    BUS_LEASE_NAMED,  // somebody is
    BUS_LEASE_OUR_OWN // this very lease wrote it
} bus_lease_record;

typedef struct {
    bus_span span;
    uint64_t fence;      // of our session, also while it is lapsed; 0: none
    bool doubt;          // a write met another revision than we know: whose is to be read
    bus_mono held_until; // on our clock: the start of the last good write and two thirds of a span
    bus_mono renewed;    // when that write started
    uint64_t revision;   // of the key as we know it; 0: no key
    bool known, free;    // the key was read; it names no holder
    bus_mono seen;       // when this revision was seen first (after the answer came)
    bus_mono next_read;
} bus_lease_logic;

void bus_lease_logic_init(bus_lease_logic *l, bus_span span);
// bus_lease_logic_step says what to do. expected: the revision to update against.
bus_lease_step bus_lease_logic_step(bus_lease_logic *l, bus_mono now, uint64_t *expected);
// What reading found: revision 0 for no key. now: after the answer.
void bus_lease_logic_seen(bus_lease_logic *l, uint64_t revision, bus_lease_record record,
                          bus_mono now);
typedef enum { BUS_LEASE_WRITTEN, BUS_LEASE_CONFLICT, BUS_LEASE_UNKNOWN } bus_lease_write;
// How a write ended. started: before it was sent. UNKNOWN (no answer): it may or may not have happened.
void bus_lease_logic_written(bus_lease_logic *l, bus_lease_write result, uint64_t revision,
                             bus_mono started, bus_mono now);
bus_lease_standing bus_lease_logic_standing(const bus_lease_logic *l, bus_mono now);

#endif
