#include "cli/amount.h"

enum { WHOLE_DIGITS_MAX = 18, RATIO_DIGITS = 8 };

static bus_err bad(bus_view text, const char *rule)
{
    return bus_fail(BUS_EINVAL, "'%.*s' is no amount: %s", BUS_VIEW_ARG(text), rule);
}

bus_err lane_amount_parse(bus_view text, lane_amount *out)
{
    lane_amount v = 0;
    int digits = 0, behind = -1; // behind: digits after the point, -1 before it
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '.' && behind < 0 && digits > 0) {
            behind = 0;
            continue;
        }
        if (c < '0' || c > '9')
            return bad(text, "digits and one point are expected");
        if (behind < 0 && ++digits > WHOLE_DIGITS_MAX)
            return bad(text, "too large");
        if (behind == LANE_AMOUNT_SCALE) {
            if (c != '0')
                return bad(text, "finer than 10 digits");
            continue;
        }
        behind += behind >= 0;
        v = v * 10 + (c - '0');
    }
    if (digits == 0 || behind == 0)
        return bad(text, "digits are expected around the point");
    for (int i = behind < 0 ? 0 : behind; i < LANE_AMOUNT_SCALE; i++)
        v *= 10;
    *out = v;
    return BUS_OK;
}

// Digits of v from the end of buf; at least `least` of them. Returns where they begin.
static char *write_digits(char *end, lane_amount v, int least)
{
    for (int i = 0; i < least || v; i++, v /= 10)
        *--end = (char)('0' + (int)(v % 10));
    return end;
}

// v with a point before its last `scale` digits.
static size_t write_fixed(char buf[LANE_AMOUNT_TEXT], lane_amount v, int scale)
{
    char digits[LANE_AMOUNT_TEXT], *end = digits + sizeof digits;
    char *at = write_digits(end, v, scale + 1);
    size_t whole = (size_t)(end - at) - (size_t)scale;
    memcpy(buf, at, whole);
    buf[whole] = '.';
    memcpy(buf + whole + 1, at + whole, (size_t)scale);
    buf[whole + 1 + (size_t)scale] = '\0';
    return whole + 1 + (size_t)scale;
}

const char *lane_amount_text(lane_amount v, int scale, char buf[LANE_AMOUNT_TEXT])
{
    size_t len = write_fixed(buf, v, scale);
    while (buf[len - 1] == '0')
        len--;
    if (buf[len - 1] == '.')
        len--;
    buf[len] = '\0';
    return buf;
}

bool lane_amount_divides(lane_amount qty)
{
    lane_amount unit = qty;
    for (int i = 0; i < LANE_AMOUNT_SCALE; i++)
        if (__builtin_mul_overflow(unit, 10, &unit))
            return false;
    return true;
}

const char *lane_amount_ratio(lane_amount notional, lane_amount qty, char buf[LANE_AMOUNT_TEXT])
{
    // notional / qty has LANE_AMOUNT_SCALE digits; longhand division gives exactly the eight we show.
    lane_amount unit = qty, whole, rest;
    for (int i = 0; i < LANE_AMOUNT_SCALE; i++)
        unit *= 10;
    whole = unit ? notional / unit : 0;
    rest = unit ? notional % unit : 0;
    for (int i = 0; i < RATIO_DIGITS && unit; i++) {
        unit /= 10; // exact: it began as qty * 10^10
        whole = whole * 10 + rest / unit;
        rest %= unit;
    }
    if (unit && 2 * rest >= unit)
        whole++;
    write_fixed(buf, whole, RATIO_DIGITS);
    return buf;
}
