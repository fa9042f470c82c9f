// Source: schemas/specs/replay.md, "States" (Pace).
#include "bus/base/err.h"
#include "store/pace.h"
#include "test/support/test.h"

static store_speed given_speed(const char *text)
{
    store_speed speed;
    test_ok(store_speed_parse(bus_view_of(text), &speed));
    return speed;
}

Test(pace, reads_and_writes_speeds)
{
    static const struct {
        const char *text, *written;
    } row[] = {{"max", "max"},   {"", "max"},        {"1x", "1x"},         {"10x", "10x"},
               {"0.1x", "0.1x"}, {"0.01x", "0.01x"}, {"10000x", "10000x"}, {"2.50x", "2.5x"}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char buf[STORE_SPEED_TEXT];
        store_speed_format(given_speed(row[i].text), buf);
        cr_assert_str_eq(buf, row[i].written);
    }
}

Test(pace, refuses_what_is_no_speed)
{
    static const char *const bad[] = {"1",    "x",    "0x",         "-1x", "0.001x", "10001x",
                                      "1e3x", "fast", "1.0000001x", "1 x", "+1x",    "MAX"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        store_speed speed;
        test_expect_err(store_speed_parse(bus_view_of(bad[i]), &speed), BUS_EINVAL);
    }
}

Test(pace, spaces_events_as_recorded_divided_by_the_speed)
{
    static const struct {
        const char *speed;
        int64_t due_ns;
    } row[] = {{"1x", 3000}, {"10x", 300}, {"0.1x", 30000}, {"10000x", 0}, {"0.01x", 300000}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        store_pace pace = {0};
        store_pace_set(&pace, given_speed(row[i].speed));
        cr_assert_eq(store_pace_due(&pace, (bus_recorded_time){1000}, (bus_mono){50}).ns, 50);
        // the instant of asking is of no account any more
        bus_mono due = store_pace_due(&pace, (bus_recorded_time){4000}, (bus_mono){99});
        cr_assert_eq(due.ns, 50 + row[i].due_ns, "%s", row[i].speed);
    }
}

Test(pace, does_not_drift_over_a_long_run)
{
    store_pace pace = {0};
    store_pace_set(&pace, given_speed("3x"));
    store_pace_due(&pace, (bus_recorded_time){0}, (bus_mono){0});
    int64_t day_ns = INT64_C(86400000000000);
    cr_assert_eq(store_pace_due(&pace, (bus_recorded_time){day_ns}, (bus_mono){0}).ns, day_ns / 3);
}

Test(pace, sends_an_event_recorded_before_an_earlier_one_at_once)
{
    store_pace pace = {0};
    store_pace_set(&pace, given_speed("1x"));
    store_pace_due(&pace, (bus_recorded_time){5000}, (bus_mono){100});
    cr_assert_leq(store_pace_due(&pace, (bus_recorded_time){4000}, (bus_mono){100}).ns, 100);
}

Test(pace, starts_anew_after_a_restart)
{
    store_pace pace = {0};
    store_pace_set(&pace, given_speed("1x"));
    store_pace_due(&pace, (bus_recorded_time){0}, (bus_mono){0});
    store_pace_restart(&pace);
    cr_assert_eq(store_pace_due(&pace, (bus_recorded_time){INT64_C(1) << 40}, (bus_mono){7}).ns, 7);
}

Test(pace, holds_an_event_of_another_century_without_overflow)
{
    store_pace pace = {0};
    store_pace_set(&pace, given_speed("0.01x"));
    store_pace_due(&pace, (bus_recorded_time){0}, (bus_mono){1});
    cr_assert_eq(store_pace_due(&pace, (bus_recorded_time){INT64_MAX}, (bus_mono){1}).ns,
                 INT64_MAX);
    cr_assert_eq(store_pace_due(&pace, (bus_recorded_time){INT64_MIN}, (bus_mono){1}).ns,
                 INT64_MIN);
}

Test(pace, max_is_always_due)
{
    store_pace pace = {0};
    cr_assert_eq(store_pace_due(&pace, (bus_recorded_time){INT64_MAX}, (bus_mono){9}).ns, 9);
}
