// The publisher of a writer who alone owns its subjects: fast ingest against a real broker, and all that may happen to
// it. Source: schemas/specs/recording.md, "Fast ingest".
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy.h"
#include "publishing.h"
#include "support.h"
#include "test/support/test.h"

TestSuite(ingest, .timeout = 120);

static test_broker broker;
static bus_conn *conn;

static void given_act(bool batched, int64_t message_bytes_max)
{
    static const char *const subjects[] = {"act.>", NULL};
    test_ok(bus_stream_ensure(conn,
                              &(bus_stream_def){.name = "ACT",
                                                .subjects = subjects,
                                                .message_bytes_max = message_bytes_max,
                                                .allow_direct = true,
                                                .allow_batched = batched},
                              NULL));
}

static void setup_with(const char *jetstream)
{
    test_broker_start(&broker, &(test_broker_opts){.jetstream = jetstream});
    conn = given_conn(&broker, BUS_PROFILE_LATENCY);
    given_act(true, 0);
}

static void setup(void)
{
    setup_with(NULL);
}

// The broker forgets an idle batch after 300 ms instead of 10 s.
static void setup_forgetful(void)
{
    setup_with("limits { batch { timeout: \"300ms\" } }");
}

static void teardown(void)
{
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

static bus_publisher *given_owner(const char *url, bus_span ack_timeout)
{
    bus_publisher *pub = NULL;
    test_ok(bus_publisher_open(
        &pub,
        &(bus_publisher_opts){.conn = {.url = url, .name = "owner", .profile = BUS_PROFILE_BULK},
                              .owned = "act.exchange.binance.>",
                              .owned_stream = "ACT",
                              .ack_timeout = ack_timeout,
                              .on_ack = note_ack}));
    return pub;
}

static void expect_done(bus_publisher *pub, uint64_t count)
{
    test_ok(bus_publisher_wait(pub, BUS_SPAN_S(40)));
    cr_assert_eq(seen.acked, count);
    cr_assert(!seen.disorder && seen.refused == 0 && bus_publisher_pending(pub) == 0);
    wait_until_up(conn, 15000);
}

static bool stored_with_id(uint64_t seq)
{
    bus_record record;
    bus_msg *msg;
    bus_view id;
    test_ok(bus_stream_get(conn, "ACT", seq, &record, &msg));
    bool with = bus_msg_header(msg, "Nats-Msg-Id", &id);
    bus_msg_release(msg);
    return with;
}

Test(ingest, stores_everything_once_in_order_without_ids, .init = setup, .fini = teardown)
{
    bus_publisher *pub = given_owner(broker.url, (bus_span){0});
    send_range(pub, 1, 50000, 0, NULL);
    expect_done(pub, 50000);
    expect_stream(conn, 50000);
    cr_assert_not(stored_with_id(40000));
    bus_publisher_close(pub);
}

Test(ingest, goes_on_behind_what_its_predecessor_stored, .init = setup, .fini = teardown)
{
    bus_publisher *pub = given_owner(broker.url, (bus_span){0});
    send_range(pub, 1, 1000, 0, NULL);
    expect_done(pub, 1000);
    bus_publisher_close(pub);
    seen = (acks){.last_tag = 1000};
    pub = given_owner(broker.url, (bus_span){0});
    send_range(pub, 1001, 2000, 0, NULL);
    expect_done(pub, 1000);
    expect_stream(conn, 2000);
    bus_publisher_close(pub);
}

// Whoever listens on its subjects gets what is stored, not the ends of batches.
Test(ingest, tells_listeners_of_its_messages_alone, .init = setup, .fini = teardown)
{
    bus_sub *ear;
    test_ok(bus_sub_open(&ear, conn, &(bus_sub_opts){.subject = "act.>"}));
    bus_publisher *pub = given_owner(broker.url, (bus_span){0});
    for (uint64_t n = 1; n <= 3000;
         n += 1000) { // each of them a batch of large steps, which has to be ended
        send_range(pub, n, n + 999, 0, NULL);
        expect_done(pub, n + 999);
    }
    uint64_t heard = 0;
    for (bus_msg *msg; (msg = bus_sub_next(ear, BUS_SPAN_MS(200))) != NULL; heard++) {
        cr_assert(bus_view_is(bus_msg_subject(msg), publishing_subject), "%.*s",
                  BUS_VIEW_ARG(bus_msg_subject(msg)));
        bus_msg_release(msg);
    }
    cr_assert_eq(heard, 3000);
    bus_publisher_close(pub);
    bus_sub_close(ear);
}

static void kill_and_restart(void)
{
    test_broker_restart(&broker);
}

Test(ingest, survives_brokers_killed_in_the_middle_of_a_batch, .init = setup, .fini = teardown)
{
    bus_publisher *pub = given_owner(broker.url, BUS_SPAN_S(2));
    send_range(pub, 1, 40000, 7001, kill_and_restart);
    expect_done(pub, 40000);
    expect_stream(conn, 40000);
    bus_publisher_close(pub);
}

Test(ingest, survives_a_broker_that_stands_still, .init = setup, .fini = teardown)
{
    bus_publisher *pub = given_owner(broker.url, BUS_SPAN_S(1));
    send_range(pub, 1, 3000, 0, NULL);
    test_broker_freeze(&broker);
    uint64_t n = 3001;
    for (int i = 0; i < 300; i++, sleep_ms(10)) { // three seconds: the acknowledgements time out
        while (send_one(pub, n) == BUS_PUBLISH_SENT)
            n++;
        bus_publisher_poll(pub);
    }
    test_broker_thaw(&broker);
    send_range(pub, n, n + 1000, 0, NULL);
    expect_done(pub, n + 1000);
    expect_stream(conn, n + 1000);
    bus_publisher_close(pub);
}

static test_proxy proxy;

static void cut(void)
{
    proxy.cut = 1;
}

Test(ingest, survives_connections_cut_in_the_middle_of_a_batch, .init = setup, .fini = teardown)
{
    test_proxy_start(&proxy, broker.port);
    bus_publisher *pub = given_owner(proxy.url, BUS_SPAN_S(2));
    send_range(pub, 1, 40000, 1777, cut);
    expect_done(pub, 40000);
    expect_stream(conn, 40000);
    bus_publisher_close(pub);
    test_proxy_stop(&proxy);
}

// Everything was stored and no answer came: the broker is asked what the batch holds.
Test(ingest, sends_nothing_twice_when_the_answers_were_lost, .init = setup, .fini = teardown)
{
    test_proxy_start(&proxy, broker.port);
    bus_publisher *pub = given_owner(proxy.url, BUS_SPAN_S(20));
    send_range(pub, 1, 100, 0, NULL);
    expect_done(pub, 100);
    proxy.deaf = 1;
    send_range(pub, 101, 600, 0, NULL);
    bus_publisher_poll(pub);
    for (int i = 0; i < 500 && stream_messages(conn, "ACT") < 600; i++) {
        sleep_ms(10);
        bus_publisher_poll(pub);
    }
    cr_assert_eq(stream_messages(conn, "ACT"), 600);
    proxy.deaf = 0;
    proxy.cut = 1;
    expect_done(pub, 600);
    expect_stream(conn, 600);
    bus_publisher_close(pub);
    test_proxy_stop(&proxy);
}

// The same, and the batch is forgotten when the connection comes back: the tail of the stream tells.
Test(ingest, reads_the_tail_when_the_broker_has_forgotten_the_batch, .init = setup_forgetful,
     .fini = teardown)
{
    test_proxy_start(&proxy, broker.port);
    bus_publisher *pub = given_owner(proxy.url, BUS_SPAN_S(20));
    send_range(pub, 1, 100, 0, NULL);
    expect_done(pub, 100);
    proxy.deaf = 1;
    send_range(pub, 101, 600, 0, NULL);
    bus_publisher_poll(pub);
    for (int i = 0; i < 500 && stream_messages(conn, "ACT") < 600; i++) {
        sleep_ms(10);
        bus_publisher_poll(pub);
    }
    sleep_ms(1000);
    proxy.deaf = 0;
    proxy.cut = 1;
    send_range(pub, 601, 900, 0, NULL);
    expect_done(pub, 900);
    expect_stream(conn, 900);
    bus_publisher_close(pub);
    test_proxy_stop(&proxy);
}

Test(ingest, goes_on_after_silences_longer_than_the_broker_keeps_a_batch, .init = setup_forgetful,
     .fini = teardown)
{
    bus_publisher *pub = given_owner(broker.url, BUS_SPAN_S(5));
    for (uint64_t n = 1; n <= 300; n += 50) {
        send_range(pub, n, n + 49, 0, NULL);
        bus_publisher_poll(pub);
        sleep_ms(n % 100 == 1 ? 700 : 20);
    }
    expect_done(pub, 300);
    expect_stream(conn, 300);
    bus_publisher_close(pub);
}

// What an old socket still holds comes when the new one is at work: at every moment of it.
static void old_bytes_come_late(uint64_t before, int release_after_ms)
{
    seen = (acks){0};
    purge_stream(conn, "ACT", "");
    test_proxy_start(&proxy, broker.port);
    bus_publisher *pub = given_owner(proxy.url, BUS_SPAN_MS(300));
    while (!bus_publisher_up(pub) || pub == NULL)
        bus_publisher_poll(pub), sleep_ms(1);
    if (before) {
        send_range(pub, 1, before, 0, NULL);
        expect_done(pub, before);
    } else { // the path is known, nothing was begun
        for (int i = 0; i < 20; i++, sleep_ms(5))
            bus_publisher_poll(pub);
    }
    proxy.hold = 1;
    sleep_ms(30);
    uint64_t n = before + 1;
    for (int i = 0; i < 800; i++, sleep_ms(1)) {
        if (i % 4 == 0 && send_one(pub, n) == BUS_PUBLISH_SENT)
            n++;
        bus_publisher_poll(pub);
        if (i == 300 + release_after_ms)
            proxy.hold = 0;
    }
    proxy.hold = 0;
    send_range(pub, n, n + 500, 0, NULL);
    expect_done(pub, n + 500);
    sleep_ms(100);
    expect_ours(conn, n + 500);
    bus_publisher_close(pub);
    test_proxy_stop(&proxy);
}

Test(ingest, what_an_old_socket_delivers_late_is_stored_nowhere, .init = setup, .fini = teardown)
{
    for (int ms = 0; ms <= 60; ms += 4) {
        old_bytes_come_late(100, ms);
        old_bytes_come_late(0, ms);
    }
    old_bytes_come_late(100, 400);
    old_bytes_come_late(0, 400);
}

// A writer that was stopped for longer than its batch lives; another one has taken over.
Test(ingest, a_stopped_writers_bytes_are_refused_when_another_has_taken_over,
     .init = setup_forgetful, .fini = teardown)
{
    test_proxy_start(&proxy, broker.port);
    bus_publisher *old = given_owner(proxy.url, BUS_SPAN_S(30)), *taker;
    send_range(old, 1, 500, 0, NULL);
    expect_done(old, 500);
    proxy.hold = 1;
    sleep_ms(30);
    for (uint64_t n = 9001; n <= 9100; n++)
        cr_assert_eq(send_one(old, n), BUS_PUBLISH_SENT);
    bus_publisher_poll(old); // the bytes are on their way, and their writer stops here
    sleep_ms(800);
    seen = (acks){.last_tag = 500};
    taker = given_owner(broker.url, (bus_span){0});
    send_range(taker, 501, 1000, 0, NULL);
    expect_done(taker, 500);
    proxy.hold = 0;
    sleep_ms(300);
    send_range(taker, 1001, 1200, 0, NULL);
    expect_done(taker, 700);
    expect_stream(conn, 1200);
    bus_publisher_close(taker);
    bus_publisher_close(old);
    test_proxy_stop(&proxy);
}

static uint64_t strangers;

static void stranger_writes(void)
{
    for (int i = 0; i < 20; i++)
        test_ok(bus_publish(conn, "act.exchange.kraken.trade.tape.X", NULL, NULL, 0,
                            BUS_VIEW("stranger")));
    strangers += 20;
}

Test(ingest, is_not_disturbed_by_other_writers_of_the_stream, .init = setup, .fini = teardown)
{
    test_proxy_start(&proxy, broker.port);
    bus_publisher *pub = given_owner(proxy.url, BUS_SPAN_S(2));
    send_range(pub, 1, 20000, 100, stranger_writes);
    cut();
    send_range(pub, 20001, 40000, 100, stranger_writes);
    expect_done(pub, 40000);
    expect_ours(conn, 40000);
    cr_assert_eq(stream_messages(conn, "ACT"), 40000 + strangers);
    bus_publisher_close(pub);
    test_proxy_stop(&proxy);
}

static void intruder_writes(void)
{
    test_ok(bus_publish(conn, "act.exchange.binance.trade.tape.OTHER", NULL, NULL, 0,
                        BUS_VIEW("intruder")));
    proxy.cut = 1;
}

Test(ingest, stores_its_own_once_though_somebody_writes_on_its_subjects, .init = setup,
     .fini = teardown)
{
    test_proxy_start(&proxy, broker.port);
    bus_publisher *pub = given_owner(proxy.url, BUS_SPAN_S(2));
    send_range(pub, 1, 20000, 1500, intruder_writes);
    expect_done(pub, 20000);
    expect_ours(conn, 20000);
    bus_publisher_close(pub);
    test_proxy_stop(&proxy);
}

Test(ingest, refuses_what_is_too_large_and_sends_the_others_once_in_order, .init = setup,
     .fini = teardown)
{
    static char big[4000];
    given_act(true, 1000);
    bus_publisher *pub = given_owner(broker.url, (bus_span){0});
    for (uint64_t n = 1; n <= 900; n++) {
        bus_publish_result result =
            n % 300 == 150 ? bus_publisher_send(pub, publishing_subject, "urn:test#big", NULL, 0,
                                                (bus_view){big, sizeof big}, n)
                           : send_one(pub, n);
        cr_assert_eq(result, BUS_PUBLISH_SENT, "%s", bus_err_text());
        if (n % 70 == 0)
            bus_publisher_poll(pub);
    }
    test_ok(bus_publisher_wait(pub, BUS_SPAN_S(20)));
    cr_assert(seen.acked == 897 && seen.refused == 3 && !seen.disorder);
    cr_assert(strstr(seen.words, "size") && seen.refused_len == sizeof big);
    cr_assert_str_eq(seen.refused_id, "urn:test#big");
    cr_assert_eq(stream_messages(conn, "ACT"), 897);
    bus_record record;
    bus_msg *msg;
    test_ok(bus_stream_get(conn, "ACT", 150, &record, &msg));
    cr_assert_eq(strtoull(record.payload.ptr, NULL, 10), 151);
    bus_msg_release(msg);
    bus_publisher_close(pub);
}

static void stream_by_hand(const char *verb, const char *more)
{
    char subject[64], body[256];
    bus_msg *reply;
    snprintf(subject, sizeof subject, "$JS.API.STREAM.%s.ACT", verb);
    snprintf(body, sizeof body,
             "{\"name\":\"ACT\",\"subjects\":[\"act.>\"],\"allow_direct\":true,%s}", more);
    test_ok(bus_request(conn, subject, NULL, 0, bus_view_of(body), BUS_SPAN_S(5), &reply));
    cr_assert(!memmem(bus_msg_payload(reply).ptr, bus_msg_payload(reply).len, "error", 5), "%.*s",
              BUS_VIEW_ARG(bus_msg_payload(reply)));
    bus_msg_release(reply);
}

Test(ingest, keeps_what_a_full_store_declines_until_there_is_room, .init = setup, .fini = teardown)
{
    test_ok(bus_stream_delete(conn, "ACT"));
    stream_by_hand("CREATE", "\"allow_batched\":true,\"max_msgs\":100,\"discard\":\"new\"");
    bus_publisher *pub = given_owner(broker.url, (bus_span){0});
    send_range(pub, 1, 300, 0, NULL);
    test_expect_err(bus_publisher_wait(pub, BUS_SPAN_MS(700)), BUS_ETIMEOUT);
    cr_assert_eq(seen.acked, 100);
    char why[256];
    cr_assert(strstr(bus_publisher_why(pub, why, sizeof why), "maximum messages"), "%s", why);
    cr_assert_not(bus_publisher_up(pub));
    stream_by_hand("UPDATE", "\"allow_batched\":true,\"max_msgs\":-1,\"discard\":\"new\"");
    expect_done(pub, 300);
    cr_assert(bus_publisher_up(pub));
    expect_stream(conn, 300);
    bus_publisher_close(pub);
}

Test(ingest, waits_for_a_stream_that_is_made_later, .init = setup, .fini = teardown)
{
    test_ok(bus_stream_delete(conn, "ACT"));
    bus_publisher *pub = given_owner(broker.url, (bus_span){0});
    send_range(pub, 1, 1000, 0, NULL);
    test_expect_err(bus_publisher_wait(pub, BUS_SPAN_MS(500)), BUS_ETIMEOUT);
    char why[256];
    cr_assert(strstr(bus_publisher_why(pub, why, sizeof why), "'ACT'"), "%s", why);
    given_act(true, 0);
    expect_done(pub, 1000);
    expect_stream(conn, 1000);
    bus_publisher_close(pub);
}

static void make_anew(void)
{
    test_ok(bus_stream_delete(conn, "ACT"));
    sleep_ms(100);
    given_act(true, 0);
    seen.made_anew = true; // acknowledgements of the old one may still be on their way
}

// What was acknowledged is gone with the old stream; what was not goes to the new one, in order.
Test(ingest, goes_on_in_a_stream_that_was_made_anew, .init = setup, .fini = teardown)
{
    bus_publisher *pub = given_owner(broker.url, BUS_SPAN_S(2));
    send_range(pub, 1, 5000, 2500, make_anew);
    send_range(pub, 5001, 6000, 0, NULL);
    expect_done(pub, 6000);
    bus_record record;
    bus_msg *msg;
    uint64_t count = stream_messages(conn, "ACT"), first;
    cr_assert_geq(count, 1000);
    test_ok(bus_stream_get(conn, "ACT", 1, &record, &msg));
    first = strtoull(record.payload.ptr, NULL, 10);
    bus_msg_release(msg);
    test_ok(bus_stream_get(conn, "ACT", count, &record, &msg));
    cr_assert_eq(strtoull(record.payload.ptr, NULL, 10), 6000);
    bus_msg_release(msg);
    cr_assert_eq(first + count - 1, 6000, "%" PRIu64 " messages from %" PRIu64, count, first);
    bus_publisher_close(pub);
}

Test(ingest, takes_the_plain_path_where_the_stream_takes_no_batches, .init = setup,
     .fini = teardown)
{
    given_act(false, 0);
    bus_publisher *pub = given_owner(broker.url, (bus_span){0});
    send_range(pub, 1, 1000, 0, NULL);
    expect_done(pub, 1000);
    expect_stream(conn, 1000);
    cr_assert(stored_with_id(500));
    bus_publisher_close(pub);
}

// The stream changes its mind while messages are on their way, and back.
Test(ingest, changes_its_path_with_the_stream_and_stores_once_in_order, .init = setup,
     .fini = teardown)
{
    test_proxy_start(&proxy, broker.port);
    bus_publisher *pub = given_owner(proxy.url, BUS_SPAN_S(2));
    uint64_t n = 1;
    for (int round = 0; round < 4; round++) {
        send_range(pub, n, n + 5999, 0, NULL);
        given_act(round % 2 != 0, 0);
        send_range(pub, n + 6000, n + 11999, 0, NULL);
        n += 12000;
        if (round % 2)
            proxy.cut = 1; // looks again at once
    }
    expect_done(pub, n - 1);
    expect_stream(conn, n - 1);
    cr_assert(stored_with_id(11999) && !stored_with_id(100));
    bus_publisher_close(pub);
    test_proxy_stop(&proxy);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// At small rates each message is acknowledged by itself, at once; also the last ones after a burst.
Test(ingest, acknowledges_soon_at_small_rates_and_after_a_burst, .init = setup, .fini = teardown)
{
    enum { MESSAGES = 101 };
    int64_t took[MESSAGES];
    bus_publisher *pub = given_owner(broker.url, (bus_span){0});
    send_range(pub, 1, 10000, 0, NULL);
    expect_done(pub, 10000);
    for (uint64_t n = 0; n < MESSAGES; n++) {
        bus_mono start = bus_machine_mono();
        cr_assert_eq(send_one(pub, 10001 + n), BUS_PUBLISH_SENT);
        test_ok(bus_publisher_wait(pub, BUS_SPAN_S(10)));
        took[n] = bus_mono_since(bus_machine_mono(), start).ns;
        sleep_ms(5);
    }
    qsort(took, MESSAGES, sizeof *took, by_size);
    cr_assert_lt(took[MESSAGES / 2], 20 * 1000000, "%" PRId64 " us", took[MESSAGES / 2] / 1000);
    bus_publisher_close(pub);
}

Test(ingest, refuses_subjects_that_are_not_its_own, .init = setup, .fini = teardown)
{
    bus_publisher *pub = given_owner(broker.url, (bus_span){0});
    cr_assert_eq(bus_publisher_send(pub, "act.exchange.kraken.trade.tape.X", NULL, NULL, 0,
                                    BUS_VIEW("x"), 1),
                 BUS_PUBLISH_ERROR);
    cr_assert_eq(bus_publisher_pending(pub), 0);
    bus_publisher_close(pub);
    static const char *const bad[] = {"act.exchange.binance", "act.*.binance.>", ">", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        test_expect_err(bus_publisher_open(&pub, &(bus_publisher_opts){.conn = {.url = broker.url},
                                                                       .owned = bad[i],
                                                                       .owned_stream = "ACT"}),
                        BUS_EINVAL);
}
