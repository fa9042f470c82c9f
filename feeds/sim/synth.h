// synth: the synthetic market: order flow of several symbols in time order, as the events a venue sends.
// Pure: given how far to go, it tells a host what happened. Times are wall ns: start_ns plus market time.
// Thread: the owner's. Source: schemas/specs/simexd.md, "Synthetic market".
#ifndef FEEDS_SIM_SYNTH_H
#define FEEDS_SIM_SYNTH_H

#include "feeds/sim/kline.h"
#include "feeds/sim/market.h"
#include "feeds/sim/text.h"

typedef struct sim_synth sim_synth;

typedef enum {
    SIM_EVENT_TRADE,
    SIM_EVENT_AGG_TRADE,
    SIM_EVENT_BOOK_TICKER,
    SIM_EVENT_DEPTH,      // every 100 ms
    SIM_EVENT_DEPTH_1000, // every 1,000 ms
    SIM_EVENT_KLINE,
} sim_event_kind;

// Units of a symbol's integers: value = n * unit / 10^8.
typedef struct {
    char name[24];
    int64_t tick, step;              // in 10^-8
    int price_scale, quantity_scale; // digits a price, a quantity need
} sim_units;

typedef struct {
    sim_event_kind kind;
    int symbol; // index
    const sim_units *units;
    int64_t at_ns;
    int64_t first_id, last_id; // as in the send log
    union {
        struct {
            int64_t id, first_trade, last_trade; // the last two: aggTrade
            int64_t price, quantity;
            bool buyer_is_maker;
        } trade;
        struct {
            sim_level bid, ask;
        } top;
        struct {
            const sim_change *change; // bids best first, then asks best first
            size_t count;
        } depth;
        struct {
            int interval;
            const sim_bar *bar;
            bool closed;
        } kline;
    } as;
} sim_event;

typedef struct {
    void (*event)(void *ctx, const sim_event *event);
    // wanted: is anybody subscribed? Asked for depth of 1,000 ms and klines. interval -1: depth.
    bool (*wanted)(void *ctx, int symbol, int interval);
} sim_synth_host;

typedef struct {
    const char *const *symbols;
    size_t symbol_count;
    uint64_t seed;
    int64_t rate;     // mean order events a second, all symbols together
    int64_t events;   // ends after so many; 0: never
    int64_t first_id; // ids of every kind begin above it
    int64_t start_ns; // wall; a multiple of 100 ms
    const sim_synth_host *host;
    void *ctx;
} sim_synth_opts;

enum { SIM_SYNTH_SYMBOLS_MAX = 64, SIM_TRADES_KEPT = 1000 };

bus_err sim_synth_open(sim_synth **out, const sim_synth_opts *opts);
void sim_synth_close(sim_synth *synth);
// sim_synth_next: when the next thing happens. sim_synth_step does that one thing.
int64_t sim_synth_next(const sim_synth *synth);
void sim_synth_step(sim_synth *synth);
bool sim_synth_ended(const sim_synth *synth); // after the last depth frame of the last event
int64_t sim_synth_highest_id(const sim_synth *synth);
const sim_units *sim_synth_units(const sim_synth *synth, int symbol);
const sim_orders *sim_synth_orders(const sim_synth *synth, int symbol);
int64_t sim_synth_update_id(const sim_synth *synth, int symbol);
const sim_klines *sim_synth_klines(const sim_synth *synth, int symbol);
// sim_synth_trade: the i-th newest trade kept, as its event; false when there are not so many.
bool sim_synth_trade(const sim_synth *synth, int symbol, size_t i, sim_event *out);

// sim_event_render appends the venue's JSON; per_ms: 1 for times in ms, 1000 for us.
void sim_event_render(const sim_event *event, int per_ms, sim_text *out);
// sim_quote_render writes ticks * steps as a quantity of the quote asset, eight digits.
void sim_quote_render(const sim_units *units, __int128 quote, sim_text *out);

#endif
