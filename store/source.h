// source: the events of one run in stream order, each re-addressed and ready to publish. Holds one event.
// Memory: the reader's window and one buffer of one event. Thread: the player's.
// Source: schemas/specs/replay.md, "Re-addressing".
#ifndef STORE_SOURCE_H
#define STORE_SOURCE_H

#include "bus/lane/lane.h"
#include "bus/nats/readdress.h"
#include "bus/nats/reader.h"

typedef struct {
    bus_reader *reader;
    bus_view selector, runid; // borrowed
    uint64_t last_seq;
    // the held event
    bool held;
    uint64_t seq;
    bus_recorded_time recorded; // 0: the event tells none
    char subject[BUS_SUBJECT_BUF];
    bus_view payload; // re-addressed; points into `out`
    // of the run
    uint64_t reached; // every record up to here has been taken
    uint64_t skipped, missing;
    uint8_t *out; // grows to the largest event seen
    size_t out_cap;
    bus_scratch scratch;
    bus_readdress_memo *memo;
} store_source;

typedef enum {
    STORE_SOURCE_EVENT,   // held
    STORE_SOURCE_NOTHING, // none has arrived yet: look again in a millisecond
    STORE_SOURCE_END,     // the range is over
    STORE_SOURCE_ERROR,   // bus_err_text; try again later
} store_source_result;

// The run is [first, last] of `stream`. selector and runid are borrowed until release.
bus_err store_source_open(store_source *source, bus_conn *conn, const char *stream, uint64_t first,
                          uint64_t last, const char *selector, const char *runid);
void store_source_release(store_source *source); // a zeroed one is fine
// store_source_fetch holds the next event unless one is held. Looks at a bounded number of records.
store_source_result store_source_fetch(store_source *source);
void store_source_restamp(store_source *source); // the held event waited: its walltime is now
static inline void store_source_drop(store_source *source)
{
    source->held = false;
}

#endif
