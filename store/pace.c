#include "store/pace.h"

#include <stdio.h>
#include <string.h>

#include "bus/base/decimal.h"

enum { SCALE = 6, ONE_X = 1000000 };
static const int64_t slowest = ONE_X / 100, fastest = INT64_C(10000) * ONE_X;

bus_err store_speed_parse(bus_view text, store_speed *out)
{
    int64_t v = 0;
    if (text.len == 0 || bus_view_is(text, "max")) {
        out->millionths = 0;
        return BUS_OK;
    }
    bool factor = text.ptr[text.len - 1] == 'x' &&
                  bus_decimal_parse((bus_view){text.ptr, text.len - 1}, SCALE, &v) == BUS_OK;
    if (!factor || v < slowest || v > fastest)
        return bus_fail(BUS_EINVAL,
                        "speed '%.*s': 'max' or a factor from 0.01x to 10000x is expected",
                        BUS_VIEW_ARG(text));
    out->millionths = v;
    return BUS_OK;
}

void store_speed_format(store_speed speed, char buf[STORE_SPEED_TEXT])
{
    char digits[BUS_DECIMAL_TEXT];
    if (speed.millionths == 0) {
        memcpy(buf, "max", 4);
        return;
    }
    bus_wide_format(speed.millionths, SCALE, digits); // strips trailing zeros
    snprintf(buf, STORE_SPEED_TEXT, "%sx", digits);
}

void store_pace_set(store_pace *pace, store_speed speed)
{
    pace->speed = speed;
    pace->anchored = false;
}

void store_pace_restart(store_pace *pace)
{
    pace->anchored = false;
}

bus_mono store_pace_due(store_pace *pace, bus_recorded_time recorded, bus_mono now)
{
    if (pace->speed.millionths == 0)
        return now;
    if (!pace->anchored) {
        pace->anchored = true;
        pace->r0 = recorded;
        pace->t0 = now;
    }
    __int128 gap = (__int128)recorded.ns - pace->r0.ns;
    __int128 due = pace->t0.ns + gap * ONE_X / pace->speed.millionths;
    // a gap of years at a slow speed is "never", not an overflow
    if (due > INT64_MAX)
        due = INT64_MAX;
    if (due < INT64_MIN)
        due = INT64_MIN;
    return (bus_mono){(int64_t)due};
}
