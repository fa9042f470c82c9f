// Source: schemas/specs/feedd.md, "Dead letters".
#include "feeds/outbox.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bus/nats/stream.h"
#include "test/support/broker.h"
#include "test/support/test.h"

TestSuite(outbox, .timeout = 60);

enum { LARGE = 3000, LIMIT = 2000 };

static test_broker broker;
static bus_conn *conn;
static feed_outbox outbox;

static void given_stream(const char *name, const char *subject, int64_t message_bytes_max)
{
    const char *const subjects[] = {subject, NULL};
    bus_stream_def def = {.name = name,
                          .subjects = subjects,
                          .message_bytes_max = message_bytes_max,
                          .allow_direct = true};
    bus_err err = BUS_EUNAVAILABLE;
    for (int i = 0; i < 500 && err == BUS_EUNAVAILABLE; i++) {
        err = bus_stream_ensure(conn, &def, NULL);
        if (err == BUS_EUNAVAILABLE) // not up yet
            nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    test_ok(err);
}

static void setup(void)
{
    test_broker_start(&broker, NULL);
    bus_conn_opts opts = {.url = broker.url, .name = "test"};
    test_ok(bus_conn_open(&conn, &opts));
    given_stream("ACT", "act.>", LIMIT);
    test_ok(feed_outbox_open(&outbox, "binance", &opts, (bus_wake){0}));
}

static void teardown(void)
{
    feed_outbox_close(&outbox);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

static const char lane[] = "act.exchange.binance.trade.tape.BTCUSDT";

// An event of `len` bytes of data, or a bit more.
static void send_event(const char *id, const char *subject, size_t len)
{
    static char data[8192];
    memset(data, 'x', sizeof data);
    memcpy(data, "\xdb\0\0", 3); // str 32
    data[3] = (char)(len >> 8);
    data[4] = (char)len;
    bus_event event = {.id = bus_view_of(id),
                       .source = BUS_VIEW("urn:com.virtufin.exchange.binance"),
                       .type = BUS_VIEW("com.virtufin.exchange.binance.trade.tape"),
                       .time = BUS_VIEW("2026-11-21T10:00:00.000000000Z"),
                       .recordedtime = BUS_VIEW("2026-11-21T10:00:00.000000007Z"),
                       .exchange = BUS_VIEW("binance"),
                       .data = {data, len + 5}};
    feed_outbox_event(&outbox, subject, &event);
}

static void turn_until_empty(void)
{
    for (int i = 0; i < 1000 && !feed_outbox_empty(&outbox); i++) {
        feed_outbox_turn(&outbox);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    cr_assert(feed_outbox_empty(&outbox));
    feed_outbox_turn(&outbox);
}

static bus_msg *last_letter(void)
{
    bus_record record;
    bus_msg *owner;
    test_ok(bus_stream_last(conn, "DLQ", "dlq.ACT.feedd", &record, &owner));
    return owner;
}

static uint64_t count_of(const char *stream)
{
    bus_stream_info info;
    test_ok(bus_stream_info_get(conn, stream, &info));
    return info.messages;
}

static void expect_header(const bus_msg *msg, const char *name, const char *want)
{
    bus_view value = {0};
    cr_assert(bus_msg_header(msg, name, &value) && bus_view_is(value, want), "%s: %.*s", name,
              BUS_VIEW_ARG(value));
}

Test(outbox, an_event_refused_for_good_is_a_dead_letter_as_it_would_have_been_stored, .init = setup,
     .fini = teardown)
{
    given_stream("DLQ", "dlq.>", 0);
    send_event("trade.BTCUSDT.1", lane, 10);
    send_event("trade.BTCUSDT.2", lane, LARGE);
    send_event("trade.BTCUSDT.3", lane, 10);
    turn_until_empty();
    cr_assert_eq(count_of("ACT"), 2);
    cr_assert(outbox.acknowledged == 2 && outbox.refused == 1 && outbox.dead_letters == 1);
    cr_assert_eq(outbox.letters_lost, 0);
    bus_msg *owner = last_letter();
    expect_header(owner, "Dlq-Stream", "ACT");
    expect_header(owner, "Dlq-Subject", lane);
    expect_header(owner, "Dlq-Consumer", "feedd");
    expect_header(owner, "Nats-Msg-Id", "urn:com.virtufin.exchange.binance#trade.BTCUSDT.2");
    bus_view reason;
    cr_assert(bus_msg_header(owner, "Dlq-Reason", &reason));
    cr_assert(memmem(reason.ptr, reason.len, "size", 4), "%.*s", BUS_VIEW_ARG(reason));
    bus_event event;
    bus_scratch scratch = {0};
    test_ok(bus_msg_event(owner, &event, &scratch));
    cr_assert(bus_view_is(event.id, "trade.BTCUSDT.2"));
    cr_assert_eq(event.data.len, LARGE + 5);
    bus_scratch_release(&scratch);
    bus_msg_release(owner);
    feed_complaint c;
    cr_assert(feed_complaint_take(&outbox.refusals, &c));
    cr_assert(c.count == 1 && strstr(c.first, lane), "%s", c.first);
    cr_assert_not(feed_complaint_take(&outbox.refusals, &c), "each is told once");
}

Test(outbox, an_event_against_the_lanes_rules_is_a_dead_letter_too, .init = setup, .fini = teardown)
{
    given_stream("DLQ", "dlq.>", 0);
    send_event("trade.X.1", "act.exchange.BINANCE.trade.tape.X", 10);
    turn_until_empty();
    cr_assert(outbox.refused == 1 && count_of("DLQ") == 1 && count_of("ACT") == 0);
}

Test(outbox, a_refused_event_about_the_feed_is_kept_and_causes_no_complaint, .init = setup,
     .fini = teardown)
{
    given_stream("DLQ", "dlq.>", 0);
    send_event("1.1", "act.exchange.binance.feed.degraded", LARGE);
    turn_until_empty();
    feed_complaint c;
    cr_assert(outbox.refused == 1 && count_of("DLQ") == 1);
    cr_assert_not(feed_complaint_take(&outbox.refusals, &c));
}

Test(outbox, a_dead_letter_that_is_refused_itself_is_counted_and_told, .init = setup,
     .fini = teardown)
{
    given_stream("DLQ", "dlq.>", LIMIT);
    send_event("trade.BTCUSDT.1", lane, LARGE);
    turn_until_empty();
    feed_complaint c;
    cr_assert(outbox.refused == 1 && outbox.dead_letters == 1 && outbox.letters_lost == 1);
    cr_assert(feed_complaint_take(&outbox.losses, &c) && c.count == 1);
    cr_assert(strstr(c.first, "size"), "%s", c.first);
}

Test(outbox, dead_letters_wait_for_their_stream_and_what_finds_no_room_is_told, .init = setup,
     .fini = teardown)
{
    static char frame[1 << 20];
    memset(frame, 'x', sizeof frame);
    enum { LETTERS = 24, BYTES = 700 << 10 }; // window and fifo together hold less
    for (int i = 0; i < LETTERS; i++)
        feed_outbox_dead_letter(&outbox, (bus_view){frame, BYTES}, "no JSON at byte 0\n",
                                (bus_recorded_time){1});
    feed_outbox_turn(&outbox);
    given_stream("DLQ", "dlq.>", 0);
    uint64_t lost = outbox.letters_lost;
    turn_until_empty();
    cr_assert(lost > 0 && outbox.letters_lost == lost);
    cr_assert_eq(count_of("DLQ"), LETTERS - lost);
    bus_msg *owner = last_letter();
    expect_header(owner, "Dlq-Subject", "act.exchange.binance");
    expect_header(owner, "Dlq-Reason", "no JSON at byte 0?");
    expect_header(owner, "Dlq-Received", "1970-01-01T00:00:00.000000001Z");
    bus_msg_release(owner);
}

// --- a store that went back -----------------------------------------------------------------------------

static const char gap_lane[] = "act.exchange.binance.feed.gap";

static void given_unacknowledged(void)
{
    test_ok(bus_stream_delete(conn, "ACT")); // nothing more is acknowledged
    send_event("trade.BTCUSDT.1", lane, 10);
    send_event("trade.BTCUSDT.2", lane, 10);
    send_event("trade.BTCUSDT.3", lane, 10);
    cr_assert_eq(bus_publisher_pending(outbox.lane), 3);
}

static bool reopened(const char *id)
{
    const bus_conn_opts opts = {.url = broker.url, .name = "test"};
    char msg_id[200] = "";
    bool stored;
    if (*id)
        snprintf(msg_id, sizeof msg_id, "urn:com.virtufin.exchange.binance#%s", id);
    const feed_lane_last last = {*id ? lane : "", msg_id, 0};
    test_ok(feed_outbox_reopen(&outbox, &opts, (bus_wake){0}, &last, &stored));
    return stored;
}

static void expect_stored(const char *const *ids, uint64_t count)
{
    given_stream("ACT", "act.>", LIMIT);
    turn_until_empty();
    cr_assert_eq(count_of("ACT"), count);
    for (uint64_t i = 0; i < count; i++) {
        bus_record record;
        bus_msg *owner;
        bus_event event;
        bus_scratch scratch = {0};
        test_ok(bus_stream_get(conn, "ACT", i + 1, &record, &owner));
        test_ok(bus_msg_event(owner, &event, &scratch));
        cr_assert(bus_view_is(event.id, ids[i]), "%s: %.*s", ids[i], BUS_VIEW_ARG(event.id));
        bus_scratch_release(&scratch);
        bus_msg_release(owner);
    }
}

Test(outbox, what_is_held_when_the_store_goes_back_comes_behind_what_is_told_of_it, .init = setup,
     .fini = teardown)
{
    static const char *const want[] = {"1.9", "trade.BTCUSDT.1", "trade.BTCUSDT.2",
                                       "trade.BTCUSDT.3"};
    bus_recorded_time first = {0};
    given_unacknowledged();
    cr_assert_not(reopened(""));
    cr_assert(feed_outbox_held(&outbox, &first) && first.ns % 1000 == 7);
    send_event("1.9", gap_lane, 10);
    cr_assert_not(feed_outbox_empty(&outbox), "what is held is owed");
    feed_outbox_resend(&outbox);
    expect_stored(want, 4);
}

Test(outbox, what_the_store_shows_to_be_there_is_not_sent_again, .init = setup, .fini = teardown)
{
    static const char *const want[] = {"trade.BTCUSDT.3"};
    given_unacknowledged();
    cr_assert(reopened("trade.BTCUSDT.2"));
    feed_outbox_resend(&outbox);
    expect_stored(want, 1);
}

Test(outbox, nothing_is_held_when_the_last_one_is_stored, .init = setup, .fini = teardown)
{
    bus_recorded_time first = {0};
    given_unacknowledged();
    cr_assert(reopened("trade.BTCUSDT.3"));
    cr_assert_not(feed_outbox_held(&outbox, &first));
    feed_outbox_resend(&outbox);
    cr_assert(feed_outbox_empty(&outbox));
}
