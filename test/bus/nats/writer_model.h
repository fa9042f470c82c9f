// writer_model: the real window and lease against a model of the broker, played from seeds. Pure: no broker.
// Thread: the test's. Source: schemas/specs/recording.md, "Writing" and "Leases".
#ifndef TEST_BUS_NATS_WRITER_MODEL_H
#define TEST_BUS_NATS_WRITER_MODEL_H

#include <stdbool.h>
#include <stdint.h>

// What may go wrong in a family of rounds, and what the writers have against it. With `fence` messages travel
// in batches (fast ingest: the real batch.c), among those of another source.
typedef struct {
    int writers;
    int outage_ms_max; // freezes, restarts, stuck sockets
    int pause_ms_max;  // SIGSTOP of a writer
    bool declines;     // the broker turns messages down for a while, in the middle of a window
    bool
        tail; // after an outage of half a de-duplication window the stream is read before re-sending
    bool fence;
} family;

// What was found, in rounds.
typedef struct {
    uint64_t rounds, stored, twice, disorder, unproven, stuck, two_holders;
    uint64_t resumed; // sessions that went on after a lapse
    uint64_t seed;    // of the first round that showed anything
} tally;

// TL_ROUNDS: play no more than so many.
tally play(const family *rules, uint64_t rounds, int steps);

#endif
