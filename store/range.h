// range: which stored sequences a replay covers; finds a sequence by the time its event was recorded.
// Each look is one short read of the stream, so holes cost nothing. Thread: the caller's (it waits).
// Source: schemas/specs/replay.md, "States" (Range).
#ifndef STORE_RANGE_H
#define STORE_RANGE_H

#include "bus/nats/conn.h"
#include "bus/nats/reader.h"

typedef struct {
    const char *stream;
    uint64_t from_seq, to_seq; // 0: by time, else the default
    bool has_from, has_to;
    bus_recorded_time from, to;
    uint64_t default_first; // e.g. the LIVE worker's start; 0: the first stored
} store_range_ask;

// store_range_find resolves what was asked against what is stored now.
//   errors  BUS_ENOTFOUND no such stream; BUS_ESTATE it is empty; BUS_ERANGE naming what was asked and
//           what is stored
bus_err store_range_find(bus_conn *conn, const store_range_ask *ask, bus_seq_range *out);

// store_range_seek: the first event within `range` recorded at or after `time`. BUS_ERANGE naming the time of
// the last event when there is none. Recorded times are taken to rise, but for disorder within 1,024
// sequences (several venues, several sockets).
bus_err store_range_seek(bus_conn *conn, const char *stream, bus_seq_range range,
                         bus_recorded_time time, uint64_t *seq);

#endif
