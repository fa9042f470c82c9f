#include "bus/base/loop.h"

#include <pthread.h>
#include <unistd.h>

#include "test/support/test.h"

// Source: schemas/specs/daemons.md, "Loop".
typedef struct {
    bus_loop *loop;
    bus_timer *timer[4];
    char trace[64];
    size_t len;
    int stop_after;
} bench;

static void mark(bench *b, char c)
{
    b->trace[b->len++] = c;
    if ((int)b->len == b->stop_after)
        bus_loop_stop(b->loop);
}

static void on_a(void *ctx, bus_mono now)
{
    (void)now;
    mark(ctx, 'a');
}

static void on_b(void *ctx, bus_mono now)
{
    (void)now;
    mark(ctx, 'b');
}

static void on_c(void *ctx, bus_mono now)
{
    (void)now;
    mark(ctx, 'c');
}

static bench given_bench(int stop_after)
{
    bench b = {.stop_after = stop_after};
    test_ok(bus_loop_open(&b.loop));
    return b;
}

static void release(bench *b)
{
    for (int i = 0; i < 4; i++)
        bus_timer_close(b->timer[i]);
    bus_loop_close(b->loop);
}

Test(loop, runs_timers_in_order_of_due_time_then_of_starting)
{
    bench b = given_bench(3);
    test_ok(bus_timer_open(&b.timer[0], b.loop, on_a, &b));
    test_ok(bus_timer_open(&b.timer[1], b.loop, on_b, &b));
    test_ok(bus_timer_open(&b.timer[2], b.loop, on_c, &b));
    bus_mono begin = bus_now_mono();
    bus_timer_start(b.timer[2], BUS_SPAN_MS(200), BUS_SPAN_MS(0));
    bus_timer_start(b.timer[0], BUS_SPAN_MS(100), BUS_SPAN_MS(0));
    bus_timer_start(b.timer[1], BUS_SPAN_MS(1), BUS_SPAN_MS(0));
    test_ok(bus_loop_run(b.loop));
    cr_expect_str_eq(b.trace, "bac");
    cr_expect(bus_mono_since(bus_now_mono(), begin).ns >= 200000000);
    release(&b);
}

Test(loop, a_closed_timer_does_not_run_and_a_restarted_one_runs_once)
{
    bench b = given_bench(1);
    test_ok(bus_timer_open(&b.timer[0], b.loop, on_a, &b));
    test_ok(bus_timer_open(&b.timer[1], b.loop, on_b, &b));
    bus_timer_start(b.timer[0], BUS_SPAN_MS(1), BUS_SPAN_MS(0));
    bus_timer_close(b.timer[0]);
    b.timer[0] = NULL;
    bus_timer_start(b.timer[1], BUS_SPAN_MS(1), BUS_SPAN_MS(0));
    bus_timer_start(b.timer[1], BUS_SPAN_MS(5), BUS_SPAN_MS(0));
    test_ok(bus_loop_run(b.loop));
    cr_expect_str_eq(b.trace, "b");
    release(&b);
}

static void on_restart(void *ctx, bus_mono now)
{
    bench *b = ctx;
    (void)now;
    bus_timer_start(b->timer[0], (bus_span){0}, (bus_span){0});
    mark(b, 'r');
}

Test(loop, a_timer_that_restarts_itself_at_once_does_not_starve_the_others)
{
    bench b = given_bench(6);
    test_ok(bus_timer_open(&b.timer[0], b.loop, on_restart, &b));
    test_ok(bus_timer_open(&b.timer[1], b.loop, on_b, &b));
    bus_timer_start(b.timer[0], (bus_span){0}, (bus_span){0});
    bus_timer_start(b.timer[1], (bus_span){1}, (bus_span){1});
    test_ok(bus_loop_run(b.loop));
    cr_expect_not_null(strchr(b.trace, 'b'));
    cr_expect_not_null(strchr(b.trace, 'r'));
    release(&b);
}

static void on_close_self(void *ctx, bus_mono now)
{
    bench *b = ctx;
    (void)now;
    bus_timer_close(b->timer[0]);
    bus_timer_close(b->timer[1]);
    b->timer[0] = b->timer[1] = NULL;
    mark(b, 'x');
}

Test(loop, a_callback_may_close_any_timer_itself_included)
{
    bench b = given_bench(1);
    test_ok(bus_timer_open(&b.timer[0], b.loop, on_close_self, &b));
    test_ok(bus_timer_open(&b.timer[1], b.loop, on_b, &b));
    bus_timer_start(b.timer[0], (bus_span){0}, BUS_SPAN_MS(1));
    bus_timer_start(b.timer[1], (bus_span){0}, BUS_SPAN_MS(1));
    test_ok(bus_loop_run(b.loop));
    cr_expect_str_eq(b.trace, "x");
    release(&b);
}

static void *step_clock(void *ctx)
{
    const int64_t *steps = ctx;
    for (; *steps; steps++) {
        usleep(20000);
        bus_clock_set((bus_wall){*steps});
    }
    return NULL;
}

Test(loop, timers_follow_a_virtual_clock_set_from_another_thread)
{
    // Ten virtual hours pass in three steps; the one-hour timer runs once a step and keeps its grid.
    static const int64_t hour = 3600000000000;
    static const int64_t steps[] = {5400000000000, 9000000000000, 36000000000000, 0};
    bus_clock_virtual((bus_wall){0});
    bench b = given_bench(4);
    test_ok(bus_timer_open(&b.timer[0], b.loop, on_a, &b));
    test_ok(bus_timer_open(&b.timer[1], b.loop, on_b, &b));
    bus_timer_start(b.timer[0], (bus_span){hour}, (bus_span){hour});
    bus_timer_start(b.timer[1], (bus_span){10 * hour}, (bus_span){0});
    pthread_t thread;
    pthread_create(&thread, NULL, step_clock, (void *)steps);
    test_ok(bus_loop_run(b.loop));
    pthread_join(thread, NULL);
    cr_expect_str_eq(b.trace, "aaab", "behind by seven hours: once, then on its grid again");
    release(&b);
}

typedef struct {
    bus_loop *loop;
    bus_waker *waker;
    int calls;
} woken;

static void on_woken(void *ctx)
{
    woken *w = ctx;
    w->calls++;
    bus_loop_stop(w->loop);
}

static void *wake_often(void *ctx)
{
    for (int i = 0; i < 1000; i++)
        bus_waker_wake(ctx);
    return NULL;
}

Test(loop, many_wakes_before_the_loop_gets_there_are_one_call)
{
    woken w = {0};
    test_ok(bus_loop_open(&w.loop));
    test_ok(bus_waker_open(&w.waker, w.loop, on_woken, &w));
    pthread_t thread;
    pthread_create(&thread, NULL, wake_often, w.waker);
    pthread_join(thread, NULL);
    test_ok(bus_loop_run(w.loop));
    cr_expect_eq(w.calls, 1);
    bus_waker_wake(w.waker);
    test_ok(bus_loop_run(w.loop));
    cr_expect_eq(w.calls, 2, "a later wake is a call of its own");
    bus_waker_close(w.waker);
    bus_loop_close(w.loop);
}

typedef struct {
    bus_loop *loop;
    bus_fd *watch;
    int fd;
    int reads, writes;
} pipe_end;

static void on_pipe(void *ctx, bool readable, bool writable)
{
    pipe_end *p = ctx;
    char c;
    if (writable) {
        p->writes++;
        bus_fd_want(p->watch, true, false);
    }
    if (readable && read(p->fd, &c, 1) == 1) {
        p->reads++;
        bus_loop_stop(p->loop);
    }
}

Test(loop, watches_descriptors_for_what_is_wanted_now)
{
    int fds[2];
    pipe_end p = {0};
    cr_assert_eq(pipe(fds), 0);
    test_ok(bus_loop_open(&p.loop));
    p.fd = fds[0];
    test_ok(bus_fd_open(&p.watch, p.loop, fds[0], true, false, on_pipe, &p));
    cr_assert_eq(write(fds[1], "x", 1), 1);
    test_ok(bus_loop_run(p.loop));
    cr_expect_eq(p.reads, 1);
    bus_fd_close(p.watch);
    bus_loop_close(p.loop);
    close(fds[0]);
    close(fds[1]);
}

// A heap of a thousand timers, started, stopped and moved at random, against a sorted list.
typedef struct {
    int64_t last;
    int ran;
    bool disorder;
} order;

static void on_ordered(void *ctx, bus_mono now)
{
    order *o = ctx;
    o->disorder |= now.ns < o->last;
    o->last = now.ns;
    o->ran++;
}

Test(loop, a_thousand_timers_keep_their_order)
{
    enum { COUNT = 1000 };
    unsigned seed = 99;
    bus_timer *timer[COUNT];
    order o = {0};
    bus_loop *loop;
    bench b;
    bus_clock_virtual((bus_wall){0});
    test_ok(bus_loop_open(&loop));
    b = (bench){.loop = loop, .stop_after = 1};
    for (int i = 0; i < COUNT; i++)
        test_ok(bus_timer_open(&timer[i], loop, on_ordered, &o));
    for (int i = 0; i < 5 * COUNT; i++)
        bus_timer_start(timer[rand_r(&seed) % COUNT], (bus_span){rand_r(&seed) % 1000000},
                        (bus_span){0});
    for (int i = 0; i < COUNT; i += 3) {
        bus_timer_close(timer[i]);
        test_ok(bus_timer_open(&timer[i], loop, on_ordered, &o));
    }
    for (int i = 1; i < COUNT; i += 3)
        bus_timer_start(timer[i], (bus_span){rand_r(&seed) % 1000000}, (bus_span){0});
    for (int i = 2; i < COUNT; i += 3)
        bus_timer_start(timer[i], (bus_span){rand_r(&seed) % 1000000}, (bus_span){0});
    test_ok(bus_timer_open(&b.timer[0], loop, on_a, &b));
    for (int64_t t = 0; t <= 1000000; t += 1000) {
        bus_clock_set((bus_wall){t});
        b.len = 0;
        bus_timer_start(b.timer[0], (bus_span){0}, (bus_span){0});
        test_ok(bus_loop_run(loop));
    }
    cr_expect_eq(o.ran, COUNT - (COUNT + 2) / 3);
    cr_expect(!o.disorder);
    for (int i = 0; i < COUNT; i++)
        bus_timer_close(timer[i]);
    bus_timer_close(b.timer[0]);
    bus_loop_close(loop);
}
