#include "feeds/requests.h"
#include "test/support/test.h"

Test(requests, answers_come_in_order_with_the_request_they_belong_to)
{
    feed_requests r;
    feed_answer a;
    uint64_t one, two;
    feed_requests_init(&r);
    cr_assert(feed_requests_add(&r, &(feed_request){.symbol = 1}, &one));
    cr_assert(feed_requests_add(&r, &(feed_request){.symbol = 2}, &two));
    feed_requests_answer(&r, two, 200, BUS_VIEW("body"), "");
    feed_requests_answer(&r, one, 0, (bus_view){0}, "gone");
    cr_assert(feed_requests_next(&r, &a));
    cr_expect(a.request.symbol == 2 && a.status == 200 && bus_view_is(a.body, "body"));
    feed_requests_done(&r);
    cr_assert(feed_requests_next(&r, &a));
    cr_expect(a.request.symbol == 1 && a.status == 0);
    cr_expect_str_eq(a.text, "gone");
    feed_requests_done(&r);
    cr_expect(!feed_requests_next(&r, &a));
    feed_requests_release(&r);
}

Test(requests, an_answer_to_a_session_that_is_gone_is_dropped_and_its_place_is_free_again)
{
    feed_requests r;
    feed_answer a;
    uint64_t old, again;
    feed_requests_init(&r);
    cr_assert(feed_requests_add(&r, &(feed_request){.symbol = 1}, &old));
    feed_requests_forget(&r);
    feed_requests_answer(&r, old, 200, BUS_VIEW("late"), "");
    cr_expect(!feed_requests_next(&r, &a));
    cr_assert(feed_requests_add(&r, &(feed_request){.symbol = 3}, &again));
    cr_expect(again == old);
    feed_requests_answer(&r, again, 200, BUS_VIEW("new"), "");
    cr_expect(feed_requests_next(&r, &a) && a.request.symbol == 3);
    feed_requests_release(&r);
}

Test(requests, one_too_many_is_answered_like_one_that_failed)
{
    feed_requests r;
    feed_answer a;
    uint64_t tag;
    feed_requests_init(&r);
    for (int i = 0; i < FEED_REQUESTS_MAX; i++)
        cr_assert(feed_requests_add(&r, &(feed_request){0}, &tag));
    cr_assert(!feed_requests_add(&r, &(feed_request){.symbol = 9}, &tag));
    feed_requests_answer(&r, tag, 0, (bus_view){0}, "too many");
    cr_expect(feed_requests_next(&r, &a) && a.request.symbol == 9);
    feed_requests_release(&r);
}
