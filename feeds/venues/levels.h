// levels: one side of an order book, exact, cache-friendly: places sorted from the worst level to the best, so
// that the busy end is where inserting moves least.
//   key       bids: the price; asks: the price negated; so the best has the highest key
//   quantity  > 0; or 0: the level was removed and its place is free
// A removed level stays until its place is needed or a quarter of a side is free: prices come and go at the
// same places, so nearly no change moves memory. Which places are free stands in bits as well, so that
// the nearest is found at once.
// Thread: the owner's. Source: schemas/specs/binance-spot.md, "Book of one symbol".
#ifndef FEEDS_VENUES_LEVELS_H
#define FEEDS_VENUES_LEVELS_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/base/err.h"

enum { FEED_BOOK_LEVELS_MAX = 1 << 20 }; // a side

typedef struct {
    int64_t key, quantity;
} feed_place;

typedef struct {
    feed_place *place;
    uint64_t *open; // a bit each place: free
    uint32_t count, cap;
    uint32_t free; // of count
} feed_levels;

void feed_levels_release(feed_levels *levels);
void feed_levels_clear(feed_levels *levels); // keeps memory
// feed_levels_put makes the quantity at a key what it says; 0 removes it. *at: where to look first, then where
// it was; UINT32_MAX: from the best. Quickest in the order of the book.
//   errors  BUS_ELIMIT, BUS_ENOMEM
bus_err feed_levels_put(feed_levels *levels, int64_t key, int64_t quantity, uint32_t *at);
void feed_levels_tidy(feed_levels *levels); // no place is free behind it

#endif
