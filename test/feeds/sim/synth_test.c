#include "feeds/sim/synth.h"

#include <stdlib.h>

#include "feeds/sim/json.h"
#include "test/support/test.h"

// Source: schemas/specs/simexd.md, "Synthetic market".
enum { SYMBOLS = 3 };
static const char *const NAMES[SYMBOLS] = {"BTCUSDT", "SOLUSDT", "FOOBTC"};
static const int64_t START = 1723161200000000000, BASE = 1723161200000000;

// What a careful client of the venue makes of the events.
typedef struct {
    sim_synth *synth;
    sim_book book[SYMBOLS], slow[SYMBOLS];
    int64_t u[SYMBOLS], slow_u[SYMBOLS], trade[SYMBOLS], agg[SYMBOLS], at;
    int64_t minute_volume[SYMBOLS], minute_trades[SYMBOLS], agg_quantity[SYMBOLS],
        trade_quantity[SYMBOLS];
    int frames, closed_bars, checked_bars;
    bool slow_off;
    uint64_t digest; // of the flow, without ids
} client;

static void mix(client *c, int64_t n)
{
    c->digest = (c->digest ^ (uint64_t)n) * 1099511628211u;
}

static void on_trade(client *c, const sim_event *e)
{
    int s = e->symbol;
    cr_assert_eq(e->as.trade.id, c->trade[s] + 1);
    c->trade[s] = e->as.trade.id;
    cr_assert(e->as.trade.price > 0 && e->as.trade.quantity > 0);
    c->minute_volume[s] += e->as.trade.quantity;
    c->trade_quantity[s] += e->as.trade.quantity;
    c->minute_trades[s]++;
    mix(c, e->as.trade.price), mix(c, e->as.trade.quantity), mix(c, e->as.trade.buyer_is_maker);
}

static void on_agg(client *c, const sim_event *e)
{
    int s = e->symbol;
    cr_assert_eq(e->as.trade.id, c->agg[s] + 1);
    c->agg[s] = e->as.trade.id;
    cr_assert(e->as.trade.last_trade <= c->trade[s] &&
              e->as.trade.first_trade <= e->as.trade.last_trade);
    c->agg_quantity[s] += e->as.trade.quantity;
}

static void on_top(const client *c, const sim_event *e)
{
    const sim_orders *orders = sim_synth_orders(c->synth, e->symbol);
    sim_level bid = sim_orders_level(orders, SIM_BID, 0),
              ask = sim_orders_level(orders, SIM_ASK, 0);
    cr_assert_eq(e->last_id, sim_synth_update_id(c->synth, e->symbol));
    cr_assert(bid.price == e->as.top.bid.price && bid.quantity == e->as.top.bid.quantity);
    cr_assert(ask.price == e->as.top.ask.price && ask.quantity == e->as.top.ask.quantity);
}

static void apply(sim_book *book, int64_t *u, const sim_event *e)
{
    cr_assert_eq(e->first_id, *u + 1);
    cr_assert_geq(e->last_id, e->first_id);
    *u = e->last_id;
    for (size_t i = 0; i < e->as.depth.count; i++)
        test_ok(sim_book_apply(book, e->as.depth.change[i]));
}

static void compare(const client *c, const sim_book *book, int s)
{
    const sim_orders *orders = sim_synth_orders(c->synth, s);
    for (int side = SIM_BID; side <= SIM_ASK; side++) {
        cr_assert_eq(sim_orders_levels(orders, (sim_side)side), book->side[side].count);
        for (size_t i = 0; i < book->side[side].count; i++) {
            sim_level level = sim_orders_level(orders, (sim_side)side, i);
            const sim_level *mine = sim_book_best(book, (sim_side)side, i);
            cr_assert(level.price == mine->price && level.quantity == mine->quantity);
        }
    }
}

static void on_kline(client *c, const sim_event *e)
{
    const sim_bar *bar = e->as.kline.bar;
    cr_assert(bar->low <= bar->open && bar->low <= bar->close && bar->high >= bar->open &&
              bar->high >= bar->close);
    if (!e->as.kline.closed || strcmp(sim_interval_name(e->as.kline.interval), "1m") != 0)
        return;
    c->closed_bars++;
    cr_assert_eq(bar->volume, c->minute_volume[e->symbol]);
    cr_assert_eq(bar->trades, c->minute_trades[e->symbol]);
    c->minute_volume[e->symbol] = c->minute_trades[e->symbol] = 0;
}

static void on_event(void *ctx, const sim_event *e)
{
    client *c = ctx;
    cr_assert_geq(e->at_ns, c->at);
    c->at = e->at_ns;
    mix(c, (int64_t)e->kind), mix(c, e->symbol), mix(c, e->at_ns - START);
    switch (e->kind) {
    case SIM_EVENT_TRADE:
        on_trade(c, e);
        break;
    case SIM_EVENT_AGG_TRADE:
        on_agg(c, e);
        break;
    case SIM_EVENT_BOOK_TICKER:
        on_top(c, e);
        break;
    case SIM_EVENT_DEPTH:
        cr_assert_eq(e->at_ns % 100000000, 0);
        apply(&c->book[e->symbol], &c->u[e->symbol], e);
        c->frames++;
        if (c->frames % 50 == 0)
            compare(c, &c->book[e->symbol], e->symbol);
        break;
    case SIM_EVENT_DEPTH_1000:
        cr_assert_eq(e->at_ns % 1000000000, 0);
        apply(&c->slow[e->symbol], &c->slow_u[e->symbol], e);
        compare(c, &c->slow[e->symbol], e->symbol);
        break;
    case SIM_EVENT_KLINE:
        on_kline(c, e);
        break;
    }
}

static bool wanted(void *ctx, int symbol, int interval)
{
    client *c = ctx;
    (void)symbol;
    return !(c->slow_off && interval < 0);
}

static const sim_synth_host host = {on_event, wanted};

static void on_first(void *ctx, const sim_event *e)
{
    client *c = ctx;
    if (e->symbol != 0)
        return;
    mix(c, (int64_t)e->kind), mix(c, e->at_ns), mix(c, e->last_id);
    if (e->kind == SIM_EVENT_TRADE)
        mix(c, e->as.trade.price), mix(c, e->as.trade.quantity);
}

static const sim_synth_host first_host = {on_first, wanted};

static void begin(client *c, uint64_t seed, int64_t base, int64_t events)
{
    sim_synth_opts opts = {NAMES, SYMBOLS, seed, 400, events, base, START, &host, c};
    *c = (client){.at = START};
    test_ok(sim_synth_open(&c->synth, &opts));
    for (int s = 0; s < SYMBOLS; s++) {
        const sim_orders *orders = sim_synth_orders(c->synth, s);
        c->u[s] = c->slow_u[s] = c->trade[s] = c->agg[s] = base;
        for (int side = SIM_BID; side <= SIM_ASK; side++) {
            for (size_t i = 0; i < sim_orders_levels(orders, (sim_side)side); i++) {
                sim_level level = sim_orders_level(orders, (sim_side)side, i);
                sim_change change = {level.price, level.quantity, (sim_side)side};
                test_ok(sim_book_apply(&c->book[s], change));
                test_ok(sim_book_apply(&c->slow[s], change));
            }
        }
    }
}

static void end(client *c)
{
    for (int s = 0; s < SYMBOLS; s++) {
        sim_book_release(&c->book[s]);
        sim_book_release(&c->slow[s]);
    }
    sim_synth_close(c->synth);
}

Test(synth, a_client_that_follows_depth_has_the_markets_book_over_a_million_events)
{
    client c;
    begin(&c, 1, BASE, 1000000);
    int steps = 0; // one a change of an order book, and one every 100 ms
    for (; !sim_synth_ended(c.synth); steps++)
        sim_synth_step(c.synth);
    cr_expect_gt(steps, 1000000);
    for (int s = 0; s < SYMBOLS; s++) {
        cr_expect_eq(c.u[s], sim_synth_update_id(c.synth, s), "the last frame carries the last id");
        compare(&c, &c.book[s], s);
        cr_expect_eq(c.agg_quantity[s], c.trade_quantity[s]);
        cr_expect_gt(c.trade[s], BASE + 1000);
    }
    cr_expect_gt(c.closed_bars, 30);
    end(&c);
}

Test(synth, the_same_seed_gives_the_same_flow_whatever_the_ids)
{
    client a, b, other;
    begin(&a, 42, BASE, 50000);
    begin(&b, 42, BASE + 123456789, 50000);
    begin(&other, 43, BASE, 50000);
    client *all[] = {&a, &b, &other};
    for (int i = 0; i < 3; i++) {
        while (!sim_synth_ended(all[i]->synth))
            sim_synth_step(all[i]->synth);
    }
    cr_expect_eq(a.digest, b.digest);
    cr_expect_neq(a.digest, other.digest);
    cr_expect_eq(sim_synth_highest_id(b.synth) - sim_synth_highest_id(a.synth), 123456789);
    for (int i = 0; i < 3; i++)
        end(all[i]);
}

// Digest of the first symbol's flow over a minute, beside another one.
static uint64_t flow_beside(const char *neighbour)
{
    const char *const names[] = {"BTCUSDT", neighbour};
    client c = {.at = START, .slow_off = true};
    sim_synth_opts opts = {names, 2, 7, 400, 0, BASE, START, &first_host, &c};
    test_ok(sim_synth_open(&c.synth, &opts));
    while (sim_synth_next(c.synth) < START + 60000000000)
        sim_synth_step(c.synth);
    sim_synth_close(c.synth);
    return c.digest;
}

Test(synth, the_flow_of_a_symbol_does_not_depend_on_the_others)
{
    uint64_t digest = flow_beside("ETHUSDT");
    cr_expect_neq(digest, 0);
    cr_expect_eq(digest, flow_beside("SOLUSDT"));
}

Test(synth, frames_are_json_that_the_venues_readers_take)
{
    client c;
    sim_text text = {0};
    sim_event e;
    bus_view value, inner;
    int64_t n;
    begin(&c, 3, BASE, 20000);
    while (!sim_synth_ended(c.synth))
        sim_synth_step(c.synth);
    cr_assert(sim_synth_trade(c.synth, 0, 0, &e));
    sim_event_render(&e, 1, &text);
    cr_assert(sim_json_get(sim_text_view(&text), "t", &value) && sim_json_int(value, &n));
    cr_expect_eq(n, c.trade[0]);
    cr_assert(sim_json_get(sim_text_view(&text), "E", &value) && sim_json_int(value, &n));
    cr_expect_eq(n, e.at_ns / 1000000);
    cr_assert(sim_json_get(sim_text_view(&text), "p", &value) && sim_json_text(value, &inner));
    cr_expect(memchr(inner.ptr, '.', inner.len), "%.*s", BUS_VIEW_ARG(inner));
    sim_text_clear(&text);
    sim_event_render(&e, 1000, &text);
    cr_assert(sim_json_get(sim_text_view(&text), "T", &value) && sim_json_int(value, &n));
    cr_expect_eq(n, e.at_ns / 1000);
    sim_text_release(&text);
    end(&c);
}

Test(synth, refuses_symbols_that_could_not_be_streams)
{
    static const char *const bad[][1] = {{""}, {"btcusdt"}, {"A.B"}, {"ABCDEFGHIJKLMNOPQRSTU"}};
    sim_synth *synth;
    client c = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        sim_synth_opts opts = {bad[i], 1, 1, 1, 0, 1, START, &host, &c};
        test_expect_err(sim_synth_open(&synth, &opts), BUS_EINVAL);
    }
    sim_synth_opts none = {bad[0], 0, 1, 1, 0, 1, START, &host, &c};
    test_expect_err(sim_synth_open(&synth, &none), BUS_EINVAL);
}
