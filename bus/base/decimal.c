#include "bus/base/decimal.h"

#include <stdbool.h>

const int64_t bus_power10[BUS_DECIMAL_SCALE_MAX + 1] = {
    1,
    10,
    100,
    1000,
    10000,
    100000,
    1000000,
    10000000,
    100000000,
    1000000000,
    10000000000,
    100000000000,
    1000000000000,
    10000000000000,
    100000000000000,
    1000000000000000,
    10000000000000000,
    100000000000000000,
    1000000000000000000,
};

static bus_err bad_text(bus_view text)
{
    return bus_fail(BUS_EINVAL, "'%.*s' is not a decimal number ([-]digits[.digits])",
                    (int)(text.len > 64 ? 64 : text.len), text.ptr ? text.ptr : "");
}

static bus_err too_fine(bus_view text, int scale)
{
    return bus_fail(BUS_ERANGE, "'%.*s' has digits beyond scale %d",
                    (int)(text.len > 64 ? 64 : text.len), text.ptr, scale);
}

static bus_err too_large(bus_view text, int scale)
{
    return bus_fail(BUS_ERANGE, "'%.*s' does not fit 64 bits at scale %d",
                    (int)(text.len > 64 ? 64 : text.len), text.ptr, scale);
}

// Up to 18 characters hold at most 18 digits, which a 64-bit sum cannot overflow: no checks per
// digit. This is nearly every venue number. Returns false when the text is not of that easy form.
static bool parse_short(const char *p, const char *end, bool negative, int scale, int64_t *out)
{
    int64_t v = 0;
    int behind = -1; // digits behind the point, -1 before it
    for (; p < end; p++) {
        unsigned digit = (unsigned)*p - '0';
        if (digit <= 9) {
            v = v * 10 + digit;
            behind += behind >= 0;
        } else if (*p == '.' && behind < 0) {
            behind = 0;
        } else {
            return false;
        }
    }
    if (behind == 0)
        return false; // "1."
    int have = behind < 0 ? 0 : behind;
    for (; have > scale && v % 10 == 0; have--)
        v /= 10;
    if (have > scale || __builtin_mul_overflow(v, bus_power10[scale - have], &v))
        return false;
    *out = negative ? -v : v;
    return true;
}

// Checks the whole text and says where its significant digits end: `last` is behind the last one
// that is needed (trailing zeros behind the point dropped), `point` is at the point or at `end`.
static bool outline(const char *p, const char *end, const char **point, const char **last)
{
    const char *dot = NULL;
    for (const char *q = p; q < end; q++) {
        if (*q == '.') {
            if (dot || q == p || q + 1 == end)
                return false;
            dot = q;
        } else if (*q < '0' || *q > '9') {
            return false;
        }
    }
    *point = dot ? dot : end;
    *last = end;
    while (dot && *last > dot + 1 && (*last)[-1] == '0')
        (*last)--;
    if (dot && *last == dot + 1)
        *last = dot;
    return p < end;
}

static bus_err parse_long(bus_view text, bool negative, int scale, int64_t *out)
{
    const char *p = text.ptr + negative;
    const char *point, *last;
    if (!outline(p, text.ptr + text.len, &point, &last))
        return bad_text(text);
    int behind = last > point ? (int)(last - point) - 1 : 0;
    if (last > point && last - point - 1 > scale)
        return too_fine(text, scale);
    int64_t v = 0; // negative all the way, because INT64_MIN has no positive twin
    for (; p < last; p++) {
        if (*p == '.')
            continue;
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, *p - '0', &v))
            return too_large(text, scale);
    }
    if (__builtin_mul_overflow(v, bus_power10[scale - behind], &v) || (!negative && v == INT64_MIN))
        return too_large(text, scale);
    *out = negative ? v : -v;
    return BUS_OK;
}

bus_err bus_decimal_parse(bus_view text, int scale, int64_t *out)
{
    if (scale < 0 || scale > BUS_DECIMAL_SCALE_MAX)
        return bus_fail(BUS_EINVAL, "scale %d is outside 0..%d", scale, BUS_DECIMAL_SCALE_MAX);
    bool negative = text.len && text.ptr[0] == '-';
    const char *p = text.ptr + negative;
    size_t len = text.len - negative;
    if (len >= 1 && len <= 18 && *p != '.' && parse_short(p, p + len, negative, scale, out))
        return BUS_OK;
    return parse_long(text, negative, scale, out);
}

bus_err bus_decimal_scale_of(bus_view text, int *scale)
{
    bool negative = text.len && text.ptr[0] == '-';
    const char *point, *last;
    if (text.len <= (size_t)negative ||
        !outline(text.ptr + negative, text.ptr + text.len, &point, &last))
        return bad_text(text);
    int64_t behind = last > point ? last - point - 1 : 0;
    if (behind > BUS_DECIMAL_SCALE_MAX)
        return too_fine(text, BUS_DECIMAL_SCALE_MAX);
    *scale = (int)behind;
    return BUS_OK;
}

// Writes the digits of `v` right to left in front of `end`, the point behind `scale` of them.
static char *put_number(char *end, unsigned __int128 v, int scale)
{
    int digits = 0;
    do {
        if (digits == scale && digits > 0)
            *--end = '.';
        *--end = (char)('0' + (int)(v % 10));
        v /= 10;
        digits++;
    } while (v || digits <= scale);
    return end;
}

static int clamp_scale(int scale)
{
    return scale < 0 ? 0 : scale > BUS_DECIMAL_SCALE_MAX ? BUS_DECIMAL_SCALE_MAX : scale;
}

static int finish(char *start, char *end, bool negative, char buf[BUS_DECIMAL_TEXT])
{
    if (negative)
        *--start = '-';
    int len = (int)(end - start);
    memcpy(buf, start, (size_t)len);
    buf[len] = '\0';
    return len;
}

int bus_decimal_format(int64_t v, int scale, char buf[BUS_DECIMAL_TEXT])
{
    char text[BUS_DECIMAL_TEXT];
    char *end = text + sizeof text;
    scale = clamp_scale(scale);
    uint64_t rest = v < 0 ? -(uint64_t)v : (uint64_t)v;
    char *p = end;
    int digits = 0;
    do { // as put_number, in 64 bits: this one is on the event path
        if (digits == scale && digits > 0)
            *--p = '.';
        *--p = (char)('0' + rest % 10);
        rest /= 10;
        digits++;
    } while (rest || digits <= scale);
    return finish(p, end, v < 0, buf);
}

int bus_wide_format(bus_wide v, int scale, char buf[BUS_DECIMAL_TEXT])
{
    char text[BUS_DECIMAL_TEXT];
    char *end = text + sizeof text;
    scale = clamp_scale(scale);
    unsigned __int128 rest = v < 0 ? -(unsigned __int128)v : (unsigned __int128)v;
    for (; scale > 0 && rest % 10 == 0; scale--)
        rest /= 10;
    return finish(put_number(end, rest, scale), end, v < 0, buf);
}
