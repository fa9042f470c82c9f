// side: one side of a diff: a scenario's stream or an exported file, as the tuples that are compared.
// Thread: main. Source: schemas/specs/cli.md, "lane diff".
#ifndef CLI_SIDE_H
#define CLI_SIDE_H

#include <stdint.h>

#include "cli/session.h"

// What is compared of one event; strings are the side's and live until its next one.
typedef struct {
    uint64_t seq;        // causationseq as a number
    uint64_t stream_seq; // where the event itself stands
    char *causationseq, *type, *subject, *data, *causationid;
} lane_decision;

typedef struct lane_side lane_side;

// name: a scenario id, or a file. run: NULL: the last one.
bus_err lane_side_open(lane_side **out, lane_cli *cli, const char *name, const char *run);
void lane_side_close(lane_side *side);
// The range its workers have finished: BUS_ENOTFOUND when it has no worker.
bus_err lane_side_range(lane_side *side, uint64_t *start, uint64_t *done);
// lane_side_ended: waits up to `span` until all workers have ended their run. Sessions (LIVE) and runs before the
// last have none to wait for. BUS_EUNAVAILABLE names who has not, and where it is.
bus_err lane_side_ended(lane_side *side, bus_span span);
// lane_side_next: the next decision with start <= seq <= done; *end when there is none.
bus_err lane_side_next(lane_side *side, uint64_t start, uint64_t done, lane_decision *out,
                       bool *end);

#endif
