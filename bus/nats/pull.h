// pull: what a reader of a stream knows, as a pure state machine: which sequence comes next, what a
// record's place proves, which requests are out, whether anything was heard. No I/O, no clock.
// Thread: the owner's. Source: schemas/specs/recording.md, "Reading".
#ifndef BUS_NATS_PULL_H
#define BUS_NATS_PULL_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/base/time.h"
#include "bus/base/view.h"
#include "bus/nats/reader.h"

// Where a record stands, from its reply subject ($JS.ACK.…).
typedef struct {
    bus_view consumer;
    uint64_t stream_seq, consumer_seq, pending;
    bus_wall stored;
} bus_place;
bool bus_place_parse(bus_place *out, bus_view reply);

typedef enum {
    BUS_PLACE_NEXT,    // the next record
    BUS_PLACE_GAP,     // the next record, and `gap` is not in the stream any more
    BUS_PLACE_FOREIGN, // of an earlier consumer: drop it
    BUS_PLACE_LOST,    // deliveries were lost: doubt
} bus_place_verdict;

typedef struct {
    uint64_t next_seq;     // stream sequence wanted; 0: whatever comes first
    uint64_t consumer_seq; // of the last record of this consumer
    bool filtered;
} bus_continuity;
// bus_continuity_check judges a record of the live consumer and, when it is taken, moves on.
bus_place_verdict bus_continuity_check(bus_continuity *c, const bus_place *place,
                                       bus_seq_range *gap);

#endif
