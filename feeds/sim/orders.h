// orders: a limit order book of single orders in price-time priority: what the matching of an exchange is.
// Prices in ticks, quantities in steps, both > 0. No allocation after open.
// Thread: the owner's. Source: schemas/specs/simexd.md, "Synthetic market".
#ifndef FEEDS_SIM_ORDERS_H
#define FEEDS_SIM_ORDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/base/err.h"
#include "feeds/sim/book.h"

typedef struct sim_orders sim_orders;

typedef struct {
    int64_t price, quantity;
    int64_t maker, taker; // order ids
    bool buyer_is_maker;
} sim_fill;

enum { SIM_NO_ORDER = UINT32_MAX };

bus_err sim_orders_open(sim_orders **out, uint32_t orders_max);
void sim_orders_close(sim_orders *orders);

// sim_orders_add rests an order; it must not cross (best bid < price < best ask on its side's far end).
// Returns its handle, or SIM_NO_ORDER when orders_max rest. *change: its level afterwards.
uint32_t sim_orders_add(sim_orders *orders, int64_t id, sim_side side, int64_t price,
                        int64_t quantity, sim_change *change);
void sim_orders_cancel(sim_orders *orders, uint32_t handle, sim_change *change);
// sim_orders_take fills a taker of `side` against the other side, no worse than limit, at most max fills;
// changes[i] is the level after fills[i]. Returns the number of fills.
size_t sim_orders_take(sim_orders *orders, int64_t id, sim_side side, int64_t limit,
                       int64_t quantity, sim_fill *fills, sim_change *changes, size_t max);

int64_t sim_orders_best(const sim_orders *orders, sim_side side); // price; 0 when the side is empty
size_t sim_orders_levels(const sim_orders *orders, sim_side side);
// sim_orders_level: the i-th best level (0 the best); quantity 0 when there are not so many.
sim_level sim_orders_level(const sim_orders *orders, sim_side side, size_t i);
int64_t sim_orders_quantity(const sim_orders *orders, sim_side side, int64_t price); // 0: no level
uint32_t sim_orders_live(const sim_orders *orders); // how many rest
uint32_t sim_orders_pick(const sim_orders *orders,
                         uint32_t n); // handle of the n-th of them, any order
uint32_t sim_orders_first(const sim_orders *orders,
                          sim_side side); // oldest order of the best level
uint32_t sim_orders_worst(const sim_orders *orders,
                          sim_side side); // oldest order of the worst level
sim_side sim_orders_side(const sim_orders *orders, uint32_t handle);

#endif
