// history: the book of one symbol as it stood after every depth frame, within a bound of bytes.
//
//   segment   base_id ─┬─ copy of the book ─┬─ frame(U,u) ─ frame ─ … up to 512
//                      └ from a snapshot, or the running book of the segment before
//
// The book at u is the copy of the last segment that starts at or below u, and its frames up to u.
// Thread: the owner's. Source: schemas/specs/simexd.md, "Book".
#ifndef FEEDS_SIM_HISTORY_H
#define FEEDS_SIM_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "feeds/sim/book.h"

typedef struct sim_history sim_history;

typedef struct {
    int64_t update_id; // of the last frame applied, or the base's
    int64_t base_id;
    bool complete; // no gap between base and update_id
} sim_history_mark;

// bytes_max bounds segments kept; the newest one is always kept whole.
bus_err sim_history_open(sim_history **out, size_t bytes_max);
void sim_history_close(sim_history *history);

// sim_history_base starts a segment at id from a full book (copied); frames already seen with u > id
// are applied to it again.
bus_err sim_history_base(sim_history *history, int64_t id, const sim_book *book);
// sim_history_frame appends one depth frame; changes are copied. Frames at or below the last id are
// kept out of the book (the venue repeated itself).
bus_err sim_history_frame(sim_history *history, int64_t first_id, int64_t last_id,
                          const sim_change *changes, size_t count);

bool sim_history_has_base(const sim_history *history);
bool sim_history_broken(const sim_history *history); // a gap since the last base
uint64_t sim_history_gaps(const sim_history *history);
const sim_book *sim_history_now(const sim_history *history); // empty before the first base
sim_history_mark sim_history_mark_now(const sim_history *history);
int64_t sim_history_last_id(const sim_history *history); // of the last frame or base; 0 before

// sim_history_at rebuilds the book after the last frame with id <= update_id into `book`.
// BUS_ENOTFOUND: before the first base, or older than what is kept (the text names the first id);
// BUS_ESTATE: above the last id.
bus_err sim_history_at(const sim_history *history, int64_t update_id, sim_book *book,
                       sim_history_mark *mark);
// sim_history_ids calls fn for each frame kept with last_id >= from, oldest first, at most limit.
void sim_history_ids(const sim_history *history, int64_t from, size_t limit,
                     void (*fn)(void *ctx, int64_t first_id, int64_t last_id), void *ctx);

#endif
