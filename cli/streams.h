// streams: what records a subject, for the verbs that read or write one. Thread: main.
#ifndef CLI_STREAMS_H
#define CLI_STREAMS_H

#include "bus/nats/stream.h"
#include "cli/session.h"

enum { LANE_RECORDING_CAP = sizeof((bus_stream_info){0}).name };

// lane_stream_recording: the stream that records all of a subject, which may have wildcards; "" when none does.
bus_err lane_stream_recording(const lane_cli *cli, const char *subject,
                              char out[LANE_RECORDING_CAP]);

#endif
