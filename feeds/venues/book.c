#include "feeds/venues/book.h"

#include <stdlib.h>
#include <string.h>

#include "bus/base/decimal.h"

void feed_book_init(feed_book *book)
{
    memset(book, 0, sizeof *book);
    book->mark[FEED_BID] = book->mark[FEED_ASK] = INT64_MIN;
}

void feed_book_release(feed_book *book)
{
    feed_levels_release(&book->side[FEED_BID]);
    feed_levels_release(&book->side[FEED_ASK]);
    memset(book, 0, sizeof *book);
}

void feed_book_clear(feed_book *book)
{
    feed_levels_clear(&book->side[FEED_BID]);
    feed_levels_clear(&book->side[FEED_ASK]);
    book->mark[FEED_BID] = book->mark[FEED_ASK] = INT64_MIN;
}

void feed_book_mark(feed_book *book)
{
    for (int s = 0; s < 2; s++)
        book->mark[s] = book->side[s].count ? book->side[s].place[0].key : INT64_MIN;
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

// v / 10^power where that leaves nothing; else false. A number that 5^power divides is divided by it when
// multiplied with what makes 5^power one in 64 bits; any other one then lies above the largest quotient.
static inline bool divide_exactly(uint64_t v, int power, uint64_t *out)
{
#define FIFTH UINT64_C(0xcccccccccccccccd) // times 5: 1
#define ROW(of, by)                                                                                \
    {                                                                                              \
        of, UINT64_MAX / (by)                                                                      \
    }
    static const struct {
        uint64_t inverse, most;
    } five[] = {
        ROW(1, 1),
        ROW(FIFTH, 5),
        ROW(FIFTH * FIFTH, 25),
        ROW(FIFTH * FIFTH * FIFTH, 125),
        ROW(FIFTH * FIFTH * FIFTH * FIFTH, 625),
        ROW(FIFTH * FIFTH * FIFTH * FIFTH * FIFTH, 3125),
        ROW(FIFTH * FIFTH * FIFTH * FIFTH * FIFTH * FIFTH, 15625),
        ROW(FIFTH * FIFTH * FIFTH * FIFTH * FIFTH * FIFTH * FIFTH, 78125),
        ROW(FIFTH * FIFTH * FIFTH * FIFTH * FIFTH * FIFTH * FIFTH * FIFTH, 390625),
    };
#undef ROW
#undef FIFTH
    uint64_t twos = (UINT64_C(1) << power) - 1;
    if (power >= (int)(sizeof five / sizeof *five)) {
        *out = v / (uint64_t)bus_power10[power];
        return *out * (uint64_t)bus_power10[power] == v;
    }
    *out = (v >> power) * five[power].inverse;
    return (v & twos) == 0 && *out <= five[power].most;
}

static inline __attribute__((always_inline)) bool scaled(const feed_decimal *n, int scale,
                                                         int64_t *out)
{
    uint64_t fraction = n->fraction, whole;
    if (n->digits <= scale)
        fraction *= (uint64_t)bus_power10[scale - n->digits];
    else if (!divide_exactly(fraction, n->digits - scale, &fraction))
        return false;
    if (__builtin_mul_overflow(n->whole, (uint64_t)bus_power10[scale], &whole) ||
        __builtin_add_overflow(whole, fraction, &whole) || whole > INT64_MAX)
        return false;
    *out = (int64_t)whole;
    return true;
}

static bool raise(int64_t *v, int64_t by, bool check)
{
    int64_t product;
    if (__builtin_mul_overflow(*v, by, &product))
        return false;
    if (!check)
        *v = product;
    return true;
}

static bool raise_side(feed_levels *levels, bool price, int64_t by, bool check)
{
    for (uint32_t i = 0; i < levels->count; i++) {
        feed_place *place = &levels->place[i];
        if (!raise(price ? &place->key : &place->quantity, by, check))
            return false;
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
            if (!raise_side(&book->side[s], price, by, check))
                return false;
            if (price && book->side[s].count == 0)
                book->mark[s] = INT64_MIN;
            else if (price && book->mark[s] != INT64_MIN && !raise(&book->mark[s], by, check))
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

static inline __attribute__((always_inline)) bus_err
number_read(feed_book *book, feed_number *number, const feed_decimal *n, int64_t *out)
{
    if (n->digits > number->digits)
        number->digits = n->digits;
    return scaled(n, number->scale, out) ? BUS_OK : number_slow(book, number, n, out);
}

void feed_book_tidy(feed_book *book)
{
    feed_levels_tidy(&book->side[FEED_BID]);
    feed_levels_tidy(&book->side[FEED_ASK]);
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
            err = feed_levels_put(levels, side == FEED_BID ? p : -p, q, &at);
    }
    return err;
}

bool feed_book_at(const feed_book *book, feed_side side, uint32_t i, bus_price *price,
                  bus_quantity *quantity)
{
    const feed_levels *levels = &book->side[side];
    if (i >= levels->count)
        return false;
    const feed_place *place = &levels->place[levels->count - 1 - i];
    price->v = side == FEED_BID ? place->key : -place->key;
    quantity->v = place->quantity;
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
        int64_t xk = i ? x->place[i - 1].key : INT64_MIN, yk = j ? y->place[j - 1].key : INT64_MIN;
        int64_t key = xk > yk ? xk : yk;
        if (key < floor)
            break;
        int64_t in_x = i && xk == key ? x->place[--i].quantity : 0;
        int64_t in_y = j && yk == key ? y->place[--j].quantity : 0;
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
