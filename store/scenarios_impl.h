// scenarios, inside: what its files share.
//   scenarios.c         records; Create, Get, List, Watch; its life
//   scenarios_change.c  Pause, Resume, Archive, Restore, Delete
// Thread: the keeper's. Source: schemas/specs/scenarios.md.
#ifndef STORE_SCENARIOS_IMPL_H
#define STORE_SCENARIOS_IMPL_H

#include "store/live.h"
#include "store/scenarios.h"
#include "store/watches.h"

struct store_scenarios {
    bus_conn *conn;
    store_role role;
    const store_limits *limits;
    store_watches watches;
    store_live live;
};

// store_scenarios_read: *broken when there is something under the key and it is no record.
bus_err store_scenarios_read(bus_conn *conn, const char *id, store_scenario *out, bool *broken);
// store_scenarios_write: over the revision it was read at; 0: it must be new.
bus_err store_scenarios_write(store_scenarios *ss, store_scenario *s);
// store_scenarios_finish answers with the scenario or the error, and gives up the scenario.
void store_scenarios_finish(bus_call *call, bus_err err, store_scenario *s);

// store_scenarios_remove: steps 2 to 4 of a deletion: the stream, the keys, the record.
bus_err store_scenarios_remove(store_scenarios *ss, const char *id, uint64_t *messages,
                               uint64_t *keys);
void store_scenarios_on_pause(void *ctx, bus_call *call, const ProtobufCMessage *request);
void store_scenarios_on_resume(void *ctx, bus_call *call, const ProtobufCMessage *request);
void store_scenarios_on_archive(void *ctx, bus_call *call, const ProtobufCMessage *request);
void store_scenarios_on_restore(void *ctx, bus_call *call, const ProtobufCMessage *request);
void store_scenarios_on_delete(void *ctx, bus_call *call, const ProtobufCMessage *request);

#endif
