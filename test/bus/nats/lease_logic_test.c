// Source: schemas/specs/recording.md, "Leases".
#include "bus/nats/lease_logic.h"
#include "test/support/test.h"

static bus_lease_logic l;
static uint64_t expected;

static bus_mono at(int64_t s)
{
    return (bus_mono){(s + 100) * 1000000000};
}

static void given_a_lease_of_15_s(void)
{
    bus_lease_logic_init(&l, BUS_SPAN_S(15));
}

static void given_it_is_held_since(int64_t s, uint64_t revision)
{
    given_a_lease_of_15_s();
    bus_lease_logic_seen(&l, 0, false, at(s));
    bus_lease_logic_written(&l, BUS_LEASE_WRITTEN, revision, at(s), at(s));
}

Test(lease_logic, reads_first_and_creates_what_is_not_there)
{
    given_a_lease_of_15_s();
    cr_assert_eq(bus_lease_logic_step(&l, at(0), &expected), BUS_LEASE_READ);
    bus_lease_logic_seen(&l, 0, false, at(0));
    cr_assert_eq(bus_lease_logic_step(&l, at(0), &expected), BUS_LEASE_CREATE);
    bus_lease_logic_written(&l, BUS_LEASE_WRITTEN, 5, at(0), at(1));
    cr_assert(bus_lease_logic_held(&l, at(1)));
    cr_assert_eq(l.fence, 5);
}

Test(lease_logic, renews_after_a_third_and_is_held_for_two_thirds_from_the_start_of_the_write)
{
    given_it_is_held_since(0, 5);
    cr_assert_eq(bus_lease_logic_step(&l, at(4), &expected), BUS_LEASE_WAIT);
    cr_assert_eq(bus_lease_logic_step(&l, at(5), &expected), BUS_LEASE_UPDATE);
    cr_assert_eq(expected, 5);
    bus_lease_logic_written(&l, BUS_LEASE_WRITTEN, 6, at(5), at(8));
    cr_assert(bus_lease_logic_held(&l, at(14)));
    cr_assert_not(bus_lease_logic_held(&l, at(15)), "counted from 5, when the write began");
    cr_assert_eq(l.fence, 5, "renewing is no new session");
}

Test(lease_logic, takes_over_only_after_a_whole_span_without_a_change)
{
    given_a_lease_of_15_s();
    bus_lease_logic_seen(&l, 9, false, at(0));
    bus_lease_logic_seen(&l, 10, false, at(8));
    bus_lease_logic_seen(&l, 10, false, at(22));
    cr_assert_neq(bus_lease_logic_step(&l, at(22), &expected), BUS_LEASE_UPDATE);
    cr_assert_eq(bus_lease_logic_step(&l, at(23), &expected), BUS_LEASE_UPDATE);
    cr_assert_eq(expected, 10);
}

Test(lease_logic, takes_what_was_given_back_at_once)
{
    given_a_lease_of_15_s();
    bus_lease_logic_seen(&l, 9, true, at(0));
    cr_assert_eq(bus_lease_logic_step(&l, at(0), &expected), BUS_LEASE_UPDATE);
}

Test(lease_logic, a_conflict_loses_it_at_once)
{
    given_it_is_held_since(0, 5);
    bus_lease_logic_written(&l, BUS_LEASE_CONFLICT, 0, at(5), at(5));
    cr_assert_not(bus_lease_logic_held(&l, at(5)));
    cr_assert_eq(bus_lease_logic_step(&l, at(5), &expected), BUS_LEASE_READ);
}

Test(lease_logic, no_answer_keeps_it_until_its_time_is_over)
{
    given_it_is_held_since(0, 5);
    bus_lease_logic_written(&l, BUS_LEASE_UNKNOWN, 0, at(5), at(9));
    cr_assert(bus_lease_logic_held(&l, at(9)));
    cr_assert_not(bus_lease_logic_held(&l, at(10)));
    cr_assert_eq(bus_lease_logic_step(&l, at(10), &expected), BUS_LEASE_READ);
}

Test(lease_logic, a_holder_that_was_stopped_waits_like_anybody_else)
{
    given_it_is_held_since(0, 5);
    cr_assert_eq(bus_lease_logic_step(&l, at(60), &expected), BUS_LEASE_READ);
    bus_lease_logic_seen(&l, 5, false, at(60));
    cr_assert_neq(bus_lease_logic_step(&l, at(74), &expected), BUS_LEASE_UPDATE);
    cr_assert_eq(bus_lease_logic_step(&l, at(75), &expected), BUS_LEASE_UPDATE);
    bus_lease_logic_written(&l, BUS_LEASE_WRITTEN, 6, at(75), at(75));
    cr_assert_eq(l.fence, 6, "a new session");
}
