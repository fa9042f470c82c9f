#include "cli/units.h"

#include "test/support/test.h"

// Source: schemas/specs/cli.md, "lane top".
typedef void (*writer)(char *buf, size_t cap, double n);

Test(units, are_short_and_have_two_digits_that_count)
{
    static const struct {
        writer write;
        double n;
        const char *text;
    } cases[] = {
        {lane_units_count, 0, "0"},
        {lane_units_count, 999, "999"},
        {lane_units_count, 1000, "1,000"},
        {lane_units_count, 1234567, "1,234,567"},
        {lane_units_count, -1000, "-1,000"},
        {lane_units_rate, 0, "0"},
        {lane_units_rate, 0.01, "0.1"},
        {lane_units_rate, 9.94, "9.9"},
        {lane_units_rate, 9.96, "10"},
        {lane_units_rate, 12345.6, "12,346"},
        {lane_units_bytes, 0, "0 B"},
        {lane_units_bytes, 1023, "1023 B"},
        {lane_units_bytes, 1024, "1.0 KiB"},
        {lane_units_bytes, 1048575, "1.0 MiB"},
        {lane_units_bytes, 4294967296.0, "4.0 GiB"},
        {lane_units_bytes, 1e30, "888178419700125 PiB"},
        {lane_units_ms, -0.2, "0 us"},
        {lane_units_ms, 0.0854, "85 us"},
        {lane_units_ms, 0.9999, "1.0 ms"},
        {lane_units_ms, 12.3, "12 ms"},
        {lane_units_ms, 1500, "1.5 s"},
        {lane_units_ms, 240000, "4.0 m"},
        {lane_units_span, 0, "0.0 s"},
        {lane_units_span, 59, "59 s"},
        {lane_units_span, 60, "1.0 m"},
        {lane_units_span, 5400, "1.5 h"},
        {lane_units_span, 200000, "2.3 d"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        cases[i].write(text, sizeof text, cases[i].n);
        cr_expect_str_eq(text, cases[i].text, "case %zu: %s", i, text);
    }
}

Test(units, let_no_control_reach_a_terminal)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"plain", "plain"},
        {"\033[2J\a", "?[2J?"},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"\xc2\x9b"
         "2J",
         "?2J"}, // CSI in one character
        {"\xff\xc3", "??"},
        {"\x7f\t\n", "???"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[32];
        lane_units_plain(text, sizeof text, cases[i].in);
        cr_expect_str_eq(text, cases[i].out, "case %zu", i);
    }
    char small[4];
    lane_units_plain(small, sizeof small, "ab\xc3\xa9");
    cr_expect_str_eq(small, "ab"); // no half character
}

Test(units, cut_by_characters_and_keep_the_end_of_a_name)
{
    char name[32] = "act.exchange.binance", small[8] = "abc",
         accents[16] = "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9";
    lane_units_shorten(name, 10);
    cr_expect_str_eq(name, "...binance");
    lane_units_shorten(small, 3);
    cr_expect_str_eq(small, "abc");
    lane_units_shorten(accents, 3);
    cr_expect_str_eq(accents, "..\xc3\xa9");
    cr_expect_eq(lane_units_width("\xc3\xa9"
                                  "a"),
                 2);
    cr_expect_eq(lane_units_fit("\xc3\xa9"
                                "ab",
                                2),
                 3);
}
