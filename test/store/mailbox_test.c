// Source: schemas/specs/replay.md.
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "bus/base/err.h"
#include "store/mailbox.h"
#include "test/support/test.h"

static store_mailbox box;

Test(mailbox, gives_commands_in_order_and_refuses_one_too_many)
{
    test_ok(store_mailbox_init(&box, (bus_wake){0}));
    store_replay_command c = {.verb = STORE_REPLAY_STEP};
    for (uint64_t i = 0; i < STORE_REPLAY_QUEUE_MAX; i++) {
        c.n = i;
        test_ok(store_mailbox_send(&box, &c));
    }
    test_expect_err(store_mailbox_send(&box, &c), BUS_ELIMIT);
    for (uint64_t i = 0; i < STORE_REPLAY_QUEUE_MAX; i++) {
        cr_assert(store_mailbox_next(&box, &c));
        cr_assert_eq(c.n, i);
        store_mailbox_answer(&box, &(store_replay_result){.verb = c.verb, .err = BUS_OK});
    }
    cr_assert_not(store_mailbox_next(&box, &c));
    // results that nobody took still count: the owner is the one who is slow
    test_expect_err(store_mailbox_send(&box, &c), BUS_ELIMIT);
    store_replay_result r;
    cr_assert(store_mailbox_take(&box, &r));
    test_ok(store_mailbox_send(&box, &c));
    store_mailbox_release(&box);
}

Test(mailbox, answers_what_waits_when_the_replay_ends)
{
    test_ok(store_mailbox_init(&box, (bus_wake){0}));
    int call;
    store_replay_command c = {.verb = STORE_REPLAY_JOIN, .call = &call};
    c.filter = calloc(1, sizeof *c.filter);
    c.filters = 1;
    test_ok(store_mailbox_send(&box, &c));
    store_mailbox_finish(&box, BUS_ESTATE, "over");
    store_replay_result r;
    cr_assert(store_mailbox_take(&box, &r));
    cr_assert_eq(r.call, &call);
    cr_assert_eq(r.err, BUS_ESTATE);
    cr_assert_str_eq(r.text, "over");
    c.filter = NULL;
    test_expect_err(store_mailbox_send(&box, &c), BUS_ESTATE);
    store_mailbox_release(&box);
}

Test(mailbox, waits_until_the_deadline_and_hardly_longer)
{
    test_skip_under_valgrind("nothing is over at the millisecond");
    test_ok(store_mailbox_init(&box, (bus_wake){0}));
    bus_mono until = bus_mono_add(bus_now_mono(), BUS_SPAN_MS(20));
    while (bus_now_mono().ns < until.ns)
        store_mailbox_wait(&box, until);
    cr_assert_lt(bus_mono_since(bus_now_mono(), until).ns, BUS_SPAN_MS(15).ns);
    store_mailbox_release(&box);
}

static void *raise_soon(void *ctx)
{
    struct timespec t = {.tv_nsec = 5000000};
    nanosleep(&t, NULL);
    store_mailbox_raise(ctx);
    return NULL;
}

Test(mailbox, is_woken_before_the_deadline)
{
    test_ok(store_mailbox_init(&box, (bus_wake){0}));
    pthread_t thread;
    bus_mono from = bus_now_mono();
    cr_assert_eq(pthread_create(&thread, NULL, raise_soon, &box), 0);
    store_mailbox_wait(&box, bus_mono_add(from, BUS_SPAN_S(20)));
    cr_assert_lt(bus_mono_since(bus_now_mono(), from).ns, BUS_SPAN_S(5).ns);
    pthread_join(thread, NULL);
    // raised before anybody waits: no sleep at all
    store_mailbox_raise(&box);
    store_mailbox_wait(&box, bus_mono_add(from, BUS_SPAN_S(20)));
    cr_assert_lt(bus_mono_since(bus_now_mono(), from).ns, BUS_SPAN_S(5).ns);
    store_mailbox_release(&box);
}
