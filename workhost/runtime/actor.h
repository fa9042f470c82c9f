// actor: one worker in one scenario: its code, its instance, where it stands, what is saved of it.
//   position  the last sequence it was fed (or passed over); its state is after that input
//   done_seq  (in progress) every output caused up to there is acknowledged; <= position, except while
//             inputs are fed again after a restart
// Thread: the runtime's. Source: schemas/specs/workers.md, "Sessions and feeding".
#ifndef WORKHOST_RUNTIME_ACTOR_H
#define WORKHOST_RUNTIME_ACTOR_H

#include "bus/lane/lane.h"
#include "bus/nats/reader.h"
#include "workhost/runtime/plan.h"
#include "workhost/runtime/progress.h"

typedef struct {
    const work_plan *plan;
    const work_plan_worker *spec;
    work_code *code;
    work_instance *self;
    char filter[WORK_INPUTS_MAX][BUS_SUBJECT_BUF];
    work_progress progress;
    bool dirty;   // progress is to be written
    bool at_once; // without waiting for the next interval
    bool tainted; // its state is ahead of position: not to be saved
    uint64_t position;
    int64_t now_ns; // scenario clock
    work_saved saved;
    bool saved_pending; // taken, to be written when done_seq has reached it
    bool save_warned;
    bus_mono saved_at, written_at;
} work_actor;

// Loads the code and makes an instance. Errors are final: the worker cannot run.
bus_err work_actor_open(work_actor *actor, const work_plan *plan, const work_plan_worker *spec);
void work_actor_close(work_actor *actor);
bool work_actor_wants(const work_actor *actor, bus_view topic);

// Reads progress and saved state from the bucket.
bus_err work_actor_recall(work_actor *actor, bus_conn *conn);
// ACT as it is now.
//   fresh  nobody was fed the records from here on; a sequence that was fed and is not below it stood for another record
typedef struct {
    bus_seq_range range; // empty: last < first
    uint64_t fresh;
} work_source;
// Act lane: decides on session and position. out_seq is the last sequence of the
// scenario's stream. *lost is set when inputs it should have had are gone (then it was reset).
bus_err work_actor_begin_session(work_actor *actor, const work_source *act, uint64_t out_seq,
                                 bus_seq_range *lost);
// A new session from `seq`, with empty state.
bus_err work_actor_reset(work_actor *actor, uint64_t seq, uint64_t out_seq);
// Hyp lane: a run that is not the one it is in. first_seq is the run's.
bus_err work_actor_begin_run(work_actor *actor, const char *run, const char *stream,
                             uint64_t first_seq, uint64_t out_seq);
// Hyp lane, at start: goes on within the run of its progress if a saved state allows; sets position.
bus_err work_actor_resume_run(work_actor *actor);

// Takes a copy of the state when it is time.
void work_actor_snapshot(work_actor *actor, bus_mono now, bool at_once);
// Raises done_seq and writes what is due. BUS_ECONFLICT: somebody else runs this instance now; other
// errors are the broker's and the write is tried again later.
bus_err work_actor_store(work_actor *actor, bus_conn *conn, uint64_t done_seq, bus_mono now);

#endif
