// Our decimal arithmetic against an oracle that does it the long way: digits as text, and 128 bits. First byte: what
// to do; the rest: its operands. Every reader of decimals has to agree with it, on refusing as well: bus/base/decimal
// (parse, scale_of, format, wide_format), feeds/venues/number, cli/amount (parse, text, ratio).
#include <stdlib.h>
#include <string.h>

#include "bus/base/decimal.h"
#include "cli/amount.h"
#include "feeds/venues/number.h"

static void demand(bool ok)
{
    if (!ok)
        abort();
}

// --- the oracle ------------------------------------------------------------------------------------------

enum { DIGITS_MAX = 4096 };
typedef struct {
    bool form, negative; // form: [-]digits[.digits]
    char whole[DIGITS_MAX], fraction[DIGITS_MAX];
    size_t whole_len, fraction_len; // without leading, without trailing zeros
    size_t whole_given, fraction_given;
} number;

static void take_apart(number *n, const char *text, size_t len)
{
    size_t at = 0, dot = 0;
    *n = (number){.form = false};
    if (len > 0 && text[0] == '-') {
        n->negative = true;
        at = 1;
    }
    for (dot = at; dot < len && text[dot] != '.'; dot++)
        if (!strchr("0123456789", text[dot]) || !text[dot])
            return;
    if (dot == at || dot + 1 == len)
        return;
    for (size_t i = dot + 1; i < len; i++)
        if (!strchr("0123456789", text[i]) || !text[i])
            return;
    n->form = true;
    n->whole_given = dot - at;
    n->fraction_given = dot < len ? len - dot - 1 : 0;
    while (at < dot && text[at] == '0')
        at++;
    while (dot < len && text[len - 1] == '0')
        len--;
    n->whole_len = dot - at;
    n->fraction_len = len > dot ? len - dot - 1 : 0;
    memcpy(n->whole, text + at, n->whole_len);
    if (n->fraction_len)
        memcpy(n->fraction, text + dot + 1, n->fraction_len);
}

// The value at `scale`; false when it needs more digits behind the point, or more than 38 in all.
static bool value_at(const number *n, size_t scale, unsigned __int128 *out)
{
    unsigned __int128 v = 0;
    if (n->fraction_len > scale || n->whole_len + scale > 38)
        return false;
    for (size_t i = 0; i < n->whole_len; i++)
        v = v * 10 + (unsigned)(n->whole[i] - '0');
    for (size_t i = 0; i < scale; i++)
        v = v * 10 + (i < n->fraction_len ? (unsigned)(n->fraction[i] - '0') : 0);
    *out = v;
    return true;
}

// All `scale` digits behind the point, or none of its zeros at the end. Returns the length.
static size_t write_out(char *out, __int128 v, size_t scale, bool stripped)
{
    char digits[64];
    size_t count = 0, len = 0;
    unsigned __int128 rest = v < 0 ? (unsigned __int128)-(v + 1) + 1 : (unsigned __int128)v;
    for (; rest || count <= scale; rest /= 10)
        digits[count++] = (char)('0' + (int)(rest % 10));
    size_t from = 0;
    while (stripped && from < scale && digits[from] == '0')
        from++;
    if (v < 0)
        out[len++] = '-';
    for (size_t i = count; i-- > from;) {
        out[len++] = digits[i];
        if (i == scale && i > from)
            out[len++] = '.';
    }
    out[len] = '\0';
    return len;
}

// --- each of ours ----------------------------------------------------------------------------------------

static void check_parse(const number *n, bus_view text, int scale)
{
    unsigned __int128 v = 0;
    int64_t ours = 77;
    bus_err err = bus_decimal_parse(text, scale, &ours);
    if (!n->form) {
        demand(err == BUS_EINVAL && ours == 77);
        return;
    }
    bool fits = value_at(n, (size_t)scale, &v) && v <= (unsigned __int128)INT64_MAX + n->negative;
    demand(err == (fits ? BUS_OK : BUS_ERANGE));
    if (fits)
        demand((__int128)ours == (n->negative ? -(__int128)v : (__int128)v));
    else
        demand(ours == 77);
}

static void check_scale(const number *n, bus_view text)
{
    int least = 77;
    bus_err err = bus_decimal_scale_of(text, &least);
    bool fits = n->form && n->fraction_len <= BUS_DECIMAL_SCALE_MAX;
    demand(err == (fits ? BUS_OK : n->form ? BUS_ERANGE : BUS_EINVAL));
    demand(least == (fits ? (int)n->fraction_len : 77));
}

static void check_venue_number(const number *n, bus_view text)
{
    feed_decimal d;
    unsigned __int128 whole, fraction;
    bool fits = n->form && !n->negative && text.len <= 37 && n->whole_given <= 18 &&
                n->fraction_given <= 18;
    demand(feed_decimal_parse(text, &d) == fits);
    if (!fits)
        return;
    number behind = {.fraction_len = n->fraction_len};
    memcpy(behind.fraction, n->fraction, n->fraction_len);
    number before = {.whole_len = n->whole_len};
    memcpy(before.whole, n->whole, n->whole_len);
    demand(value_at(&before, 0, &whole) && value_at(&behind, n->fraction_given, &fraction));
    demand(d.whole == whole && d.fraction == fraction && d.digits == (int)n->fraction_given);
}

static void check_amount(const number *n, bus_view text)
{
    lane_amount ours;
    unsigned __int128 v = 0;
    bool fits =
        n->form && !n->negative && n->whole_given <= 18 && value_at(n, LANE_AMOUNT_SCALE, &v);
    demand((lane_amount_parse(text, &ours) == BUS_OK) == fits);
    demand(!fits || ours == (lane_amount)v);
}

static void check_formats(const uint8_t *bytes, size_t len)
{
    char expected[64], buf[BUS_DECIMAL_TEXT];
    __int128 wide = 0;
    int64_t v = 0;
    int scale = bytes[0] % (BUS_DECIMAL_SCALE_MAX + 1);
    memcpy(&wide, bytes + 1, len - 1 < sizeof wide ? len - 1 : sizeof wide);
    memcpy(&v, bytes + 1, len - 1 < sizeof v ? len - 1 : sizeof v);
    size_t want = write_out(expected, v, (size_t)scale, false);
    demand((size_t)bus_decimal_format(v, scale, buf) == want && strcmp(buf, expected) == 0);
    want = write_out(expected, wide, (size_t)scale, true);
    demand((size_t)bus_wide_format(wide, scale, buf) == want && strcmp(buf, expected) == 0);
    if (wide < 0)
        return;
    write_out(expected, wide, (size_t)scale, true);
    demand(strcmp(lane_amount_text(wide, scale, buf), expected) == 0);
}

// notional / qty at eight digits, half up, with numbers small enough that 128 bits hold both sides.
static void check_ratio(const uint8_t *bytes, size_t len)
{
    uint64_t price = 0, qty = 0;
    char expected[64], buf[LANE_AMOUNT_TEXT];
    memcpy(&price, bytes, len < 8 ? len : 8);
    if (len > 8)
        memcpy(&qty, bytes + 8, len - 8 < 8 ? len - 8 : 8);
    lane_amount notional = (lane_amount)price * 1000003 + 17;
    demand(lane_amount_divides(qty));
    __int128 unit = (__int128)qty * 100, twice = 2 * notional;
    __int128 ratio = qty ? (twice + unit) / (2 * unit) : 0;
    write_out(expected, ratio, 8, false);
    demand(strcmp(lane_amount_ratio(notional, qty, buf), expected) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static number n;
    if (size < 2 || size > DIGITS_MAX)
        return 0;
    bus_view text = {(const char *)data + 1, size - 1};
    if (data[0] >= 0xf8) {
        check_ratio(data + 1, size - 1);
    } else if (data[0] >= 0xe0) {
        check_formats(data + 1, size - 1);
    } else {
        take_apart(&n, text.ptr, text.len);
        check_parse(&n, text, data[0] % (BUS_DECIMAL_SCALE_MAX + 1));
        check_scale(&n, text);
        check_venue_number(&n, text);
        check_amount(&n, text);
    }
    return 0;
}
