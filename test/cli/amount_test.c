// Source: schemas/specs/cli.md, "lane feed check".
#include "cli/amount.h"

#include "test/support/test.h"

TestSuite(amount);

static lane_amount amount(const char *text)
{
    lane_amount v = 0;
    test_ok(lane_amount_parse(bus_view_of(text), &v));
    return v;
}

Test(amount, text_goes_in_and_comes_out_without_its_trailing_zeros)
{
    static const char *const rows[][2] = {
        {"61837.63000000", "61837.63"},
        {"0.00123000", "0.00123"},
        {"0", "0"},
        {"0.00000000", "0"},
        {"100", "100"},
        {"999999999999999999.9999999999", "999999999999999999.9999999999"},
        {"1.00000000000000", "1"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char buf[LANE_AMOUNT_TEXT];
        cr_expect_str_eq(lane_amount_text(amount(rows[i][0]), LANE_AMOUNT_SCALE, buf), rows[i][1]);
    }
}

Test(amount, what_is_no_amount_is_refused)
{
    static const char *const bad[] = {"",
                                      ".",
                                      "1.",
                                      ".5",
                                      "-1",
                                      "+1",
                                      "1e5",
                                      "1.2.3",
                                      " 1",
                                      "1 ",
                                      "1,5",
                                      "0.00000000001",
                                      "1234567890123456789"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lane_amount v = 42;
        cr_expect(lane_amount_parse(bus_view_of(bad[i]), &v) == BUS_EINVAL, "took '%s'", bad[i]);
        cr_expect(v == 42);
    }
}

// Expected values from Python's decimal module: quantize(8 digits, ROUND_HALF_UP).
Test(amount, a_ratio_has_eight_digits_half_up)
{
    static const struct {
        const char *price, *qty, *more_price, *more_qty, *ratio;
    } rows[] = {
        {"61837.63", "0.00123", "61837.64", "0.00123", "61837.63500000"},
        {"1", "1", "2", "2", "1.66666667"},
        {"0.000000005", "1", "0", "0", "0.00000001"},
        {"0.0000000049", "1", "0", "0", "0.00000000"},
        {"9.99999999", "1", "10", "1", "10.00000000"},
        {"3", "7", "5", "0.0000000001", "3.00000000"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char buf[LANE_AMOUNT_TEXT];
        lane_amount q1 = amount(rows[i].qty), q2 = amount(rows[i].more_qty);
        lane_amount notional = amount(rows[i].price) * q1 + amount(rows[i].more_price) * q2;
        cr_expect_str_eq(lane_amount_ratio(notional, q1 + q2, buf), rows[i].ratio);
    }
}
