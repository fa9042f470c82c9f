#include "bus/base/time.h"

#include <time.h>

#include "test/support/test.h"

// Source: schemas/specs/daemons.md, "Time".
Test(time, reads_and_writes_rfc3339)
{
    static const struct {
        const char *text;
        int64_t ns;
        const char *written;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00.000000000Z"},
        {"2024-08-08T23:54:13.937085768Z", 1723161253937085768, "2024-08-08T23:54:13.937085768Z"},
        {"2024-08-09T01:54:13.937085768+02:00", 1723161253937085768,
         "2024-08-08T23:54:13.937085768Z"},
        {"2024-02-29t12:00:00.5z", 1709208000500000000, "2024-02-29T12:00:00.500000000Z"},
        {"2000-02-29 00:00:00-00:30", 951784200000000000, "2000-02-29T00:30:00.000000000Z"},
        {"1969-12-31T23:59:59.999999999Z", -1, "1969-12-31T23:59:59.999999999Z"},
        {"2016-12-31T23:59:60Z", 1483228800000000000, "2017-01-01T00:00:00.000000000Z"},
        {"2262-04-11T23:47:16.854775807Z", INT64_MAX, "2262-04-11T23:47:16.854775807Z"},
        {"1677-09-21T00:12:43.145224192Z", INT64_MIN, "1677-09-21T00:12:43.145224192Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ns = 7;
        char buf[BUS_TIME_TEXT];
        test_ok(bus_time_parse(bus_view_of(cases[i].text), &ns));
        cr_expect(ns == cases[i].ns, "'%s' gave %lld", cases[i].text, (long long)ns);
        cr_expect_eq(bus_time_format(ns, buf), 30);
        cr_expect_str_eq(buf, cases[i].written);
    }
}

Test(time, refuses_what_is_not_rfc3339)
{
    static const char *const cases[] = {
        "",
        "2024-08-08",
        "2024-08-08T23:54:13",
        "2024-08-08T23:54:13.Z",
        "2024-08-08T23:54:13.1234567891Z",
        "2024-08-08T24:00:00Z",
        "2024-08-08T23:60:00Z",
        "2024-08-08T23:54:61Z",
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-00-01T00:00:00Z",
        "2024-04-31T00:00:00Z",
        "2024-08-08T23:54:13+2:00",
        "2024-08-08T23:54:13+24:00",
        "2024-08-08T23:54:13Zx",
        "24-08-08T23:54:13Z",
        "+024-08-08T23:54:13Z",
        "2024-08-08X23:54:13Z",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ns = 7;
        cr_expect(bus_time_parse(bus_view_of(cases[i]), &ns) == BUS_EINVAL, "'%s'", cases[i]);
        cr_expect_eq(ns, 7, "untouched on failure");
    }
}

Test(time, refuses_instants_that_64_bits_do_not_hold)
{
    int64_t ns;
    test_expect_err(bus_time_parse((bus_view){0}, &ns), BUS_EINVAL);
    test_expect_err(bus_time_parse(BUS_VIEW("2262-04-11T23:47:16.854775808Z"), &ns), BUS_ERANGE);
    test_expect_err(bus_time_parse(BUS_VIEW("1677-09-21T00:12:43.145224191Z"), &ns), BUS_ERANGE);
    test_expect_err(bus_time_parse(BUS_VIEW("0001-01-01T00:00:00Z"), &ns), BUS_ERANGE);
    test_expect_err(bus_time_parse(BUS_VIEW("9999-12-31T23:59:59Z"), &ns), BUS_ERANGE);
}

Test(time, agrees_with_the_c_library_on_every_day)
{
    char buf[BUS_TIME_TEXT], expected[40];
    for (int64_t day = -100000; day < 100000; day += 17) {
        int64_t second = day * 86400 + (day * 7919 % 86400 + 86400) % 86400;
        time_t t = (time_t)second;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.000000000Z", &tm);
        bus_time_format(second * 1000000000, buf);
        cr_assert_str_eq(buf, expected);
        int64_t back;
        test_ok(bus_time_parse(bus_view_of(buf), &back));
        cr_assert(back == second * 1000000000, "%s", buf);
    }
}

Test(time, reads_spans_with_their_unit)
{
    static const struct {
        const char *text;
        bus_err err;
        int64_t ns;
    } cases[] = {
        {"250us", BUS_OK, 250000},
        {"15ms", BUS_OK, 15000000},
        {"1.5s", BUS_OK, 1500000000},
        {"10m", BUS_OK, 600000000000},
        {"24h", BUS_OK, 86400000000000},
        {"2d", BUS_OK, 172800000000000},
        {"7ns", BUS_OK, 7},
        {"0", BUS_OK, 0},
        {"-1s", BUS_OK, -1000000000},
        {"0.000000001s", BUS_OK, 1},
        {"5", BUS_EINVAL, 0},
        {"", BUS_EINVAL, 0},
        {"s", BUS_EINVAL, 0},
        {"1 s", BUS_EINVAL, 0},
        {"1.s", BUS_EINVAL, 0},
        {"1.5.5s", BUS_EINVAL, 0},
        {"1weeks", BUS_EINVAL, 0},
        {"0.1ns", BUS_ERANGE, 0},
        {"300000d", BUS_ERANGE, 0},
        {"99999999999999999999s", BUS_EINVAL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bus_span span = {0};
        bus_err err = bus_span_parse(bus_view_of(cases[i].text), &span);
        cr_expect(err == cases[i].err, "'%s' gave %d", cases[i].text, (int)err);
        cr_expect(span.ns == cases[i].ns, "'%s' gave %lld", cases[i].text, (long long)span.ns);
    }
}

static void count_call(void *ctx)
{
    ++*(int *)ctx;
}

Test(time, a_virtual_clock_stands_still_moves_when_set_and_never_goes_back)
{
    int calls = 0;
    bus_clock_virtual((bus_wall){1000});
    bus_clock_on_change(count_call, &calls);
    cr_expect_eq(bus_now_wall().ns, 1000);
    cr_expect_eq(bus_now_mono().ns, 1000);
    bus_clock_set((bus_wall){5000});
    cr_expect_eq(bus_now_mono().ns, 5000);
    cr_expect_eq(calls, 1);
    bus_clock_set((bus_wall){4000});
    cr_expect_eq(bus_now_wall().ns, 5000);
    cr_expect_eq(calls, 1, "nobody is told of a step back");
    bus_clock_off_change(count_call, &calls);
    bus_clock_set((bus_wall){6000});
    cr_expect_eq(calls, 1);
    cr_expect(bus_machine_mono().ns > 6000, "real waiting is still measurable");
}
