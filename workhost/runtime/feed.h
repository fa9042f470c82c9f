// feed: a runtime's inputs, one total order whatever the lane: ACT through the ordered reader, or a replay
// that it takes part in. Thread: the owner's. Source: schemas/specs/workers.md, "Sessions and feeding".
#ifndef WORKHOST_RUNTIME_FEED_H
#define WORKHOST_RUNTIME_FEED_H

#include "bus/nats/reader.h"

typedef struct work_feed work_feed;

typedef struct {
    bool hyp;
    const char *const *filters; // subjects on the lane
    size_t filter_count;
    uint64_t from_seq;           // act: the first sequence wanted
    const char *selector, *name; // hyp: whose replay, and under which name to take part
    const char *run;             // hyp: run to go on with, or ""
    uint64_t after_seq;          // hyp: finished already in that run
} work_feed_opts;

typedef struct {
    uint64_t seq;   // of the source stream
    bus_view topic; // as published on the lane
    bus_view payload;
    const bus_msg *msg; // NULL: payload is msgpack
    bus_wall stored;    // act: when the broker stored it
} work_feed_record;

typedef enum {
    WORK_FEED_RECORD,
    WORK_FEED_RUN,       // hyp: a run began; work_feed_run
    WORK_FEED_WATERMARK, // hyp: everything up to work_feed_reached was given
    WORK_FEED_END,       // hyp: the run is over at work_feed_reached
    WORK_FEED_GAP,       // act: inputs that are not stored any more
    WORK_FEED_IDLE,      // nothing within the timeout
    WORK_FEED_ANEW,      // act: another stream has the name now; this feed is over
    WORK_FEED_ERROR,     // bus_err_text; act: try on, hyp: this feed is over
} work_feed_result;

bus_err work_feed_open(work_feed **out, bus_conn *conn, const work_feed_opts *opts);
void work_feed_close(work_feed *feed, bool leaves); // leaves: nobody goes on in our place (hyp)
work_feed_result work_feed_next(work_feed *feed, bus_span timeout, work_feed_record *out,
                                bus_seq_range *gap);
void work_feed_nudge(work_feed *feed); // any thread: the present or next wait ends: IDLE
const char *work_feed_run(const work_feed *feed);
uint64_t work_feed_reached(const work_feed *feed);
void work_feed_done(work_feed *feed, uint64_t seq); // hyp: reported; at most what was reached

#endif
