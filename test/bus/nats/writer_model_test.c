// What writing holds and what it does not, played by the model. One seed a round; a failure prints it.
// Source: schemas/specs/recording.md, "Writing" (what holds) and "Leases".
#include <inttypes.h>

#include "test/support/test.h"
#include "writer_model.h"

static void expect_one_holder(tally t)
{
    cr_expect(t.two_holders == 0, "%" PRIu64 " rounds with two holders at once; seed %" PRIu64,
              t.two_holders, t.seed);
    cr_expect(t.resumed > t.rounds / 10, "the rounds lapse too seldom to mean anything");
}

static void expect_sound(tally t)
{
    cr_assert(t.stored > t.rounds * 10, "the rounds store too little to mean anything");
    cr_expect(t.twice == 0, "%" PRIu64 " rounds stored an id twice; seed %" PRIu64, t.twice,
              t.seed);
    cr_expect(t.disorder == 0, "%" PRIu64 " rounds out of order; seed %" PRIu64, t.disorder,
              t.seed);
    cr_expect(t.unproven == 0, "%" PRIu64 " rounds acknowledged what is not stored; seed %" PRIu64,
              t.unproven, t.seed);
    cr_expect(t.stuck == 0, "%" PRIu64 " rounds never settled; seed %" PRIu64, t.stuck, t.seed);
}

TestSuite(writer_model, .timeout = 120);

Test(writer_model, ids_keep_one_writer_whole_through_breaks_freezes_restarts_and_pauses)
{
    const family rules = {.writers = 1, .outage_ms_max = 20000, .pause_ms_max = 20000};
    expect_sound(play(&rules, 10000, 1000));
}

Test(writer_model, ids_alone_store_twice_after_an_outage_longer_than_their_window)
{
    const family rules = {.writers = 1, .outage_ms_max = 300000};
    tally t = play(&rules, 1000, 6000);
    cr_expect(t.twice > 0, "the hole the specification names was not found");
    cr_expect(t.unproven == 0, "seed %" PRIu64, t.seed);
}

Test(writer_model, ids_and_the_tail_store_once_whatever_the_outage)
{
    const family rules = {.writers = 1, .outage_ms_max = 300000, .tail = true};
    expect_sound(play(&rules, 1000, 6000));
}

Test(writer_model, ids_alone_lose_the_order_when_the_broker_turns_down_the_middle_of_a_window)
{
    const family rules = {.writers = 1, .outage_ms_max = 10000, .declines = true};
    tally t = play(&rules, 1000, 400);
    cr_expect(t.disorder > 0, "the hole the specification names was not found");
    cr_expect(t.twice == 0 && t.unproven == 0 && t.stuck == 0, "seed %" PRIu64, t.seed);
}

Test(writer_model, a_batch_that_dies_with_its_first_refusal_keeps_the_order)
{
    const family rules = {.writers = 1, .outage_ms_max = 10000, .declines = true, .fence = true};
    expect_sound(play(&rules, 10000, 400));
}

Test(writer_model, reading_the_tail_first_stores_once_whatever_the_outage)
{
    const family rules = {.writers = 1, .outage_ms_max = 300000, .fence = true};
    expect_sound(play(&rules, 1000, 6000));
}

Test(writer_model, a_lease_and_ids_store_nothing_twice_but_a_stopped_writers_bytes_may_come_late)
{
    const family rules = {.writers = 2, .outage_ms_max = 15000, .pause_ms_max = 40000};
    tally t = play(&rules, 1000, 1500);
    cr_expect(t.disorder > 0, "the hole the specification names was not found");
    expect_one_holder(t);
    cr_expect(t.twice == 0, "%" PRIu64 " rounds stored an id twice", t.twice);
    cr_expect(t.unproven == 0, "%" PRIu64 " rounds acknowledged what is not stored", t.unproven);
}

Test(writer_model, a_lease_longer_than_a_batch_lives_idle_keeps_two_writers_in_order)
{
    const family rules = {
        .writers = 2, .outage_ms_max = 40000, .pause_ms_max = 60000, .fence = true};
    tally t = play(&rules, 10000, 1500);
    expect_one_holder(t);
    expect_sound(t);
}
