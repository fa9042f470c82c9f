// The moving-average worker against the rule, computed here in the plainest way.
// Source: schemas/specs/workers.md, "The moving-average worker".
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/decimal.h"
#include "test/support/test.h"
#include "workhost/engines/engine.h"

typedef struct {
    work_code *code;
    work_instance *self;
} bench;

static bus_err open_sma(bench *b, const work_setting *settings, uint32_t count)
{
    work_instance_opts opts = {
        .worker = "sma", .scenario = "LIVE", .settings = settings, .setting_count = count};
    if (!b->code)
        test_ok(work_code_load(&b->code, &work_engine_native, TL_BUILD_DIR "/workers/sma.so"));
    return work_instance_open(&b->self, b->code, &opts);
}

static void release(bench *b)
{
    work_instance_close(b->self);
    work_code_release(b->code);
}

// Feeds one trade; the signal as "buy <trade_id> <price> <fast> <slow>", "" for none.
static bus_err feed(bench *b, const char *symbol, int64_t id, const char *price, bool aggregate,
                    char out[200])
{
    char packed[300];
    bus_pack p = bus_pack_to(packed, sizeof packed);
    const work_result *results = NULL;
    uint32_t count = 0;
    bus_pack_map(&p, aggregate ? 4 : 3);
    bus_pack_key(&p, "symbol");
    bus_pack_key(&p, symbol);
    bus_pack_key(&p, "price");
    bus_pack_key(&p, price);
    bus_pack_key(&p, "trade_id");
    bus_pack_int(&p, id);
    if (aggregate) {
        bus_pack_key(&p, "aggregate");
        bus_pack_bool(&p, true);
    }
    bus_event event = {.id = BUS_VIEW("t"),
                       .source = BUS_VIEW("s"),
                       .type = BUS_VIEW("t"),
                       .exchange = BUS_VIEW("binance"),
                       .data = {packed, p.len}};
    work_input input = {(uint64_t)id, BUS_VIEW("act.exchange.binance.trade.tape.X"), &event};
    bus_err err = work_instance_process(b->self, &input, 0, &results, &count);
    out[0] = '\0';
    if (!err && count) {
        bus_view signal, at, fast, slow;
        int64_t trade_id = 0;
        cr_assert(bus_map_str(results[0].data, "signal", &signal));
        cr_assert(bus_map_str(results[0].data, "price", &at));
        cr_assert(bus_map_str(results[0].data, "fast", &fast));
        cr_assert(bus_map_str(results[0].data, "slow", &slow));
        cr_assert(bus_map_int(results[0].data, "trade_id", &trade_id));
        snprintf(out, 200, "%.*s %lld %.*s %.*s %.*s", BUS_VIEW_ARG(signal), (long long)trade_id,
                 BUS_VIEW_ARG(at), BUS_VIEW_ARG(fast), BUS_VIEW_ARG(slow));
    }
    return err;
}

Test(sma, signals_when_the_fast_mean_crosses_the_slow_one)
{
    static const work_setting windows[] = {{"fast", "1"}, {"slow", "2"}};
    static const struct {
        const char *price, *signal;
    } cases[] = {
        {"10", ""},                                  // windows not full
        {"12", ""},                                  // 12 > 11: the first sign tells nothing
        {"13", ""},                                  // still above
        {"13.0", ""},                                // equal: nothing
        {"14", ""},                                  // above, as before the equality
        {"11", "sell 6 11 11.00000000 12.50000000"}, //
        {"11.00", ""},                               // equal
        {"11.00000001",
         "buy 8 11.00000001 11.00000001 11.00000000"}, // mean 11.000000005, truncated
    };
    bench b = {0};
    test_ok(open_sma(&b, windows, 2));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char signal[200];
        test_ok(feed(&b, "BTCUSDT", (int64_t)i + 1, cases[i].price, false, signal));
        cr_expect(strcmp(signal, cases[i].signal) == 0, "trade %zu: '%s', expected '%s'", i + 1,
                  signal, cases[i].signal);
    }
    release(&b);
}

Test(sma, agrees_with_means_computed_anew_for_every_trade)
{
    enum { FAST = 5, SLOW = 20, TRADES = 20000 };
    static int64_t price[TRADES];
    bench b = {0};
    unsigned seed = 4711;
    int last = 0, signals = 0;
    test_ok(open_sma(&b, NULL, 0));
    for (int i = 0; i < TRADES; i++) {
        char text[BUS_DECIMAL_TEXT], signal[200];
        int64_t fast = 0, slow = 0;
        price[i] = (i ? price[i - 1] : 6000000) + rand_r(&seed) % 2001 - 1000;
        bus_decimal_format(price[i], 2, text);
        test_ok(feed(&b, "BTCUSDT", i, text, false, signal));
        for (int k = i; k > i - SLOW && k >= 0; k--) {
            slow += price[k];
            fast += k > i - FAST ? price[k] : 0;
        }
        int sign = i + 1 < SLOW ? 0 : (fast * SLOW > slow * FAST) - (fast * SLOW < slow * FAST);
        const char *expected = sign && last && sign != last ? sign > 0 ? "buy" : "sell" : "";
        last = sign ? sign : last;
        signals += *expected != '\0';
        cr_assert(strncmp(signal, expected, strlen(expected)) == 0 && !*signal == !*expected,
                  "seed 4711, trade %d: '%s', expected '%s'", i, signal, expected);
    }
    cr_expect_gt(signals, 200);
    release(&b);
}

Test(sma, keeps_symbols_apart_ignores_aggregates_and_what_is_no_trade)
{
    static const work_setting windows[] = {{"fast", "1"}, {"slow", "2"}};
    char signal[200];
    bench b = {0};
    test_ok(open_sma(&b, windows, 2));
    test_ok(feed(&b, "A", 1, "10", false, signal));
    test_ok(feed(&b, "B", 2, "99", false, signal));
    test_ok(feed(&b, "A", 3, "12", false, signal));
    test_ok(feed(&b, "A", 4, "1", true, signal));
    cr_expect_str_eq(signal, "", "an aggregate counts for nothing");
    test_ok(feed(&b, "A", 5, "9", false, signal));
    cr_expect_str_eq(signal, "sell 5 9 9.00000000 10.50000000");
    test_expect_err(feed(&b, "A", 6, "1.123456789", false, signal), BUS_EINVAL);
    test_expect_err(feed(&b, "A", 6, "1e5", false, signal), BUS_EINVAL);
    release(&b);
}

Test(sma, goes_on_from_its_saved_state_at_any_point)
{
    enum { TRADES = 300 };
    for (int cut = 1; cut < TRADES; cut += 37) {
        bench whole = {0}, half = {0};
        unsigned seed = 5;
        test_ok(open_sma(&whole, NULL, 0));
        test_ok(open_sma(&half, NULL, 0));
        for (int i = 0; i < TRADES; i++) {
            char text[40], expected[200], got[200];
            snprintf(text, sizeof text, "%d.%02d", 100 + rand_r(&seed) % 9, rand_r(&seed) % 100);
            const char *symbol = rand_r(&seed) % 2 ? "A" : "B";
            if (i == cut) {
                bus_view state;
                work_instance *fresh = NULL;
                work_instance_opts opts = {.worker = "sma", .scenario = "LIVE"};
                test_ok(work_instance_save(half.self, &state));
                test_ok(work_instance_open(&fresh, half.code, &opts));
                test_ok(work_instance_load(fresh, state));
                work_instance_close(half.self);
                half.self = fresh;
            }
            test_ok(feed(&whole, symbol, i, text, false, expected));
            test_ok(feed(&half, symbol, i, text, false, got));
            cr_assert_str_eq(got, expected);
        }
        release(&whole);
        release(&half);
    }
}

Test(sma, refuses_settings_out_of_range_and_states_that_are_not_its_own)
{
    static const work_setting cases[][2] = {
        {{"fast", "20"}, {"slow", "20"}},  {{"fast", "0"}, {"slow", "20"}},
        {{"fast", "5"}, {"slow", "1001"}}, {{"fast", "x"}, {"slow", "20"}},
        {{"speed", "5"}, {"slow", "20"}},
    };
    static const char *const states[] = {"", "x", "\x93\x05\x14", "\x92\x05\x15",
                                         "\x93\x05\x14\x01"};
    bench b = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        test_expect_err(open_sma(&b, cases[i], 2), BUS_EINVAL);
    test_ok(open_sma(&b, NULL, 0));
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        test_expect_err(work_instance_load(b.self, bus_view_of(states[i])), BUS_EINVAL);
    release(&b);
}
