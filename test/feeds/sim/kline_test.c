#include "feeds/sim/kline.h"

#include "bus/base/time.h"
#include "test/support/test.h"

static int64_t at(const char *text)
{
    int64_t ns;
    test_ok(bus_time_parse(bus_view_of(text), &ns));
    return ns;
}

// Bars are UTC; weeks begin on Monday. Source: schemas/specs/simexd.md, "Venue endpoints: WebSocket".
Test(kline, bars_begin_where_the_venue_begins_them)
{
    static const struct {
        const char *interval, *when, *open, *after;
    } cases[] = {
        {"1s", "2024-08-08T23:54:13.9Z", "2024-08-08T23:54:13Z", "2024-08-08T23:54:14Z"},
        {"1m", "2024-08-08T23:54:13.9Z", "2024-08-08T23:54:00Z", "2024-08-08T23:55:00Z"},
        {"15m", "2024-08-08T23:54:13.9Z", "2024-08-08T23:45:00Z", "2024-08-09T00:00:00Z"},
        {"4h", "2024-08-08T23:54:13Z", "2024-08-08T20:00:00Z", "2024-08-09T00:00:00Z"},
        {"1d", "2024-08-08T23:54:13Z", "2024-08-08T00:00:00Z", "2024-08-09T00:00:00Z"},
        {"1w", "2024-08-08T23:54:13Z", "2024-08-05T00:00:00Z", "2024-08-12T00:00:00Z"},
        {"1w", "2024-08-05T00:00:00Z", "2024-08-05T00:00:00Z", "2024-08-12T00:00:00Z"},
        {"1M", "2024-02-29T12:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"},
        {"1M", "2025-12-31T23:59:59Z", "2025-12-01T00:00:00Z", "2026-01-01T00:00:00Z"},
        {"1M", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int interval = sim_interval_find(bus_view_of(cases[i].interval));
        cr_assert_geq(interval, 0);
        int64_t open = sim_interval_open(interval, at(cases[i].when));
        cr_expect_eq(open, at(cases[i].open), "%s of %s", cases[i].interval, cases[i].when);
        cr_expect_eq(sim_interval_after(interval, open), at(cases[i].after));
    }
    cr_expect_eq(sim_interval_find(BUS_VIEW("2m")), -1);
}

Test(kline, a_bar_is_the_sum_of_its_trades)
{
    sim_klines k;
    sim_bar bar;
    int minute = sim_interval_find(BUS_VIEW("1m"));
    int64_t start = at("2024-08-08T23:54:00Z");
    sim_klines_init(&k, start + 1, 100);
    sim_klines_trade(&k, 7, 105, 2, false);
    sim_klines_trade(&k, 8, 95, 3, true);
    sim_klines_trade(&k, 9, 99, 1, false);
    cr_expect(!sim_klines_roll(&k, minute, start + 59999999999, &bar));
    cr_assert(sim_klines_roll(&k, minute, start + 60000000000, &bar));
    cr_expect(bar.open == 105 && bar.high == 105 && bar.low == 95 && bar.close == 99);
    cr_expect(bar.volume == 6 && bar.taker_volume == 3 && bar.trades == 3);
    cr_expect(bar.first_trade == 7 && bar.last_trade == 9);
    cr_expect((int64_t)bar.quote == 105 * 2 + 95 * 3 + 99 && (int64_t)bar.taker_quote == 309);
    const sim_bar *now = &k.interval[minute].now;
    cr_expect(now->open == 99 && now->trades == 0 && now->first_trade == -1);
    cr_expect_eq(sim_bars_at(&k.interval[minute], 0)->close, 99);
    cr_expect_null(sim_bars_at(&k.interval[minute], 1));
    sim_klines_release(&k);
}

Test(kline, keeps_the_last_thousand_closed_bars)
{
    sim_klines k;
    sim_bar bar;
    sim_klines_init(&k, 0, 1);
    for (int i = 1; i <= 1500; i++) {
        sim_klines_trade(&k, i, i, 1, true);
        cr_assert(sim_klines_roll(&k, 0, i * INT64_C(1000000000), &bar));
    }
    cr_expect_eq(k.interval[0].count, SIM_BARS_KEPT);
    cr_expect_eq(sim_bars_at(&k.interval[0], 0)->close, 1500);
    cr_expect_eq(sim_bars_at(&k.interval[0], 999)->close, 501);
    sim_klines_release(&k);
}
