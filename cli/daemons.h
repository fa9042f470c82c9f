// daemons: how every daemon is and how long things take in it, by what it answers on $SRV.STATS. Rates are
// those since the answer before, over the time that passed in the daemon. Thread: one at a time. Source: schemas/specs/services.md; cli.md, "lane top".
#ifndef CLI_DAEMONS_H
#define CLI_DAEMONS_H

#include <jansson.h>

#include "bus/nats/conn.h"

typedef struct lane_daemons lane_daemons;
bus_err lane_daemons_open(lane_daemons **out, bus_conn *conn);
// lane_daemons_ask asks everybody, and takes the answers that have come; the first time it waits for them. BUS_EPERM:
// this user may not ask.
bus_err lane_daemons_ask(lane_daemons *daemons);
// lane_daemons_rows adds a row a daemon, and one for each of its latencies that was ever measured.
void lane_daemons_rows(lane_daemons *daemons, json_t *rows, json_t *latencies);
void lane_daemons_close(lane_daemons *daemons);

// lane_quantile: of a histogram of metrics.h, given as counts a bucket; seconds, interpolated. -1: empty.
double lane_quantile(const int64_t *bucket, int count, double q);

#endif
