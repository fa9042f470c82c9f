#include "feeds/sim/orders.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t id, price, quantity;
    uint32_t next, prev; // within the level, oldest first
    uint32_t live_at;    // place in `live`
    sim_side side;
} order;

typedef struct {
    int64_t price, quantity;
    uint32_t head, tail;
} level;

typedef struct {
    level *level; // the best is level[count - 1], as in sim_book
    size_t count;
} side;

struct sim_orders {
    order *order;
    uint32_t *live; // handles of resting orders, dense; beyond live_count: free ones
    uint32_t live_count, max;
    side side[2];
};

bus_err sim_orders_open(sim_orders **out, uint32_t orders_max)
{
    sim_orders *o = calloc(1, sizeof *o);
    if (o) {
        o->order = calloc(orders_max, sizeof *o->order);
        o->live = calloc(orders_max, sizeof *o->live);
        o->side[SIM_BID].level = calloc(orders_max, sizeof(level));
        o->side[SIM_ASK].level = calloc(orders_max, sizeof(level));
    }
    if (!o || !o->order || !o->live || !o->side[SIM_BID].level || !o->side[SIM_ASK].level) {
        sim_orders_close(o);
        return bus_fail(BUS_ENOMEM, "an order book of %u orders", orders_max);
    }
    o->max = orders_max;
    for (uint32_t i = 0; i < orders_max; i++)
        o->live[i] = i;
    *out = o;
    return BUS_OK;
}

void sim_orders_close(sim_orders *o)
{
    if (!o)
        return;
    free(o->order);
    free(o->live);
    free(o->side[SIM_BID].level);
    free(o->side[SIM_ASK].level);
    free(o);
}

// The first index whose level is not worse than price.
static size_t find(const side *s, sim_side which, int64_t price)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int64_t at = s->level[middle].price;
        if (which == SIM_BID ? at < price : at > price)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static level *level_of(const sim_orders *o, sim_side which, int64_t price)
{
    const side *s = &o->side[which];
    size_t i = find(s, which, price);
    return i < s->count && s->level[i].price == price ? &s->level[i] : NULL;
}

static level *level_for(sim_orders *o, sim_side which, int64_t price)
{
    side *s = &o->side[which];
    size_t i = find(s, which, price);
    if (i < s->count && s->level[i].price == price)
        return &s->level[i];
    memmove(s->level + i + 1, s->level + i, (s->count - i) * sizeof *s->level);
    s->count++;
    s->level[i] = (level){price, 0, SIM_NO_ORDER, SIM_NO_ORDER};
    return &s->level[i];
}

uint32_t sim_orders_add(sim_orders *o, int64_t id, sim_side which, int64_t price, int64_t quantity,
                        sim_change *change)
{
    if (o->live_count == o->max)
        return SIM_NO_ORDER;
    uint32_t handle = o->live[o->live_count];
    level *l = level_for(o, which, price);
    o->order[handle] = (order){id, price, quantity, SIM_NO_ORDER, l->tail, o->live_count++, which};
    if (l->tail == SIM_NO_ORDER)
        l->head = handle;
    else
        o->order[l->tail].next = handle;
    l->tail = handle;
    l->quantity += quantity;
    *change = (sim_change){price, l->quantity, which};
    return handle;
}

// Takes the order out of its level and gives its handle back; the level goes with its last order.
static void remove_order(sim_orders *o, uint32_t handle, level *l)
{
    const order gone = o->order[handle];
    if (gone.prev == SIM_NO_ORDER)
        l->head = gone.next;
    else
        o->order[gone.prev].next = gone.next;
    if (gone.next == SIM_NO_ORDER)
        l->tail = gone.prev;
    else
        o->order[gone.next].prev = gone.prev;
    uint32_t last = o->live[--o->live_count];
    o->live[gone.live_at] = last;
    o->order[last].live_at = gone.live_at;
    o->live[o->live_count] = handle;
    if (l->head != SIM_NO_ORDER)
        return;
    side *s = &o->side[gone.side];
    size_t i = (size_t)(l - s->level);
    memmove(s->level + i, s->level + i + 1, (s->count - i - 1) * sizeof *s->level);
    s->count--;
}

void sim_orders_cancel(sim_orders *o, uint32_t handle, sim_change *change)
{
    const order *gone = &o->order[handle];
    level *l = level_of(o, gone->side, gone->price);
    l->quantity -= gone->quantity;
    *change = (sim_change){gone->price, l->quantity, gone->side};
    remove_order(o, handle, l);
}

size_t sim_orders_take(sim_orders *o, int64_t id, sim_side which, int64_t limit, int64_t quantity,
                       sim_fill *fills, sim_change *changes, size_t max)
{
    sim_side other = which == SIM_BID ? SIM_ASK : SIM_BID;
    side *s = &o->side[other];
    size_t n = 0;
    while (quantity > 0 && n < max && s->count) {
        level *l = &s->level[s->count - 1];
        if (which == SIM_BID ? l->price > limit : l->price < limit)
            break;
        order *maker = &o->order[l->head];
        int64_t part = maker->quantity < quantity ? maker->quantity : quantity;
        maker->quantity -= part;
        l->quantity -= part;
        quantity -= part;
        fills[n] = (sim_fill){l->price, part, maker->id, id, other == SIM_BID};
        changes[n++] = (sim_change){l->price, l->quantity, other};
        if (maker->quantity == 0)
            remove_order(o, l->head, l);
    }
    return n;
}

int64_t sim_orders_best(const sim_orders *o, sim_side which)
{
    const side *s = &o->side[which];
    return s->count ? s->level[s->count - 1].price : 0;
}

size_t sim_orders_levels(const sim_orders *o, sim_side which)
{
    return o->side[which].count;
}

sim_level sim_orders_level(const sim_orders *o, sim_side which, size_t i)
{
    const side *s = &o->side[which];
    if (i >= s->count)
        return (sim_level){0, 0};
    const level *l = &s->level[s->count - 1 - i];
    return (sim_level){l->price, l->quantity};
}

int64_t sim_orders_quantity(const sim_orders *o, sim_side which, int64_t price)
{
    const level *l = level_of(o, which, price);
    return l ? l->quantity : 0;
}

uint32_t sim_orders_live(const sim_orders *o)
{
    return o->live_count;
}

uint32_t sim_orders_pick(const sim_orders *o, uint32_t n)
{
    return o->live[n];
}

uint32_t sim_orders_first(const sim_orders *o, sim_side which)
{
    const side *s = &o->side[which];
    return s->count ? s->level[s->count - 1].head : SIM_NO_ORDER;
}

uint32_t sim_orders_worst(const sim_orders *o, sim_side which)
{
    const side *s = &o->side[which];
    return s->count ? s->level[0].head : SIM_NO_ORDER;
}

sim_side sim_orders_side(const sim_orders *o, uint32_t handle)
{
    return o->order[handle].side;
}
