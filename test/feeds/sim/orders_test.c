#include "feeds/sim/orders.h"

#include <stdlib.h>

#include "feeds/sim/random.h"
#include "test/support/test.h"

static uint32_t add(sim_orders *o, int64_t id, sim_side side, int64_t price, int64_t quantity)
{
    sim_change change;
    uint32_t handle = sim_orders_add(o, id, side, price, quantity, &change);
    cr_assert(handle != SIM_NO_ORDER);
    return handle;
}

Test(orders, fill_the_best_price_first_and_the_oldest_order_of_it)
{
    sim_orders *o;
    sim_fill fill[8];
    sim_change change[8];
    test_ok(sim_orders_open(&o, 16));
    add(o, 1, SIM_ASK, 101, 5);
    add(o, 2, SIM_ASK, 100, 3);
    add(o, 3, SIM_ASK, 100, 4);
    size_t n = sim_orders_take(o, 9, SIM_BID, 101, 8, fill, change, 8);
    cr_assert_eq(n, 3);
    cr_expect(fill[0].maker == 2 && fill[0].quantity == 3 && fill[0].price == 100);
    cr_expect(fill[1].maker == 3 && fill[1].quantity == 4 && change[1].quantity == 0);
    cr_expect(fill[2].maker == 1 && fill[2].quantity == 1 && fill[2].price == 101);
    cr_expect(!fill[2].buyer_is_maker && fill[2].taker == 9 && change[2].quantity == 4);
    cr_expect_eq(sim_orders_best(o, SIM_ASK), 101);
    cr_expect_eq(sim_orders_live(o), 1);
    sim_orders_close(o);
}

Test(orders, a_taker_stops_at_its_limit_and_at_the_most_fills)
{
    sim_orders *o;
    sim_fill fill[8];
    sim_change change[8];
    test_ok(sim_orders_open(&o, 16));
    add(o, 1, SIM_BID, 100, 5);
    add(o, 2, SIM_BID, 99, 5);
    cr_expect_eq(sim_orders_take(o, 9, SIM_ASK, 100, 50, fill, change, 8), 1);
    add(o, 3, SIM_BID, 99, 5);
    cr_expect_eq(sim_orders_take(o, 9, SIM_ASK, 1, 50, fill, change, 1), 1);
    cr_expect_eq(sim_orders_quantity(o, SIM_BID, 99), 5);
    sim_orders_close(o);
}

Test(orders, no_more_rest_than_were_asked_for)
{
    sim_orders *o;
    sim_change change;
    test_ok(sim_orders_open(&o, 2));
    uint32_t first = add(o, 1, SIM_BID, 10, 1);
    add(o, 2, SIM_BID, 11, 1);
    cr_expect_eq(sim_orders_add(o, 3, SIM_BID, 12, 1, &change), SIM_NO_ORDER);
    sim_orders_cancel(o, first, &change);
    cr_expect(change.price == 10 && change.quantity == 0);
    add(o, 3, SIM_BID, 12, 1);
    cr_expect_eq(sim_orders_best(o, SIM_BID), 12);
    sim_orders_close(o);
}

// Every change that is told, applied to a plain book, must give the levels of the orders.
Test(orders, levels_are_the_sum_of_the_changes_told)
{
    enum { STEPS = 300000 };
    sim_orders *o;
    sim_book book = {0};
    sim_random random;
    sim_fill fill[16];
    sim_change change[16];
    sim_random_seed(&random, 11, BUS_VIEW("orders"));
    test_ok(sim_orders_open(&o, 300));
    for (int64_t i = 0; i < STEPS; i++) {
        sim_side side = sim_random_below(&random, 2);
        uint64_t what = sim_random_below(&random, 10);
        size_t n = 0;
        int64_t price = 1000 + (int64_t)sim_random_below(&random, 40) * (side == SIM_BID ? -1 : 1);
        if (what < 5)
            n = sim_orders_add(o, i + 1, side, side == SIM_BID ? price - 1 : price, 1 + i % 5,
                               change) != SIM_NO_ORDER;
        else if (what < 8 && sim_orders_live(o))
            n = 1,
            sim_orders_cancel(
                o, sim_orders_pick(o, (uint32_t)sim_random_below(&random, sim_orders_live(o))),
                change);
        else
            n = sim_orders_take(o, i + 1, side, price, 7, fill, change, 16);
        for (size_t k = 0; k < n; k++)
            test_ok(sim_book_apply(&book, change[k]));
    }
    for (int side = 0; side < 2; side++) {
        cr_assert_eq(sim_orders_levels(o, (sim_side)side), book.side[side].count);
        for (size_t i = 0; i < book.side[side].count; i++) {
            sim_level level = sim_orders_level(o, (sim_side)side, i);
            const sim_level *plain = sim_book_best(&book, (sim_side)side, i);
            cr_assert(level.price == plain->price && level.quantity == plain->quantity);
        }
    }
    sim_book_release(&book);
    sim_orders_close(o);
}
