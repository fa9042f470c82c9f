#include "bus/base/view.h"

#include "test/support/test.h"

Test(view, reads_whole_unsigned_numbers_only)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t value;
    } cases[] = {
        {"0", true, 0},
        {"42", true, 42},
        {"007", true, 7},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"99999999999999999999", false, 0},
        {"", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {"1 ", false, 0},
        {"1a", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t value = 0;
        cr_expect(bus_view_u64(bus_view_of(cases[i].text), &value) == cases[i].ok, "'%s'",
                  cases[i].text);
        cr_expect(value == cases[i].value, "'%s'", cases[i].text);
    }
}

Test(view, copies_only_what_fits_with_its_end)
{
    char buf[4] = "zzz";
    cr_expect(bus_view_copy(BUS_VIEW("abc"), buf, sizeof buf));
    cr_expect_str_eq(buf, "abc");
    cr_expect(!bus_view_copy(BUS_VIEW("abcd"), buf, sizeof buf));
    cr_expect_str_eq(buf, "");
    cr_expect(bus_view_copy((bus_view){NULL, 0}, buf, sizeof buf));
    cr_expect(!bus_view_copy(BUS_VIEW("a"), buf, 0));
}

Test(view, compares_by_bytes_and_an_absent_view_equals_an_empty_one)
{
    cr_expect(bus_view_eq((bus_view){NULL, 0}, BUS_VIEW("")));
    cr_expect(bus_view_is(BUS_VIEW("act"), "act"));
    cr_expect(!bus_view_is(BUS_VIEW("act"), "acts"));
}
