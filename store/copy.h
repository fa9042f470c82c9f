// copy: how far the LIVE workers are, for RESEARCH to see: their progress records out of LIVE's bucket `workers`
// into RESEARCH's, under the same keys. One way. Thread: the keeper's; calls wait for the broker.
// Source: schemas/specs/streams.md, "Two accounts".
#ifndef STORE_COPY_H
#define STORE_COPY_H

#include "bus/nats/kv.h"

typedef struct {
    bus_conn *from, *to; // borrowed; from NULL: there is one account and nothing to copy
    bus_wake wake;
    bus_kv_watch *watch; // NULL until it could be opened
    bus_kv_entry held;   // one that could not be written yet
    bus_mono next_try;   // not before, after a failure
} store_copy;

void store_copy_poll(store_copy *copy, bus_mono now); // bounded
void store_copy_release(store_copy *copy);

#endif
