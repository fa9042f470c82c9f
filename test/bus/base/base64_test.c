#include "bus/base/base64.h"

#include "test/support/test.h"

// Source: RFC 4648, section 10.
static const struct {
    const char *bytes, *text;
} rows[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
    {"\xfb\xff", "+/8="},
};

Test(base64, writes_and_reads_what_the_standard_gives)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[16];
        uint8_t bytes[16];
        size_t len = 99;
        bus_view given = bus_view_of(rows[i].bytes);
        bus_base64_write(text, given);
        cr_expect_str_eq(text, rows[i].text);
        cr_expect_eq(strlen(text), BUS_BASE64_CHARS(given.len));
        cr_expect(bus_base64_read(bytes, &len, bus_view_of(text)));
        cr_expect(bus_view_eq((bus_view){(const char *)bytes, len}, given), "%s", text);
    }
}

Test(base64, refuses_what_is_malformed)
{
    static const char *const bad[] = {
        "a", "aa", "aaa", "a===", "====", "a?==", "aa=a", "-_8=", "a\n=="};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t bytes[16];
        size_t len;
        cr_expect_not(bus_base64_read(bytes, &len, bus_view_of(bad[i])), "%s", bad[i]);
    }
}

Test(base64, reads_either_alphabet_with_or_without_padding_where_any_will_do)
{
    static const char *const good[] = {"+/8=", "+/8", "-_8=", "-_8"};
    static const char *const bad[] = {"a", "aaaaa", "a===", "a?==", "aa=", "aa=a"};
    uint8_t bytes[16];
    size_t len;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cr_expect(bus_base64_read_any(bytes, &len, bus_view_of(good[i])), "%s", good[i]);
        cr_expect(len == 2 && bytes[0] == 0xfb && bytes[1] == 0xff, "%s", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_not(bus_base64_read_any(bytes, &len, bus_view_of(bad[i])), "%s", bad[i]);
}
