// Source: schemas/specs/recording.md, "Leases".

#include "bus/nats/kv.h"
#include "bus/nats/lease.h"
#include "support.h"
#include "test/support/test.h"

TestSuite(lease, .timeout = 60);

static test_broker broker;
static bus_conn *conn;

static void setup(void)
{
    test_broker_start(&broker, NULL);
    conn = given_conn(&broker, BUS_PROFILE_LATENCY);
}

static void teardown(void)
{
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

static bus_lease *given_lease(const char *holder, int span_ms)
{
    bus_lease *lease = NULL;
    test_ok(bus_lease_open(&lease, conn,
                           &(bus_lease_opts){.bucket = "leases",
                                             .key = "feed.binance",
                                             .holder = holder,
                                             .span = BUS_SPAN_MS(span_ms)}));
    return lease;
}

static bool held_within(bus_lease *lease, int ms)
{
    for (int i = 0; i < ms / 10; i++, sleep_ms(10))
        if (bus_lease_held(lease))
            return true;
    return false;
}

Test(lease, is_taken_by_one_and_seen_by_the_other, .init = setup, .fini = teardown)
{
    bus_lease *a = given_lease("a", 3000);
    cr_assert(held_within(a, 5000));
    bus_lease *b = given_lease("b", 3000);
    cr_assert_not(held_within(b, 4000), "a renews");
    char holder[64];
    cr_assert_str_eq(bus_lease_holder(b, holder, sizeof holder), "a");
    uint64_t fence_a = 0, fence_b = 0;
    cr_assert(bus_lease_poll(a, &fence_a));
    bus_lease_close(a); // gives it back
    cr_assert(held_within(b, 2500), "no span to wait for");
    cr_assert(bus_lease_poll(b, &fence_b) && fence_b > fence_a);
    bus_lease_close(b);
}

Test(lease, is_taken_over_a_span_after_its_holder_abandoned_it, .init = setup, .fini = teardown)
{
    bus_lease *a = given_lease("a", 1500);
    cr_assert(held_within(a, 5000));
    bus_lease *b = given_lease("b", 1500);
    sleep_ms(500);
    bus_lease_abandon(a);
    cr_assert_not(held_within(b, 500));
    cr_assert(held_within(b, 5000));
    bus_lease_close(b);
}

Test(lease, pauses_by_its_own_clock_when_the_broker_stands_still_and_goes_on_as_the_same_session,
     .init = setup, .fini = teardown)
{
    bus_lease *a = given_lease("a", 1500);
    cr_assert(held_within(a, 5000));
    uint64_t before = 0, lapsed = 0, after = 0;
    cr_assert(bus_lease_poll(a, &before));
    test_broker_freeze(&broker);
    sleep_ms(2500);
    cr_assert_not(bus_lease_poll(a, &lapsed));
    cr_assert_eq(lapsed, before, "lapsed is not lost");
    test_broker_thaw(&broker);
    cr_assert(held_within(a, 30000));
    cr_assert(bus_lease_poll(a, &after));
    cr_assert_eq(after, before, "nobody else held it");
    bus_lease_close(a);
}

Test(lease, goes_on_though_its_renewals_came_through_without_an_answer, .init = setup,
     .fini = teardown)
{
    bus_lease *a = given_lease("a", 1500);
    cr_assert(held_within(a, 5000));
    uint64_t before = 0, after = 0;
    cr_assert(bus_lease_poll(a, &before));
    test_broker_freeze(&broker);
    sleep_ms(7000); // longer than a request waits: what was sent is found stored afterwards
    test_broker_thaw(&broker);
    cr_assert(held_within(a, 30000));
    cr_assert(bus_lease_poll(a, &after));
    cr_assert_eq(after, before);
    bus_lease_close(a);
}

Test(lease, is_lost_when_the_key_was_changed_by_somebody_else, .init = setup, .fini = teardown)
{
    bus_lease *a = given_lease("a", 3000);
    cr_assert(held_within(a, 5000));
    uint64_t before = 0, after = 0;
    cr_assert(bus_lease_poll(a, &before));
    test_ok(bus_kv_put(conn, "leases", "feed.binance",
                       BUS_VIEW("{\"holder\":\"b\",\"n\":0,\"span_ms\":3000}"), NULL));
    for (int i = 0; i < 500 && bus_lease_held(a); i++)
        sleep_ms(10);
    sleep_ms(500);
    cr_assert_not(bus_lease_poll(a, &after));
    cr_assert_eq(after, 0);
    cr_assert(held_within(a, 10000), "b never renews");
    cr_assert(bus_lease_poll(a, &after) && after > before);
    bus_lease_close(a);
}

Test(lease, survives_a_broker_killed_and_restarted, .init = setup, .fini = teardown)
{
    bus_lease *a = given_lease("a", 3000);
    cr_assert(held_within(a, 5000));
    uint64_t before = 0, after = 0;
    cr_assert(bus_lease_poll(a, &before));
    test_broker_restart(&broker);
    sleep_ms(2500);
    cr_assert(bus_lease_poll(a, &after), "renewed after the restart");
    cr_assert_eq(before, after);
    bus_lease_close(a);
}
