// Source: schemas/specs/recording.md, "Virtual clock".
#include <stdlib.h>

#include "bus/nats/clock.h"
#include "support.h"
#include "test/support/test.h"

TestSuite(clock, .timeout = 30);

Test(clock, reads_decimal_nanoseconds_and_nothing_else)
{
    static const char *const bad[] = {
        "", "x", "-1", "+1", " 1", "1.5", "99999999999999999999", "9223372036854775808"};
    bus_wall now;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        test_expect_err(bus_clock_instant_parse(bus_view_of(bad[i]), &now), BUS_EINVAL);
    test_ok(bus_clock_instant_parse(BUS_VIEW("1723161253937085768"), &now));
    cr_assert_eq(now.ns, 1723161253937085768);
}

typedef struct {
    bus_conn *conn;
    bus_loop *loop;
    bus_timer *timer;
    int fired;
} scene;

static void on_timer(void *ctx, bus_mono now)
{
    scene *s = ctx;
    (void)now;
    s->fired++;
    bus_loop_stop(s->loop);
}

Test(clock, moves_timers_of_the_loop_by_what_arrives_and_answers_who_asks)
{
    test_broker broker;
    test_broker_start(&broker, NULL);
    bus_clock_virtual((bus_wall){0});
    scene s = {.conn = given_conn(&broker, BUS_PROFILE_LATENCY)};
    bus_sub *answers;
    bus_clock_feed *feed;
    test_ok(bus_loop_open(&s.loop));
    test_ok(bus_clock_feed_open(&feed, s.conn, s.loop, "bus:test.clock"));
    test_ok(bus_sub_open(&answers, s.conn, &(bus_sub_opts){.subject = "answer"}));
    test_ok(bus_timer_open(&s.timer, s.loop, on_timer, &s));
    bus_timer_start(s.timer, BUS_SPAN_S(3600), (bus_span){0});
    test_ok(bus_publish(s.conn, "test.clock", NULL, NULL, 0, BUS_VIEW("nonsense")));
    test_ok(bus_publish(s.conn, "test.clock", NULL, NULL, 0, BUS_VIEW("1000000000")));
    test_ok(bus_publish(s.conn, "test.clock", "answer", NULL, 0, BUS_VIEW("3600000000000")));
    test_ok(bus_loop_run(s.loop));
    cr_assert_eq(s.fired, 1);
    cr_assert_eq(bus_now_wall().ns, 3600000000000);
    bus_msg *msg = bus_sub_next(answers, BUS_SPAN_S(5));
    cr_assert(msg && bus_view_is(bus_msg_payload(msg), "3600000000000"));
    bus_msg_release(msg);
    bus_timer_close(s.timer);
    bus_clock_feed_close(feed);
    bus_sub_close(answers);
    bus_loop_close(s.loop);
    bus_conn_close(s.conn);
    test_broker_stop(&broker);
}

Test(clock, opens_nothing_for_the_machines_clock)
{
    bus_clock_feed *feed = (bus_clock_feed *)1;
    test_ok(bus_clock_feed_open(&feed, NULL, NULL, "machine"));
    cr_assert_null(feed);
}
