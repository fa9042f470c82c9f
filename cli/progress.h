// progress: how far the workers of a scenario are, from the bucket `workers`.
// Thread: main. Source: schemas/specs/workers.md, "Records".
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "bus/nats/stream.h"
#include "cli/session.h"

// lane_progress_read: an array of {worker, runid, session, start_seq, done_seq, end} sorted by worker; empty when the
// scenario has none.
bus_err lane_progress_read(lane_cli *cli, const char *scenario, json_t **out);
// lane_progress_row: one of them, from a key sc.<scenario>.<worker> (its text ends in a NUL) and its value; fields
// of other types are left out. NULL for keys with a further token: those hold saved states.
json_t *lane_progress_row(bus_view key, bus_view value);
// lane_stream_of writes "SC_<scenario>" after checking the id.
bus_err lane_stream_of(char out[64], const char *scenario);

// lane_scenario_range: the sequences its stream holds; stream: its name. BUS_ENOTFOUND says whether the scenario
// is not registered or has lost its stream.
bus_err lane_scenario_range(lane_cli *cli, const char *scenario, char stream[64],
                            bus_seq_range *out);

#endif
