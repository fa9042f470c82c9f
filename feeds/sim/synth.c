#include "feeds/sim/synth.h"

#include <stdio.h>
#include <stdlib.h>

#include "bus/base/memory.h"
#include "feeds/sim/random.h"

static const int64_t FRAME_NS = 100000000, SECOND = 1000000000;

// What is known of a symbol before it trades; others get figures from their name.
static const struct {
    const char *name;
    int64_t price, tick, step; // in 10^-8
} KNOWN[] = {
    {"BTCUSDT", 6000000000000, 1000000, 1000}, {"ETHUSDT", 300000000000, 1000000, 10000},
    {"SOLUSDT", 15000000000, 1000000, 100000}, {"BNBUSDT", 60000000000, 1000000, 100000},
    {"XRPUSDT", 55000000, 10000, 10000000},    {"DOGEUSDT", 12000000, 1000, 100000000},
    {"ADAUSDT", 40000000, 10000, 10000000},    {"ETHBTC", 5000000, 1000, 10000},
};

// Levels that changed since the last frame; quantities are looked up when it is made.
typedef struct {
    sim_change *change;
    size_t count, cap;
    int64_t last_id; // of the last frame
} dirty;

typedef struct {
    sim_units units;
    sim_market *market;
    int64_t update_id, trade_id, agg_id;
    dirty frame, slow;  // 100 ms, 1,000 ms
    sim_level bid, ask; // as last told
    sim_klines klines;
    struct {
        int64_t at_ns, id, price, quantity;
        bool buyer_is_maker;
    } trades[SIM_TRADES_KEPT]; // ring over the trade's number
    uint64_t trade_count;
} symbol;

struct sim_synth {
    sim_synth_opts opts;
    symbol *symbol;
    size_t count;
    int64_t frame_ns; // the next multiple of 100 ms, wall
    uint64_t events;
    bool ended;
    sim_market_event event; // scratch
};

// --- opening ----------------------------------------------------------------------------------------

static int scale_of(int64_t unit) // 1000 (10^-5) -> 5
{
    int scale = 8;
    while (unit >= 10 && scale > 0) {
        unit /= 10;
        scale--;
    }
    return scale;
}

static int64_t describe(symbol *s, const char *name, uint64_t seed)
{
    sim_random random;
    snprintf(s->units.name, sizeof s->units.name, "%s", name);
    int64_t price = 0;
    for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++) {
        if (strcmp(KNOWN[i].name, name) != 0)
            continue;
        price = KNOWN[i].price;
        s->units.tick = KNOWN[i].tick;
        s->units.step = KNOWN[i].step;
    }
    if (price == 0) {
        sim_random_seed(&random, seed, bus_view_of(name));
        price = 100000000 + (int64_t)sim_random_below(&random, 20000000000); // 1 .. 201
        s->units.tick = 10000;
        s->units.step = 1000000;
    }
    s->units.price_scale = scale_of(s->units.tick);
    s->units.quantity_scale = scale_of(s->units.step);
    return price;
}

static bus_err open_symbol(sim_synth *y, symbol *s, const char *name, int64_t millihertz)
{
    int64_t price = describe(s, name, y->opts.seed);
    // A usual order is worth about 600 of the quote asset at these prices.
    int64_t lot = (int64_t)((__int128)600 * 100000000 * 100000000 / price / s->units.step);
    sim_market_spec spec = {price / s->units.tick, lot > 0 ? lot : 1, millihertz};
    bus_err err =
        sim_market_open(&s->market, &spec, y->opts.seed, bus_view_of(name), y->opts.first_id);
    if (err)
        return err;
    const sim_orders *orders = sim_market_orders(s->market);
    s->update_id = s->frame.last_id = s->slow.last_id = y->opts.first_id;
    s->trade_id = s->agg_id = y->opts.first_id;
    s->bid = sim_orders_level(orders, SIM_BID, 0);
    s->ask = sim_orders_level(orders, SIM_ASK, 0);
    sim_klines_init(&s->klines, y->opts.start_ns, spec.price);
    return BUS_OK;
}

// The first symbols are the busiest: weights 1, 1/2, 1/3 …
static int64_t share(int64_t rate, size_t i, size_t count)
{
    int64_t sum = 0;
    for (size_t k = 0; k < count; k++)
        sum += 1000000 / (int64_t)(k + 1);
    int64_t millihertz = (int64_t)((__int128)rate * 1000 * (1000000 / (int64_t)(i + 1)) / sum);
    return millihertz > 0 ? millihertz : 1;
}

static bus_err check_symbol(const char *name)
{
    size_t len = strlen(name);
    bool ok = len >= 1 && len <= 20;
    for (size_t i = 0; i < len; i++)
        ok = ok && ((name[i] >= 'A' && name[i] <= 'Z') || (name[i] >= '0' && name[i] <= '9'));
    return ok ? BUS_OK
              : bus_fail(BUS_EINVAL, "symbol '%s' must be 1..20 letters A-Z and digits", name);
}

bus_err sim_synth_open(sim_synth **out, const sim_synth_opts *opts)
{
    bus_err err = BUS_OK;
    if (opts->symbol_count == 0 || opts->symbol_count > SIM_SYNTH_SYMBOLS_MAX)
        return bus_fail(BUS_EINVAL, "the synthetic market takes 1..%d symbols, not %zu",
                        SIM_SYNTH_SYMBOLS_MAX, opts->symbol_count);
    sim_synth *y = calloc(1, sizeof *y);
    if (y)
        y->symbol = calloc(opts->symbol_count, sizeof *y->symbol);
    if (!y || !y->symbol) {
        free(y);
        return bus_fail(BUS_ENOMEM, "synthetic market");
    }
    y->opts = *opts;
    y->frame_ns = opts->start_ns + FRAME_NS;
    for (size_t i = 0; i < opts->symbol_count && !err; i++) {
        err = check_symbol(opts->symbols[i]);
        y->count = i + 1;
        if (!err)
            err = open_symbol(y, &y->symbol[i], opts->symbols[i],
                              share(opts->rate, i, opts->symbol_count));
    }
    if (err) {
        sim_synth_close(y);
        return err;
    }
    *out = y;
    return BUS_OK;
}

void sim_synth_close(sim_synth *y)
{
    if (!y)
        return;
    for (size_t i = 0; i < y->count; i++) {
        sim_market_close(y->symbol[i].market);
        sim_klines_release(&y->symbol[i].klines);
        free(y->symbol[i].frame.change);
        free(y->symbol[i].slow.change);
    }
    free(y->symbol);
    free(y);
}

// --- order events -----------------------------------------------------------------------------------

static void tell(sim_synth *y, sim_event *event, symbol *s, int64_t at_ns)
{
    event->symbol = (int)(s - y->symbol);
    event->units = &s->units;
    event->at_ns = at_ns;
    y->opts.host->event(y->opts.ctx, event);
}

static void mark(dirty *d, sim_change change)
{
    if (d->count == d->cap) {
        size_t cap = d->cap ? d->cap * 2 : 256;
        // a level left out would be a wrong book at every client
        d->change = bus_memory(d->change, cap * sizeof *d->change, "changed levels");
        d->cap = cap;
    }
    d->change[d->count++] = change;
}

static void tell_trades(sim_synth *y, symbol *s, const sim_market_event *m, int64_t at_ns)
{
    for (size_t i = 0; i < m->fills; i++) {
        const sim_fill *fill = &m->fill[i];
        int64_t id = ++s->trade_id;
        sim_event e = {.kind = SIM_EVENT_TRADE, .first_id = id, .last_id = id};
        e.as.trade.id = id;
        e.as.trade.price = fill->price;
        e.as.trade.quantity = fill->quantity;
        e.as.trade.buyer_is_maker = fill->buyer_is_maker;
        size_t kept = s->trade_count++ % SIM_TRADES_KEPT;
        s->trades[kept].at_ns = at_ns;
        s->trades[kept].id = id;
        s->trades[kept].price = fill->price;
        s->trades[kept].quantity = fill->quantity;
        s->trades[kept].buyer_is_maker = fill->buyer_is_maker;
        sim_klines_trade(&s->klines, id, fill->price, fill->quantity, fill->buyer_is_maker);
        tell(y, &e, s, at_ns);
    }
}

// Fills of the taker at one price are one aggregate trade.
static void tell_aggregates(sim_synth *y, symbol *s, const sim_market_event *m, int64_t at_ns)
{
    int64_t first = s->trade_id - (int64_t)m->fills + 1;
    for (size_t i = 0; i < m->fills;) {
        size_t end = i;
        int64_t quantity = 0;
        for (; end < m->fills && m->fill[end].price == m->fill[i].price; end++)
            quantity += m->fill[end].quantity;
        int64_t id = ++s->agg_id;
        sim_event e = {.kind = SIM_EVENT_AGG_TRADE, .first_id = id, .last_id = id};
        e.as.trade.id = id;
        e.as.trade.first_trade = first + (int64_t)i;
        e.as.trade.last_trade = first + (int64_t)end - 1;
        e.as.trade.price = m->fill[i].price;
        e.as.trade.quantity = quantity;
        e.as.trade.buyer_is_maker = m->fill[i].buyer_is_maker;
        tell(y, &e, s, at_ns);
        i = end;
    }
}

static bool same(sim_level a, sim_level b)
{
    return a.price == b.price && a.quantity == b.quantity;
}

static void tell_top(sim_synth *y, symbol *s, int64_t at_ns)
{
    const sim_orders *orders = sim_market_orders(s->market);
    sim_level bid = sim_orders_level(orders, SIM_BID, 0),
              ask = sim_orders_level(orders, SIM_ASK, 0);
    if (same(bid, s->bid) && same(ask, s->ask))
        return;
    s->bid = bid;
    s->ask = ask;
    sim_event e = {
        .kind = SIM_EVENT_BOOK_TICKER, .first_id = s->update_id, .last_id = s->update_id};
    e.as.top.bid = bid;
    e.as.top.ask = ask;
    tell(y, &e, s, at_ns);
}

static void order_event(sim_synth *y, symbol *s)
{
    sim_market_event *m = &y->event;
    sim_market_step(s->market, m);
    int64_t at_ns = y->opts.start_ns + m->at_ns;
    y->events++;
    for (size_t i = 0; i < m->changes; i++)
        mark(&s->frame, m->change[i]);
    s->update_id += (int64_t)m->changes;
    tell_trades(y, s, m, at_ns);
    tell_aggregates(y, s, m, at_ns);
    if (m->changes)
        tell_top(y, s, at_ns);
}

// --- every 100 ms -----------------------------------------------------------------------------------

// Bids best first, then asks best first.
static int by_place(const void *a, const void *b)
{
    const sim_change *x = a, *y = b;
    if (x->side != y->side)
        return x->side == SIM_BID ? -1 : 1;
    int order = (x->price > y->price) - (x->price < y->price);
    return x->side == SIM_BID ? -order : order;
}

// Each level once, with the quantity it has now.
static void settle(dirty *d, const sim_orders *orders)
{
    size_t kept = 0;
    qsort(d->change, d->count, sizeof *d->change, by_place);
    for (size_t i = 0; i < d->count; i++) {
        sim_change *c = &d->change[i];
        if (kept && d->change[kept - 1].side == c->side && d->change[kept - 1].price == c->price)
            continue;
        d->change[kept] = *c;
        d->change[kept].quantity = sim_orders_quantity(orders, c->side, c->price);
        kept++;
    }
    d->count = kept;
}

static void tell_depth(sim_synth *y, symbol *s, dirty *d, sim_event_kind kind)
{
    if (d->count == 0)
        return;
    sim_event e = {.kind = kind, .first_id = d->last_id + 1, .last_id = s->update_id};
    e.as.depth.change = d->change;
    e.as.depth.count = d->count;
    tell(y, &e, s, y->frame_ns);
    d->last_id = s->update_id;
}

static void depth_frames(sim_synth *y, symbol *s)
{
    int no = (int)(s - y->symbol);
    const sim_orders *orders = sim_market_orders(s->market);
    if (s->frame.count) {
        settle(&s->frame, orders);
        for (size_t i = 0; i < s->frame.count; i++)
            mark(&s->slow, s->frame.change[i]);
        tell_depth(y, s, &s->frame, SIM_EVENT_DEPTH);
        s->frame.count = 0;
    }
    if (y->frame_ns % SECOND != 0 || s->slow.count == 0)
        return;
    settle(&s->slow, orders);
    if (y->opts.host->wanted(y->opts.ctx, no, -1))
        tell_depth(y, s, &s->slow, SIM_EVENT_DEPTH_1000);
    s->slow.last_id = s->update_id;
    s->slow.count = 0;
}

static void tell_kline(sim_synth *y, symbol *s, int interval, const sim_bar *bar, bool closed)
{
    if (!y->opts.host->wanted(y->opts.ctx, (int)(s - y->symbol), interval))
        return;
    sim_event e = {.kind = SIM_EVENT_KLINE,
                   .first_id = bar->open_ns / 1000000,
                   .last_id = y->frame_ns / 1000000};
    e.as.kline.interval = interval;
    e.as.kline.bar = bar;
    e.as.kline.closed = closed;
    tell(y, &e, s, y->frame_ns);
}

static void kline_frames(sim_synth *y, symbol *s)
{
    sim_bar closed;
    for (int i = 0; i < SIM_INTERVALS; i++) {
        if (sim_klines_roll(&s->klines, i, y->frame_ns, &closed))
            tell_kline(y, s, i, &closed, true);
        else if (y->frame_ns % (2 * SECOND) == 0)
            tell_kline(y, s, i, &s->klines.interval[i].now, false);
    }
}

static void grid_event(sim_synth *y)
{
    for (size_t i = 0; i < y->count; i++) {
        depth_frames(y, &y->symbol[i]);
        if (y->frame_ns % SECOND == 0)
            kline_frames(y, &y->symbol[i]);
    }
    if (y->opts.events && y->events >= (uint64_t)y->opts.events)
        y->ended = true;
    y->frame_ns += FRAME_NS;
}

// --- time -------------------------------------------------------------------------------------------

static symbol *earliest(const sim_synth *y)
{
    symbol *first = &y->symbol[0];
    for (size_t i = 1; i < y->count; i++)
        if (sim_market_next(y->symbol[i].market) < sim_market_next(first->market))
            first = &y->symbol[i];
    return first;
}

static bool grid_is_next(const sim_synth *y)
{
    if (y->opts.events && y->events >= (uint64_t)y->opts.events)
        return true;
    return y->opts.start_ns + sim_market_next(earliest(y)->market) >= y->frame_ns;
}

int64_t sim_synth_next(const sim_synth *y)
{
    return grid_is_next(y) ? y->frame_ns : y->opts.start_ns + sim_market_next(earliest(y)->market);
}

void sim_synth_step(sim_synth *y)
{
    if (y->ended)
        return;
    if (grid_is_next(y))
        grid_event(y);
    else
        order_event(y, earliest(y));
}

bool sim_synth_ended(const sim_synth *y)
{
    return y->ended;
}

int64_t sim_synth_highest_id(const sim_synth *y)
{
    int64_t most = y->opts.first_id;
    for (size_t i = 0; i < y->count; i++) {
        const symbol *s = &y->symbol[i];
        int64_t orders = sim_market_last_order(s->market);
        most = s->update_id > most ? s->update_id : most;
        most = orders > most ? orders : most; // trades and aggregates are fewer
    }
    return most;
}

const sim_units *sim_synth_units(const sim_synth *y, int no)
{
    return &y->symbol[no].units;
}

const sim_orders *sim_synth_orders(const sim_synth *y, int no)
{
    return sim_market_orders(y->symbol[no].market);
}

int64_t sim_synth_update_id(const sim_synth *y, int no)
{
    return y->symbol[no].update_id;
}

const sim_klines *sim_synth_klines(const sim_synth *y, int no)
{
    return &y->symbol[no].klines;
}

bool sim_synth_trade(const sim_synth *y, int no, size_t i, sim_event *out)
{
    const symbol *s = &y->symbol[no];
    if (i >= s->trade_count || i >= SIM_TRADES_KEPT)
        return false;
    size_t at = (size_t)((s->trade_count - 1 - i) % SIM_TRADES_KEPT);
    *out = (sim_event){
        .kind = SIM_EVENT_TRADE, .symbol = no, .units = &s->units, .at_ns = s->trades[at].at_ns};
    out->as.trade.id = s->trades[at].id;
    out->as.trade.price = s->trades[at].price;
    out->as.trade.quantity = s->trades[at].quantity;
    out->as.trade.buyer_is_maker = s->trades[at].buyer_is_maker;
    return true;
}
