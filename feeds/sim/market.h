// market: one symbol's order flow: seeded, clustered in time, around a fair value that wanders.
// Pure: a seed, a name and a rate give one sequence of events. Time is ns since the market opened.
// Thread: the owner's. Source: schemas/specs/simexd.md, "Synthetic market".
#ifndef FEEDS_SIM_MARKET_H
#define FEEDS_SIM_MARKET_H

#include "bus/base/view.h"
#include "feeds/sim/orders.h"

typedef struct sim_market sim_market;

typedef struct {
    int64_t price;      // ticks, at the start
    int64_t lot;        // steps of a usual order
    int64_t millihertz; // mean events in 1,000 s
} sim_market_spec;

enum { SIM_MARKET_CHANGES = 64, SIM_LEVELS_MIN = 20, SIM_LEVELS_MAX = 1000 };

// What one event did. Every change is one update id; the first `fills` of them are trades.
typedef struct {
    int64_t at_ns;
    size_t changes, fills;
    sim_change change[SIM_MARKET_CHANGES];
    sim_fill fill[SIM_MARKET_CHANGES];
    int64_t taker; // order id, when there are fills
} sim_market_event;

// first_order: ids of orders begin above it.
bus_err sim_market_open(sim_market **out, const sim_market_spec *spec, uint64_t seed, bus_view name,
                        int64_t first_order);
void sim_market_close(sim_market *market);
int64_t sim_market_next(const sim_market *market); // when its next event happens
void sim_market_step(sim_market *market, sim_market_event *out);
const sim_orders *sim_market_orders(const sim_market *market);
int64_t sim_market_last_order(const sim_market *market);

#endif
