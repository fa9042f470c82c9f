// writer_world: what the model of writing is made of: a broker's stream, sockets whose bytes outlive their connection,
// writers with the real window, batch and lease. Thread: the test's. Source: schemas/specs/recording.md, "Writing".
#ifndef TEST_BUS_NATS_WRITER_WORLD_H
#define TEST_BUS_NATS_WRITER_WORLD_H

#include "bus/nats/batch.h"
#include "bus/nats/lease_logic.h"
#include "bus/nats/window.h"
#include "writer_model.h"

enum {
    WRITERS = 2,
    SOCKETS = 24,
    QUEUE = 64,
    STREAM_MAX = 2048,
    WINDOW = 8,
    TICK_MS = 50,
    ACK_TIMEOUT_MS = 5000,
    DEDUP_MS = 120000,
    LEASE_MS = 15000,
    BATCH_IDLE_MS = 10000,
    LATE = 8,
    BATCHES = 64,
    TOO_LARGE = 37, // each so many-th frame can never be stored, in families that have refusals
};

// Of a batch: whose, which session of it, and the two numbers that name it.
typedef struct {
    uint64_t writer, session, first, after;
} batch_name;

typedef enum { PLAIN, START, APPEND, END, LOOK } wire_kind;
typedef struct {
    wire_kind kind;
    uint64_t number, id; // number: PLAIN the window's, else the place in the batch
    batch_name name;
} wire;

typedef enum {
    STORED,
    DUPLICATE,
    DECLINED,
    // of batches
    ACKED, // up to number
    ENDED, // number messages, the last at seq
    NEVER,
    NOT_NOW,
    UNKNOWN,
    OVERTAKEN,
    LOOKED, // seq is the last of ours
} verdict;
typedef struct {
    uint64_t number, seq;
    verdict verdict;
    batch_name name;
} answer;

// A batch as the broker has it.
typedef struct {
    batch_name name;
    bool alive;
    uint64_t count, seq;
    int64_t last_ms;
} batch;

typedef struct {
    bool open;    // for the client
    bool alive;   // the broker still reads it: true for a while after the client has gone
    bool stalled; // once already: see stall
    int writer;
    int64_t stuck_until;
    wire in[QUEUE];
    int in_len;
    answer out[QUEUE];
    int out_len;
} sock;

typedef struct {
    uint64_t id; // 0: somebody else's message
    int64_t at_ms;
} stored;

// A request to the lease's key that is under way.
typedef struct {
    bus_lease_step step; // WAIT: none
    uint64_t expected;
    int64_t started_ms, apply_ms, answer_ms;
    bool applied, lost;
    bool ok;
    uint64_t revision;
    bus_lease_record record;
} lease_call;

typedef struct {
    bus_window window;
    bus_lease_logic lease;
    lease_call call;
    lease_call late[LATE]; // renewals given up that may still come through
    int64_t paused_until;
    int socket; // -1: none
    bus_batch batch;
    int64_t read_at; // when the tail that is being read is at its end
    uint64_t frame;  // chosen before the lease was asked
    bool lapsed;
    bool active;      // holds, and knows where the stream ends
    uint64_t fence;   // of the session
    bool checked;     // asked the lease; the pause may come between this and the act
    uint64_t last_id; // published or found at the tail
    uint64_t put, acked;
} writer;

typedef struct {
    const family *rules;
    uint64_t seed, rng;
    int64_t now;
    stored stream[STREAM_MAX];
    uint64_t length;
    sock sockets[SOCKETS];
    writer writers[WRITERS];
    uint64_t venue; // the venue's own count of frames
    int64_t frozen_until, declines_until;
    uint64_t lease_revision;
    int lease_holder;       // -1: nobody
    uint64_t lease_taken;   // the revision with which it took the lease
    bool quiet;             // no more faults: things must settle
    batch batches[BATCHES]; // the newest; older ones are long forgotten
    uint64_t batch_count;
    // what was found
    bool twice, disorder, ack_without_message, two_holders;
    uint64_t resumed; // sessions that went on after a lapse
} world;

uint32_t world_roll(world *w, uint32_t n);
bus_mono world_clock(const world *w);
uint64_t world_append(world *w, uint64_t id); // its sequence
void world_answer(sock *s, answer a);
bool world_declines(world *w); // just now

// --- ingest_model.c: fast ingest, both ends ---------------------------------------------------------------
void ingest_process(world *w, sock *s, const wire *m);
void ingest_turn(writer *me);
void ingest_send(world *w, int self);
void ingest_take(world *w, writer *me, const answer *a);
void ingest_begin(writer *me); // a new session

#endif
