// proof: what a participant of a replay has met, and that nothing of it is missing: the participant's
// side of credit.h. A state machine without I/O and without a clock: it is shown every message of the
// lane and every record read back from the source, and says what to do with it.
// Thread: the owner's. Source: schemas/specs/replay.md, "Taking part".
#ifndef BUS_NATS_PROOF_H
#define BUS_NATS_PROOF_H

#include "bus/nats/watermark.h"

typedef struct bus_proof bus_proof;
// name and filters are copied; filters as in bus_credit_join.
bus_err bus_proof_open(bus_proof **out, bus_view selector, bus_view name, const bus_view *filters,
                       size_t count);
void bus_proof_close(bus_proof *proof);

// bus_proof_join: the answer of a join. Messages that came after the join was sent must not be shown
// before this. The same runid keeps what was met, another one starts over.
//   done_seq  what the join said was finished in this run; 0: nothing
typedef struct {
    bus_view runid;
    uint64_t first_seq, base_seq, done_seq;
    uint32_t window_events;
} bus_proof_run;
bus_err bus_proof_join(bus_proof *proof, const bus_proof_run *run, bus_mono now);

typedef enum {
    BUS_PROOF_DELIVER, // the next one in order, and it meets the filters
    BUS_PROOF_PASS,    // the next one in order, not for us
    BUS_PROOF_IGNORE,  // another run, or met before
    // Read the source from *first to *last, show each record to bus_proof_read, then call
    // bus_proof_read_to(*last) and show this message again.
    BUS_PROOF_HOLE,
    BUS_PROOF_PROVEN, // a watermark: everything up to it has been met
    BUS_PROOF_ABSENT, // a watermark that does not know us (any more): join again
    BUS_PROOF_LOST,   // a watermark whose count is not ours though nothing more can be read
} bus_proof_result;

bus_proof_result bus_proof_event(bus_proof *proof, bus_view run, const bus_lane_stamp *stamp,
                                 bus_view subject, uint64_t *first, uint64_t *last);
bus_proof_result bus_proof_watermark(bus_proof *proof, bus_view run, const bus_watermark *mark,
                                     uint64_t *first, uint64_t *last);
// bus_proof_read: an event read from the source, in order: DELIVER, PASS or IGNORE (met before).
bus_proof_result bus_proof_read(bus_proof *proof, uint64_t seq, bus_view hyp_subject);
void bus_proof_read_to(bus_proof *proof, uint64_t seq);
// bus_proof_end: the run ended at end_seq (from the record, when its last watermark was missed): HOLE or PROVEN.
bus_proof_result bus_proof_end(bus_proof *proof, uint64_t end_seq, uint64_t *first, uint64_t *last);

uint64_t bus_proof_proven(const bus_proof *proof); // the highest proven watermark; 0: none

// bus_proof_done: the owner has finished everything up to seq. What is beyond the proven watermark
// counts as soon as that is proven.
void bus_proof_done(bus_proof *proof, uint64_t seq, bus_mono now);
uint64_t bus_proof_done_seq(const bus_proof *proof); // what may be reported
// bus_proof_report_due: is a report due, and which? Takes it as sent.
bool bus_proof_report_due(bus_proof *proof, bus_mono now, uint64_t *seq);

#endif
