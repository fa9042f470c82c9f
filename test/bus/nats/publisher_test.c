// Source: schemas/specs/recording.md, "Writing".
#include <inttypes.h>
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy.h"
#include "publishing.h"
#include "support.h"
#include "test/support/test.h"

TestSuite(publisher, .timeout = 120);

static test_broker broker;
static bus_conn *conn;

static void setup(void)
{
    test_broker_start(&broker, NULL);
    conn = given_conn(&broker, BUS_PROFILE_LATENCY);
    given_stream(conn, "ACT", "act.>");
}

static void teardown(void)
{
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

Test(publisher, stores_everything_once_in_order_and_acknowledges_in_order, .init = setup,
     .fini = teardown)
{
    bus_publisher *pub = given_publisher(&broker, (bus_span){0});
    send_range(pub, 1, 20000, 0, NULL);
    test_ok(bus_publisher_wait(pub, BUS_SPAN_S(20)));
    cr_assert(seen.acked == 20000 && !seen.disorder && seen.refused == 0);
    cr_assert(bus_publisher_up(pub) && bus_publisher_pending(pub) == 0);
    expect_stream(conn, 20000);
    bus_publisher_close(pub);
}

static void kill_and_restart(void)
{
    test_broker_restart(&broker);
}

Test(publisher, survives_brokers_killed_in_the_middle_of_a_window, .init = setup, .fini = teardown)
{
    bus_publisher *pub = given_publisher(&broker, BUS_SPAN_S(2));
    send_range(pub, 1, 30000, 7001, kill_and_restart);
    test_ok(bus_publisher_wait(pub, BUS_SPAN_S(30)));
    cr_assert(seen.acked == 30000 && !seen.disorder);
    wait_until_up(conn, 10000);
    expect_stream(conn, 30000);
    bus_publisher_close(pub);
}

Test(publisher, survives_a_broker_that_stands_still, .init = setup, .fini = teardown)
{
    bus_publisher *pub = given_publisher(&broker, BUS_SPAN_S(1));
    send_range(pub, 1, 3000, 0, NULL);
    test_broker_freeze(&broker);
    uint64_t n = 3001;
    for (int i = 0; i < 300; i++, sleep_ms(10)) { // three seconds: the acknowledgements time out
        while (send_one(pub, n) == BUS_PUBLISH_SENT)
            n++;
        bus_publisher_poll(pub);
    }
    cr_assert_gt(bus_publisher_pending(pub), 0);
    test_broker_thaw(&broker);
    send_range(pub, n, n + 1000, 0, NULL);
    test_ok(bus_publisher_wait(pub, BUS_SPAN_S(30)));
    cr_assert(!seen.disorder);
    wait_until_up(conn, 15000);
    expect_stream(conn, n + 1000);
    bus_publisher_close(pub);
}

Test(publisher, waits_for_a_broker_that_comes_later)
{
    broker = (test_broker){0};
    int port = test_free_port();
    snprintf(broker.url, sizeof broker.url, "nats://127.0.0.1:%d", port);
    bus_publisher *pub = given_publisher(&broker, (bus_span){0});
    for (uint64_t n = 1; n <= 10; n++)
        cr_assert_eq(send_one(pub, n), BUS_PUBLISH_SENT);
    test_expect_err(bus_publisher_wait(pub, BUS_SPAN_MS(200)), BUS_ETIMEOUT);
    cr_assert_not(bus_publisher_up(pub));
    test_broker_start(&broker, &(test_broker_opts){.port = port});
    conn = given_conn(&broker, BUS_PROFILE_LATENCY);
    given_stream(conn, "ACT", "act.>");
    test_ok(bus_publisher_wait(pub, BUS_SPAN_S(20)));
    expect_stream(conn, 10);
    bus_publisher_close(pub);
    teardown();
}

// Messages meet a broker without their stream; it is made while they wait: none is lost, none overtakes.
Test(publisher, keeps_what_no_stream_records_and_says_why, .init = setup, .fini = teardown)
{
    test_ok(bus_stream_delete(conn, "ACT"));
    bus_publisher *pub = given_publisher(&broker, (bus_span){0});
    for (uint64_t n = 1; n <= 1000; n++)
        cr_assert_eq(send_one(pub, n), BUS_PUBLISH_SENT);
    test_expect_err(bus_publisher_wait(pub, BUS_SPAN_MS(500)), BUS_ETIMEOUT);
    char why[256];
    cr_assert_not(bus_publisher_up(pub));
    cr_assert(strstr(bus_publisher_why(pub, why, sizeof why), publishing_subject), "%s", why);
    cr_assert_eq(bus_publisher_pending(pub), 1000);
    given_stream(conn, "ACT", "act.>");
    test_ok(bus_publisher_wait(pub, BUS_SPAN_S(20)));
    cr_assert(bus_publisher_up(pub) && seen.acked == 1000 && !seen.disorder);
    expect_stream(conn, 1000);
    bus_publisher_close(pub);
}

Test(publisher, keeps_what_a_full_store_declines_until_there_is_room, .init = setup,
     .fini = teardown)
{
    bus_msg *reply;
    static const char full[] = "{\"name\":\"ACT\",\"subjects\":[\"act.>\"],\"max_msgs\":100,"
                               "\"discard\":\"new\"}";
    test_ok(bus_stream_delete(conn, "ACT"));
    test_ok(bus_request(conn, "$JS.API.STREAM.CREATE.ACT", NULL, 0, bus_view_of(full),
                        BUS_SPAN_S(5), &reply));
    bus_msg_release(reply);
    bus_publisher *pub = given_publisher(&broker, (bus_span){0});
    send_range(pub, 1, 300, 0, NULL);
    test_expect_err(bus_publisher_wait(pub, BUS_SPAN_MS(700)), BUS_ETIMEOUT);
    cr_assert_eq(seen.acked, 100);
    char why[256];
    cr_assert(strstr(bus_publisher_why(pub, why, sizeof why), "maximum messages"), "%s", why);
    static const char room[] = "{\"name\":\"ACT\",\"subjects\":[\"act.>\"],\"max_msgs\":-1,"
                               "\"discard\":\"new\"}";
    test_ok(bus_request(conn, "$JS.API.STREAM.UPDATE.ACT", NULL, 0, bus_view_of(room),
                        BUS_SPAN_S(5), &reply));
    bus_msg_release(reply);
    test_ok(bus_publisher_wait(pub, BUS_SPAN_S(20)));
    expect_stream(conn, 300);
    bus_publisher_close(pub);
}

Test(publisher, refuses_what_can_never_be_stored_and_goes_on, .init = setup, .fini = teardown)
{
    static const char *const subjects[] = {"act.>", NULL};
    test_ok(bus_stream_ensure(
        conn,
        &(bus_stream_def){
            .name = "ACT", .subjects = subjects, .message_bytes_max = 1000, .allow_direct = true},
        NULL));
    bus_publisher *pub = given_publisher(&broker, (bus_span){0});
    static char big[4000];
    cr_assert_eq(send_one(pub, 1), BUS_PUBLISH_SENT);
    cr_assert_eq(bus_publisher_send(pub, publishing_subject, "urn:test#2", NULL, 0,
                                    (bus_view){big, sizeof big}, 2),
                 BUS_PUBLISH_SENT);
    cr_assert_eq(send_one(pub, 3), BUS_PUBLISH_SENT);
    test_ok(bus_publisher_wait(pub, BUS_SPAN_S(10)));
    cr_assert(seen.acked == 2 && seen.refused == 1 && !seen.disorder);
    cr_assert(strstr(seen.words, "size"), "%s", seen.words);
    cr_assert_str_eq(seen.refused_subject, publishing_subject, "what was refused is handed back");
    cr_assert_str_eq(seen.refused_id, "urn:test#2");
    cr_assert_eq(seen.refused_len, sizeof big);
    bus_publisher_close(pub);
}

Test(publisher, refuses_subjects_that_break_the_lane_rules_at_once, .init = setup, .fini = teardown)
{
    bus_publisher *pub = given_publisher(&broker, (bus_span){0});
    static const char *const bad[] = {"", "act.exchange.>", "act.exchange.BINANCE.trade.tape.X",
                                      "a b", "hyp.LIVE.exchange.binance.trade.tape.X"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(bus_publisher_send(pub, bad[i], NULL, NULL, 0, BUS_VIEW("x"), 1),
                     BUS_PUBLISH_ERROR, "'%s'", bad[i]);
    cr_assert_eq(bus_publisher_pending(pub), 0);
    bus_publisher_close(pub);
}

Test(publisher, is_full_when_the_window_is_and_has_room_after_acknowledgements, .init = setup,
     .fini = teardown)
{
    bus_publisher *pub = NULL;
    test_ok(bus_publisher_open(&pub, &(bus_publisher_opts){.conn = {.url = broker.url},
                                                           .window_msgs_max = 16,
                                                           .on_ack = note_ack}));
    uint64_t n = 1;
    while (send_one(pub, n) == BUS_PUBLISH_SENT)
        n++;
    cr_assert_eq(n, 17);
    test_ok(bus_publisher_wait(pub, BUS_SPAN_S(5)));
    cr_assert_eq(send_one(pub, n), BUS_PUBLISH_SENT);
    bus_publisher_close(pub);
}

Test(publisher, knows_a_duplicate_and_the_place_of_the_first, .init = setup, .fini = teardown)
{
    bus_publisher *pub = given_publisher(&broker, (bus_span){0});
    send_range(pub, 1, 3, 0, NULL);
    test_ok(bus_publisher_wait(pub, BUS_SPAN_S(5)));
    bus_publisher_close(pub);
    seen = (acks){0};
    pub = given_publisher(&broker, (bus_span){0});
    send_range(pub, 1, 4, 0, NULL);
    test_ok(bus_publisher_wait(pub, BUS_SPAN_S(5)));
    cr_assert(seen.duplicates == 3 && seen.acked == 4 && seen.last_seq == 4);
    bus_publisher_close(pub);
}

Test(publisher, encodes_events_with_their_content_type_and_id, .init = setup, .fini = teardown)
{
    bus_publisher *pub = given_publisher(&broker, (bus_span){0});
    bus_event event = {.id = BUS_VIEW("trade.BTCUSDT.1"),
                       .source = BUS_VIEW("urn:com.virtufin.exchange.binance"),
                       .type = BUS_VIEW("com.virtufin.exchange.binance.trade.tape")};
    cr_assert_eq(bus_publisher_event(pub, publishing_subject, &event, 1), BUS_PUBLISH_SENT, "%s",
                 bus_err_text());
    test_ok(bus_publisher_wait(pub, BUS_SPAN_S(5)));
    bus_record record;
    bus_msg *msg;
    bus_view value;
    test_ok(bus_stream_get(conn, "ACT", 1, &record, &msg));
    cr_assert(bus_msg_header(msg, "Content-Type", &value) &&
              bus_view_is(value, BUS_CONTENT_MSGPACK));
    cr_assert(bus_msg_header(msg, "Nats-Msg-Id", &value) &&
              bus_view_is(value, "urn:com.virtufin.exchange.binance#trade.BTCUSDT.1"));
    bus_event back;
    bus_scratch scratch = {0};
    test_ok(bus_msg_event(msg, &back, &scratch));
    cr_assert(bus_view_is(back.id, "trade.BTCUSDT.1"));
    bus_scratch_release(&scratch);
    bus_msg_release(msg);
    event.id.len = 0;
    cr_assert_eq(bus_publisher_event(pub, publishing_subject, &event, 2), BUS_PUBLISH_ERROR);
    bus_publisher_close(pub);
}

// Stored, and the answers lost; then away for longer than the broker remembers ids. What the stream holds in
// the end, of `count` messages sent, when the publisher believes the broker remembers for `believed`.
static uint64_t stored_after_a_long_outage(bus_span believed, uint64_t count)
{
    static const char *const subjects[] = {"act.>", NULL};
    test_ok(bus_stream_delete(conn, "ACT"));
    test_ok(bus_stream_ensure(conn,
                              &(bus_stream_def){.name = "ACT",
                                                .subjects = subjects,
                                                .duplicates = BUS_SPAN_MS(300),
                                                .allow_direct = true},
                              NULL));
    test_proxy proxy;
    test_proxy_start(&proxy, broker.port);
    bus_publisher *pub = NULL;
    test_ok(bus_publisher_open(
        &pub, &(bus_publisher_opts){.conn = {.url = proxy.url, .name = "publisher"},
                                    .duplicates = believed,
                                    .on_ack = note_ack}));
    send_range(pub, 1, 10, 0, NULL);
    test_ok(bus_publisher_wait(pub, BUS_SPAN_S(10)));
    proxy.deaf = 1;
    for (uint64_t n = 11; n <= count; n++)
        cr_assert_eq(send_one(pub, n), BUS_PUBLISH_SENT);
    for (int i = 0; i < 500 && stream_messages(conn, "ACT") < count; i++)
        sleep_ms(10);
    sleep_ms(1500); // the broker forgets
    proxy.deaf = 0;
    proxy.cut = 1;
    test_ok(bus_publisher_wait(pub, BUS_SPAN_S(20)));
    cr_assert(seen.acked == count && !seen.disorder);
    bus_publisher_close(pub);
    test_proxy_stop(&proxy);
    return stream_messages(conn, "ACT");
}

Test(publisher, stores_once_even_after_an_outage_longer_than_the_broker_remembers_ids,
     .init = setup, .fini = teardown)
{
    cr_assert_eq(stored_after_a_long_outage(BUS_SPAN_MS(300), 500), 500);
    expect_stream(conn, 500);
}

// The same without reading the tail: this is what ids alone give.
Test(publisher_trap, ids_that_the_broker_has_forgotten_are_stored_again, .init = setup,
     .fini = teardown)
{
    cr_assert_gt(stored_after_a_long_outage(BUS_SPAN_S(3600), 500), 500);
}

// --- the traps this stands on: what the library does by itself ------------------------------------------------

// With the library's reconnect the messages of its buffer arrive in front of what was sent before the loss and
// is sent again: the broker stores 2 before 1. (Ours never buffers: see the tests above.)
Test(publisher_trap, the_librarys_reconnect_buffer_overtakes_what_is_sent_again, .init = setup,
     .fini = teardown)
{
    natsOptions *opts = NULL;
    natsConnection *nc = NULL;
    natsOptions_Create(&opts);
    natsOptions_SetURL(opts, broker.url);
    natsOptions_SetMaxReconnect(opts, -1);
    natsOptions_SetReconnectWait(opts, 20);
    cr_assert_eq(natsConnection_Connect(&nc, opts), NATS_OK);
    test_broker_kill(&broker);
    sleep_ms(100);
    // 1 was sent before the loss and is unacknowledged; the sender goes on with 2 while the broker is away.
    cr_assert_eq(natsConnection_PublishString(nc, "act.x", "2"), NATS_OK, "it buffers");
    test_broker_restart(&broker);
    for (int i = 0; i < 300 && natsConnection_Status(nc) != NATS_CONN_STATUS_CONNECTED; i++)
        sleep_ms(10);
    natsConnection_PublishString(nc, "act.x", "1"); // the re-send, once it is up
    natsConnection_Flush(nc);
    wait_until_up(conn, 10000);
    for (int i = 0; i < 300 && stream_messages(conn, "ACT") < 2; i++)
        sleep_ms(10);
    bus_record record;
    bus_msg *msg;
    test_ok(bus_stream_get(conn, "ACT", 1, &record, &msg));
    cr_assert(bus_view_is(record.payload, "2"), "the trap is gone: the buffer came second");
    bus_msg_release(msg);
    natsConnection_Destroy(nc);
    natsOptions_Destroy(opts);
}

static bool confirmed;
static int asked;

static bool confirm(void *ctx)
{
    (void)ctx;
    asked++;
    return confirmed;
}

static void poll_for(bus_publisher *pub, int ms)
{
    for (int i = 0; i < ms / 10; i++) {
        bus_publisher_poll(pub);
        sleep_ms(10);
    }
}

Test(publisher, sends_nothing_on_a_connection_that_its_owner_does_not_confirm, .init = setup,
     .fini = teardown)
{
    bus_publisher *pub = NULL;
    test_ok(bus_publisher_open(&pub, &(bus_publisher_opts){.conn = {.url = broker.url, .name = "p"},
                                                           .on_ack = note_ack,
                                                           .confirm = confirm}));
    confirmed = true;
    send_range(pub, 1, 100, 0, NULL);
    test_ok(bus_publisher_wait(pub, BUS_SPAN_S(10)));
    int asked_once = asked;
    confirmed = false;
    test_broker_restart(&broker);
    wait_until_up(conn, 10000);
    poll_for(pub, 500); // the publisher's own connection comes back too
    send_range(pub, 101, 200, 0, NULL);
    poll_for(pub, 500);
    cr_expect_gt(asked, asked_once);
    cr_expect_eq(stream_messages(conn, "ACT"), 100);
    cr_expect_eq(bus_publisher_pending(pub), 100);
    confirmed = true;
    test_ok(bus_publisher_wait(pub, BUS_SPAN_S(10)));
    asked_once = asked;
    send_range(pub, 201, 300, 0, NULL);
    test_ok(bus_publisher_wait(pub, BUS_SPAN_S(10)));
    cr_expect_eq(asked, asked_once, "once a connection");
    bus_publisher_close(pub);
    expect_stream(conn, 300);
}

// The library waits for ever for acknowledgements that went down with the connection: after the broker is back,
// nothing tells the sender, and the slots of its window stay taken. (Ours: survives_brokers_killed_….)
Test(publisher_trap,
     the_librarys_asynchronous_publish_never_reports_what_was_lost_with_the_connection,
     .init = setup, .fini = teardown)
{
    natsOptions *opts = NULL;
    natsConnection *nc = NULL;
    jsCtx *js = NULL;
    jsOptions js_opts;
    natsOptions_Create(&opts);
    natsOptions_SetURL(opts, broker.url);
    natsOptions_SetMaxReconnect(opts, -1);
    natsOptions_SetReconnectWait(opts, 20);
    jsOptions_Init(&js_opts);
    cr_assert_eq(natsConnection_Connect(&nc, opts), NATS_OK);
    cr_assert_eq(natsConnection_JetStream(&js, nc, &js_opts), NATS_OK);
    test_broker_freeze(&broker); // sent, not answered
    sleep_ms(200);               // a process stops when it gets there
    for (int i = 0; i < 10; i++)
        cr_assert_eq(js_PublishAsync(js, "act.x", "x", 1, NULL), NATS_OK);
    natsConnection_FlushTimeout(nc, 200);
    test_broker_restart(&broker);
    for (int i = 0; i < 300 && natsConnection_Status(nc) != NATS_CONN_STATUS_CONNECTED; i++)
        sleep_ms(10);
    jsPubOptions wait;
    jsPubOptions_Init(&wait);
    wait.MaxWait = 3000;
    cr_assert_eq(js_PublishAsyncComplete(js, &wait), NATS_TIMEOUT, "the trap is gone");
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
    natsOptions_Destroy(opts);
}
