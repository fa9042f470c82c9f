#include "cli/ladder.h"

#include "test/support/test.h"

TestSuite(ladder);

static void apply(lane_ladder *ladder, const char *json)
{
    uint8_t buf[4096];
    bus_pack p = bus_pack_to(buf, sizeof buf);
    test_ok(bus_pack_from_json(&p, bus_view_of(json)));
    test_ok(lane_ladder_apply(ladder, bus_cursor_of((bus_view){(const char *)buf, p.len}), NULL));
}

static uint64_t differences(const lane_ladder *ladder, const char *json)
{
    json_t *list = json_loads(json, 0, NULL);
    uint64_t count = 0;
    test_ok(lane_ladder_differences(ladder, list, &count));
    json_decref(list);
    return count;
}

Test(ladder, bids_fall_and_asks_rise_from_the_best)
{
    lane_ladder bids = {.bids = true}, asks = {.bids = false};
    const char *levels = "[[\"9.5\",\"1\"],[\"10\",\"2\"],[\"9.75\",\"3\"],[\"10.25\",\"4\"]]";
    apply(&bids, levels);
    apply(&asks, levels);
    cr_assert_str_eq(lane_ladder_at(&bids, 0)->price_text, "10.25");
    cr_assert_str_eq(lane_ladder_at(&bids, 3)->price_text, "9.5");
    cr_assert_str_eq(lane_ladder_at(&asks, 0)->price_text, "9.5");
    cr_assert(lane_ladder_at(&asks, 4) == NULL);
    lane_ladder_release(&bids);
    lane_ladder_release(&asks);
}

Test(ladder, a_level_is_replaced_and_zero_removes_it)
{
    lane_ladder bids = {.bids = true};
    apply(&bids, "[[\"10.0\",\"2\"],[\"9\",\"1\"]]");
    apply(&bids, "[[\"10\",\"5\"],[\"9.000\",\"0.000\"],[\"8\",\"0\"]]");
    cr_assert(bids.count == 1);
    cr_assert_str_eq(lane_ladder_at(&bids, 0)->qty_text, "5");
    lane_ladder_release(&bids);
}

Test(ladder, differences_are_counted_level_by_level_as_values)
{
    lane_ladder bids = {.bids = true};
    apply(&bids, "[[\"10\",\"2\"],[\"9\",\"1\"],[\"8\",\"1\"]]");
    cr_expect(differences(&bids, "[[\"10.00\",\"2.0\"],[\"9\",\"1\"],[\"8\",\"1\"]]") == 0);
    cr_expect(differences(&bids, "[[\"10\",\"3\"],[\"9\",\"1\"],[\"8\",\"1\"]]") == 1);
    cr_expect(differences(&bids, "[[\"10\",\"2\"],[\"8\",\"1\"]]") == 1);
    cr_expect(
        differences(&bids,
                    "[[\"11\",\"2\"],[\"10\",\"2\"],[\"9\",\"1\"],[\"8\",\"1\"],[\"7\",\"1\"]]") ==
        2);
    cr_expect(differences(&bids, "[]") == 3);
    lane_ladder_release(&bids);
}

Test(ladder, what_is_no_level_is_refused)
{
    static const char *const bad[] = {
        "{}", "[1]", "[[\"1\"]]", "[[1,2]]", "[[\"x\",\"1\"]]", "[[\"1\",\"1\",\"1\"]]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lane_ladder bids = {.bids = true};
        uint8_t buf[256];
        bus_pack p = bus_pack_to(buf, sizeof buf);
        test_ok(bus_pack_from_json(&p, bus_view_of(bad[i])));
        cr_expect(lane_ladder_apply(&bids, bus_cursor_of((bus_view){(const char *)buf, p.len}),
                                    NULL) == BUS_EINVAL,
                  "took %s", bad[i]);
        lane_ladder_release(&bids);
    }
}
