// batch: one writer's way through fast ingest, as a pure state machine: no I/O, no clock (it is given `now`).
// It drives a window: says what to do next, and is told what the broker answered. ingest.c plays it against a
// broker, the model test against a model of one. What makes it exactly once, without message ids:
//
//   A batch is (first, after): its message n is message first + n - 1 of the window, and its first message is
//   refused unless `after` is the last sequence of this writer's subjects. So whatever an old socket still
//   delivers of it is either what we send again, at the same place, or refused.
//   A batch that may have been begun is ended by name before another one begins; the answer counts what it stored.
//
// Thread: the owner's. Source: schemas/specs/recording.md, "Fast ingest".
#ifndef BUS_NATS_BATCH_H
#define BUS_NATS_BATCH_H

#include "bus/nats/window.h"

enum {
    BUS_BATCH_FLOW_LARGE = 500, // the broker takes no more
    BUS_BATCH_LARGE_AT = 256,   // so much waiting at the beginning: acknowledged in large steps
    BUS_BATCH_BEHIND_AT =
        512,                // so much unacknowledged with small steps: a new batch with large ones
    BUS_BATCH_MAX = 262144, // messages: bounds the tail that is read after a doubt
};

typedef enum {
    BUS_BATCH_LOST,    // what the last batch stored is not known: it is ended by name
    BUS_BATCH_BLIND,   // where our subjects end in the stream is not known: the stream is asked
    BUS_BATCH_LOOKING, // asked
    BUS_BATCH_UNREAD,  // messages of the window may be in the stream behind `after`: it is read
    BUS_BATCH_READING,
    BUS_BATCH_READY, // the next message begins a batch
    BUS_BATCH_OPEN,
    BUS_BATCH_ENDING, // asked to end
} bus_batch_state;

typedef struct {
    bus_batch_state state;
    uint64_t first, after; // names the batch: window number of its first message; see above
    uint64_t sent, acked;  // messages of the batch; sent 0: none was begun since `after`
    uint32_t flow;         // 1 or BUS_BATCH_FLOW_LARGE: acknowledge each so many
    uint32_t step;         // what the broker made of it
    uint64_t look;         // what the stream said last
    uint32_t overtaken;    // in a row
    uint64_t broken;       // place of the first message it turned down; 0: none
    bool begun;            // something of it is stored, so it cannot begin a second time
    bool ended;            // it can store nothing more
    bool ripe;             // READY by what was known before this turn
    bool declined;         // "not now": pause before going on
    bus_mono pause_until, last_sent, asked;
    bus_span pause;
} bus_batch;

typedef enum {
    BUS_BATCH_WAIT,
    BUS_BATCH_LOOK, // ask for the last sequence of our subjects; answer by bus_batch_looked
    BUS_BATCH_READ, // read the stream from after + 1, mark what is found; answer by bus_batch_was_read
    BUS_BATCH_SEND, // bus_batch_sent, then send message *number at place `sent`; or refuse it
    BUS_BATCH_END,  // ask to end, at the place behind the last (2 at least); then bus_batch_asked
} bus_batch_step;

// What a refusal means.
typedef enum {
    BUS_BATCH_NEVER,     // the message can never be stored: refused in the window before
    BUS_BATCH_UNKNOWN,   // there is no such batch: timed out, another leader, or it was never begun
    BUS_BATCH_OVERTAKEN, // its first message: `after` is not the last sequence of our subjects
    BUS_BATCH_NOT_NOW,   // store full, no stream, too many batches …
} bus_batch_refusal;

void bus_batch_init(bus_batch *b);
// bus_batch_turn: a new turn of the owner has begun: it has asked its lease, or whatever else allows it to write.
void bus_batch_turn(bus_batch *b);
bus_batch_step bus_batch_next(bus_batch *b, bus_window *w, bus_mono now, uint64_t *number);
// bus_batch_sent comes before the sending: what fails halfway may be on its way.
void bus_batch_sent(bus_batch *b, bus_window *w, uint64_t number, bus_mono now);
void bus_batch_asked(bus_batch *b, bus_mono now); // LOOK, READ or END is on its way
// bus_batch_late: since when an answer is owed; false when none is.
bool bus_batch_late(const bus_batch *b, bus_mono *since);
// bus_batch_rest ends a batch that nothing goes through any more, so that what it holds is acknowledged and its
// end is known: one of large steps at once, one of small steps after a while. Call it each turn, after sending.
void bus_batch_rest(bus_batch *b, const bus_window *w, bus_mono now);

// --- answers ---------------------------------------------------------------------------------------------
void bus_batch_acked(bus_batch *b, bus_window *w, uint64_t place, uint32_t step);
void bus_batch_was_ended(bus_batch *b, bus_window *w, uint64_t count, uint64_t seq);
void bus_batch_refused(bus_batch *b, bus_window *w, uint64_t place, bus_batch_refusal why);
void bus_batch_looked(bus_batch *b, bus_window *w, uint64_t last);
void bus_batch_was_read(bus_batch *b, bus_window *w, uint64_t last); // last that was met; 0: none
void bus_batch_not_told(bus_batch *b); // LOOK was not answered: pause, then again
// bus_batch_doubt: the connection was lost or replaced.
void bus_batch_doubt(bus_batch *b, bus_window *w);

#endif
