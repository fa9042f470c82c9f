#include "feeds/venues/levels.h"

#include <stdlib.h>
#include <string.h>

enum {
    LEVELS_FIRST = 8192, // of a side: memory not touched costs nothing, to grow costs in a frame
    FREE_LEAST = 64,     // free places of a side that are never worth tidying
    NEAR = 8,            // places that are all looked at rather than halved
    BITS = 64,
};

void feed_levels_release(feed_levels *levels)
{
    free(levels->place);
    free(levels->open);
    *levels = (feed_levels){0};
}

static void close_all(feed_levels *levels)
{
    if (levels->free)
        memset(levels->open, 0, (levels->count / BITS + 1) * sizeof *levels->open);
    levels->free = 0;
}

void feed_levels_clear(feed_levels *levels)
{
    close_all(levels);
    levels->count = 0;
}

static bus_err grow(feed_levels *levels)
{
    uint32_t cap = levels->cap ? levels->cap * 2 : LEVELS_FIRST;
    size_t words = cap / BITS + 2, had = levels->cap ? levels->cap / BITS + 2 : 0;
    if (cap > FEED_BOOK_LEVELS_MAX)
        return bus_fail(BUS_ELIMIT, "more than %d levels on one side", FEED_BOOK_LEVELS_MAX);
    feed_place *place = realloc(levels->place, cap * sizeof *place);
    if (place)
        levels->place = place;
    uint64_t *open = realloc(levels->open, words * sizeof *open);
    if (open)
        levels->open = open;
    if (!place || !open)
        return bus_fail(BUS_ENOMEM, "%u book levels", cap);
    memset(open + had, 0, (words - had) * sizeof *open);
    levels->cap = cap;
    return BUS_OK;
}

// --- finding -----------------------------------------------------------------------------------------

// First index of [low, high) whose key is not below `key`, or high. Halves without a branch (what would be guessed is
// as often wrong as right) until few are left: each half waits for the one before, the few are compared side by side.
static uint32_t halve(const feed_levels *levels, uint32_t low, uint32_t high, int64_t key)
{
    const feed_place *at = levels->place + low;
    uint32_t left = high - low;
    while (left > NEAR) {
        uint32_t half = left / 2;
        at += at[half - 1].key < key ? half : 0;
        left -= half;
    }
    uint32_t passed = 0;
    for (uint32_t i = 0; i < left; i++)
        passed += at[i].key < key;
    return (uint32_t)(at - levels->place) + passed;
}

static uint32_t find_far(const feed_levels *levels, uint32_t at, int64_t key)
{
    if (levels->count == 0) // and there may be no place at all yet
        return 0;
    const feed_place *place = levels->place;
    uint32_t step = NEAR;
    if (at == levels->count || place[at].key >= key) {
        while (at >= step && place[at - step].key >= key) {
            at -= step;
            step *= 2;
        }
        return halve(levels, at >= step ? at - step + 1 : 0, at, key);
    }
    at++;
    while (step <= levels->count - at && place[at + step - 1].key < key) {
        at += step;
        step *= 2;
    }
    return halve(levels, at, step <= levels->count - at ? at + step - 1 : levels->count, key);
}

// First index whose key is not below `key`. Changes come in the order of the book and most are near the
// one before: all places of the next few are compared, without a branch; else the search widens from there.
static uint32_t find(const feed_levels *levels, uint32_t from, int64_t key)
{
    uint32_t at = from < levels->count ? from : levels->count, passed = 0;
    if (at < NEAR)
        return find_far(levels, at, key);
    const feed_place *place = levels->place + at;
    if (place[-NEAR].key >= key || (at < levels->count && place->key < key))
        return find_far(levels, at, key);
    for (int i = 1; i < NEAR; i++)
        passed += place[-i].key >= key;
    return at - passed;
}

// --- free places -------------------------------------------------------------------------------------

static void set_free(feed_levels *levels, uint32_t at)
{
    levels->open[at / BITS] |= UINT64_C(1) << at % BITS;
    levels->free++;
}

static void set_taken(feed_levels *levels, uint32_t at)
{
    levels->open[at / BITS] &= ~(UINT64_C(1) << at % BITS);
    levels->free--;
}

void feed_levels_tidy(feed_levels *levels)
{
    uint32_t kept = 0;
    if (levels->free == 0)
        return;
    for (uint32_t i = 0; i < levels->count; i++) {
        levels->place[kept] = levels->place[i];
        kept += levels->place[i].quantity != 0;
    }
    close_all(levels);
    levels->count = kept;
}

// How many places there are from `at` on, and before it, to the nearest that is free; UINT32_MAX: none within
// `reach` or a word's bits more.
static uint32_t free_above(const feed_levels *levels, uint32_t at, uint32_t reach)
{
    const uint64_t *word = levels->open + at / BITS;
    uint32_t passed = 0, last = levels->count / BITS;
    uint64_t bits = *word >> at % BITS;
    if (bits == 0) {
        passed = BITS - at % BITS;
        for (word++; word <= levels->open + last && *word == 0 && passed < reach; word++)
            passed += BITS;
        bits = word <= levels->open + last ? *word : 0;
    }
    return bits ? passed + (uint32_t)__builtin_ctzll(bits) : UINT32_MAX;
}

static uint32_t free_below(const feed_levels *levels, uint32_t at, uint32_t reach)
{
    if (at == 0)
        return UINT32_MAX;
    const uint64_t *word = levels->open + (at - 1) / BITS;
    uint32_t passed = 0,
             above = BITS - 1 - (at - 1) % BITS; // bits of the word that are not before `at`
    uint64_t bits = *word << above;
    if (bits == 0) {
        passed = BITS - above;
        while (word > levels->open && *--word == 0 && passed < reach)
            passed += BITS;
        bits = passed < at ? *word : 0; // at the first word already: what it has is not before `at`
    }
    return bits ? passed + (uint32_t)__builtin_clzll(bits) : UINT32_MAX;
}

static void move(feed_levels *levels, uint32_t to, uint32_t from, uint32_t count)
{
    memmove(levels->place + to, levels->place + from, count * sizeof *levels->place);
}

// Makes place for a key that belongs before index `at`, taking the nearest free place; returns the index to
// write to, or UINT32_MAX when none is as near as the end (so that none is free from `at` on).
static uint32_t take_free(feed_levels *levels, uint32_t at)
{
    uint32_t end = levels->count - at, above = free_above(levels, at, end);
    uint32_t below = free_below(levels, at, above < end ? above : end);
    if (above >= end && below >= end)
        return UINT32_MAX;
    if (above <= below) {
        set_taken(levels, at + above);
        move(levels, at + 1, at, above);
        return at;
    }
    set_taken(levels, at - 1 - below);
    move(levels, at - 1 - below, at - below, below);
    return at - 1;
}

// Moves all from `at` on, of which none is free.
static bus_err open_place(feed_levels *levels, uint32_t at)
{
    if (levels->count == levels->cap) {
        bus_err err = grow(levels);
        if (err)
            return err;
    }
    move(levels, at + 1, at, levels->count - at);
    levels->count++;
    return BUS_OK;
}

// --- changing ----------------------------------------------------------------------------------------

static bus_err insert(feed_levels *levels, uint32_t at, int64_t key, int64_t quantity)
{
    uint32_t to = levels->free ? take_free(levels, at) : UINT32_MAX;
    if (to == UINT32_MAX) {
        bus_err err = open_place(levels, at);
        if (err)
            return err;
        to = at;
    }
    levels->place[to] = (feed_place){key, quantity};
    return BUS_OK;
}

bus_err feed_levels_put(feed_levels *levels, int64_t key, int64_t quantity, uint32_t *at)
{
    uint32_t i = *at = find(levels, *at, key);
    if (i == levels->count || levels->place[i].key != key)
        return quantity ? insert(levels, i, key, quantity) : BUS_OK;
    feed_place *place = levels->place + i;
    bool was_free = place->quantity == 0;
    place->quantity = quantity;
    if (was_free && quantity) {
        set_taken(levels, i);
    } else if (!was_free && quantity == 0) {
        set_free(levels, i);
        if (levels->free > FREE_LEAST && levels->free > levels->count / 4)
            feed_levels_tidy(levels);
    }
    return BUS_OK;
}
