// participant_impl: what the files of the participant share. Internal to bus/nats.
#ifndef BUS_NATS_PARTICIPANT_IMPL_H
#define BUS_NATS_PARTICIPANT_IMPL_H

#include <stdatomic.h>

#include "bus/nats/credit.h"
#include "bus/nats/kv.h"
#include "bus/nats/participant.h"
#include "bus/nats/proof.h"
#include "bus/nats/reader.h"
#include "bus/nats/watch.h"

enum { BUS_RUNID_BUF = 65, BUS_STREAM_BUF = 65 };

typedef enum {
    PART_IDLE,    // no run that we could take part in; what comes on the lane is not for us
    PART_JOINING, // the lane is held back until the answer
    PART_PLAYING,
    PART_OVER,  // the run has ended for us; reports go on until they are known
    PART_STUCK, // an error was told; another run helps
} part_state;

// The replay's record in the bucket, as far as it concerns us.
typedef struct {
    char runid[BUS_RUNID_BUF], stream[BUS_STREAM_BUF], state[16], error[256];
    uint64_t first_seq, end_seq;
    bool ended; // finished, stopped or failed
} replay_record;

struct bus_participant {
    bus_conn *conn;
    char selector[BUS_LANE_NAME_MAX + 1], name[BUS_PARTICIPANT_NAME_MAX + 1];
    char *filters_json;                  // as the join sends them
    char source_filter[BUS_SUBJECT_BUF]; // of the source stream, when one is enough
    char resume_run[BUS_RUNID_BUF];
    uint64_t resume_after;

    _Atomic bool woken;    // an answer or the record: something is there besides the lane
    _Atomic bool nudged;   // the wait is to end
    int bell;              // eventfd, readable while woken
    bus_wake wake;         // the owner's
    bus_conn *flow;        // the lane's own connection, read by the owner's thread
    bus_watch *flow_watch; // wakes an owner that sleeps elsewhere
    bus_sub *lane, *answers;
    bus_kv_watch *watch;
    char inbox[64];

    part_state state;
    bus_proof *proof;
    replay_record record;
    bool record_known;
    bool watch_current; // a run that is new in the record from now on began while we waited
    char run[BUS_RUNID_BUF], stream[BUS_STREAM_BUF];
    uint32_t epoch;       // of the connection we joined on
    uint64_t join_number; // the answer to an older join is not looked at
    bus_mono join_at, join_again_at;
    bool tell_run, tell_end;

    bus_msg *held;  // the message whose hole is being read
    bus_msg *given; // the one the owner has
    bus_reader *reader;
    uint64_t read_first, read_last, read_back;
    uint8_t *packed; // BUS_READDRESS_BUF: an event read back
    char subject[BUS_SUBJECT_BUF];
    bus_scratch scratch;
    bus_watermark mark;
    uint32_t turn;
    bool blocked; // a hole cannot be read at the moment
    uint64_t told_mark;
};

// --- participant_join.c ------------------------------------------------------------------------------
bus_err bus_part_filters(bus_participant *part, const bus_participant_opts *opts);
void bus_part_watch(bus_participant *part); // takes what the record's watch brought
bool bus_part_record_read(replay_record *out, bus_view value); // false: no record of a replay
void bus_part_join(bus_participant *part);                     // asks to join
void bus_part_answers(bus_participant *part); // takes the answer; asks again when none comes
void bus_part_report(bus_participant *part, bus_mono now);
void bus_part_leave(bus_participant *part);

// --- participant.c -----------------------------------------------------------------------------------
void bus_part_drop(
    bus_participant *part); // what is held or being read: the run or the join is another

#endif
