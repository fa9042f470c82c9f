#include "feeds/backoff.h"
#include "test/support/test.h"

Test(backoff, doubles_up_to_its_bound_and_keeps_half_of_it)
{
    feed_backoff b;
    feed_backoff_init(&b, BUS_SPAN_MS(500), BUS_SPAN_S(30), 42);
    int64_t whole = 500;
    for (int i = 0; i < 20; i++) {
        int64_t ms = feed_backoff_failed(&b).ns / 1000000;
        cr_expect(ms >= whole / 2 && ms <= whole, "try %d: %lld ms of %lld", i, (long long)ms,
                  (long long)whole);
        whole = whole * 2 < 30000 ? whole * 2 : 30000;
    }
    cr_expect(b.failures == 20);
}

Test(backoff, begins_anew_after_a_success)
{
    feed_backoff b;
    feed_backoff_init(&b, BUS_SPAN_MS(500), BUS_SPAN_S(30), 0);
    for (int i = 0; i < 8; i++)
        feed_backoff_failed(&b);
    feed_backoff_worked(&b);
    cr_expect(feed_backoff_failed(&b).ns <= BUS_SPAN_MS(500).ns);
}

Test(backoff, two_seeds_do_not_come_back_together)
{
    feed_backoff a, b;
    int same = 0;
    feed_backoff_init(&a, BUS_SPAN_S(1), BUS_SPAN_S(30), 1);
    feed_backoff_init(&b, BUS_SPAN_S(1), BUS_SPAN_S(30), 2);
    for (int i = 0; i < 10; i++)
        same += feed_backoff_failed(&a).ns == feed_backoff_failed(&b).ns;
    cr_expect(same < 3);
}
