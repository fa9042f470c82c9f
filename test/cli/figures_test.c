// The reader of a book, against the rules any reader follows. Source: schemas/specs/market-events.md, "Reading a book".
#include "cli/figures.h"

#include <stdio.h>

#include "test/support/test.h"

TestSuite(figures);

typedef struct {
    lane_figures *figures;
    uint64_t reached; // the last update id the book stood at
} reader;

static void reach(void *ctx, lane_symbol *symbol, uint64_t update_id)
{
    (void)symbol;
    ((reader *)ctx)->reached = update_id;
}

static bus_err take(reader *r, const char *subject, const char *json)
{
    uint8_t buf[4096];
    bus_lane lane;
    bus_pack p = bus_pack_to(buf, sizeof buf);
    test_ok(bus_lane_parse(&lane, bus_view_of(subject)));
    test_ok(bus_pack_from_json(&p, bus_view_of(json)));
    bus_event event = {.id = BUS_VIEW("x"), .data = {(const char *)buf, p.len}};
    return lane_figures_take(r->figures, &lane, &event);
}

static void update(reader *r, int first, int last, const char *bids)
{
    char json[256];
    snprintf(json, sizeof json,
             "{\"symbol\":\"S\",\"first_update_id\":%d,\"last_update_id\":%d,\"bids_delta\":%s,"
             "\"asks_delta\":[]}",
             first, last, bids);
    test_ok(take(r, "act.exchange.binance.orderbook.update.S", json));
}

static bus_err part(reader *r, int id, int number, int parts, const char *bids)
{
    char json[256];
    snprintf(json, sizeof json,
             "{\"symbol\":\"S\",\"last_update_id\":%d,\"part\":%d,\"parts\":%d,\"origin\":"
             "\"venue\",\"bids\":%s,\"asks\":[]}",
             id, number, parts, bids);
    return take(r, "act.exchange.binance.orderbook.snapshot.S", json);
}

static json_int_t figure(const reader *r, const char *name)
{
    json_t *all = lane_figures_json(r->figures);
    json_t *symbol = json_object_get(json_object_get(all, "symbols"), "S");
    json_int_t v = json_integer_value(json_object_get(symbol, name));
    json_decref(all);
    return v;
}

Test(figures, a_snapshot_joins_the_updates_that_came_before_it)
{
    reader r = {0};
    test_ok(lane_figures_open(&r.figures, reach, &r));
    update(&r, 8, 10, "[[\"1\",\"1\"]]");
    update(&r, 11, 12, "[[\"2\",\"1\"]]");
    cr_assert(r.reached == 0);
    test_ok(part(&r, 11, 1, 2, "[[\"5\",\"1\"]]"));
    cr_assert(r.reached == 0);
    test_ok(part(&r, 11, 2, 2, "[[\"4\",\"1\"]]"));
    cr_assert(r.reached == 12);
    update(&r, 13, 15, "[[\"5\",\"0\"]]");
    cr_assert(r.reached == 15 && figure(&r, "depth_applied") == 2);
    cr_assert(figure(&r, "depth_stale_dropped") == 1 && figure(&r, "depth_gaps") == 0);
    lane_figures_close(r.figures);
}

Test(figures, a_hole_loses_the_book_until_the_next_snapshot)
{
    reader r = {0};
    test_ok(lane_figures_open(&r.figures, reach, &r));
    test_ok(part(&r, 10, 1, 1, "[[\"5\",\"1\"]]"));
    update(&r, 11, 11, "[]");
    update(&r, 14, 15, "[[\"6\",\"1\"]]");
    cr_assert(r.reached == 11 && figure(&r, "depth_gaps") == 1);
    test_ok(part(&r, 12, 1, 1, "[]")); // too old for 14..15
    cr_assert(r.reached == 11);
    test_ok(part(&r, 14, 1, 1, "[[\"7\",\"1\"]]"));
    cr_assert(r.reached == 15);
    lane_figures_close(r.figures);
}

Test(figures, a_snapshot_that_meets_a_whole_book_is_not_applied)
{
    reader r = {0};
    test_ok(lane_figures_open(&r.figures, reach, &r));
    test_ok(part(&r, 10, 1, 1, "[[\"5\",\"1\"]]"));
    update(&r, 11, 11, "[[\"6\",\"1\"]]");
    test_ok(part(&r, 11, 1, 1, "[]"));
    update(&r, 12, 12, "[]");
    cr_assert(r.reached == 12);
    json_t *all = lane_figures_json(r.figures);
    cr_assert(
        json_integer_value(json_object_get(
            json_object_get(json_object_get(json_object_get(all, "symbols"), "S"), "final_book"),
            "bid_levels")) == 2);
    json_decref(all);
    lane_figures_close(r.figures);
}

Test(figures, parts_out_of_turn_and_missing_fields_are_errors)
{
    reader r = {0};
    test_ok(lane_figures_open(&r.figures, reach, &r));
    test_ok(part(&r, 10, 1, 3, "[]"));
    test_expect_err(part(&r, 10, 3, 3, "[]"), BUS_EINVAL);
    test_expect_err(
        take(&r, "act.exchange.binance.trade.tape.S", "{\"symbol\":\"S\",\"trade_id\":1}"),
        BUS_EINVAL);
    test_expect_err(take(&r, "act.exchange.binance.trade.tape.S", "{\"trade_id\":1}"), BUS_EINVAL);
    lane_figures_close(r.figures);
}

Test(figures, an_id_that_does_not_rise_is_a_duplicate)
{
    reader r = {0};
    static const char trade[] =
        "{\"symbol\":\"S\",\"trade_id\":7,\"price\":\"2\",\"qty\":\"3\",\"side\":\"sell\"}";
    test_ok(lane_figures_open(&r.figures, reach, &r));
    test_ok(take(&r, "act.exchange.binance.trade.tape.S", trade));
    cr_assert(lane_figures_faults(r.figures) == 0);
    test_ok(take(&r, "act.exchange.binance.trade.tape.S", trade));
    cr_assert(lane_figures_faults(r.figures) == 1);
    lane_figures_close(r.figures);
}

// A lane says what it likes; a product of two amounts has 56 digits.
Test(figures, trades_beyond_what_the_sums_hold_are_refused)
{
    static const char large[] =
        "{\"symbol\":\"S\",\"trade_id\":%d,\"price\":\"%s\",\"qty\":\"%s\",\"side\":\"sell\"}";
    char json[256];
    reader r = {0};
    test_ok(lane_figures_open(&r.figures, reach, &r));
    snprintf(json, sizeof json, large, 1, "999999999999999999", "999999999999999999");
    test_expect_err(take(&r, "act.exchange.binance.trade.tape.S", json), BUS_ERANGE);
    for (int i = 2; i < 4; i++) { // the second sum cannot be divided any more
        snprintf(json, sizeof json, large, i, "0", "999999999999999999");
        test_expect_err(take(&r, "act.exchange.binance.trade.tape.S", json),
                        i == 2 ? BUS_OK : BUS_ERANGE);
    }
    lane_figures_close(r.figures);
}

Test(figures, trades_of_nothing_have_a_price_of_nothing)
{
    reader r = {0};
    test_ok(lane_figures_open(&r.figures, reach, &r));
    test_ok(
        take(&r, "act.exchange.binance.trade.tape.S",
             "{\"symbol\":\"S\",\"trade_id\":1,\"price\":\"2\",\"qty\":\"0\",\"side\":\"buy\"}"));
    json_t *all = lane_figures_json(r.figures);
    cr_assert_not_null(all);
    json_decref(all);
    lane_figures_close(r.figures);
}
