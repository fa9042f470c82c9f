// scenarios: the service virtufin.api.v1.Scenarios on the bucket `scenarios`.
// Thread: the keeper's; calls wait for the broker. Source: schemas/specs/scenarios.md.
#ifndef STORE_SCENARIOS_H
#define STORE_SCENARIOS_H

#include "bus/nats/service.h"
#include "store/scenario.h"
#include "store/streams.h"

#define STORE_SCENARIOS_BUCKET "scenarios"

typedef struct store_scenarios store_scenarios;

// conn, limits: borrowed for the life of it. role: which scenarios may be made here. wake: a watch has news.
bus_err store_scenarios_open(store_scenarios **out, bus_conn *conn, store_role role,
                             const store_limits *limits, bus_wake wake);
void store_scenarios_close(store_scenarios *scenarios); // ends the watches

// store_scenarios_prepare: LIVE is there, every scenario has its stream, deletions that were cut short are
// finished. After the table was applied, at start and after each reconnect.
bus_err store_scenarios_prepare(store_scenarios *scenarios);
const bus_method *store_scenarios_methods(void); // ctx: the store_scenarios
// Feeds the watches, and mends the record of LIVE; bounded.
void store_scenarios_poll(store_scenarios *scenarios, bus_mono now);
// store_scenarios_get reads one record. BUS_ENOTFOUND names the id.
bus_err store_scenarios_get(bus_conn *conn, const char *id, store_scenario *out);

#endif
