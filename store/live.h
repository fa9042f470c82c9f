// live: keeps the record of scenario LIVE as it has to be: there, active, and on the act lane throughout.
// Thread: the keeper's; calls wait for the broker. Source: schemas/specs/scenarios.md, "LIVE".
#ifndef STORE_LIVE_H
#define STORE_LIVE_H

#include "bus/nats/kv.h"

typedef struct {
    bus_conn *conn; // borrowed
    bus_wake wake;
    bus_kv_watch *watch; // of the one key; NULL until it could be opened
    bool wrong;          // the record has to be written
    bus_mono next_try;   // not before, after a failure
} store_live;

// store_live_ensure writes the record if it is absent or not what it has to be. *seeded: it was written.
bus_err store_live_ensure(bus_conn *conn, bool *seeded);
void store_live_poll(store_live *live, bus_mono now); // looks at changes and mends them; bounded
void store_live_release(store_live *live);

#endif
