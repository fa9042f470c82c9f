#include "feeds/sim/book.h"

#include <stdlib.h>

#include "feeds/sim/random.h"
#include "test/support/test.h"

Test(book, keeps_both_sides_best_first)
{
    sim_book book = {0};
    const sim_change changes[] = {{100, 1, SIM_BID}, {101, 2, SIM_BID}, {99, 3, SIM_BID},
                                  {103, 4, SIM_ASK}, {102, 5, SIM_ASK}, {101, 0, SIM_BID},
                                  {500, 0, SIM_ASK}, {99, 7, SIM_BID}};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        test_ok(sim_book_apply(&book, changes[i]));
    cr_expect_eq(sim_book_best(&book, SIM_BID, 0)->price, 100);
    cr_expect_eq(sim_book_best(&book, SIM_BID, 1)->quantity, 7);
    cr_expect_null(sim_book_best(&book, SIM_BID, 2));
    cr_expect_eq(sim_book_best(&book, SIM_ASK, 0)->price, 102);
    cr_expect_eq(sim_book_best(&book, SIM_ASK, 1)->price, 103);
    sim_book_release(&book);
}

Test(book, equals_a_plain_table_after_any_changes)
{
    enum { PRICES = 500, CHANGES = 200000 };
    static int64_t table[2][PRICES];
    sim_book book = {0};
    sim_random random;
    sim_random_seed(&random, 7, BUS_VIEW("book"));
    for (int i = 0; i < CHANGES; i++) {
        sim_change c = {(int64_t)sim_random_below(&random, PRICES),
                        (int64_t)sim_random_below(&random, 3), sim_random_below(&random, 2)};
        table[c.side][c.price] = c.quantity;
        test_ok(sim_book_apply(&book, c));
    }
    for (int side = 0; side < 2; side++) {
        size_t at = 0;
        for (int64_t k = 0; k < PRICES; k++) {
            int64_t price = side == SIM_BID ? PRICES - 1 - k : k;
            if (table[side][price] == 0)
                continue;
            const sim_level *level = sim_book_best(&book, (sim_side)side, at++);
            cr_assert(level && level->price == price && level->quantity == table[side][price]);
        }
        cr_expect_eq(book.side[side].count, at);
    }
    sim_book_release(&book);
}
