// book: one symbol's price levels, both sides, as sorted arrays with the best level last (changes are
// near the best, so they move little). Prices and quantities are scaled integers.
// Thread: the owner's. Source: schemas/specs/simexd.md, "Book".
#ifndef FEEDS_SIM_BOOK_H
#define FEEDS_SIM_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/base/err.h"

typedef enum { SIM_BID, SIM_ASK } sim_side;

typedef struct {
    int64_t price, quantity;
} sim_level;

typedef struct {
    sim_level *level; // bids ascending, asks descending: the best is level[count - 1]
    size_t count, cap;
} sim_levels;

typedef struct {
    sim_levels side[2];
} sim_book;

typedef struct {
    int64_t price, quantity; // absolute; 0 removes
    sim_side side;
} sim_change;

void sim_book_release(sim_book *book);
void sim_book_clear(sim_book *book);
bus_err sim_book_apply(sim_book *book, sim_change change); // BUS_ENOMEM
bus_err sim_book_copy(sim_book *to, const sim_book *from); // BUS_ENOMEM
// sim_book_best: the i-th best level of a side, 0 the best; NULL when there are not so many.
const sim_level *sim_book_best(const sim_book *book, sim_side side, size_t i);

#endif
