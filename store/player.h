// player: the engine of one replay, run by its thread: connects, finds the range, plays run after run.
// Thread: the replay's. Source: schemas/specs/replay.md.
#ifndef STORE_PLAYER_H
#define STORE_PLAYER_H

#include "store/mailbox.h"
#include "store/source.h"

typedef struct {
    store_mailbox *box;
    store_replay_opts opts; // strings owned by the replay
    void *start_call;

    // The two that carry events are read and written by this thread; the third one wakes it.
    bus_conn *read, *publish, *ask;
    bus_sub *done;          // reports of the run
    bus_lane_block headers; // of its messages
    store_source source;
    bus_credit *credit;
    store_pace pace;

    store_replay_info info; // the picture that is shown; identity, range and state live here alone
    bool resume_paused;     // where STARTING leads
    bus_mono start_until;   // STARTING ends at the latest then
    bool may_miss;          // after a seek: play goes on without who did not come back
    bool range_over;        // everything has been sent; waiting for the participants
    bool blocked;           // play stood for credit since the last picture
    bool starved;           // the source had nothing yet
    bool waited;            // the held event could not go at once: its walltime is old
    uint64_t range_first;   // of the start; seeks stay within
    bus_mono due;           // of the held event, when play waits for it; 0: it does not
    uint64_t steps;         // still to send
    void *step_call;        // answered when they are
    bool stepping;
    uint64_t marks; // watermarks of the run
    bus_recorded_time highest;

    // for events_per_s: samples of the last second
    struct {
        bus_mono at;
        uint64_t sent;
    } sample[16];
    uint32_t samples;
    bus_mono shown; // when the picture was shown last
    bus_mono run_began;
} store_player;

// store_player_run: from connecting to the end; returns when the replay is over.
void store_player_run(store_player *player);

// --- for commands.c ------------------------------------------------------------------------------------
// store_player_begin: a new run from `first`: nothing of the old one stays.
bus_err store_player_begin(store_player *player, uint64_t first);
void store_player_state(store_player *player, store_replay_state state);
void store_player_fail(store_player *player, bus_err err); // with bus_err_text
// store_player_answer: err with bus_err_text; the picture is as new as the answer.
void store_player_answer(store_player *player, store_replay_verb verb, void *call, bus_err err);

#endif
