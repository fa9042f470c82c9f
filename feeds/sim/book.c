#include "feeds/sim/book.h"

#include <stdlib.h>
#include <string.h>

void sim_book_release(sim_book *book)
{
    free(book->side[SIM_BID].level);
    free(book->side[SIM_ASK].level);
    *book = (sim_book){0};
}

void sim_book_clear(sim_book *book)
{
    book->side[SIM_BID].count = book->side[SIM_ASK].count = 0;
}

static bus_err reserve(sim_levels *side, size_t count)
{
    if (count <= side->cap)
        return BUS_OK;
    size_t cap = side->cap ? side->cap : 256;
    while (cap < count)
        cap *= 2;
    sim_level *level = realloc(side->level, cap * sizeof *level);
    if (!level)
        return bus_fail(BUS_ENOMEM, "%zu price levels", cap);
    side->level = level;
    side->cap = cap;
    return BUS_OK;
}

// The first index whose level is not worse than price; equal prices are found there.
static size_t find(const sim_levels *side, sim_side which, int64_t price)
{
    size_t low = 0, high = side->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int64_t at = side->level[middle].price;
        if (which == SIM_BID ? at < price : at > price)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bus_err sim_book_apply(sim_book *book, sim_change change)
{
    sim_levels *side = &book->side[change.side];
    size_t i = find(side, change.side, change.price);
    bool known = i < side->count && side->level[i].price == change.price;
    if (change.quantity == 0) {
        if (known) {
            memmove(side->level + i, side->level + i + 1,
                    (side->count - i - 1) * sizeof *side->level);
            side->count--;
        }
        return BUS_OK;
    }
    if (!known) {
        bus_err err = reserve(side, side->count + 1);
        if (err)
            return err;
        memmove(side->level + i + 1, side->level + i, (side->count - i) * sizeof *side->level);
        side->count++;
    }
    side->level[i] = (sim_level){change.price, change.quantity};
    return BUS_OK;
}

bus_err sim_book_copy(sim_book *to, const sim_book *from)
{
    for (int s = SIM_BID; s <= SIM_ASK; s++) {
        bus_err err = reserve(&to->side[s], from->side[s].count);
        if (err)
            return err;
        if (from->side[s].count)
            memcpy(to->side[s].level, from->side[s].level,
                   from->side[s].count * sizeof *from->side[s].level);
        to->side[s].count = from->side[s].count;
    }
    return BUS_OK;
}

const sim_level *sim_book_best(const sim_book *book, sim_side side, size_t i)
{
    const sim_levels *levels = &book->side[side];
    return i < levels->count ? &levels->level[levels->count - 1 - i] : NULL;
}
