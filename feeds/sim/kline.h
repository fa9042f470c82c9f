// kline: bars of one symbol over the venue's intervals, from its trades. Prices in ticks, quantities in
// steps. Keeps the last 1,000 closed bars of each interval. Thread: the owner's.
// Source: schemas/specs/simexd.md, "Venue endpoints: WebSocket".
#ifndef FEEDS_SIM_KLINE_H
#define FEEDS_SIM_KLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/base/view.h"

enum { SIM_INTERVALS = 16, SIM_BARS_KEPT = 1000 };

typedef struct {
    int64_t open_ns, close_ns; // [open, close), wall time
    int64_t open, high, low, close;
    int64_t volume, taker_volume;    // steps
    __int128 quote, taker_quote;     // ticks * steps
    int64_t first_trade, last_trade; // -1: none
    int64_t trades;
} sim_bar;

typedef struct {
    sim_bar now;
    sim_bar *closed; // ring
    size_t count, cap, head;
} sim_bars;

typedef struct {
    sim_bars interval[SIM_INTERVALS];
} sim_klines;

const char *sim_interval_name(int interval);
int sim_interval_find(bus_view name); // -1: none
// sim_interval_open: the start of the bar that holds the instant; sim_interval_after: that of the next.
int64_t sim_interval_open(int interval, int64_t ns);
int64_t sim_interval_after(int interval, int64_t open_ns);

void sim_klines_init(sim_klines *klines, int64_t now_ns, int64_t price);
void sim_klines_release(sim_klines *klines);
void sim_klines_trade(sim_klines *klines, int64_t id, int64_t price, int64_t quantity,
                      bool buyer_is_maker);
// sim_klines_roll closes the interval's bar when its time is over at now_ns; true and *closed then.
bool sim_klines_roll(sim_klines *klines, int interval, int64_t now_ns, sim_bar *closed);
// sim_bars_at: the i-th newest closed bar, 0 the newest; NULL when there are not so many.
const sim_bar *sim_bars_at(const sim_bars *bars, size_t i);

#endif
