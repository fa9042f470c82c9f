#include "bus/base/decimal.h"

#include <stdlib.h>

#include "test/support/test.h"

// Source: schemas/specs/daemons.md, "Numbers".
Test(decimal, converts_text_exactly_or_not_at_all)
{
    static const struct {
        const char *text;
        int scale;
        bus_err err;
        int64_t value;
    } cases[] = {
        {"0", 0, BUS_OK, 0},
        {"61837.63000000", 8, BUS_OK, 6183763000000},
        {"61837.63000000", 2, BUS_OK, 6183763},
        {"61837.63000000", 1, BUS_ERANGE, 0},
        {"0.00001000", 8, BUS_OK, 1000},
        {"-12.5", 1, BUS_OK, -125},
        {"-0", 3, BUS_OK, 0},
        {"007", 0, BUS_OK, 7},
        {"1", 18, BUS_OK, 1000000000000000000},
        {"9.223372036854775807", 18, BUS_OK, INT64_MAX},
        {"9.223372036854775808", 18, BUS_ERANGE, 0},
        {"-9.223372036854775808", 18, BUS_OK, INT64_MIN},
        {"-9.223372036854775809", 18, BUS_ERANGE, 0},
        {"9223372036854775807", 0, BUS_OK, INT64_MAX},
        {"-9223372036854775808", 0, BUS_OK, INT64_MIN},
        {"9223372036854775808", 0, BUS_ERANGE, 0},
        {"10", 18, BUS_ERANGE, 0},
        {"999999999999999999", 18, BUS_ERANGE, 0},
        {"1.00000000000000000000000000000000000000", 0, BUS_OK, 1},
        {"1.00000000000000000000000000000000000001", 18, BUS_ERANGE, 0},
        {"0000000000000000000000000000000000000001", 0, BUS_OK, 1},
        {"", 0, BUS_EINVAL, 0},
        {"-", 0, BUS_EINVAL, 0},
        {".", 0, BUS_EINVAL, 0},
        {"+1", 0, BUS_EINVAL, 0},
        {"1.", 2, BUS_EINVAL, 0},
        {".5", 2, BUS_EINVAL, 0},
        {"-.5", 2, BUS_EINVAL, 0},
        {"1e5", 0, BUS_EINVAL, 0},
        {" 1", 0, BUS_EINVAL, 0},
        {"1 ", 0, BUS_EINVAL, 0},
        {"1.2.3", 4, BUS_EINVAL, 0},
        {"--1", 0, BUS_EINVAL, 0},
        {"1,5", 1, BUS_EINVAL, 0},
        {"0x10", 0, BUS_EINVAL, 0},
        {"nan", 0, BUS_EINVAL, 0},
        {"1", 19, BUS_EINVAL, 0},
        {"1", -1, BUS_EINVAL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t value = 0;
        bus_err err = bus_decimal_parse(bus_view_of(cases[i].text), cases[i].scale, &value);
        cr_expect(err == cases[i].err, "'%s' at %d gave %d", cases[i].text, cases[i].scale,
                  (int)err);
        cr_expect(value == cases[i].value, "'%s' at %d gave %lld", cases[i].text, cases[i].scale,
                  (long long)value);
    }
}

Test(decimal, tells_the_scale_a_text_needs)
{
    static const struct {
        const char *text;
        bus_err err;
        int scale;
    } cases[] = {
        {"61837.63000000", BUS_OK, 2},
        {"1", BUS_OK, 0},
        {"1.0", BUS_OK, 0},
        {"-0.001", BUS_OK, 3},
        {"0.000000000000000001", BUS_OK, 18},
        {"0.0000000000000000001", BUS_ERANGE, 0},
        {"1.", BUS_EINVAL, 0},
        {"x", BUS_EINVAL, 0},
        {"", BUS_EINVAL, 0},
        {"-", BUS_EINVAL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int scale = 0;
        bus_err err = bus_decimal_scale_of(bus_view_of(cases[i].text), &scale);
        cr_expect(err == cases[i].err, "'%s' gave %d", cases[i].text, (int)err);
        cr_expect_eq(scale, cases[i].scale, "'%s'", cases[i].text);
    }
}

Test(decimal, writes_all_digits_of_its_scale)
{
    static const struct {
        int64_t value;
        int scale;
        const char *text;
    } cases[] = {
        {150, 2, "1.50"},
        {5, 3, "0.005"},
        {-5, 3, "-0.005"},
        {0, 0, "0"},
        {0, 2, "0.00"},
        {INT64_MIN, 0, "-9223372036854775808"},
        {INT64_MIN, 18, "-9.223372036854775808"},
        {INT64_MAX, 8, "92233720368.54775807"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char buf[BUS_DECIMAL_TEXT];
        int len = bus_decimal_format(cases[i].value, cases[i].scale, buf);
        cr_expect_str_eq(buf, cases[i].text);
        cr_expect_eq(len, (int)strlen(cases[i].text));
    }
}

Test(decimal, writes_wide_products_without_trailing_zeros)
{
    char buf[BUS_DECIMAL_TEXT];
    bus_wide_format((bus_wide)130840741123886 * 1000, 10, buf);
    cr_expect_str_eq(buf, "13084074.1123886");
    bus_wide_format(0, 8, buf);
    cr_expect_str_eq(buf, "0");
    bus_wide_format((bus_wide)INT64_MIN * INT64_MAX, 18, buf);
    cr_expect_str_eq(buf, "-85070591730234615856.620279821087277056");
    bus_wide lowest = (bus_wide)1 << 126;
    bus_wide_format(-lowest * 2, 18, buf);
    cr_expect_str_eq(buf, "-170141183460469231731.687303715884105728");
    bus_wide_format(1200, 2, buf);
    cr_expect_str_eq(buf, "12");
}

Test(decimal, survives_the_way_there_and_back)
{
    unsigned seed = 12345;
    for (int i = 0; i < 200000; i++) {
        int64_t v = (int64_t)(((uint64_t)rand_r(&seed) << 42) ^ ((uint64_t)rand_r(&seed) << 21) ^
                              (uint64_t)rand_r(&seed));
        v >>= rand_r(&seed) % 63;
        int scale = rand_r(&seed) % 19;
        char buf[BUS_DECIMAL_TEXT];
        int64_t back = 0;
        int len = bus_decimal_format(v, scale, buf);
        test_ok(bus_decimal_parse((bus_view){buf, (size_t)len}, scale, &back));
        cr_assert(back == v, "seed 12345, round %d: %s", i, buf);
    }
}
