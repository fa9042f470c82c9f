// Source: schemas/specs/lanes.md.
#include "bus/lane/lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "test/support/test.h"

TestSuite(lane);

static bus_view v(const char *text)
{
    return bus_view_of(text);
}

Test(lane, reads_a_real_market_subject)
{
    bus_lane lane;
    test_ok(bus_lane_parse(&lane, v("act.exchange.binance.trade.tape.BTCUSDT")));
    cr_assert(lane.kind == BUS_LANE_ACT && lane.ids == 1);
    cr_assert(bus_view_is(lane.venue, "binance") && bus_view_is(lane.entity, "trade"));
    cr_assert(bus_view_is(lane.event, "tape") && bus_view_is(lane.id[0], "BTCUSDT"));
    cr_assert(lane.selector.len == 0);
}

Test(lane, reads_two_ids_of_a_candle)
{
    bus_lane lane;
    test_ok(bus_lane_parse(&lane, v("hyp.mon.exchange.binance.ohlcv.candle.1m.BTC~2FUSD")));
    cr_assert(lane.kind == BUS_LANE_HYP && lane.ids == 2);
    cr_assert(bus_view_is(lane.selector, "mon") && bus_view_is(lane.id[1], "BTC~2FUSD"));
}

Test(lane, reads_a_replays_own_signal)
{
    bus_lane lane;
    test_ok(bus_lane_parse(&lane, v("hyp.mon.control.watermark")));
    cr_assert(lane.venue.len == 0 && bus_view_is(lane.entity, "control"));
    cr_assert(bus_view_is(lane.event, "watermark"));
    char text[BUS_SUBJECT_BUF];
    test_ok(bus_lane_format(text, &lane, NULL));
    cr_assert_str_eq(text, "hyp.mon.control.watermark");
}

Test(lane, reads_a_scenario_subject)
{
    bus_lane lane;
    test_ok(bus_lane_parse(&lane, v("sc.LIVE.trading.order.filled.00a1-2")));
    cr_assert(lane.kind == BUS_LANE_SC && bus_view_is(lane.scenario, "LIVE"));
    cr_assert(bus_view_is(lane.domain, "trading") && lane.ids == 1);
}

static const struct {
    const char *subject, *says;
} refused[] = {
    {"", "0 bytes"},
    {"act", "exchange"},
    {"act.exchange", "ends early"},
    {"act.exchange.binance.trade", "ends early"},
    {"act.mon.exchange.binance.trade.tape", "must not carry a selector"},
    {"hyp.exchange.binance.trade.tape", "must carry a selector"},
    {"hyp.LIVE.exchange.binance.trade.tape", "reserved"},
    {"hyp.live.exchange.binance.trade.tape", "reserved"},
    {"hyp.m.exchange.binance.trade.tape.a.b.c", "tokens after the event"},
    {"act.exchange.Binance.trade.tape", "0x42"},
    {"act.exchange.binance.trade.*", "0x2a"},
    {"act.exchange.binance.>", "ends early"},
    {"act.exchange..trade.tape", "empty"},
    {"act.exchange.binance.trade.tape.", "id"},
    {"act.exchange.binance.trade.tape.a b", "token"},
    {"act.exchange.binance.trade.tape.BTC~2fUSD", "~"},
    {"act.exchange.binance.trade.tape.BTC~41", "~"},
    {"act.exchange.binance.trade.tape.BTC~2", "~"},
    {"sc.Live.trading.order.filled", "reserved"},
    {"sc.bt1.orders.order.filled", "domain"},
    {"sc.bt1.trading.order", "ends early"},
    {"dlq.ACT.x", "no lane"},
    {"act.exchange.abcdefghijklmnopqrstuvwxyz1234567.trade.tape", "33"},
};

Test(lane, refuses_what_is_no_lane_and_says_why)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        bus_lane lane;
        bus_err err = bus_lane_parse(&lane, v(refused[i].subject));
        cr_expect(err == BUS_EINVAL, "accepted '%s'", refused[i].subject);
        cr_expect(strstr(bus_err_text(), refused[i].says), "'%s' says: %s", refused[i].subject,
                  bus_err_text());
    }
}

Test(lane, escapes_what_a_symbol_may_hold)
{
    bus_lane lane = {.kind = BUS_LANE_ACT,
                     .venue = v("kraken"),
                     .entity = v("trade"),
                     .event = v("tape"),
                     .id = {v("BTC/USD *>. \n")},
                     .ids = 1};
    char text[BUS_SUBJECT_BUF];
    size_t len;
    test_ok(bus_lane_format(text, &lane, &len));
    cr_assert_str_eq(text, "act.exchange.kraken.trade.tape.BTC~2FUSD~20~2A~3E~2E~20~0A");
    cr_assert(len == strlen(text));
}

Test(lane, refuses_to_build_what_it_would_not_read)
{
    char text[BUS_SUBJECT_BUF] = "untouched";
    bus_lane lane = {.kind = BUS_LANE_ACT, .venue = v("b"), .entity = v("x y"), .event = v("e")};
    test_expect_err(bus_lane_format(text, &lane, NULL), BUS_EINVAL);
    lane.entity = v("x");
    lane.selector = v("mon");
    test_expect_err(bus_lane_format(text, &lane, NULL), BUS_EINVAL);
    lane.kind = BUS_LANE_HYP;
    lane.selector = v("LIVE");
    test_expect_err(bus_lane_format(text, &lane, NULL), BUS_EINVAL);
    lane.kind = BUS_LANE_SC;
    lane.scenario = v("bt1");
    test_expect_err(bus_lane_format(text, &lane, NULL), BUS_EINVAL);
    cr_assert_str_eq(text, "untouched");
}

Test(lane, a_token_survives_the_escape_whatever_its_bytes)
{
    unsigned seed = (unsigned)time(NULL);
    printf("seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < 20000; round++) {
        char raw[21], token[64], back[64];
        size_t len = 1 + (size_t)rand() % 20, token_len, back_len;
        for (size_t i = 0; i < len; i++)
            raw[i] = (char)rand();
        char mark = round % 2 ? '~' : '=';
        test_ok(bus_token_escape(token, sizeof token, (bus_view){raw, len}, mark, &token_len));
        for (size_t i = 0; i < token_len; i++)
            cr_assert(!strchr(".*> \t\r\n", token[i]));
        test_ok(
            bus_token_unescape(back, sizeof back, (bus_view){token, token_len}, mark, &back_len));
        cr_assert(back_len == len && memcmp(back, raw, len) == 0);
    }
}

Test(lane, what_is_parsed_is_built_the_same)
{
    static const char *const subjects[] = {
        "act.exchange.binance.orderbook.update.BTCUSDT",
        "hyp.M-1_x.exchange.binance-usdm.ohlcv.candle.1m.ETHUSDT",
        "sc.bt1.control.state_reset.now",
        "sc.LIVE.strategy.signal.emitted.sma",
    };
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) {
        bus_lane lane;
        char text[BUS_SUBJECT_BUF];
        test_ok(bus_lane_parse(&lane, v(subjects[i])));
        test_ok(bus_lane_format(text, &lane, NULL));
        cr_expect_str_eq(text, subjects[i]);
    }
}

Test(lane, readdresses_from_act_to_hyp_alone)
{
    char hyp[BUS_SUBJECT_BUF];
    test_ok(bus_lane_to_hyp(hyp, v("act.exchange.binance.trade.tape.A~2FB"), v("mon"), NULL));
    cr_assert_str_eq(hyp, "hyp.mon.exchange.binance.trade.tape.A~2FB");
    test_expect_err(bus_lane_to_hyp(hyp, v("sc.bt1.risk.x.y"), v("mon"), NULL), BUS_EINVAL);
    test_expect_err(bus_lane_to_hyp(hyp, v("act.exchange.binance.trade.tape"), v("live"), NULL),
                    BUS_EINVAL);
    test_expect_err(bus_lane_to_hyp(hyp, v("hyp.mon.exchange.binance.trade.tape"), v("x"), NULL),
                    BUS_EINVAL);
}

static const struct {
    const char *pattern, *subject;
    bool match;
} matches[] = {
    {"act.exchange.>", "act.exchange.binance.trade.tape", true},
    {"act.exchange.>", "act.exchange", false},
    {"hyp.*.exchange.>", "hyp.mon.exchange.binance.trade.tape", true},
    {"hyp.*.exchange.>", "hyp.exchange.binance.trade.tape", false},
    {"a.*.c", "a.b.c", true},
    {"a.*.c", "a.b.c.d", false},
    {"a.b", "a.b", true},
    {"a.b", "a", false},
    {"a", "a.b", false},
    {">", "a", true},
    {">", "", false},
    {"*", "a", true},
    {"*", "a.b", false},
    {"a.*", "a.", false},
};

Test(subject, matches_as_the_broker_does)
{
    for (size_t i = 0; i < sizeof matches / sizeof *matches; i++)
        cr_expect(bus_subject_match(v(matches[i].pattern), v(matches[i].subject)) ==
                      matches[i].match,
                  "%s on %s", matches[i].pattern, matches[i].subject);
}

static const struct {
    const char *a, *b, *join; // join NULL: they do not overlap
} pairs[] = {
    {"a.b", "a.b", "a.b"},
    {"a.b", "a.c", NULL},
    {"a.b", "a", NULL},
    {"a", "a.>", NULL},
    {"*", "a.b", NULL},
    {"*.*", "a", NULL},
    {"a.*", "a.b", "a.*"},
    {"a.>", "a.b.c", "a.>"},
    {">", "*", ">"},
    {"a.*.c", "a.b.*", "a.*.*"},
    {"a.*.c", "a.b.>", "a.*.>"},
    {"act.exchange.binance.*.tape.>", "act.exchange.*.trade.>", "act.exchange.*.*.>"},
    {"*.b.c", "a.>", "*.>"},
    {"a.b.*.d", "a.*.c.e", NULL},
};

Test(subject, two_patterns_overlap_where_a_subject_matches_both)
{
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        bus_view a = v(pairs[i].a), b = v(pairs[i].b);
        bool overlap = pairs[i].join != NULL;
        char ab[BUS_SUBJECT_BUF], ba[BUS_SUBJECT_BUF];
        cr_expect(bus_subject_overlap(a, b) == overlap && bus_subject_overlap(b, a) == overlap,
                  "%s and %s", pairs[i].a, pairs[i].b);
        if (!overlap)
            continue;
        cr_expect_eq(bus_subject_join(ab, a, b), strlen(pairs[i].join));
        bus_subject_join(ba, b, a);
        cr_expect_str_eq(ab, pairs[i].join);
        cr_expect_str_eq(ba, pairs[i].join);
    }
}

// All patterns and subjects of up to three tokens of a small alphabet: overlap and join are what matching says.
Test(subject, joins_match_all_that_either_pattern_does)
{
    static const char *const tokens[] = {"", "a", "b", "*", ">"};
    char pattern[160][8];
    size_t count = 0;
    for (int n = 0; n < 125; n++) {
        const char *t[] = {tokens[n / 25], tokens[n / 5 % 5], tokens[n % 5]};
        char *out = pattern[count];
        snprintf(out, sizeof *pattern, "%s%s%s%s%s", t[0], *t[1] ? "." : "", t[1], *t[2] ? "." : "",
                 t[2]);
        count += bus_subject_check(v(out), true) == BUS_OK;
    }
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < count; k++) {
            bus_view a = v(pattern[i]), b = v(pattern[k]);
            char joined[BUS_SUBJECT_BUF] = "";
            bool meet = false;
            if (bus_subject_overlap(a, b))
                bus_subject_join(joined, a, b);
            cr_assert(strlen(joined) <= a.len && strlen(joined) <= b.len);
            for (size_t s = 0; s < count; s++) {
                bus_view subject = v(pattern[s]);
                if (bus_subject_check(subject, false))
                    continue;
                bool in_a = bus_subject_match(a, subject), in_b = bus_subject_match(b, subject);
                meet = meet || (in_a && in_b);
                cr_assert(!*joined || !(in_a || in_b) || bus_subject_match(v(joined), subject),
                          "%s of %s, %s misses %s", joined, pattern[i], pattern[k], pattern[s]);
            }
            cr_assert_eq(meet, bus_subject_overlap(a, b), "%s, %s", pattern[i], pattern[k]);
        }
}

Test(subject, wildcards_are_whole_tokens_and_only_where_allowed)
{
    test_ok(bus_subject_check(v("a.*.>"), true));
    test_ok(bus_subject_check(v("a.b-C_9.$x"), false));
    static const char *const bad[] = {"a.>.b", "a*", "a.b>", "a..b", ".a", "a.", "a b", "a\tb", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect(bus_subject_check(v(bad[i]), true) == BUS_EINVAL, "accepted '%s'", bad[i]);
    test_expect_err(bus_subject_check(v("a.*"), false), BUS_EINVAL);
    test_expect_err(bus_subject_check(v("a.>"), false), BUS_EINVAL);
    char huge[400];
    memset(huge, 'a', sizeof huge);
    test_expect_err(bus_subject_check((bus_view){huge, 256}, false), BUS_EINVAL);
    test_ok(bus_subject_check((bus_view){huge, 255}, false));
}
