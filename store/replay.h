// replay: one replay on a thread of its own: reads the source in order, paces, re-addresses, publishes
// under credit, answers commands. Its owner gives commands through a bounded queue and takes results;
// it never waits for the replay.
// Thread: open, command, result, info and close belong to the owner. Source: schemas/specs/replay.md.
#ifndef STORE_REPLAY_H
#define STORE_REPLAY_H

#include "bus/event/identity.h"
#include "bus/lane/lane.h"
#include "bus/nats/credit.h"
#include "bus/nats/lease.h"
#include "store/pace.h"
#include "store/range.h"

enum {
    STORE_REPLAY_SCENARIOS_MAX = 16,
    STORE_REPLAY_QUEUE_MAX = 64,               // commands waiting
    STORE_REPLAY_READ_BYTES = 4 * 1024 * 1024, // of the source held in memory
    STORE_REPLAY_TEXT = 512,
    STORE_JOIN_TIMEOUT_MS = 10000,
};

typedef enum {
    STORE_REPLAY_STARTING,
    STORE_REPLAY_RUNNING,
    STORE_REPLAY_PAUSED,
    STORE_REPLAY_FINISHED,
    STORE_REPLAY_STOPPED,
    STORE_REPLAY_FAILED,
} store_replay_state;
const char *store_replay_state_name(store_replay_state state);
static inline bool store_replay_is_end(store_replay_state state)
{
    return state >= STORE_REPLAY_FINISHED;
}

typedef struct {
    char name[BUS_PARTICIPANT_NAME_MAX + 1];
    bus_member_state state;
    uint64_t done, behind;
} store_replay_member;

// What is known of a replay; a copy, taken at most every 100 ms and at every change of state.
typedef struct {
    char selector[BUS_LANE_NAME_MAX + 1];
    char stream[64];
    char replay[BUS_UUID_TEXT], runid[BUS_UUID_TEXT];
    store_replay_state state;
    store_speed speed;
    uint64_t first_seq, last_seq, position;
    uint64_t sent, bytes, skipped, missing;
    double events_per_s;
    bus_recorded_time clock; // 0: nothing sent yet
    bus_wall started, updated, ended;
    bus_err error;
    char message[STORE_REPLAY_TEXT];
    char scenario[STORE_REPLAY_SCENARIOS_MAX][BUS_LANE_NAME_MAX + 1];
    uint32_t scenarios;
    uint32_t
        expected_count; // participants play waits (or waited) for, and of them those not joined
    char expected[BUS_PARTICIPANTS_MAX][BUS_PARTICIPANT_NAME_MAX + 1];
    bool awaited[BUS_PARTICIPANTS_MAX];
    uint32_t member_count;
    store_replay_member member[BUS_PARTICIPANTS_MAX];
    char slowest[BUS_PARTICIPANT_NAME_MAX + 1]; // who holds play up just now; "": nobody
    uint64_t change;                            // rises with every change of state or run
} store_replay_info;

typedef struct {
    // Where the stream is read and hyp is published (side RESEARCH); its strings outlive the replay.
    bus_conn_opts source;
    const char *selector;  // this and all below are copied
    store_range_ask range; // stream included
    store_speed speed;
    bool paused;
    const char *const *scenarios;
    size_t scenario_count;
    bus_span join_timeout;
    uint32_t window_events, window_bytes; // 0: credit.h's
    bus_span lease;                       // 0: credit.h's
    const bus_lease *keeper; // borrowed: nothing is sent while it is not held; NULL: no lease
    bus_wake wake;           // a result or news
} store_replay_opts;

typedef enum {
    STORE_REPLAY_START, // not sent by the owner: the result of opening
    STORE_REPLAY_PAUSE,
    STORE_REPLAY_RESUME,
    STORE_REPLAY_STEP,
    STORE_REPLAY_SEEK,
    STORE_REPLAY_SPEED,
    STORE_REPLAY_STOP,
    STORE_REPLAY_JOIN,
    STORE_REPLAY_DONE,
} store_replay_verb;

typedef struct {
    store_replay_verb verb;
    void *call; // handed back with the result
    uint64_t n; // STEP: events; SEEK, DONE, JOIN: sequence (SEEK: 0 means time)
    bus_recorded_time time;
    store_speed speed;
    char participant[BUS_PARTICIPANT_NAME_MAX + 1]; // JOIN, DONE
    char runid[BUS_UUID_TEXT];
    bool leave;
    char (*filter)[BUS_SUBJECT_BUF]; // JOIN: malloc'ed, the replay frees it
    size_t filters;
} store_replay_command;

typedef struct {
    store_replay_verb verb;
    void *call;
    bus_err err;
    char text[STORE_REPLAY_TEXT];
    // JOIN
    char runid[BUS_UUID_TEXT];
    uint64_t first_seq, last_seq, base_seq;
    uint32_t window_events, window_bytes;
    bus_span lease;
} store_replay_result;

typedef struct store_replay store_replay;

// store_replay_open starts the thread; whether the replay starts is the result of verb START.
// start_call comes back with it.
bus_err store_replay_open(store_replay **out, const store_replay_opts *opts, void *start_call);
// store_replay_send: BUS_ELIMIT when the queue is full, BUS_ESTATE when the replay has ended.
bus_err store_replay_send(store_replay *replay, const store_replay_command *command);
bool store_replay_take(store_replay *replay, store_replay_result *out); // false: none
void store_replay_info_get(store_replay *replay, store_replay_info *out);
bool store_replay_over(store_replay *replay); // the thread has nothing more to do: close it
void store_replay_quit(store_replay *replay); // stop; does not wait
void store_replay_join(store_replay *replay); // waits for the thread; results can still be taken
// store_replay_close ends the thread (a replay that runs is stopped) and frees. Takes what one
// publish or one read takes.
void store_replay_close(store_replay *replay);

// The clock moved (virtual clocks only): every replay looks at its deadlines again. Any thread.
void store_replay_clock_listen(void); // once, before the first replay

#endif
