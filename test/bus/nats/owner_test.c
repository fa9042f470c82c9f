// Connections whose owner reads and writes the socket, against a broker. Source: schemas/specs/recording.md,
// "Connections" and "Frames".
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/nats/conn_impl.h"
#include "bus/nats/reader.h"
#include "bus/nats/watch.h"
#include "support.h"
#include "test/support/test.h"

TestSuite(owner, .timeout = 120);

static void send_numbers(bus_conn *conn, uint64_t first, uint64_t last)
{
    for (uint64_t n = first; n <= last; n++) {
        char text[24];
        int len = snprintf(text, sizeof text, "%llu", (unsigned long long)n);
        const bus_header_pair headers[] = {{"Lane-Seq", text}, {"K", "v w"}};
        test_ok(bus_publish(conn, "a.b", "r.1", headers, 2, (bus_view){text, (size_t)len}));
    }
    bus_conn_push(conn);
}

static void expect_numbers(bus_sub *sub, uint64_t first, uint64_t last)
{
    for (uint64_t n = first; n <= last; n++) {
        uint64_t seq = 0;
        bus_view v;
        bus_msg *msg = bus_sub_next(sub, BUS_SPAN_S(5));
        cr_assert(msg && bus_view_is(bus_msg_subject(msg), "a.b"));
        cr_assert(bus_view_is(bus_msg_reply(msg), "r.1") && !bus_msg_no_responders(msg));
        cr_assert(bus_msg_header(msg, "Lane-Seq", &v) && bus_view_u64(v, &seq) && seq == n);
        cr_assert(bus_msg_header(msg, "K", &v) && bus_view_is(v, "v w"));
        cr_assert(!bus_msg_header(msg, "Lane", &v) && !bus_msg_header(msg, "Status", &v));
        cr_assert(bus_view_u64(bus_msg_payload(msg), &seq) && seq == n);
        bus_msg_release(msg);
    }
}

Test(owner, publishes_and_receives_in_order_with_headers)
{
    test_broker broker;
    test_broker_start(&broker, NULL);
    bus_conn *conn = given_conn(&broker, BUS_PROFILE_OWNER),
             *other = given_conn(&broker, BUS_PROFILE_BULK);
    bus_sub *sub, *theirs;
    test_ok(bus_sub_open(&sub, conn, &(bus_sub_opts){.subject = "a.>"}));
    test_ok(bus_sub_open(&theirs, other, &(bus_sub_opts){.subject = "a.>"}));
    cr_assert_geq(bus_conn_fd(conn), 0);
    send_numbers(conn, 1, 20000);
    expect_numbers(sub, 1, 20000);
    expect_numbers(theirs, 1, 20000);
    send_numbers(other, 1, 3);
    expect_numbers(sub, 1, 3);
    char block[] = "NATS/1.0\r\nLane-Seq: 4\r\nK: v w\r\n\r\n";
    bus_conn *both[] = {conn, other};
    for (int i = 0; i < 2; i++) { // ready headers, through the socket and through the library
        test_ok(bus_publish_block(both[i], BUS_VIEW("a.b"), BUS_VIEW("r.1"), bus_view_of(block),
                                  BUS_VIEW("4")));
        test_ok(bus_conn_flush(both[i], BUS_SPAN_S(5)));
        expect_numbers(sub, 4, 4);
    }
    test_expect_err(bus_request(conn, "a", NULL, 0, BUS_VIEW("x"), BUS_SPAN_S(1), NULL),
                    BUS_EUNAVAILABLE);
    cr_assert_null(bus_sub_next(sub, (bus_span){0}));
    bus_sub_close(sub);
    bus_sub_close(theirs);
    bus_conn_close(other);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

Test(owner, messages_may_be_held_longer_than_their_subscription_and_connection)
{
    test_broker broker;
    test_broker_start(&broker, NULL);
    bus_conn *conn = given_conn(&broker, BUS_PROFILE_OWNER);
    bus_sub *sub;
    test_ok(bus_sub_open(&sub, conn, &(bus_sub_opts){.subject = "a.b"}));
    send_numbers(conn, 1, 10);
    bus_msg *held = bus_sub_next(sub, BUS_SPAN_S(5)); // nine wait in the subscription
    bus_sub_close(sub);
    bus_conn_close(conn);
    test_broker_stop(&broker);
    cr_assert(bus_view_is(bus_msg_payload(held), "1"));
    bus_msg_release(held);
}

Test(owner, a_killed_broker_is_noticed_and_subscriptions_stand_again)
{
    test_broker broker;
    test_broker_start(&broker, NULL);
    bus_conn *conn = given_conn(&broker, BUS_PROFILE_OWNER);
    bus_sub *sub;
    test_ok(bus_sub_open(&sub, conn, &(bus_sub_opts){.subject = "a.>"}));
    for (int round = 0; round < 3; round++) {
        uint32_t epoch = bus_conn_epoch(conn);
        send_numbers(conn, 1, 5);
        expect_numbers(sub, 1, 5);
        test_broker_kill(&broker);
        for (int tries = 0; tries < 1000 && bus_conn_state_of(conn) == BUS_CONN_UP; tries++)
            cr_assert_null(bus_sub_next(sub, BUS_SPAN_MS(10)));
        cr_assert_neq(bus_conn_state_of(conn), BUS_CONN_UP);
        test_expect_err(bus_publish(conn, "a.b", NULL, NULL, 0, BUS_VIEW("x")), BUS_EUNAVAILABLE);
        test_broker_restart(&broker);
        wait_until_up(conn, 20000);
        cr_assert_gt(bus_conn_epoch(conn), epoch);
    }
    send_numbers(conn, 6, 9);
    expect_numbers(sub, 6, 9);
    bus_sub_close(sub);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

Test(owner, reads_a_stream_with_proof_like_any_other)
{
    test_broker broker;
    test_broker_start(&broker, NULL);
    bus_conn *conn = given_conn(&broker, BUS_PROFILE_OWNER),
             *other = given_conn(&broker, BUS_PROFILE_BULK);
    given_stream(other, "ACT", "act.>");
    given_records(other, "ACT", "act.x", 5000, 300);
    bus_reader *reader;
    bus_record record;
    bus_seq_range gap;
    test_ok(bus_reader_open(
        &reader, conn,
        &(bus_reader_opts){.stream = "ACT", .from_seq = 1, .window_bytes_max = 65536}));
    for (uint64_t seq = 1; seq <= 5000; seq++) {
        if (seq == 2500) { // and goes on behind a broker that died
            test_broker_restart(&broker);
        }
        bus_reader_result r;
        do
            r = bus_reader_next(reader, BUS_SPAN_S(20), &record, &gap);
        while (r == BUS_READER_CAUGHT_UP);
        cr_assert_eq(r, BUS_READER_RECORD, "%d at %llu", r, (unsigned long long)seq);
        cr_assert_eq(record.seq, seq);
    }
    bus_reader_close(reader);
    bus_conn_close(other);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

static _Atomic int woken;
static void on_wake(void *ctx)
{
    (void)ctx;
    woken++;
}

// The number of a socket that was lost is soon somebody else's: another connection's, for example.
Test(owner, one_that_sleeps_elsewhere_is_woken_on_the_next_link_too)
{
    test_broker broker;
    test_broker_start(&broker, NULL);
    bus_conn *conn = given_conn(&broker, BUS_PROFILE_OWNER), *others[6];
    for (int i = 0; i < 6; i++)
        others[i] = given_conn(&broker, BUS_PROFILE_LATENCY);
    bus_watch *watch;
    bus_sub *sub;
    test_ok(bus_watch_open(&watch, (bus_wake){on_wake, NULL}));
    test_ok(bus_sub_open(&sub, conn, &(bus_sub_opts){.subject = "a.>"}));
    for (int round = 0; round < 5; round++) {
        cr_assert_null(bus_sub_next(sub, (bus_span){0}));
        bus_watch_arm(watch, bus_owner_link(conn));
        uint32_t epoch = bus_conn_epoch(conn);
        test_broker_restart(&broker);
        for (int tries = 0; tries < 1000 && bus_conn_epoch(conn) == epoch; tries++) {
            cr_assert_null(bus_sub_next(sub, BUS_SPAN_MS(10)));
            bus_watch_arm(watch, bus_owner_link(conn));
        }
        for (int i = 0; i < 6; i++)
            test_ok(bus_conn_wait(others[i], BUS_SPAN_S(10)));
        cr_assert_null(bus_sub_next(sub, (bus_span){0}));
        woken = 0;
        bus_watch_arm(watch, bus_owner_link(conn));
        send_numbers(others[0], 1, 3);
        for (int tries = 0; tries < 2000 && !woken; tries++)
            sleep_ms(1);
        cr_assert(woken);
        expect_numbers(sub, 1, 3);
    }
    bus_watch_close(watch);
    bus_sub_close(sub);
    for (int i = 0; i < 6; i++)
        bus_conn_close(others[i]);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

Test(owner, one_that_sleeps_elsewhere_is_woken_once_for_each_arming)
{
    test_broker broker;
    test_broker_start(&broker, NULL);
    bus_conn *conn = given_conn(&broker, BUS_PROFILE_OWNER),
             *other = given_conn(&broker, BUS_PROFILE_LATENCY);
    bus_watch *watch;
    bus_sub *sub;
    test_ok(bus_watch_open(&watch, (bus_wake){on_wake, NULL}));
    test_ok(bus_sub_open(&sub, conn, &(bus_sub_opts){.subject = "a.>"}));
    for (int round = 1; round <= 20; round++) {
        cr_assert_null(bus_sub_next(sub, (bus_span){0}));
        bus_watch_arm(watch, bus_owner_link(conn));
        sleep_ms(2);
        cr_assert_eq(woken, round - 1);
        send_numbers(other, 1, 3);
        for (int tries = 0; tries < 2000 && woken < round; tries++)
            sleep_ms(1);
        cr_assert_eq(woken, round);
        expect_numbers(sub, 1, 3);
    }
    bus_watch_close(watch);
    bus_sub_close(sub);
    bus_conn_close(other);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}
