#include "bus/base/time.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { NS_PER_S = 1000000000, LISTENERS_MAX = 16 };

// --- the clock ---------------------------------------------------------------------------------------

static atomic_bool is_virtual;
static _Atomic int64_t virtual_ns;
static struct {
    void (*fn)(void *ctx);
    void *ctx;
} listener[LISTENERS_MAX];
static pthread_mutex_t listener_lock = PTHREAD_MUTEX_INITIALIZER;

static int64_t machine_ns(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

bus_wall bus_now_wall(void)
{
    if (atomic_load_explicit(&is_virtual, memory_order_relaxed))
        return (bus_wall){atomic_load(&virtual_ns)};
    return (bus_wall){machine_ns(CLOCK_REALTIME)};
}

bus_mono bus_now_mono(void)
{
    if (atomic_load_explicit(&is_virtual, memory_order_relaxed))
        return (bus_mono){atomic_load(&virtual_ns)};
    return (bus_mono){machine_ns(CLOCK_MONOTONIC)};
}

bus_mono bus_machine_mono(void)
{
    return (bus_mono){machine_ns(CLOCK_MONOTONIC)};
}

void bus_clock_virtual(bus_wall start)
{
    atomic_store(&virtual_ns, start.ns);
    atomic_store(&is_virtual, true);
}

bool bus_clock_is_virtual(void)
{
    return atomic_load(&is_virtual);
}

bool bus_clock_is_told(void)
{
    return bus_now_wall().ns != 0;
}

void bus_clock_set(bus_wall now)
{
    int64_t seen = atomic_load(&virtual_ns);
    do {
        if (now.ns <= seen)
            return; // never back, and no news
    } while (!atomic_compare_exchange_weak(&virtual_ns, &seen, now.ns));
    pthread_mutex_lock(&listener_lock);
    for (int i = 0; i < LISTENERS_MAX; i++) {
        if (listener[i].fn)
            listener[i].fn(listener[i].ctx);
    }
    pthread_mutex_unlock(&listener_lock);
}

void bus_clock_on_change(void (*fn)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&listener_lock);
    int i = 0;
    while (i < LISTENERS_MAX && listener[i].fn)
        i++;
    assert(i < LISTENERS_MAX);
    listener[i].fn = fn;
    listener[i].ctx = ctx;
    pthread_mutex_unlock(&listener_lock);
}

void bus_clock_off_change(void (*fn)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&listener_lock);
    for (int i = 0; i < LISTENERS_MAX; i++) {
        if (listener[i].fn == fn && listener[i].ctx == ctx)
            listener[i].fn = NULL;
    }
    pthread_mutex_unlock(&listener_lock);
}

// --- calendar ----------------------------------------------------------------------------------------

// Days since 1970-01-01 of a proleptic Gregorian date, and back. Both count in eras of 400 years
// that begin on 1 March, so that the leap day is the last day of a year.
static int64_t days_from_civil(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t yoe = year - era * 400;
    int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void civil_from_days(int64_t days, int *year, int *month, int *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp + (mp < 10 ? 3 : -9));
    *year = (int)(yoe + era * 400 + (*month <= 2));
}

static void put_digits(char *at, int count, uint32_t value)
{
    for (int i = count - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

int bus_time_format(int64_t ns, char buf[BUS_TIME_TEXT])
{
    int64_t second = ns / NS_PER_S;
    int64_t fraction = ns % NS_PER_S;
    if (fraction < 0) {
        fraction += NS_PER_S;
        second--;
    }
    int64_t days = second / 86400;
    int64_t of_day = second % 86400;
    if (of_day < 0) {
        of_day += 86400;
        days--;
    }
    int year, month, day;
    civil_from_days(days, &year, &month, &day);
    memcpy(buf, "0000-00-00T00:00:00.000000000Z", 31);
    put_digits(buf, 4, (uint32_t)year);
    put_digits(buf + 5, 2, (uint32_t)month);
    put_digits(buf + 8, 2, (uint32_t)day);
    put_digits(buf + 11, 2, (uint32_t)(of_day / 3600));
    put_digits(buf + 14, 2, (uint32_t)(of_day / 60 % 60));
    put_digits(buf + 17, 2, (uint32_t)(of_day % 60));
    put_digits(buf + 20, 9, (uint32_t)fraction);
    return 30;
}

// Reads `count` digits at *at and moves behind them; -1 when one of them is none.
static int take_digits(const char **at, const char *end, int count)
{
    int value = 0;
    if (end - *at < count)
        return -1;
    for (int i = 0; i < count; i++) {
        unsigned digit = (unsigned)(*at)[i] - '0';
        if (digit > 9)
            return -1;
        value = value * 10 + (int)digit;
    }
    *at += count;
    return value;
}

static bool take_char(const char **at, const char *end, char c)
{
    if (*at == end || **at != c)
        return false;
    (*at)++;
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

static bool take_date(const char **at, const char *end, int64_t *second)
{
    int year = take_digits(at, end, 4);
    if (year < 0 || !take_char(at, end, '-'))
        return false;
    int month = take_digits(at, end, 2);
    if (month < 1 || month > 12 || !take_char(at, end, '-'))
        return false;
    int day = take_digits(at, end, 2);
    if (day < 1 || day > days_in_month(year, month))
        return false;
    *second = days_from_civil(year, month, day) * 86400;
    return true;
}

static bool take_clock(const char **at, const char *end, int64_t *second)
{
    int hour = take_digits(at, end, 2);
    if (hour < 0 || hour > 23 || !take_char(at, end, ':'))
        return false;
    int minute = take_digits(at, end, 2);
    if (minute < 0 || minute > 59 || !take_char(at, end, ':'))
        return false;
    int sec = take_digits(at, end, 2);
    if (sec < 0 || sec > 60)
        return false;
    *second += hour * 3600 + minute * 60 + sec;
    return true;
}

static bool take_fraction(const char **at, const char *end, int64_t *ns)
{
    *ns = 0;
    if (!take_char(at, end, '.'))
        return true;
    int count = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++, count++) {
        if (count == 9)
            return false;
        *ns = *ns * 10 + (**at - '0');
    }
    for (int i = count; i < 9; i++)
        *ns *= 10;
    return count > 0;
}

static bool take_offset(const char **at, const char *end, int64_t *second)
{
    if (*at == end)
        return false;
    char sign = *(*at)++;
    if (sign == 'Z' || sign == 'z')
        return true;
    if (sign != '+' && sign != '-')
        return false;
    int hour = take_digits(at, end, 2);
    if (hour < 0 || hour > 23 || !take_char(at, end, ':'))
        return false;
    int minute = take_digits(at, end, 2);
    if (minute < 0 || minute > 59)
        return false;
    int64_t offset = hour * 3600 + minute * 60;
    *second += sign == '+' ? -offset : offset;
    return true;
}

bus_err bus_time_parse(bus_view text, int64_t *ns)
{
    const char *at = text.ptr ? text.ptr : "";
    const char *end = at + text.len;
    int64_t second = 0, fraction = 0;
    bool ok = text.len >= 20 && take_date(&at, end, &second);
    ok = ok && (take_char(&at, end, 'T') || take_char(&at, end, 't') || take_char(&at, end, ' '));
    ok = ok && take_clock(&at, end, &second) && take_fraction(&at, end, &fraction);
    ok = ok && take_offset(&at, end, &second) && at == end;
    if (!ok)
        return bus_fail(BUS_EINVAL,
                        "'%.*s' is not an RFC 3339 time with at most nine fractional digits",
                        (int)(text.len > 64 ? 64 : text.len), text.ptr ? text.ptr : "");
    // In 128 bits: the first second of the range lies below int64 although its fraction may not.
    __int128 wide = (__int128)second * NS_PER_S + fraction;
    if (wide < INT64_MIN || wide > INT64_MAX)
        return bus_fail(BUS_ERANGE, "time '%.*s' is outside 1677-09-21 to 2262-04-11",
                        BUS_VIEW_ARG(text));
    *ns = (int64_t)wide;
    return BUS_OK;
}

// --- spans -------------------------------------------------------------------------------------------

static int64_t unit_ns(bus_view unit)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {
        {"ns", 1},
        {"us", 1000},
        {"ms", 1000000},
        {"s", NS_PER_S},
        {"m", 60LL * NS_PER_S},
        {"h", 3600LL * NS_PER_S},
        {"d", 86400LL * NS_PER_S},
    };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (bus_view_is(unit, units[i].name))
            return units[i].ns;
    }
    return 0;
}

// The number in front of the unit as value / 10^scale; false when there is none.
static bool span_number(bus_view text, size_t *used, __int128 *value, int *scale)
{
    size_t i = 0, digits = 0;
    bool point = false;
    *value = 0;
    *scale = 0;
    for (; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '.' && !point && digits) {
            point = true;
            continue;
        }
        if (c < '0' || c > '9')
            break;
        if (++digits > 19)
            return false;
        *value = *value * 10 + (c - '0');
        *scale += point;
    }
    *used = i;
    return digits > 0 && !(point && *scale == 0);
}

bus_err bus_span_parse(bus_view text, bus_span *out)
{
    bool negative = text.len && text.ptr[0] == '-';
    bus_view rest = {text.ptr + negative, text.len - negative};
    size_t used;
    __int128 value;
    int scale;
    int shown = (int)(text.len > 64 ? 64 : text.len);
    if (text.len == 0 || !span_number(rest, &used, &value, &scale))
        return bus_fail(BUS_EINVAL, "'%.*s' is not a length of time such as 250us, 1.5s or 24h",
                        shown, text.ptr ? text.ptr : "");
    bus_view unit = {rest.ptr + used, rest.len - used};
    int64_t scale_ns = unit_ns(unit);
    if (unit.len == 0 && value == 0)
        scale_ns = 1;
    if (scale_ns == 0)
        return bus_fail(BUS_EINVAL,
                        "'%.*s' has no unit: write ns, us, ms, s, m, h or d behind the number",
                        shown, text.ptr);
    value *= scale_ns;
    for (; scale > 0; scale--) {
        if (value % 10)
            return bus_fail(BUS_ERANGE, "'%.*s' is finer than a nanosecond", shown, text.ptr);
        value /= 10;
    }
    if (value > INT64_MAX)
        return bus_fail(BUS_ERANGE, "'%.*s' is longer than 292 years", shown, text.ptr);
    *out = (bus_span){(int64_t)(negative ? -value : value)};
    return BUS_OK;
}
