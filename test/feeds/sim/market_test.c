#include "feeds/sim/market.h"

#include "test/support/test.h"

// Source: schemas/specs/simexd.md, "Synthetic market".
static sim_market *given_market(uint64_t seed, int64_t price, int64_t rate)
{
    sim_market *m;
    sim_market_spec spec = {price, 1000, rate * 1000};
    test_ok(sim_market_open(&m, &spec, seed, BUS_VIEW("BTCUSDT"), 500));
    return m;
}

static void copy_levels(const sim_orders *orders, sim_book *book)
{
    for (int side = SIM_BID; side <= SIM_ASK; side++) {
        for (size_t i = 0; i < sim_orders_levels(orders, (sim_side)side); i++) {
            sim_level level = sim_orders_level(orders, (sim_side)side, i);
            test_ok(
                sim_book_apply(book, (sim_change){level.price, level.quantity, (sim_side)side}));
        }
    }
}

static int64_t quantity_at(const sim_book *book, sim_change at)
{
    for (size_t i = 0;; i++) {
        const sim_level *level = sim_book_best(book, at.side, i);
        if (!level || level->price == at.price)
            return level ? level->quantity : 0;
    }
}

// One event against a book that only knows what the event tells.
static void check_event(sim_book *book, const sim_market_event *e)
{
    cr_assert(e->changes <= SIM_MARKET_CHANGES && e->fills <= e->changes);
    for (size_t i = 0; i < e->changes; i++) {
        cr_assert(e->change[i].price > 0 && e->change[i].quantity >= 0);
        if (i < e->fills) {
            int64_t before = quantity_at(book, e->change[i]);
            cr_assert(e->fill[i].quantity > 0 && e->fill[i].price == e->change[i].price);
            cr_assert_eq(before - e->fill[i].quantity, e->change[i].quantity,
                         "a trade takes what its level loses");
            cr_assert_eq(e->fill[i].buyer_is_maker, e->change[i].side == SIM_BID);
            cr_assert(e->fill[i].maker > 500 && e->fill[i].taker > e->fill[i].maker);
        }
        test_ok(sim_book_apply(book, e->change[i]));
    }
}

static const int64_t WINDOW_NS = 10000000000;

static void run(uint64_t seed, int64_t price, int64_t rate, int events)
{
    sim_market *m = given_market(seed, price, rate);
    const sim_orders *orders = sim_market_orders(m);
    sim_book book = {0};
    sim_market_event e;
    int64_t last = 0, trades = 0;
    int64_t window = 0, in_window = 0, busiest = 0,
            calmest = INT64_MAX; // of any whole window of 10 s
    copy_levels(orders, &book);
    for (int i = 0; i < events; i++) {
        cr_assert_gt(sim_market_next(m), last);
        sim_market_step(m, &e);
        last = e.at_ns;
        trades += (int64_t)e.fills;
        if (e.at_ns / WINDOW_NS != window && in_window) {
            busiest = in_window > busiest ? in_window : busiest;
            calmest = in_window < calmest ? in_window : calmest;
            in_window = 0;
        }
        window = e.at_ns / WINDOW_NS;
        in_window++;
        check_event(&book, &e);
        int64_t bid = sim_orders_best(orders, SIM_BID), ask = sim_orders_best(orders, SIM_ASK);
        cr_assert(bid > 0 && bid < ask, "crossed at event %d: %lld %lld", i, (long long)bid,
                  (long long)ask);
        cr_assert(sim_book_best(&book, SIM_BID, 0)->price == bid &&
                  sim_book_best(&book, SIM_ASK, 0)->price == ask);
        cr_assert(sim_orders_levels(orders, SIM_BID) >= SIM_LEVELS_MIN &&
                  sim_orders_levels(orders, SIM_ASK) >= SIM_LEVELS_MIN);
        cr_assert(sim_orders_levels(orders, SIM_BID) <= SIM_LEVELS_MAX &&
                  sim_orders_levels(orders, SIM_ASK) <= SIM_LEVELS_MAX);
    }
    cr_expect(trades > events / 20 && trades < events * 2, "%lld trades", (long long)trades);
    double mean = events / ((double)last / 1e9);
    cr_expect(mean > (double)rate * 0.6 && mean < (double)rate * 1.6, "%f a second", mean);
    if (events / rate > 3600)
        cr_expect(busiest > 3 * calmest, "calm and busy times within an hour: %lld, %lld",
                  (long long)calmest, (long long)busiest);
    sim_book_release(&book);
    sim_market_close(m);
}

Test(market, never_crosses_and_trades_agree_with_depth_over_two_million_events)
{
    run(1, 6000000, 200, 1000000);
    run(2, 15000, 60, 1000000);
}

Test(market, holds_at_extreme_rates_and_prices)
{
    run(3, 6000000, 1000000, 300000);
    run(4, 10000, 1, 100000);
    run(5, 900000000, 20, 100000);
}

Test(market, a_seed_gives_one_flow_and_another_seed_another)
{
    sim_market *a = given_market(1, 6000000, 100), *b = given_market(1, 6000000, 100),
               *c = given_market(2, 6000000, 100);
    sim_market_event x, y, z;
    int different = 0;
    for (int i = 0; i < 20000; i++) {
        sim_market_step(a, &x);
        sim_market_step(b, &y);
        sim_market_step(c, &z);
        cr_assert(x.at_ns == y.at_ns && x.changes == y.changes && x.fills == y.fills);
        for (size_t k = 0; k < x.changes; k++)
            cr_assert(x.change[k].price == y.change[k].price &&
                      x.change[k].quantity == y.change[k].quantity);
        different += x.at_ns != z.at_ns;
    }
    cr_expect_gt(different, 19990);
    sim_market_close(a);
    sim_market_close(b);
    sim_market_close(c);
}

Test(market, arrivals_come_in_clusters)
{
    enum { WINDOWS = 20000 };
    static int count[WINDOWS];
    sim_market *m = given_market(9, 6000000, 100);
    sim_market_event e = {0};
    while (e.at_ns / 100000000 < WINDOWS) {
        sim_market_step(m, &e);
        if (e.at_ns / 100000000 < WINDOWS)
            count[e.at_ns / 100000000]++;
    }
    double sum = 0, squares = 0;
    for (int i = 0; i < WINDOWS; i++) {
        sum += count[i];
        squares += (double)count[i] * count[i];
    }
    double mean = sum / WINDOWS, variance = squares / WINDOWS - mean * mean;
    cr_expect(variance / mean > 1.5, "variance %f, mean %f: a Poisson flow has 1", variance, mean);
    sim_market_close(m);
}
