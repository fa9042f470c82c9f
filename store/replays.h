// replays: the service virtufin.api.v1.Replay: one replay at most on each selector, its record in bucket
// `replays`, callers that watch. Thread: the keeper's. Source: schemas/specs/replay.md.
#ifndef STORE_REPLAYS_H
#define STORE_REPLAYS_H

#include "bus/nats/service.h"
#include "store/replay.h"

#define STORE_REPLAYS_BUCKET "replays"

enum { STORE_REPLAYS_RUNNING_MAX = 32 };

typedef struct {
    bus_conn *conn;       // borrowed: the records, the registry, where the LIVE worker began
    bus_conn_opts source; // for each replay's own connections; strings outlive the replays
    uint32_t window_events, window_bytes; // 0: credit.h's
    bus_span lease;
    const bus_lease *keeper; // borrowed: replays send only while it is held; NULL: always
    bus_wake wake;           // a replay has news
} store_replays_opts;

typedef struct store_replays store_replays;
bus_err store_replays_open(store_replays **out, const store_replays_opts *opts);
// store_replays_close stops what runs, answers who waits, writes the last records.
void store_replays_close(store_replays *replays);

// store_replays_recover reads the records: one that has not ended belongs to a stored that was killed and
// becomes failed. Once, after the lease was taken.
bus_err store_replays_recover(store_replays *replays);
const bus_method *store_replays_methods(void); // ctx: the store_replays
// store_replays_poll takes results and pictures, answers calls, writes records, feeds watches.
void store_replays_poll(store_replays *replays, bus_mono now);

#endif
