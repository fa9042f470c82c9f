// participant: takes part in a replay: joins, receives every event of its filters in order with proof,
// reports what it has finished so that the replay never runs away, and reads itself from the source
// stream whatever core NATS dropped. Thread: the owner's. Source: schemas/specs/replay.md, "Taking part".
#ifndef BUS_NATS_PARTICIPANT_H
#define BUS_NATS_PARTICIPANT_H

#include "bus/nats/conn.h"

typedef struct bus_participant bus_participant;
// Owners with a loop call bus_participant_next on wake and at least every 100 ms: it sends the reports and
// keeps the lease. One that is not called for the lease (30 s) lapses, joins again by itself and goes on.
typedef struct {
    const char *selector;       // hyp.<selector>.>
    const char *name;           // unique in the replay; the same name may join again
    const char *const *filters; // subjects on the hyp lane of this selector; NULL: all of exchange
    size_t filter_count;
    uint64_t
        resume_after; // source sequence already finished in run `resume_run`; 0: from the start
    const char *resume_run; // "" or NULL: none
    bus_wake wake;
} bus_participant_opts;

typedef struct {
    uint64_t seq;       // source stream sequence
    bus_view subject;   // hyp.…
    bus_view payload;   // msgpack envelope as published
    const bus_msg *msg; // NULL when it was read back from the source stream
} bus_hyp_record;

// A run that began after open and was over before it was joined is told as any other: all of it is read from the
// source.
typedef enum {
    BUS_PART_RECORD, // out is valid until the next call
    BUS_PART_RUN,    // a (new) run began: reset to empty state; bus_participant_run tells its id.
                     // Not told when it is `resume_run`: then it goes on behind resume_after.
    BUS_PART_WATERMARK, // everything up to bus_participant_watermark has been delivered: done up to there may be reported
    BUS_PART_END, // the run is over (finished or stopped); bus_participant_watermark is its end
    BUS_PART_NOTHING,
    BUS_PART_ERROR, // bus_err_text: the run failed, or the source no longer holds what was missed. Told
                    // once; it then waits for another run
} bus_part_result;

bus_err bus_participant_open(bus_participant **out, bus_conn *conn,
                             const bus_participant_opts *opts);
bus_part_result bus_participant_next(bus_participant *part, bus_span timeout, bus_hyp_record *out);
// bus_participant_nudge, any thread: the owner's present or next wait ends as if its time were over.
void bus_participant_nudge(bus_participant *part);
// bus_participant_done: finished up to and including seq; rises. What lies beyond the watermark is told
// when that has been proven. At a watermark the owner that has nothing unfinished says its sequence.
void bus_participant_done(bus_participant *part, uint64_t seq);
uint64_t bus_participant_watermark(const bus_participant *part); // 0 before the first of the run
const char *bus_participant_run(const bus_participant *part);    // "" before the first
uint64_t
bus_participant_read_back(const bus_participant *part); // events read from the source so far
void bus_participant_close(bus_participant *part);      // says that it leaves
// bus_participant_abandon: closes without a word, as a process that dies: the replay waits for the name for as
// long as its lease lasts, and for ever once it has joined again.
void bus_participant_abandon(bus_participant *part);

#endif
