// book: one instrument's order book: two sides of levels, and the scales of their numbers.
// Prices and quantities are integers at the book's scales. A scale begins at 0 and is raised (every
// level multiplied) as soon as a text needs more digits, so nothing is rounded and no instrument
// definition is needed. The texts' own number of digits is kept for writing levels back.
// Thread: the owner's. Source: schemas/specs/binance-spot.md, "Book of one symbol".
#ifndef FEEDS_VENUES_BOOK_H
#define FEEDS_VENUES_BOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/base/decimal.h"
#include "bus/base/err.h"
#include "feeds/venues/levels.h"
#include "feeds/venues/number.h"

typedef enum { FEED_BID, FEED_ASK } feed_side;

typedef struct {
    int scale;  // of the integers
    int digits; // behind the point, as the venue writes it
} feed_number;

typedef struct {
    feed_levels side[2];
    feed_number price, quantity;
    int64_t mark[2]; // key of the worst level of the snapshot; INT64_MIN: no bound
} feed_book;

void feed_book_init(feed_book *book);
void feed_book_release(feed_book *book);
void feed_book_clear(feed_book *book); // keeps memory and scales
// feed_book_set makes the quantities at some prices what the levels say; zero removes one, unknown ones too.
// Quickest in the order of the book, the best first.
//   errors  BUS_ERANGE not exact in 64 bits; BUS_ELIMIT, BUS_ENOMEM. What came before the one that fails is set.
bus_err feed_book_set(feed_book *book, feed_side side, const feed_level *level, uint32_t count);
static inline uint32_t feed_book_count(const feed_book *book, feed_side side)
{
    return book->side[side].count - book->side[side].free;
}
// feed_book_tidy gives the free places back; call it before levels are asked for by number.
void feed_book_tidy(feed_book *book);
// feed_book_at: level i from the best (0), of a tidy book. The texts are written with the venue's number of digits.
bool feed_book_at(const feed_book *book, feed_side side, uint32_t i, bus_price *price,
                  bus_quantity *quantity);
typedef struct {
    char price[BUS_DECIMAL_TEXT], quantity[BUS_DECIMAL_TEXT];
    int price_len, quantity_len;
} feed_level_text;
bool feed_book_text(const feed_book *book, feed_side side, uint32_t i, feed_level_text *out);

// feed_book_mark remembers how deep the snapshot that was just loaded went: what lies beyond its worst
// level on a side is not known to this book.
void feed_book_mark(feed_book *book);
// feed_book_compare counts levels that differ between two books, on each side down to the nearer of the
// two marks. first (may be NULL) is filled when the result is not 0. Raises both books to one scale;
// UINT32_MAX when they do not fit one.
typedef struct {
    feed_side side;
    feed_level_text a, b; // the level in each; quantity 0 where there is none
} feed_book_difference;
uint32_t feed_book_compare(feed_book *a, feed_book *b, feed_book_difference *first);

#endif
