#include <pthread.h>
#include <stdio.h>

#include "bus/nats/denied.h"
#include "bus/nats/publisher.h"
#include "bus/nats/reader.h"
#include "support.h"
#include "test/support/test.h"

static bool refused(const char *words, const char *subject)
{
    bus_denied d = {0};
    bus_denied_init(&d, (bus_wake){0});
    bus_denied_note(&d, bus_view_of(words));
    bool found = bus_denied_has(&d, subject, 0);
    bus_denied_release(&d);
    return found;
}

Test(denied, reads_the_subject_out_of_the_brokers_words)
{
    cr_expect(refused("'Permissions Violation for Publish to \"a.b\"'", "a.b"));
    cr_expect(
        refused("Permissions Violation for Publish to \"a.b", "a.b")); // trimmed by the library
    cr_expect(
        refused("Permissions Violation for Subscription to \"a.>\" using queue \"q\"", "a.>"));
    cr_expect(!refused("Permissions Violation for Publish to \"a.b\"", "a"));
    cr_expect(!refused("Permissions Violation for Publish to \"", ""));
    cr_expect(!refused("Permissions Violation", ""));
    cr_expect(!refused("Authorization Violation to \"a\"", "a"));
    cr_expect(!refused("", ""));
}

Test(denied, remembers_the_last_ones_of_the_present_link)
{
    char words[80];
    bus_denied d = {0};
    bus_denied_init(&d, (bus_wake){0});
    for (int i = 0; i < 3 * BUS_DENIED_MAX; i++) {
        snprintf(words, sizeof words, "Permissions Violation for Publish to \"s%d\"", i);
        bus_denied_note(&d, bus_view_of(words));
    }
    cr_expect_eq(bus_denied_count(&d), 3 * BUS_DENIED_MAX);
    cr_expect(!bus_denied_has(&d, "s0", 0));
    cr_expect(bus_denied_has(&d, "s128", 0));
    cr_expect(bus_denied_has(&d, "s191", 191));
    cr_expect(!bus_denied_has(&d, "s190", 191)); // before whoever asks did
    bus_denied_anew(&d);
    cr_expect(!bus_denied_has(&d, "s191", 0));
    bus_denied_release(&d);
}

// --- against a broker --------------------------------------------------------------------------------------

// all: may do everything. some: may ask for ACT and nothing else. none: only listens, and has no inbox.
static const char accounts[] = "authorization { users: [\n"
                               "  { user: all, password: x }\n"
                               "  { user: some, password: x, permissions: {\n"
                               "      publish: [\"$JS.API.STREAM.INFO.ACT\", \"sc.>\"]\n"
                               "      subscribe: [\"_INBOX.>\"] } }\n"
                               "  { user: none, password: x, permissions: {\n"
                               "      publish: { deny: [\">\"] }\n"
                               "      subscribe: [\"act.>\"] } }\n"
                               "] }\n";

static bus_conn_opts opts_of(const test_broker *broker, const char *user)
{
    return (bus_conn_opts){.url = broker->url, .name = "test", .user = user, .password = "x"};
}

static bus_conn *conn_of(const test_broker *broker, const char *user)
{
    bus_conn *conn = NULL;
    bus_conn_opts opts = opts_of(broker, user);
    test_ok(bus_conn_open(&conn, &opts));
    wait_until_up(conn, 10000);
    return conn;
}

static bus_conn *given_act(test_broker *broker)
{
    test_broker_start(broker, &(test_broker_opts){.config = accounts});
    bus_conn *all = conn_of(broker, "all");
    given_stream(all, "ACT", "act.>");
    return all;
}

static int64_t ms_since(bus_mono begin)
{
    return bus_mono_since(bus_machine_mono(), begin).ns / 1000000;
}

static void expect_refusal_at_once(bus_conn *conn, const char *subject)
{
    char says[300];
    bus_msg *reply = NULL;
    bus_mono begin = bus_machine_mono();
    snprintf(says, sizeof says, "not permitted: %s", subject);
    test_expect_err(bus_request(conn, subject, NULL, 0, BUS_VIEW("{}"), BUS_SPAN_S(30), &reply),
                    BUS_EPERM);
    cr_expect_str_eq(bus_err_text(), says);
    cr_expect_lt(ms_since(begin), 10000);
}

Test(denied, a_request_that_is_not_permitted_fails_at_once_and_others_go_on, .timeout = 60)
{
    test_broker broker;
    bus_conn *all = given_act(&broker), *some = conn_of(&broker, "some");
    bus_stream_info info;
    expect_refusal_at_once(some, "$JS.API.STREAM.LIST");
    test_ok(bus_stream_info_get(some, "ACT", &info));
    expect_refusal_at_once(some, "$JS.API.STREAM.LIST"); // once more: it is asked, not remembered
    test_ok(bus_stream_info_get(some, "ACT", &info));
    bus_conn_close(some);
    bus_conn_close(all);
    test_broker_stop(&broker);
}

Test(denied, who_has_no_inbox_is_told_on_every_request, .timeout = 60)
{
    test_broker broker;
    bus_conn *all = given_act(&broker), *none = conn_of(&broker, "none");
    bus_sub *act = NULL, *sc = NULL;
    expect_refusal_at_once(none, "$JS.API.STREAM.LIST");
    expect_refusal_at_once(none, "$SRV.PING");
    test_ok(bus_sub_open(&act, none, &(bus_sub_opts){.subject = "act.>"}));
    test_ok(bus_sub_open(&sc, none, &(bus_sub_opts){.subject = "sc.>"}));
    for (int i = 0; i < 1000 && !bus_sub_denied(sc); i++)
        sleep_ms(5);
    test_expect_err(bus_sub_denied(sc), BUS_EPERM);
    cr_expect_str_eq(bus_err_text(), "not permitted: sc.>");
    test_ok(bus_sub_denied(act));
    bus_sub_close(act);
    bus_sub_close(sc);
    bus_conn_close(none);
    bus_conn_close(all);
    test_broker_stop(&broker);
}

static void *ask_often(void *ctx)
{
    bus_conn *conn = ctx;
    bus_stream_info info;
    for (int i = 0; i < 100; i++)
        test_ok(bus_stream_info_get(conn, "ACT", &info));
    return NULL;
}

Test(denied, threads_that_ask_at_once_get_each_its_answer, .timeout = 60)
{
    enum { THREADS = 4 };
    test_broker broker;
    bus_conn *all = given_act(&broker), *some = conn_of(&broker, "some");
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, ask_often, some);
    for (int i = 0; i < 20; i++)
        expect_refusal_at_once(some, "$JS.API.STREAM.LIST");
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    bus_conn_close(some);
    bus_conn_close(all);
    test_broker_stop(&broker);
}

Test(denied, a_reader_says_what_it_may_not_ask, .timeout = 60)
{
    test_broker broker;
    bus_conn *all = given_act(&broker), *some = conn_of(&broker, "some");
    bus_reader *reader = NULL;
    bus_record record;
    bus_seq_range gap;
    bus_mono begin = bus_machine_mono();
    test_ok(bus_reader_open(&reader, some, &(bus_reader_opts){.stream = "ACT", .from_seq = 1}));
    cr_expect_eq(bus_reader_next(reader, BUS_SPAN_S(30), &record, &gap), BUS_READER_ERROR);
    cr_expect(strstr(bus_err_text(), "not permitted: $JS.API.CONSUMER.CREATE.ACT."), "%s",
              bus_err_text());
    cr_expect_lt(ms_since(begin), 2500);
    bus_reader_close(reader);
    bus_conn_close(some);
    bus_conn_close(all);
    test_broker_stop(&broker);
}

Test(denied, a_publisher_says_what_it_may_not_publish, .timeout = 60)
{
    test_broker broker;
    bus_conn *all = given_act(&broker);
    bus_publisher *pub = NULL;
    char why[300] = "";
    test_ok(bus_publisher_open(&pub, &(bus_publisher_opts){.conn = opts_of(&broker, "some"),
                                                           .ack_timeout = BUS_SPAN_S(60)}));
    cr_expect_eq(
        bus_publisher_send(pub, "act.exchange.sim.trade.tape.A", NULL, NULL, 0, BUS_VIEW("1"), 1),
        BUS_PUBLISH_SENT);
    for (int i = 0; i < 1000 && !strstr(why, "permitted"); i++) {
        bus_publisher_poll(pub);
        bus_publisher_why(pub, why, sizeof why);
        sleep_ms(5);
    }
    cr_expect_str_eq(why, "not permitted: act.exchange.sim.trade.tape.A");
    cr_expect(!bus_publisher_up(pub));
    bus_publisher_close(pub);
    bus_conn_close(all);
    test_broker_stop(&broker);
}
