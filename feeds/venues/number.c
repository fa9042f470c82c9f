#include "feeds/venues/number.h"

bool feed_decimal_parse(bus_view text, feed_decimal *out)
{
    const char *p = text.ptr, *end = p + text.len, *from = p;
    uint64_t whole = 0, fraction = 0;
    if (text.len == 0 || text.len > 37)
        return false;
    for (; p < end && (unsigned)(*p - '0') < 10; p++)
        whole = whole * 10 + (uint64_t)(*p - '0');
    if (p == from || p - from > 18)
        return false;
    int digits = 0;
    if (p < end) {
        if (*p++ != '.')
            return false;
        from = p;
        for (; p < end && (unsigned)(*p - '0') < 10; p++)
            fraction = fraction * 10 + (uint64_t)(*p - '0');
        digits = (int)(p - from);
        if (p != end || digits == 0 || digits > 18)
            return false;
    }
    *out = (feed_decimal){text, whole, fraction, digits};
    return true;
}
