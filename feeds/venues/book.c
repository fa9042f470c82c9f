#include "feeds/venues/book.h"

#include <stdlib.h>
#include <string.h>

#include "bus/base/decimal.h"

enum {
    LEVELS_FIRST = 8192, // of a side: memory not touched costs nothing, to grow costs in a frame
    FREE_LEAST = 64,     // free places of a side that are never worth tidying
    FREE_REACH = 32,     // how far to look for one
};

void feed_book_init(feed_book *book)
{
    memset(book, 0, sizeof *book);
    book->mark[FEED_BID] = book->mark[FEED_ASK] = INT64_MIN;
}

void feed_book_release(feed_book *book)
{
    for (int s = 0; s < 2; s++) {
        free(book->side[s].key);
        free(book->side[s].quantity);
    }
    memset(book, 0, sizeof *book);
}

void feed_book_clear(feed_book *book)
{
    for (int s = 0; s < 2; s++)
        book->side[s].count = book->side[s].free = 0;
    book->mark[FEED_BID] = book->mark[FEED_ASK] = INT64_MIN;
}

void feed_book_mark(feed_book *book)
{
    for (int s = 0; s < 2; s++)
        book->mark[s] = book->side[s].count ? book->side[s].key[0] : INT64_MIN;
}

// Digits behind the point that are in use.
static int significant(const feed_decimal *n)
{
    int digits = n->digits;
    uint64_t fraction = n->fraction;
    if (fraction == 0)
        return 0;
    while (fraction % 10 == 0) {
        fraction /= 10;
        digits--;
    }
    return digits;
}

// v / by, where 1/by is at hand as the next above 2^64/by: exact for all that fits 32 bits, and a third of
// the time of a division.
static uint64_t divided(uint64_t v, int power)
{
#define INVERSE(by) (UINT64_MAX / (by) + 1)
    static const uint64_t inverse[] = {0,
                                       INVERSE(10),
                                       INVERSE(100),
                                       INVERSE(1000),
                                       INVERSE(10000),
                                       INVERSE(100000),
                                       INVERSE(1000000),
                                       INVERSE(10000000),
                                       INVERSE(100000000),
                                       INVERSE(1000000000)};
#undef INVERSE
    if (v > UINT32_MAX || power > 9 || power < 1)
        return v / (uint64_t)bus_power10[power];
    return (uint64_t)((unsigned __int128)v * inverse[power] >> 64);
}

static bool scaled(const feed_decimal *n, int scale, int64_t *out)
{
    uint64_t fraction = n->fraction, whole;
    if (n->digits > scale) {
        uint64_t kept = divided(fraction, n->digits - scale);
        if (kept * (uint64_t)bus_power10[n->digits - scale] != fraction)
            return false;
        fraction = kept;
    } else {
        fraction *= (uint64_t)bus_power10[scale - n->digits];
    }
    if (__builtin_mul_overflow(n->whole, (uint64_t)bus_power10[scale], &whole) ||
        __builtin_add_overflow(whole, fraction, &whole) || whole > INT64_MAX)
        return false;
    *out = (int64_t)whole;
    return true;
}

static bool raise_all(int64_t *v, uint32_t count, int64_t by, bool check)
{
    for (uint32_t i = 0; i < count; i++) {
        int64_t product;
        if (__builtin_mul_overflow(v[i], by, &product))
            return false;
        if (!check)
            v[i] = product;
    }
    return true;
}

// Raises the scale of all prices (or quantities) in the book; checks first that all still fit.
static bool raise_scale(feed_book *book, feed_number *number, int to)
{
    bool price = number == &book->price;
    int64_t by = bus_power10[to - number->scale];
    for (int check = 1; check >= 0; check--)
        for (int s = 0; s < 2; s++) {
            feed_levels *levels = &book->side[s];
            if (!raise_all(price ? levels->key : levels->quantity, levels->count, by, check))
                return false;
            if (price && levels->count == 0)
                book->mark[s] = INT64_MIN;
            else if (price && book->mark[s] != INT64_MIN &&
                     !raise_all(&book->mark[s], 1, by, check))
                return false;
        }
    number->scale = to;
    return true;
}

static bus_err number_slow(feed_book *book, feed_number *number, const feed_decimal *n,
                           int64_t *out)
{
    int need = significant(n);
    if (need > number->scale && !raise_scale(book, number, need))
        return bus_fail(BUS_ERANGE, "'%.*s': the book's levels do not fit 64 bits at %d digits",
                        BUS_VIEW_ARG(n->text), need);
    if (!scaled(n, number->scale, out))
        return bus_fail(BUS_ERANGE, "'%.*s' does not fit 64 bits at %d digits",
                        BUS_VIEW_ARG(n->text), number->scale);
    return BUS_OK;
}

static bus_err number_read(feed_book *book, feed_number *number, const feed_decimal *n,
                           int64_t *out)
{
    if (n->digits > number->digits)
        number->digits = n->digits;
    return scaled(n, number->scale, out) ? BUS_OK : number_slow(book, number, n, out);
}

static bus_err grow(feed_levels *levels)
{
    uint32_t cap = levels->cap ? levels->cap * 2 : LEVELS_FIRST;
    if (cap > FEED_BOOK_LEVELS_MAX)
        return bus_fail(BUS_ELIMIT, "more than %d levels on one side", FEED_BOOK_LEVELS_MAX);
    int64_t *key = realloc(levels->key, cap * sizeof *key);
    if (key)
        levels->key = key;
    int64_t *quantity = realloc(levels->quantity, cap * sizeof *quantity);
    if (quantity)
        levels->quantity = quantity;
    if (!key || !quantity)
        return bus_fail(BUS_ENOMEM, "%u book levels", cap);
    levels->cap = cap;
    return BUS_OK;
}

// First index of [low, high) whose key is not below `key`, or high. Halves without a branch: what would be
// guessed is as often wrong as right.
static uint32_t halve(const feed_levels *levels, uint32_t low, uint32_t high, int64_t key)
{
    const int64_t *at = levels->key + low;
    uint32_t left = high - low;
    while (left > 1) {
        uint32_t half = left / 2;
        at += at[half - 1] < key ? half : 0;
        left -= half;
    }
    return (uint32_t)(at - levels->key) + (left == 1 && *at < key);
}

// First index whose key is not below `key`. Changes come in the order of the book and most are near the
// best, so the search widens from `from`, where the one before was, before it halves.
static uint32_t find(const feed_levels *levels, uint32_t from, int64_t key)
{
    uint32_t step = 4, at = from < levels->count ? from : levels->count;
    if (at == levels->count || levels->key[at] >= key) {
        while (at >= step && levels->key[at - step] >= key) {
            at -= step;
            step *= 2;
        }
        return halve(levels, at >= step ? at - step + 1 : 0, at, key);
    }
    at++;
    while (step <= levels->count - at && levels->key[at + step - 1] < key) {
        at += step;
        step *= 2;
    }
    return halve(levels, at, step <= levels->count - at ? at + step - 1 : levels->count, key);
}

static void tidy(feed_levels *levels)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; levels->free && i < levels->count; i++) {
        if (levels->quantity[i] == 0)
            continue;
        levels->key[kept] = levels->key[i];
        levels->quantity[kept++] = levels->quantity[i];
    }
    if (levels->free)
        levels->count = kept;
    levels->free = 0;
}

void feed_book_tidy(feed_book *book)
{
    tidy(&book->side[FEED_BID]);
    tidy(&book->side[FEED_ASK]);
}

static void cut(feed_levels *levels, uint32_t at)
{
    if (levels->quantity[at] == 0)
        return;
    levels->quantity[at] = 0;
    levels->free++;
    if (levels->free > FREE_LEAST && levels->free > levels->count / 4)
        tidy(levels);
}

static void move(feed_levels *levels, uint32_t to, uint32_t from, uint32_t count)
{
    memmove(levels->key + to, levels->key + from, count * sizeof *levels->key);
    memmove(levels->quantity + to, levels->quantity + from, count * sizeof *levels->quantity);
}

// Makes place for a key that belongs before index `at`, taking the nearest free place within reach;
// returns the index to write to, or UINT32_MAX when there is none.
static uint32_t take_free(feed_levels *levels, uint32_t at)
{
    if (levels->free == 0)
        return UINT32_MAX;
    for (uint32_t d = 0; d < FREE_REACH; d++) {
        if (at + d < levels->count && levels->quantity[at + d] == 0) {
            move(levels, at + 1, at, d);
            levels->free--;
            return at;
        }
        if (at > d && levels->quantity[at - 1 - d] == 0) {
            move(levels, at - 1 - d, at - d, d);
            levels->free--;
            return at - 1;
        }
    }
    return UINT32_MAX;
}

static bus_err insert(feed_levels *levels, uint32_t at, int64_t key, int64_t quantity)
{
    uint32_t place = take_free(levels, at);
    if (place == UINT32_MAX) {
        if (levels->count == levels->cap) {
            bus_err err = grow(levels);
            if (err)
                return err;
        }
        move(levels, at + 1, at, levels->count - at);
        levels->count++;
        place = at;
    }
    levels->key[place] = key;
    levels->quantity[place] = quantity;
    return BUS_OK;
}

// The quantity at a key; *at: where to look first, then where it was.
static bus_err put(feed_levels *levels, int64_t key, int64_t quantity, uint32_t *at)
{
    uint32_t i = *at = find(levels, *at, key);
    if (i == levels->count || levels->key[i] != key)
        return quantity ? insert(levels, i, key, quantity) : BUS_OK;
    if (quantity == 0) {
        cut(levels, i);
    } else {
        levels->free -= levels->quantity[i] == 0;
        levels->quantity[i] = quantity;
    }
    return BUS_OK;
}

bus_err feed_book_set(feed_book *book, feed_side side, const feed_level *level, uint32_t count)
{
    feed_levels *levels = &book->side[side];
    uint32_t at = UINT32_MAX; // the best
    bus_err err = BUS_OK;
    for (uint32_t i = 0; i < count && !err; i++) {
        int64_t p, q;
        err = number_read(book, &book->price, &level[i].price, &p);
        if (!err)
            err = number_read(book, &book->quantity, &level[i].quantity, &q);
        if (!err)
            err = put(levels, side == FEED_BID ? p : -p, q, &at);
    }
    return err;
}

bool feed_book_at(const feed_book *book, feed_side side, uint32_t i, bus_price *price,
                  bus_quantity *quantity)
{
    const feed_levels *levels = &book->side[side];
    if (i >= levels->count)
        return false;
    uint32_t at = levels->count - 1 - i;
    price->v = side == FEED_BID ? levels->key[at] : -levels->key[at];
    quantity->v = levels->quantity[at];
    return true;
}

// v at number.scale, written with number.digits digits (digits >= scale always).
static int number_text(int64_t v, feed_number number, char buf[BUS_DECIMAL_TEXT])
{
    int len = bus_decimal_format(v, number.scale, buf);
    if (number.digits > number.scale) {
        if (number.scale == 0)
            buf[len++] = '.';
        for (int i = number.scale; i < number.digits; i++)
            buf[len++] = '0';
        buf[len] = 0;
    }
    return len;
}

bool feed_book_text(const feed_book *book, feed_side side, uint32_t i, feed_level_text *out)
{
    bus_price price;
    bus_quantity quantity;
    if (!feed_book_at(book, side, i, &price, &quantity))
        return false;
    out->price_len = number_text(price.v, book->price, out->price);
    out->quantity_len = number_text(quantity.v, book->quantity, out->quantity);
    return true;
}

static bool same_scale(feed_book *a, feed_book *b)
{
    int price = a->price.scale > b->price.scale ? a->price.scale : b->price.scale;
    int quantity = a->quantity.scale > b->quantity.scale ? a->quantity.scale : b->quantity.scale;
    return raise_scale(a, &a->price, price) && raise_scale(b, &b->price, price) &&
           raise_scale(a, &a->quantity, quantity) && raise_scale(b, &b->quantity, quantity);
}

static void difference(const feed_book *a, const feed_book *b, feed_side side, int64_t key,
                       int64_t in_a, int64_t in_b, feed_book_difference *out)
{
    int64_t price = side == FEED_BID ? key : -key;
    out->side = side;
    out->a.price_len = number_text(price, a->price, out->a.price);
    out->b.price_len = number_text(price, a->price, out->b.price);
    out->a.quantity_len = number_text(in_a, a->quantity, out->a.quantity);
    out->b.quantity_len = number_text(in_b, b->quantity, out->b.quantity);
}

static uint32_t compare_side(const feed_book *a, const feed_book *b, feed_side side, int64_t floor,
                             bool first_wanted, feed_book_difference *first)
{
    const feed_levels *x = &a->side[side], *y = &b->side[side];
    uint32_t i = x->count, j = y->count, differ = 0;
    while (i || j) { // from the best on both, the higher key first
        int64_t xk = i ? x->key[i - 1] : INT64_MIN, yk = j ? y->key[j - 1] : INT64_MIN;
        int64_t key = xk > yk ? xk : yk;
        if (key < floor)
            break;
        int64_t in_x = i && xk == key ? x->quantity[--i] : 0;
        int64_t in_y = j && yk == key ? y->quantity[--j] : 0;
        if (in_x == in_y)
            continue;
        if (differ++ == 0 && first_wanted)
            difference(a, b, side, key, in_x, in_y, first);
    }
    return differ;
}

uint32_t feed_book_compare(feed_book *a, feed_book *b, feed_book_difference *first)
{
    if (!same_scale(a, b))
        return UINT32_MAX;
    int64_t floor[2];
    for (int s = 0; s < 2; s++)
        floor[s] = a->mark[s] > b->mark[s] ? a->mark[s] : b->mark[s];
    uint32_t bids = compare_side(a, b, FEED_BID, floor[FEED_BID], first != NULL, first);
    return bids + compare_side(a, b, FEED_ASK, floor[FEED_ASK], first != NULL && bids == 0, first);
}
