// Source: schemas/specs/recording.md, "Leases".
#include "bus/nats/lease_logic.h"
#include "test/support/test.h"

static bus_lease_logic l;
static uint64_t expected;

static bus_mono at(int64_t s)
{
    return (bus_mono){(s + 100) * 1000000000};
}

static bool held_at(int64_t s)
{
    return bus_lease_logic_standing(&l, at(s)) == BUS_LEASE_HELD;
}

static bus_lease_standing standing_at(int64_t s)
{
    return bus_lease_logic_standing(&l, at(s));
}

static void given_a_lease_of_15_s(void)
{
    bus_lease_logic_init(&l, BUS_SPAN_S(15));
}

static void given_it_is_held_since(int64_t s, uint64_t revision)
{
    given_a_lease_of_15_s();
    bus_lease_logic_seen(&l, 0, BUS_LEASE_FREE, at(s));
    bus_lease_logic_written(&l, BUS_LEASE_WRITTEN, revision, at(s), at(s));
}

Test(lease_logic, reads_first_and_creates_what_is_not_there)
{
    given_a_lease_of_15_s();
    cr_assert_eq(bus_lease_logic_step(&l, at(0), &expected), BUS_LEASE_READ);
    bus_lease_logic_seen(&l, 0, BUS_LEASE_FREE, at(0));
    cr_assert_eq(bus_lease_logic_step(&l, at(0), &expected), BUS_LEASE_CREATE);
    bus_lease_logic_written(&l, BUS_LEASE_WRITTEN, 5, at(0), at(1));
    cr_assert(held_at(1));
    cr_assert_eq(l.fence, 5);
}

Test(lease_logic, renews_after_a_third_and_is_held_for_two_thirds_from_the_start_of_the_write)
{
    given_it_is_held_since(0, 5);
    cr_assert_eq(bus_lease_logic_step(&l, at(4), &expected), BUS_LEASE_WAIT);
    cr_assert_eq(bus_lease_logic_step(&l, at(5), &expected), BUS_LEASE_UPDATE);
    cr_assert_eq(expected, 5);
    bus_lease_logic_written(&l, BUS_LEASE_WRITTEN, 6, at(5), at(8));
    cr_assert(held_at(14));
    cr_assert_not(held_at(15), "counted from 5, when the write began");
    cr_assert_eq(l.fence, 5, "renewing is no new session");
}

Test(lease_logic, takes_over_only_after_a_whole_span_without_a_change)
{
    given_a_lease_of_15_s();
    bus_lease_logic_seen(&l, 9, BUS_LEASE_NAMED, at(0));
    bus_lease_logic_seen(&l, 10, BUS_LEASE_NAMED, at(8));
    bus_lease_logic_seen(&l, 10, BUS_LEASE_NAMED, at(22));
    cr_assert_neq(bus_lease_logic_step(&l, at(22), &expected), BUS_LEASE_UPDATE);
    cr_assert_eq(bus_lease_logic_step(&l, at(23), &expected), BUS_LEASE_UPDATE);
    cr_assert_eq(expected, 10);
}

Test(lease_logic, takes_what_was_given_back_at_once)
{
    given_a_lease_of_15_s();
    bus_lease_logic_seen(&l, 9, BUS_LEASE_FREE, at(0));
    cr_assert_eq(bus_lease_logic_step(&l, at(0), &expected), BUS_LEASE_UPDATE);
}

Test(lease_logic, a_conflict_stops_the_holder_at_once_and_another_name_ends_its_session)
{
    given_it_is_held_since(0, 5);
    bus_lease_logic_written(&l, BUS_LEASE_CONFLICT, 0, at(5), at(5));
    cr_assert_eq(standing_at(5), BUS_LEASE_LAPSED);
    cr_assert_eq(bus_lease_logic_step(&l, at(5), &expected), BUS_LEASE_READ);
    bus_lease_logic_seen(&l, 7, BUS_LEASE_NAMED, at(6));
    cr_assert_eq(standing_at(6), BUS_LEASE_NONE);
    cr_assert_eq(l.fence, 0);
    cr_assert_neq(bus_lease_logic_step(&l, at(20), &expected), BUS_LEASE_UPDATE);
    cr_assert_eq(bus_lease_logic_step(&l, at(21), &expected), BUS_LEASE_UPDATE,
                 "a span after it was seen");
    bus_lease_logic_written(&l, BUS_LEASE_WRITTEN, 8, at(21), at(21));
    cr_assert_eq(l.fence, 8, "a new session");
}

Test(lease_logic, a_key_that_was_deleted_or_given_back_by_another_ends_the_session)
{
    for (uint64_t revision = 0; revision < 10; revision += 9) {
        given_it_is_held_since(0, 5);
        bus_lease_logic_written(&l, BUS_LEASE_CONFLICT, 0, at(5), at(5));
        bus_lease_logic_seen(&l, revision, BUS_LEASE_FREE, at(5));
        cr_assert_eq(standing_at(5), BUS_LEASE_NONE);
        bus_lease_step step = revision ? BUS_LEASE_UPDATE : BUS_LEASE_CREATE;
        cr_assert_eq(bus_lease_logic_step(&l, at(5), &expected), step);
        cr_assert_eq(expected, revision);
    }
}

Test(lease_logic, a_conflict_with_its_own_renewal_that_nobody_answered_keeps_the_session)
{
    given_it_is_held_since(0, 5);
    bus_lease_logic_written(&l, BUS_LEASE_UNKNOWN, 0, at(5), at(9));
    bus_lease_logic_written(&l, BUS_LEASE_CONFLICT, 0, at(9), at(9));
    cr_assert_eq(standing_at(9), BUS_LEASE_LAPSED);
    bus_lease_logic_seen(&l, 6, BUS_LEASE_OUR_OWN, at(9));
    cr_assert_eq(standing_at(9), BUS_LEASE_HELD, "by the last renewal that was answered");
    cr_assert_eq(standing_at(10), BUS_LEASE_LAPSED);
    cr_assert_eq(bus_lease_logic_step(&l, at(10), &expected), BUS_LEASE_UPDATE);
    cr_assert_eq(expected, 6);
    bus_lease_logic_written(&l, BUS_LEASE_WRITTEN, 7, at(10), at(10));
    cr_assert_eq(standing_at(10), BUS_LEASE_HELD);
    cr_assert_eq(l.fence, 5);
}

Test(lease_logic, no_answer_keeps_it_until_its_time_is_over)
{
    given_it_is_held_since(0, 5);
    bus_lease_logic_written(&l, BUS_LEASE_UNKNOWN, 0, at(5), at(9));
    cr_assert(held_at(9));
    cr_assert_eq(standing_at(10), BUS_LEASE_LAPSED);
    cr_assert_eq(bus_lease_logic_step(&l, at(10), &expected), BUS_LEASE_UPDATE);
    cr_assert_eq(expected, 5);
}

Test(lease_logic, a_holder_that_was_stopped_goes_on_when_its_revision_is_still_the_last)
{
    given_it_is_held_since(0, 5);
    cr_assert_eq(standing_at(600), BUS_LEASE_LAPSED);
    cr_assert_eq(bus_lease_logic_step(&l, at(600), &expected), BUS_LEASE_UPDATE);
    cr_assert_eq(expected, 5);
    cr_assert_eq(standing_at(600), BUS_LEASE_LAPSED, "asking is not having");
    bus_lease_logic_written(&l, BUS_LEASE_WRITTEN, 6, at(600), at(601));
    cr_assert_eq(standing_at(601), BUS_LEASE_HELD);
    cr_assert_eq(l.fence, 5, "the same session");
}

Test(lease_logic, its_name_in_the_key_is_an_obstacle_to_who_does_not_hold_it)
{
    given_a_lease_of_15_s();
    bus_lease_logic_seen(&l, 9, BUS_LEASE_OUR_OWN, at(0));
    cr_assert_eq(standing_at(0), BUS_LEASE_NONE);
    cr_assert_neq(bus_lease_logic_step(&l, at(14), &expected), BUS_LEASE_UPDATE);
    cr_assert_eq(bus_lease_logic_step(&l, at(15), &expected), BUS_LEASE_UPDATE);
}
