#include "feeds/sim/kline.h"

#include <stdlib.h>

static const int64_t SECOND = 1000000000, DAY = 86400 * (int64_t)1000000000;

// Length in seconds; 0: a calendar month. `offset`: days before 1970-01-01 at which a grid begins.
static const struct {
    const char *name;
    int64_t seconds, offset_days;
} INTERVAL[SIM_INTERVALS] = {
    {"1s", 1, 0},     {"1m", 60, 0},     {"3m", 180, 0},    {"5m", 300, 0},
    {"15m", 900, 0},  {"30m", 1800, 0},  {"1h", 3600, 0},   {"2h", 7200, 0},
    {"4h", 14400, 0}, {"6h", 21600, 0},  {"8h", 28800, 0},  {"12h", 43200, 0},
    {"1d", 86400, 0}, {"3d", 259200, 0}, {"1w", 604800, 3}, // 1970-01-01 was a Thursday
    {"1M", 0, 0},
};

const char *sim_interval_name(int interval)
{
    return INTERVAL[interval].name;
}

int sim_interval_find(bus_view name)
{
    for (int i = 0; i < SIM_INTERVALS; i++)
        if (bus_view_is(name, INTERVAL[i].name))
            return i;
    return -1;
}

// Days since 1970-01-01 of a civil date, and the month a day is in (proleptic Gregorian).
static int64_t days_from_civil(int64_t year, int64_t month)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719468;
}

static void civil_from_days(int64_t days, int64_t *year, int64_t *month)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day = days - era * 146097;
    int64_t y = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t of_year = day - (365 * y + y / 4 - y / 100);
    int64_t m = (5 * of_year + 2) / 153;
    *month = m + (m < 10 ? 3 : -9);
    *year = y + era * 400 + (*month <= 2);
}

int64_t sim_interval_open(int interval, int64_t ns)
{
    int64_t length = INTERVAL[interval].seconds * SECOND;
    if (length == 0) {
        int64_t year, month;
        civil_from_days(ns / DAY, &year, &month);
        return days_from_civil(year, month) * DAY;
    }
    int64_t offset = INTERVAL[interval].offset_days * DAY;
    return (ns + offset) / length * length - offset;
}

int64_t sim_interval_after(int interval, int64_t open_ns)
{
    if (INTERVAL[interval].seconds)
        return open_ns + INTERVAL[interval].seconds * SECOND;
    int64_t year, month;
    civil_from_days(open_ns / DAY, &year, &month);
    return days_from_civil(month == 12 ? year + 1 : year, month == 12 ? 1 : month + 1) * DAY;
}

static sim_bar new_bar(int interval, int64_t open_ns, int64_t price)
{
    return (sim_bar){
        .open_ns = open_ns,
        .close_ns = sim_interval_after(interval, open_ns),
        .open = price,
        .high = price,
        .low = price,
        .close = price,
        .first_trade = -1,
        .last_trade = -1,
    };
}

void sim_klines_init(sim_klines *k, int64_t now_ns, int64_t price)
{
    *k = (sim_klines){0};
    for (int i = 0; i < SIM_INTERVALS; i++)
        k->interval[i].now = new_bar(i, sim_interval_open(i, now_ns), price);
}

void sim_klines_release(sim_klines *k)
{
    for (int i = 0; i < SIM_INTERVALS; i++)
        free(k->interval[i].closed);
}

static void add_trade(sim_bar *bar, int64_t id, int64_t price, int64_t quantity,
                      bool buyer_is_maker)
{
    if (bar->trades == 0) {
        bar->first_trade = id;
        bar->open = bar->high = bar->low = price;
    }
    bar->last_trade = id;
    bar->high = price > bar->high ? price : bar->high;
    bar->low = price < bar->low ? price : bar->low;
    bar->close = price;
    bar->volume += quantity;
    bar->quote += (__int128)price * quantity;
    bar->trades++;
    if (buyer_is_maker)
        return;
    bar->taker_volume += quantity;
    bar->taker_quote += (__int128)price * quantity;
}

void sim_klines_trade(sim_klines *k, int64_t id, int64_t price, int64_t quantity,
                      bool buyer_is_maker)
{
    for (int i = 0; i < SIM_INTERVALS; i++)
        add_trade(&k->interval[i].now, id, price, quantity, buyer_is_maker);
}

// A bar that finds no memory is not kept; nothing else depends on it.
static void keep(sim_bars *bars, const sim_bar *bar)
{
    if (bars->count == bars->cap && bars->cap < SIM_BARS_KEPT) {
        size_t cap = bars->cap ? bars->cap * 4 : 16;
        cap = cap > SIM_BARS_KEPT ? SIM_BARS_KEPT : cap;
        sim_bar *grown = realloc(bars->closed, cap * sizeof *grown);
        if (!grown)
            return;
        bars->closed = grown;
        bars->cap = cap;
    }
    bars->closed[bars->head] = *bar;
    bars->head = (bars->head + 1) % SIM_BARS_KEPT;
    if (bars->count < SIM_BARS_KEPT)
        bars->count++;
}

bool sim_klines_roll(sim_klines *k, int interval, int64_t now_ns, sim_bar *closed)
{
    sim_bars *bars = &k->interval[interval];
    if (bars->now.close_ns > now_ns)
        return false;
    *closed = bars->now;
    keep(bars, closed);
    bars->now = new_bar(interval, closed->close_ns, closed->close);
    return true;
}

const sim_bar *sim_bars_at(const sim_bars *bars, size_t i)
{
    return i < bars->count ? &bars->closed[(bars->head + SIM_BARS_KEPT - 1 - i) % SIM_BARS_KEPT]
                           : NULL;
}
