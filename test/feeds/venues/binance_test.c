// Binance frames one by one. Frames are from the venue's documentation and from recordings of it
// (Source: schemas/specs/binance-spot.md, "Channels").
#include <stdio.h>
#include <string.h>

#include "bus/base/err.h"
#include "player.h"
#include "tally.h"
#include "test/support/test.h"

static const char *const symbols[] = {"btcusdt", "BNBBTC", NULL};
static const char *const channels[] = {"trade",       "aggTrade", "bookTicker",
                                       "depth@100ms", "kline_1m", NULL};
static player p;
static tally t;

static void given_a_connection(void)
{
    player_open(&p, "binance", symbols, channels, tally_event, &t);
    player_up(&p);
    p.now =
        (feed_now){.received = {1700000000000000123}, .mono = {5}, .wall = {1700000000000000456}};
}

static void done(void)
{
    player_close(&p);
    tally_release(&t);
}

static void expect_data(const char *json)
{
    json_error_t error;
    json_t *want = json_loads(json, 0, &error);
    cr_assert(want != NULL, "%s", error.text);
    char *got = json_dumps(t.last_data, JSON_COMPACT);
    cr_expect(json_equal(want, t.last_data), "%s", got);
    free(got);
    json_decref(want);
}

TestSuite(binance, .init = given_a_connection, .fini = done);

#define TRADE                                                                                      \
    "{\"e\":\"trade\",\"E\":1672515782136,\"s\":\"BNBBTC\",\"t\":12345,\"p\":\"0.001\","           \
    "\"q\":\"100\",\"T\":1672515782135,\"m\":true,\"M\":true}"

Test(binance, a_trade_whose_buyer_was_the_maker_is_a_sale)
{
    cr_assert(player_frame(&p, TRADE) == FEED_FRAME_EVENT);
    expect_data("{\"symbol\":\"BNBBTC\",\"trade_id\":12345,\"price\":\"0.001\",\"qty\":\"100\","
                "\"side\":\"sell\",\"trade_time\":1672515782135,\"event_time\":1672515782136}");
    cr_expect_str_eq(t.last_id, "trade.BNBBTC.12345");
}

Test(binance, wrapped_frames_and_keys_in_another_order_are_the_same_event)
{
    cr_assert(player_frame(&p, "{\"stream\":\"bnbbtc@trade\",\"data\":" TRADE "}") ==
              FEED_FRAME_EVENT);
    cr_assert(player_frame(&p, " { \"data\" : { \"T\":1672515782135, \"m\":false, \"t\":12346, "
                               "\"q\":\"1\", \"p\":\"0.5\", \"s\":\"BNBBTC\", \"x\":[{}], "
                               "\"E\":1672515782136, \"e\":\"trade\" } , "
                               "\"stream\" : \"bnbbtc@trade\" } ") == FEED_FRAME_EVENT);
    expect_data("{\"symbol\":\"BNBBTC\",\"trade_id\":12346,\"price\":\"0.5\",\"qty\":\"1\","
                "\"side\":\"buy\",\"trade_time\":1672515782135,\"event_time\":1672515782136}");
}

Test(binance, an_aggregate_trade_says_that_it_is_one)
{
    cr_assert(player_frame(&p, "{\"e\":\"aggTrade\",\"E\":123456789,\"s\":\"BNBBTC\",\"a\":12345,"
                               "\"p\":\"0.001\",\"q\":\"100\",\"f\":100,\"l\":105,\"T\":123456785,"
                               "\"m\":true,\"M\":true}") == FEED_FRAME_EVENT);
    expect_data("{\"symbol\":\"BNBBTC\",\"trade_id\":12345,\"price\":\"0.001\",\"qty\":\"100\","
                "\"side\":\"sell\",\"trade_time\":123456785,\"event_time\":123456789,"
                "\"aggregate\":true,\"first_trade_id\":100,\"last_trade_id\":105}");
    cr_expect_str_eq(t.last_id, "aggTrade.BNBBTC.12345");
}

Test(binance, a_book_ticker_has_neither_event_type_nor_time)
{
    cr_assert(player_frame(&p,
                           "{\"u\":400900217,\"s\":\"BNBBTC\",\"b\":\"25.35190000\","
                           "\"B\":\"31.21000000\",\"a\":\"25.36520000\",\"A\":\"40.66000000\"}") ==
              FEED_FRAME_EVENT);
    expect_data("{\"symbol\":\"BNBBTC\",\"bid_price\":\"25.35190000\",\"bid_qty\":\"31.21000000\","
                "\"ask_price\":\"25.36520000\",\"ask_qty\":\"40.66000000\","
                "\"update_id\":400900217}");
}

#define KLINE(open, sent)                                                                          \
    "{\"e\":\"kline\",\"E\":" sent ",\"s\":\"BNBBTC\",\"k\":{\"t\":" open                          \
    ",\"T\":1672515839999,\"s\":\"BNBBTC\",\"i\":\"1m\",\"f\":-1,\"L\":-1,\"o\":\"0.0010\","       \
    "\"c\":\"0.0020\",\"h\":\"0.0025\",\"l\":\"0.0015\",\"v\":\"1000\",\"n\":0,\"x\":false,"       \
    "\"q\":\"1.0000\",\"V\":\"500\",\"Q\":\"0.500\",\"B\":\"123456\"}}"

Test(binance, a_candle_is_known_by_its_open_time_and_event_time)
{
    cr_assert(player_frame(&p, KLINE("1672515780000", "1672515782136")) == FEED_FRAME_EVENT);
    cr_expect_str_eq(t.last_id, "kline_1m.BNBBTC.1672515780000.1672515782136");
    expect_data(
        "{\"symbol\":\"BNBBTC\",\"interval\":\"1m\",\"open\":\"0.0010\",\"high\":\"0.0025\","
        "\"low\":\"0.0015\",\"close\":\"0.0020\",\"volume\":\"1000\","
        "\"quote_volume\":\"1.0000\",\"taker_buy_volume\":\"500\","
        "\"taker_buy_quote_volume\":\"0.500\",\"trades\":0,\"first_trade_id\":-1,"
        "\"last_trade_id\":-1,\"open_time\":1672515780000,"
        "\"candle_close_time\":1672515839999,\"event_time\":1672515782136,"
        "\"closed\":false}");
    cr_expect(player_frame(&p, KLINE("1672515780000", "1672515782136")) == FEED_FRAME_DUPLICATE);
    cr_expect(player_frame(&p, KLINE("1672515780000", "1672515782137")) == FEED_FRAME_EVENT);
    cr_expect(player_frame(&p, KLINE("1672515720000", "1672515782138")) == FEED_FRAME_DUPLICATE);
}

#define TRADE_OF(id)                                                                               \
    "{\"e\":\"trade\",\"E\":1672515782136,\"s\":\"BNBBTC\",\"t\":" id ",\"p\":\"0.001\","          \
    "\"q\":\"100\",\"T\":1672515782135,\"m\":true,\"M\":true}"

static uint64_t told_after(int64_t ms, const char *frame)
{
    p.now.mono.ns += ms * 1000000;
    player_frame(&p, frame);
    return tally_of(&t, "BNBBTC")->degraded;
}

// Source: schemas/specs/feed-events.md, "Only duplicates"
Test(binance, a_channel_on_which_only_known_ids_come_for_ten_seconds_is_told_once)
{
    p.session->venue->seen(p.session, BUS_VIEW("trade.BNBBTC.9000"));
    told_after(0, KLINE("1672515780000", "1672515782136"));
    cr_expect_eq(told_after(0, TRADE_OF("100")), 0);
    cr_expect_eq(told_after(9999, TRADE_OF("101")), 0);
    cr_expect_eq(told_after(1, TRADE_OF("102")), 1);
    cr_expect_str_eq(t.last_reason, "only_duplicates");
    cr_expect(strstr(json_string_value(json_object_get(t.last_data, "text")), "below 9000"));
    cr_expect_eq(told_after(60000, TRADE_OF("103")), 1, "once");
    cr_expect_eq(p.session->stats.only_duplicates, 1);
    cr_expect_eq(told_after(1, TRADE_OF("9001")), 1);
    cr_expect_eq(p.session->stats.only_duplicates, 0);
    cr_expect_eq(told_after(1, TRADE_OF("200")), 1);
    cr_expect_eq(told_after(10000, TRADE_OF("201")), 2, "again");
}

Test(binance, what_comes_twice_for_a_moment_or_is_said_again_is_no_trouble)
{
    told_after(0, TRADE_OF("50"));
    for (int i = 0; i < 20; i++) // a quiet market, in which the venue repeats itself
        cr_expect_eq(told_after(3000, TRADE_OF("50")), 0);
    for (int i = 0; i < 20; i++) { // each change of connection brings one twice
        cr_expect_eq(told_after(9000, TRADE_OF("49")), 0);
        char next[sizeof TRADE_OF("00")];
        snprintf(next, sizeof next, TRADE_OF("%d"), 51 + i);
        cr_expect_eq(told_after(9000, next), 0);
    }
}

Test(binance, a_candle_below_the_last_is_known_and_the_last_one_again_is_not)
{
    told_after(0, KLINE("1672515780000", "1672515782136"));
    for (int i = 0; i < 5; i++)
        cr_expect_eq(told_after(5000, KLINE("1672515780000", "1672515782136")), 0);
    cr_expect_eq(told_after(0, KLINE("1672515720000", "1672515782138")), 0);
    cr_expect_eq(told_after(10000, KLINE("1672515720000", "1672515782139")), 1);
}

Test(binance, answers_to_subscriptions_are_told_apart)
{
    cr_expect(player_frame(&p, "{\"result\":null,\"id\":1}") == FEED_FRAME_ACK);
    cr_expect(player_frame(&p, "{\"id\":7,\"result\":null}") == FEED_FRAME_ACK);
    cr_expect(player_frame(&p, "{\"error\":{\"code\":2,\"msg\":\"Invalid request\"},\"id\":1}") ==
              FEED_FRAME_REFUSED);
    cr_expect(strstr(bus_err_text(), "Invalid request") != NULL);
    cr_expect(player_frame(&p, "{\"code\":2,\"msg\":\"Invalid request\",\"id\":1}") ==
              FEED_FRAME_REFUSED);
    cr_expect(player_frame(&p, "{\"e\":\"serverShutdown\",\"E\":1672515782136}") ==
              FEED_FRAME_SHUTDOWN);
}

static const struct {
    const char *frame, *says;
} refused[] = {
    {"", "'{' is expected"},
    {"not json", "'{' is expected"},
    {"[1,2]", "'{' is expected"},
    {"{\"e\":\"trade\"", ""},
    {"{\"stream\":\"btcusdt@trade\",\"data\":}", ""},
    {"{\"e\":\"newThing\",\"E\":1}", "event 'newThing' is not known"},
    {"{\"e\":\"trade\",\"E\":1,\"s\":\"DOGEUSDT\",\"t\":1,\"p\":\"1\",\"q\":\"1\",\"T\":1,\"m\":"
     "true}",
     "nobody subscribed to symbol 'DOGEUSDT'"},
    {"{\"e\":\"trade\",\"E\":1,\"s\":\"BNBBTC\",\"t\":-1,\"p\":\"1\",\"q\":\"1\",\"T\":1,\"m\":"
     "true}",
     "key 't': an unsigned integer below 2^63 is expected, got '-1'"},
    {"{\"e\":\"trade\",\"E\":1,\"s\":\"BNBBTC\",\"t\":1,\"p\":1.5,\"q\":\"1\",\"T\":1,\"m\":true}",
     "key 'p': a decimal in a string is expected, got '1.5'"},
    {"{\"e\":\"trade\",\"E\":1,\"s\":\"BNBBTC\",\"t\":1,\"p\":\"1e5\",\"q\":\"1\",\"T\":1,\"m\":"
     "true}",
     "key 'p': a decimal in a string is expected, got '1e5'"},
    {"{\"e\":\"trade\",\"E\":1,\"s\":\"BNBBTC\",\"t\":1,\"p\":\"1\",\"q\":\"1\",\"T\":1,\"m\":"
     "\"true\"}",
     "key 'm': true or false is expected"},
    {"{\"e\":\"trade\",\"E\":1,\"s\":\"BNBBTC\",\"t\":1,\"p\":\"1\",\"q\":\"1\",\"m\":true}",
     "key 'T' is missing"},
    {"{\"e\":\"trade\",\"E\":1,\"s\":\"BNBBTC\",\"t\":1,\"p\":\"1\",\"q\":\"1\","
     "\"T\":9223372036854775807,\"m\":true}",
     "milliseconds since 1970 are expected"},
    {"{\"e\":\"kline\",\"E\":1,\"s\":\"BNBBTC\",\"k\":[]}", "key 'k': an object is expected"},
    {"{\"e\":\"depthUpdate\",\"E\":1,\"s\":\"BNBBTC\",\"U\":2,\"u\":1,\"b\":[],\"a\":[]}",
     "u is below U"},
    {"{\"e\":\"depthUpdate\",\"E\":1,\"s\":\"BNBBTC\",\"U\":1,\"u\":1,\"b\":[]}",
     "keys E s U u b a are expected"},
    {"{\"e\":\"depthUpdate\",\"E\":1,\"s\":\"BNBBTC\",\"U\":1,\"u\":1,\"b\":[[\"1\"]],\"a\":[]}",
     "',' is expected"},
    {"{\"e\":\"depthUpdate\",\"E\":1,\"s\":\"BNBBTC\",\"U\":1,\"u\":1,\"b\":[[\"1\",\"-2\"]],\"a\":"
     "[]}",
     "a decimal is expected"},
    {"{\"e\":\"depthUpdate\",\"E\":1,\"s\":\"BNBBTC\",\"U\":1,\"u\":1,\"u\":1,\"b\":[],\"a\":[]}",
     "a key comes twice"},
};

Test(binance, a_frame_that_cannot_be_translated_is_refused_with_the_place_and_the_rule)
{
    uint64_t before = t.events;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        cr_expect(player_frame(&p, refused[i].frame) == FEED_FRAME_ERROR, "%s", refused[i].frame);
        cr_expect(strstr(bus_err_text(), refused[i].says) != NULL, "%s: %s", refused[i].frame,
                  bus_err_text());
    }
    cr_expect(t.events == before);
}

static char *trade_frame(char *buf, int id)
{
    sprintf(buf,
            "{\"e\":\"trade\",\"E\":2,\"s\":\"BTCUSDT\",\"t\":%d,\"p\":\"1\",\"q\":\"1\",\"T\":1,"
            "\"m\":true}",
            id);
    return buf;
}

Test(binance, a_missing_trade_is_a_gap_and_a_late_one_is_not_published)
{
    char frame[256];
    player_frame(&p, trade_frame(frame, 10));
    player_frame(&p, trade_frame(frame, 12));
    tally_symbol *s = tally_of(&t, "BTCUSDT");
    cr_expect(s->gaps == 1 && s->gap_first == 11 && s->gap_last == 11);
    cr_expect(player_frame(&p, trade_frame(frame, 11)) == FEED_FRAME_DUPLICATE);
    cr_expect(player_frame(&p, trade_frame(frame, 13)) == FEED_FRAME_EVENT);
    cr_expect(s->trades == 3 && s->gaps == 1);
}

static feed_frame_result depth(int first, int last, const char *price, const char *quantity)
{
    char frame[256];
    sprintf(frame,
            "{\"e\":\"depthUpdate\",\"E\":1,\"s\":\"BTCUSDT\",\"U\":%d,\"u\":%d,"
            "\"b\":[[\"%s\",\"%s\"]],\"a\":[]}",
            first, last, price, quantity);
    return player_frame(&p, frame);
}

static void answer(int id, const char *price)
{
    char body[256];
    sprintf(body, "{\"lastUpdateId\":%d,\"bids\":[[\"%s\",\"1.0\"]],\"asks\":[[\"9.0\",\"1.0\"]]}",
            id, price);
    player_answer(&p, 0, 200, body);
}

Test(binance, a_snapshot_older_than_the_buffer_is_asked_for_again_and_not_published)
{
    tally_symbol *s = tally_of(&t, "BTCUSDT");
    depth(10, 12, "5.0", "1.0");
    answer(8, "4.0"); // 9 is missing
    cr_expect(s->wholes == 0 && s->snapshots == 0);
    cr_assert(!p.asked[0]);
    p.now.mono.ns += 1000000000;
    p.session->venue->tick(p.session, &p.now);
    cr_assert(p.asked[0], "asked again");
    answer(9, "4.0");
    cr_expect(s->wholes == 1 && s->snapshots == 1 && s->last == 12);
    cr_expect(s->gaps == 0 && s->resyncs == 0);
}

Test(binance, a_snapshot_newer_than_the_buffer_waits_for_the_update_that_joins_it)
{
    tally_symbol *s = tally_of(&t, "BTCUSDT");
    depth(10, 12, "5.0", "1.0");
    answer(14, "4.0");
    cr_expect(s->wholes == 0);
    depth(13, 14, "5.0", "2.0");
    cr_expect(s->wholes == 0);
    depth(15, 16, "5.0", "3.0");
    cr_expect(s->wholes == 1 && s->last == 16 && s->stale == 2);
}

Test(binance, a_hole_in_the_updates_is_a_gap_then_a_resync_then_whole)
{
    tally_symbol *s = tally_of(&t, "BTCUSDT");
    depth(1, 2, "5.0", "1.0");
    answer(1, "4.0");
    cr_assert(s->wholes == 1);
    depth(3, 4, "5.0", "2.0");
    depth(8, 9, "5.0", "3.0");
    cr_expect(s->gaps == 1 && s->gap_first == 5 && s->gap_last == 7);
    cr_expect(s->resyncs == 1 && s->wholes == 1 && s->depth == 3);
    p.session->venue->tick(p.session, &p.now);
    answer(8, "4.5");
    cr_expect(s->wholes == 2 && s->last == 9);
    cr_expect(depth(6, 7, "5.0", "9.0") == FEED_FRAME_DUPLICATE);
    cr_expect(depth(10, 10, "5.0", "4.0") == FEED_FRAME_EVENT);
    cr_expect(s->gaps == 1);
}

Test(binance, an_answer_that_meets_a_whole_book_is_compared_and_a_difference_told)
{
    tally_symbol *s = tally_of(&t, "BTCUSDT");
    depth(1, 2, "5.0", "1.0");
    answer(1, "4.0");
    feed_request again = p.request[0];
    const char *same = "{\"lastUpdateId\":2,\"bids\":[[\"5.0\",\"1.0\"],[\"4.0\",\"1.0\"]],"
                       "\"asks\":[[\"9.0\",\"1.0\"]]}";
    p.session->venue->response(p.session, &again, 200, bus_view_of(same), &p.now);
    cr_expect(s->degraded == 0);
    const char *other = "{\"lastUpdateId\":2,\"bids\":[[\"5.0\",\"1.5\"],[\"4.0\",\"1.0\"]],"
                        "\"asks\":[[\"9.0\",\"1.0\"]]}";
    p.session->venue->response(p.session, &again, 200, bus_view_of(other), &p.now);
    cr_expect(s->degraded == 1);
    cr_expect_str_eq(json_string_value(json_object_get(t.last_data, "price")), "5.0");
    cr_expect_str_eq(json_string_value(json_object_get(t.last_data, "expected")), "1.5");
    cr_expect_str_eq(json_string_value(json_object_get(t.last_data, "got")), "1.0");
}

Test(binance, a_whole_book_is_published_again_at_the_cadence)
{
    tally_symbol *s = tally_of(&t, "BTCUSDT");
    depth(1, 2, "5.0", "1.0");
    answer(1, "4.0");
    cr_expect(s->snapshots == 1);
    p.now.mono.ns += 3601ll * 1000000000;
    p.session->venue->tick(p.session, &p.now);
    cr_expect(s->snapshots == 2 && s->compared == 1 && s->differ == 0);
}

Test(binance, a_store_that_went_back_is_told_as_received_with_what_follows_and_the_book_comes_again)
{
    tally_symbol *s = tally_of(&t, "BTCUSDT");
    depth(1, 2, "5.0", "1.0");
    answer(1, "4.0");
    int64_t newest = p.session->emit.last_recorded.ns;
    feed_now held = p.now;
    held.received.ns -= 1000;
    feed_session_went_back(p.session, (bus_recorded_time){5}, true, "ACT ends at 3", &held);
    cr_expect(t.gaps == 1 && s->snapshots == 1);
    expect_data("{\"reason\":\"store_went_back\",\"text\":\"ACT ends at 3\"}");
    cr_expect_eq(p.session->emit.last_recorded.ns, newest);
    p.session->venue->tick(p.session, &p.now);
    cr_expect(s->snapshots == 2 && s->compared == 1 && s->differ == 0);
    feed_session_went_back(p.session, (bus_recorded_time){5}, false, "ACT ends at 3", &held);
    cr_expect(t.gaps == 1, "nothing of ours is lost");
}

Test(binance, a_lost_connection_is_a_window_of_time_and_the_books_begin_again)
{
    char frame[256];
    tally_symbol *s = tally_of(&t, "BTCUSDT");
    depth(1, 2, "5.0", "1.0");
    answer(1, "4.0");
    player_frame(&p, trade_frame(frame, 10));
    player_down(&p);
    cr_expect(t.disconnected == 1);
    p.now.received.ns += 1000000000;
    player_up(&p);
    cr_expect(t.connected == 2 && t.gaps == 1);
    cr_expect(s->resyncs == 1);
    player_frame(&p, trade_frame(frame, 15));
    cr_expect(s->gaps == 1 && s->gap_first == 11 && s->gap_last == 14);
    cr_expect_str_eq(t.last_reason, "disconnected");
    depth(3, 4, "5.0", "2.0");
    cr_expect(s->gaps == 1, "the ids follow each other: nothing is missing");
    answer(3, "4.0");
    cr_expect(s->wholes == 2);
}

Test(binance, after_a_restart_nothing_at_or_below_the_recorded_ids_is_published)
{
    char frame[256];
    player fresh;
    static tally after;
    player_open(&fresh, "binance", symbols, channels, tally_event, &after);
    feed_session_resume(fresh.session, (bus_recorded_time){1699999999000000000}, 1800000000000);
    fresh.session->venue->seen(fresh.session, BUS_VIEW("trade.BTCUSDT.10"));
    fresh.session->venue->seen(fresh.session, BUS_VIEW("depth.BTCUSDT.20"));
    fresh.session->venue->seen(fresh.session,
                               BUS_VIEW("kline_1m.BNBBTC.1672515780000.1672515782136"));
    fresh.now = p.now;
    player_up(&fresh);
    cr_expect(after.gaps == 1);
    cr_expect_str_eq(after.last_reason, "restart");
    cr_expect(strncmp(after.last_id, "1800000000001.", 14) == 0, "%s: above the last epoch",
              after.last_id);
    cr_expect(player_frame(&fresh, trade_frame(frame, 10)) == FEED_FRAME_DUPLICATE);
    cr_expect(player_frame(&fresh, trade_frame(frame, 12)) == FEED_FRAME_EVENT);
    tally_symbol *s = tally_of(&after, "BTCUSDT");
    cr_expect(s->gaps == 1 && s->gap_first == 11 && s->gap_last == 11);
    cr_expect(player_frame(&fresh, KLINE("1672515780000", "1672515782136")) ==
              FEED_FRAME_DUPLICATE);
    player_close(&fresh);
    tally_release(&after);
}

Test(binance, a_failed_request_is_told_once_and_made_again_later)
{
    tally_symbol *s = tally_of(&t, "BTCUSDT");
    player_answer(&p, 0, 503, "busy");
    cr_expect(s->degraded == 1);
    for (int i = 0; i < 3; i++) {
        p.session->venue->tick(p.session, &p.now);
        cr_expect(!p.asked[0], "not at once");
        p.now.mono.ns += 31ll * 1000000000;
        p.session->venue->tick(p.session, &p.now);
        cr_assert(p.asked[0]);
        player_answer(&p, 0, 0, "");
    }
    cr_expect(s->degraded == 1);
}

Test(binance, instruments_are_published_on_connect_and_on_change_alone)
{
    feed_request request = {.kind = FEED_REQUEST_INSTRUMENTS};
    const char *body =
        "{\"timezone\":\"UTC\",\"symbols\":[{\"symbol\":\"BTCUSDT\"},{\"symbol\":\"BNBBTC\","
        "\"status\":\"TRADING\","
        "\"baseAsset\":\"BNB\",\"quoteAsset\":\"BTC\",\"orderTypes\":[\"LIMIT\"],\"filters\":["
        "{\"filterType\":\"PRICE_FILTER\",\"minPrice\":\"0.00010000\",\"maxPrice\":\"1000."
        "00000000\","
        "\"tickSize\":\"0.00010000\"},{\"filterType\":\"LOT_SIZE\",\"minQty\":\"0.01000000\","
        "\"maxQty\":\"100000.00000000\",\"stepSize\":\"0.01000000\"},"
        "{\"filterType\":\"NOTIONAL\",\"minNotional\":\"0.00010000\"}]},{\"symbol\":\"OTHER\"}]}";
    cr_expect(p.instrument_requests == 1);
    test_ok(p.session->venue->response(p.session, &request, 200, bus_view_of(body), &p.now));
    cr_expect(t.instruments == 2);
    expect_data("{\"symbol\":\"BNBBTC\",\"status\":\"TRADING\",\"base_asset\":\"BNB\","
                "\"quote_asset\":\"BTC\",\"tick_size\":\"0.00010000\",\"lot_size\":\"0.01000000\","
                "\"min_price\":\"0.00010000\",\"max_price\":\"1000.00000000\","
                "\"min_qty\":\"0.01000000\",\"max_qty\":\"100000.00000000\","
                "\"min_notional\":\"0.00010000\",\"price_scale\":4,\"qty_scale\":2}");
    p.now.mono.ns += 3601ll * 1000000000;
    p.session->venue->tick(p.session, &p.now);
    cr_expect(p.instrument_requests == 2);
    test_ok(p.session->venue->response(p.session, &request, 200, bus_view_of(body), &p.now));
    cr_expect(t.instruments == 2);
    player_down(&p);
    player_up(&p);
    test_ok(p.session->venue->response(p.session, &request, 200, bus_view_of(body), &p.now));
    cr_expect(t.instruments == 4);
}

// --- symbols that the venue does not know ------------------------------------------------------------

#define INVALID "{\"code\":-1121,\"msg\":\"Invalid symbol.\"}"

static void answer_instruments(player *of, int status, const char *body)
{
    const feed_venue *venue = of->session->venue;
    test_ok(
        venue->response(of->session, &of->instruments_asked, status, bus_view_of(body), &of->now));
    venue->tick(of->session, &of->now);
}

// Is the name in the path of the last request?
static bool asked_for(const player *of, const char *name)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "%%22%s%%22", name);
    return strstr(of->instruments_asked.path, quoted) != NULL;
}

// Answers requests as a venue that knows all but X1: refuses whatever names it.
static void answer_without_x1(player *of, const char *const *names)
{
    char body[512] = "{\"symbols\":[";
    if (asked_for(of, "X1")) {
        answer_instruments(of, 400, INVALID);
        return;
    }
    for (int i = 0; names[i]; i++)
        if (asked_for(of, names[i]))
            snprintf(body + strlen(body), sizeof body - strlen(body), "%s{\"symbol\":\"%s\"}",
                     strchr(body, '[')[1] ? "," : "", names[i]);
    snprintf(body + strlen(body), sizeof body - strlen(body), "]}");
    answer_instruments(of, 200, body);
}

Test(binance, a_symbol_that_the_venue_refuses_is_left_out_and_the_others_get_their_instruments)
{
    static const char *const five[] = {"A1", "B1", "X1", "C1", "D1", NULL};
    static const char *const trades[] = {"trade", NULL};
    static tally seen;
    char text[1024];
    player all;
    player_open(&all, "binance", five, trades, tally_event, &seen);
    player_up(&all);
    for (uint64_t last = 0; last < all.instrument_requests && last < 20;) {
        last = all.instrument_requests;
        answer_without_x1(&all, five);
    }
    cr_expect(seen.instruments == 4 && tally_of(&seen, "X1")->degraded == 1);
    cr_expect(all.session->renew && all.session->streams == 4);
    size_t len = all.session->venue->subscribe(all.session, 0, text, sizeof text);
    cr_assert(len > 0 && len < sizeof text);
    cr_expect(!strstr(text, "x1@") && strstr(text, "\"b1@trade\",\"c1@trade\""), "%s", text);
    player_close(&all);
    tally_release(&seen);
}

Test(binance, a_symbol_is_taken_in_once_the_venue_lists_it)
{
    answer_instruments(&p, 200, "{\"symbols\":[{\"symbol\":\"BTCUSDT\"}]}");
    cr_expect(tally_of(&t, "BNBBTC")->degraded == 1 && p.session->streams == 5);
    p.session->renew = false;
    p.now.mono.ns += 3601ll * 1000000000;
    p.session->venue->tick(p.session, &p.now);
    cr_expect(asked_for(&p, "BTCUSDT") && !asked_for(&p, "BNBBTC"));
    answer_instruments(&p, 200, "{\"symbols\":[{\"symbol\":\"BTCUSDT\"}]}");
    cr_expect(asked_for(&p, "BNBBTC") && !asked_for(&p, "BTCUSDT"), "by itself");
    answer_instruments(&p, 200, "{\"symbols\":[{\"symbol\":\"BNBBTC\"}]}");
    cr_expect(p.session->renew && p.session->streams == 10);
    cr_expect(tally_of(&t, "BNBBTC")->degraded == 1, "told once");
}

Test(binance, a_symbol_whose_frames_come_is_not_left_out)
{
    player_frame(&p, TRADE);
    answer_instruments(&p, 200, "{\"symbols\":[{\"symbol\":\"BTCUSDT\"}]}");
    cr_expect(tally_of(&t, "BNBBTC")->degraded == 1);
    cr_expect(!p.session->renew && p.session->streams == 10);
}

Test(binance, when_no_symbol_is_known_all_stay_subscribed)
{
    for (int i = 0; i < 3; i++)
        answer_instruments(&p, 400, INVALID);
    cr_expect(tally_of(&t, "BTCUSDT")->degraded == 1 && tally_of(&t, "BNBBTC")->degraded == 1);
    cr_expect(!p.session->renew && p.session->streams == 10);
}
