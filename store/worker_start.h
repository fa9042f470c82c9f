// worker_start: where the workers of a scenario began: the default begin of a replay, so that a backtest
// sees what LIVE has seen. Thread: any (it waits for the broker). Source: schemas/specs/workers.md.
#ifndef STORE_WORKER_START_H
#define STORE_WORKER_START_H

#include "bus/nats/conn.h"

// The lowest start_seq of the scenario's records in bucket `workers`; 0 when there is none.
bus_err store_worker_start(bus_conn *conn, const char *scenario, uint64_t *seq);
// The start_seq of one record; 0 when there is none in it.
uint64_t store_worker_start_of(bus_view json);

#endif
