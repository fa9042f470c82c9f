#include "feeds/sim/random.h"

#include "test/support/test.h"

enum { DRAWS = 1000000 };

Test(random, a_seed_and_a_name_give_one_sequence)
{
    sim_random a, b, c;
    sim_random_seed(&a, 1, BUS_VIEW("BTCUSDT"));
    sim_random_seed(&b, 1, BUS_VIEW("BTCUSDT"));
    sim_random_seed(&c, 1, BUS_VIEW("ETHUSDT"));
    int same = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t x = sim_random_next(&a);
        cr_assert_eq(x, sim_random_next(&b));
        same += x == sim_random_next(&c);
    }
    cr_expect_eq(same, 0);
}

Test(random, exponential_numbers_have_the_mean_and_the_tail_they_should)
{
    sim_random random;
    double sum = 0;
    int above = 0;
    sim_random_seed(&random, 5, BUS_VIEW("e"));
    for (int i = 0; i < DRAWS; i++) {
        double x = (double)sim_random_exponential(&random) / (1 << 20);
        sum += x;
        above += x > 3;
    }
    cr_expect(sum / DRAWS > 0.99 && sum / DRAWS < 1.01, "%f", sum / DRAWS);
    cr_expect(above > DRAWS * 0.0478 && above < DRAWS * 0.0518, "%d", above); // exp(-3) = 0.0498
}

Test(random, normal_numbers_have_mean_0_and_deviation_1)
{
    sim_random random;
    double sum = 0, squares = 0;
    sim_random_seed(&random, 6, BUS_VIEW("n"));
    for (int i = 0; i < DRAWS; i++) {
        double x = (double)sim_random_normal(&random) / 65536;
        sum += x;
        squares += x * x;
    }
    cr_expect(sum / DRAWS > -0.01 && sum / DRAWS < 0.01, "%f", sum / DRAWS);
    cr_expect(squares / DRAWS > 0.98 && squares / DRAWS < 1.02, "%f", squares / DRAWS);
}
