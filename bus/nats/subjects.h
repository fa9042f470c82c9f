// subjects: the subjects a run has met: the last sequence of each, and whom it concerns.
// An open-addressing table that grows; nothing is allocated for a subject it knows.
// Thread: the owner's. Source: schemas/specs/replay.md, "Messages on the lane".
#ifndef BUS_NATS_SUBJECTS_H
#define BUS_NATS_SUBJECTS_H

#include "bus/base/err.h"
#include "bus/base/view.h"

typedef struct {
    char *text;        // NULL: a free slot
    uint32_t len, era; // era: of `mask`
    uint64_t hash;
    uint64_t last; // sequence of the newest event on it; 0: none yet
    uint64_t mask; // bit per participant slot whose filters it meets
} bus_subject_row;

typedef struct {
    bus_subject_row *row;
    size_t cap, used;
} bus_subjects;

// bus_subjects_at finds or makes the row; it stays where it is until the next call.
bus_err bus_subjects_at(bus_subjects *table, bus_view subject, bus_subject_row **out);
void bus_subjects_release(bus_subjects *table);

#endif
