// progress: how far the workers of a scenario are, from the bucket `workers`.
// Thread: main. Source: schemas/specs/workers.md, "Records".
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli/session.h"

// lane_progress_read: an array of {worker, runid, session, start_seq, done_seq} sorted by worker; empty when the
// scenario has none.
bus_err lane_progress_read(lane_cli *cli, const char *scenario, json_t **out);
// lane_stream_of writes "SC_<scenario>" after checking the id.
bus_err lane_stream_of(char out[64], const char *scenario);

#endif
