// keeper: what stored does on one side of the bus, on a thread with a loop of its own, so that a broker that is slow
// or away never delays the health pages: holds the lease, applies the table, serves Scenarios and Replay.
// Thread: open, stop, close and the probes belong to the main thread. Source: schemas/specs/streams.md.
#ifndef STORE_KEEPER_H
#define STORE_KEEPER_H

#include "bus/base/daemon.h"
#include "store/streams.h"

typedef struct {
    const bus_daemon_settings *daemon; // of the side; borrowed for the keeper's life, as the next
    store_role role;
    const bus_daemon_settings *live; // role RESEARCH: where LIVE is; else NULL
    store_limits limits;
    bus_span lease;                       // of the one that works; 0: 3 s
    uint32_t window_events, window_bytes; // of replays; 0: credit.h's
    bus_span replay_lease;                // of participants; 0: credit.h's
} store_keeper_opts;

typedef struct store_keeper store_keeper;
bus_err store_keeper_open(store_keeper **out, const store_keeper_opts *opts);
// store_keeper_stop ends the services and replays; `stopped` wakes when the thread is done.
void store_keeper_stop(store_keeper *keeper, bus_wake stopped);
void store_keeper_close(store_keeper *keeper); // waits for the thread

// Readiness: broker, lease, streams. Shapes of bus_probe.ready.
bool store_keeper_broker(void *keeper, char *why, size_t why_cap);
bool store_keeper_lease(void *keeper, char *why, size_t why_cap);
bool store_keeper_streams(void *keeper, char *why, size_t why_cap);

#endif
