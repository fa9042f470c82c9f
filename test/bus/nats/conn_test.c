// Source: schemas/specs/recording.md, "Connections".
#include <arpa/inet.h>
#include <nats/nats.h>
#include <net/if.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bus/base/log.h"
#include "bus/nats/info.h"
#include "support.h"
#include "test/support/test.h"

TestSuite(conn, .timeout = 60);

Test(conn, comes_up_and_knows_the_broker)
{
    test_broker broker;
    test_broker_start(&broker, NULL);
    bus_conn *conn = given_conn(&broker, BUS_PROFILE_LATENCY);
    cr_assert_eq(bus_conn_epoch(conn), 1);
    cr_assert_geq(bus_conn_broker(conn), 2011001);
    cr_assert_gt(bus_conn_max_payload(conn), 1000);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

Test(conn, waits_for_a_broker_that_comes_later)
{
    test_broker broker;
    int port = test_free_port();
    char url[64];
    snprintf(url, sizeof url, "nats://127.0.0.1:%d", port);
    bus_conn *conn;
    test_ok(bus_conn_open(&conn, &(bus_conn_opts){.url = url}));
    test_expect_err(bus_conn_wait(conn, BUS_SPAN_MS(300)), BUS_EUNAVAILABLE);
    test_expect_err(bus_publish(conn, "a", NULL, NULL, 0, BUS_VIEW("x")), BUS_EUNAVAILABLE);
    test_broker_start(&broker, &(test_broker_opts){.port = port});
    wait_until_up(conn, 10000);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

Test(conn, tells_a_bad_url_and_an_unreadable_file_by_name)
{
    bus_conn *conn;
    test_expect_err(bus_conn_open(&conn, &(bus_conn_opts){.url = "http://x:1"}), BUS_EINVAL);
    cr_assert(strstr(bus_err_text(), "http://x:1"));
    test_expect_err(bus_conn_open(&conn, &(bus_conn_opts){.url = ""}), BUS_EINVAL);
    test_expect_err(
        bus_conn_open(&conn, &(bus_conn_opts){.url = "nats://x:1", .creds = "/nowhere/a.creds"}),
        BUS_EINVAL);
    cr_assert(strstr(bus_err_text(), "/nowhere/a.creds"));
}

static bus_msg *must_receive(bus_sub *sub)
{
    bus_msg *msg = bus_sub_next(sub, BUS_SPAN_S(5));
    cr_assert_not_null(msg);
    return msg;
}

Test(conn, subscriptions_survive_a_broker_killed_and_restarted)
{
    test_broker broker;
    test_broker_start(&broker, NULL);
    bus_conn *conn = given_conn(&broker, BUS_PROFILE_LATENCY);
    bus_sub *sub;
    test_ok(bus_sub_open(&sub, conn, &(bus_sub_opts){.subject = "a.*"}));
    for (uint32_t round = 1; round <= 3; round++) {
        test_ok(bus_publish(conn, "a.b", NULL, NULL, 0, BUS_VIEW("x")));
        bus_msg *msg = must_receive(sub);
        cr_assert(bus_view_is(bus_msg_subject(msg), "a.b"));
        bus_msg_release(msg);
        test_broker_restart(&broker);
        for (int i = 0; i < 500 && bus_conn_epoch(conn) == round; i++)
            sleep_ms(10);
        cr_assert_eq(bus_conn_epoch(conn), round + 1);
    }
    bus_sub_close(sub);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

static void count_wake(void *ctx)
{
    __atomic_fetch_add((int *)ctx, 1, __ATOMIC_SEQ_CST);
}

Test(conn, wakes_its_owner_at_every_change_of_state)
{
    int wakes = 0;
    test_broker broker;
    test_broker_start(&broker, NULL);
    bus_conn *conn;
    test_ok(
        bus_conn_open(&conn, &(bus_conn_opts){.url = broker.url, .wake = {count_wake, &wakes}}));
    wait_until_up(conn, 5000);
    sleep_ms(50);
    cr_assert_eq(__atomic_load_n(&wakes, __ATOMIC_SEQ_CST), 1);
    test_broker_kill(&broker);
    for (int i = 0; i < 300 && __atomic_load_n(&wakes, __ATOMIC_SEQ_CST) < 2; i++)
        sleep_ms(10);
    cr_assert_eq(__atomic_load_n(&wakes, __ATOMIC_SEQ_CST), 2);
    char why[200];
    cr_assert(*bus_conn_why(conn, why, sizeof why));
    bus_conn_close(conn);
}

Test(conn, counts_what_does_not_fit_and_loses_nothing_else)
{
    test_broker broker;
    test_broker_start(&broker, NULL);
    bus_conn *conn = given_conn(&broker, BUS_PROFILE_BULK);
    bus_sub *sub;
    test_ok(bus_sub_open(&sub, conn, &(bus_sub_opts){.subject = "a", .pending_max = 100}));
    for (int i = 0; i < 1000; i++)
        test_ok(bus_publish(conn, "a", NULL, NULL, 0, (bus_view){(char *)&i, sizeof i}));
    test_ok(bus_conn_flush(conn, BUS_SPAN_S(5)));
    for (int i = 0; i < 300 && bus_sub_lost(sub) < 900; i++)
        sleep_ms(10);
    cr_assert_eq(bus_sub_lost(sub), 900);
    for (int i = 0; i < 100; i++) {
        bus_msg *msg = must_receive(sub);
        cr_assert_eq(memcmp(bus_msg_payload(msg).ptr, &i, sizeof i), 0);
        bus_msg_release(msg);
    }
    cr_assert_null(bus_sub_next(sub, (bus_span){0}));
    bus_sub_close(sub);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

Test(conn, holds_more_messages_than_the_librarys_own_limit_when_asked_to)
{
    test_broker broker;
    test_broker_start(&broker, NULL);
    bus_conn *conn = given_conn(&broker, BUS_PROFILE_BULK);
    bus_sub *sub;
    enum { COUNT = 150000 }; // the library drops beyond 65,536
    test_ok(bus_sub_open(&sub, conn, &(bus_sub_opts){.subject = "a", .pending_max = 200000}));
    for (int i = 0; i < COUNT; i++)
        test_ok(bus_publish(conn, "a", NULL, NULL, 0, BUS_VIEW("x")));
    test_ok(bus_conn_flush(conn, BUS_SPAN_S(10)));
    sleep_ms(300);
    int got = 0;
    for (bus_msg *msg; (msg = bus_sub_next(sub, BUS_SPAN_S(2))) != NULL; got++) {
        bus_msg_release(msg);
        if (got == COUNT - 1)
            break;
    }
    cr_assert_eq(got, COUNT - 1);
    cr_assert_eq(bus_sub_lost(sub), 0);
    bus_sub_close(sub);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

Test(conn, answers_requests_and_names_who_does_not)
{
    test_broker broker;
    test_broker_start(&broker, NULL);
    bus_conn *conn = given_conn(&broker, BUS_PROFILE_LATENCY);
    bus_msg *reply;
    test_expect_err(bus_request(conn, "nobody.here", NULL, 0, BUS_VIEW("x"), BUS_SPAN_S(2), &reply),
                    BUS_EUNAVAILABLE);
    cr_assert(strstr(bus_err_text(), "nobody.here"));
    bus_sub *sub;
    test_ok(bus_sub_open(&sub, conn, &(bus_sub_opts){.subject = "silent"}));
    test_expect_err(bus_request(conn, "silent", NULL, 0, BUS_VIEW("x"), BUS_SPAN_MS(100), &reply),
                    BUS_ETIMEOUT);
    test_ok(bus_request(conn, "$JS.API.INFO", NULL, 0, (bus_view){0}, BUS_SPAN_S(2), &reply));
    cr_assert_gt(bus_msg_payload(reply).len, 10);
    bus_msg_release(reply);
    bus_sub_close(sub);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

Test(conn, refuses_a_message_larger_than_the_broker_takes_with_both_numbers)
{
    test_broker broker;
    test_broker_start(&broker, &(test_broker_opts){.config = "max_payload: 4096"});
    bus_conn *conn = given_conn(&broker, BUS_PROFILE_LATENCY);
    char big[5000] = "";
    test_expect_err(bus_publish(conn, "a", NULL, NULL, 0, (bus_view){big, sizeof big}), BUS_ELIMIT);
    cr_assert(strstr(bus_err_text(), "5000") && strstr(bus_err_text(), "4096"));
    cr_assert_eq(bus_conn_state_of(conn), BUS_CONN_UP);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

Test(conn, hands_headers_over_exactly)
{
    test_broker broker;
    test_broker_start(&broker, NULL);
    bus_conn *conn = given_conn(&broker, BUS_PROFILE_LATENCY);
    bus_sub *sub;
    test_ok(bus_sub_open(&sub, conn, &(bus_sub_opts){.subject = "a"}));
    const bus_header_pair headers[] = {{"Content-Type", "text/plain"}, {"Lane-Seq", "42"}};
    test_ok(bus_publish(conn, "a", "reply.here", headers, 2, BUS_VIEW("payload")));
    bus_msg *msg = must_receive(sub);
    bus_view value;
    cr_assert(bus_msg_header(msg, "Lane-Seq", &value) && bus_view_is(value, "42"));
    cr_assert(bus_msg_header(msg, "Content-Type", &value) && bus_view_is(value, "text/plain"));
    cr_assert_not(bus_msg_header(msg, "lane-seq", &value), "exact case");
    cr_assert_not(bus_msg_header(msg, "Lane", &value));
    cr_assert(bus_view_is(bus_msg_reply(msg), "reply.here"));
    cr_assert(bus_view_is(bus_msg_payload(msg), "payload"));
    bus_msg_release(msg);
    bus_sub_close(sub);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

Test(conn, sends_everything_it_has_before_it_closes)
{
    test_broker broker;
    test_broker_start(&broker, NULL);
    bus_conn *watcher = given_conn(&broker, BUS_PROFILE_LATENCY);
    bus_sub *sub;
    test_ok(bus_sub_open(&sub, watcher, &(bus_sub_opts){.subject = "a"}));
    for (int round = 0; round < 20; round++) {
        bus_conn *conn = given_conn(&broker, BUS_PROFILE_BULK);
        for (int i = 0; i < 50; i++)
            test_ok(bus_publish(conn, "a", NULL, NULL, 0, BUS_VIEW("x")));
        bus_conn_close(conn);
        for (int i = 0; i < 50; i++)
            bus_msg_release(must_receive(sub));
    }
    bus_sub_close(sub);
    bus_conn_close(watcher);
    test_broker_stop(&broker);
}

// --- the traps this stands on: what the library does by itself ------------------------------------------------

static void slow_start(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *ctx)
{
    (void)nc, (void)sub;
    if (atomic_fetch_add((_Atomic int *)ctx, 1) == 0)
        sleep_ms(1500);
    natsMsg_Destroy(msg);
}

Test(conn_trap, the_librarys_subscription_drops_beyond_its_limit_while_a_callback_is_slow)
{
    test_skip_under_valgrind("nothing that sends is faster than the callback");
    test_broker broker;
    test_broker_start(&broker, NULL);
    natsConnection *nc = NULL;
    natsSubscription *sub = NULL;
    enum { COUNT = 150000 };
    _Atomic int got = 0;
    cr_assert_eq(natsConnection_ConnectTo(&nc, broker.url), NATS_OK);
    cr_assert_eq(natsConnection_Subscribe(&sub, nc, "a", slow_start, &got), NATS_OK);
    for (int i = 0; i < COUNT; i++)
        natsConnection_PublishString(nc, "a", "x");
    natsConnection_Flush(nc);
    sleep_ms(3000);
    cr_assert_lt(got, COUNT, "the trap is gone");
    natsSubscription_Destroy(sub);
    natsConnection_Destroy(nc);
    test_broker_stop(&broker);
}

// --- brokers that are not taken ---------------------------------------------------------------------------

Test(conn, reads_versions_of_every_shape)
{
    cr_assert_eq(bus_broker_version("2.9.10"), 2009010);
    cr_assert_eq(bus_broker_version("2.15.1"), 2015001);
    cr_assert_eq(bus_broker_version("2.11.0-RC.1"), 2011000);
    cr_assert_eq(bus_broker_version("dev"), 0);
}

static bool refused(const char *url, const char *words)
{
    bus_conn *conn;
    test_ok(bus_conn_open(&conn, &(bus_conn_opts){.url = url}));
    bus_err err = bus_conn_wait(conn, BUS_SPAN_S(10));
    char why[512];
    bus_conn_why(conn, why, sizeof why);
    bool yes = err == BUS_ESTATE && bus_conn_state_of(conn) == BUS_CONN_REFUSED &&
               strstr(why, words) && bus_conn_epoch(conn) == 0;
    if (!yes)
        fprintf(stderr, "err %d, why: %s\n", err, why);
    bus_conn_close(conn);
    return yes;
}

// What Debian 12 ships. Fetched into the test's own folder and thrown away with it.
Test(conn, refuses_a_real_broker_of_2_9_with_the_reason)
{
    char command[1200], path[600];
    const char *dir = test_tmp();
    snprintf(path, sizeof path, "%s/x/usr/sbin/nats-server", dir);
    snprintf(command, sizeof command,
             "cd %s && timeout 30 apt-get -qq download nats-server=2.9.10* >/dev/null 2>&1 && "
             "dpkg-deb -x nats-server_*.deb x",
             dir);
    if (system(command) != 0 || access(path, X_OK) != 0)
        test_skip("nats-server 2.9.10 cannot be fetched here");
    setenv("TL_NATS_SERVER", path, 1);
    test_broker broker;
    test_broker_start(&broker, NULL);
    cr_assert(refused(broker.url, "nats-server 2.9.10 at "));
    test_broker_stop(&broker);
}

Test(conn, refuses_wrong_credentials_and_goes_on_trying)
{
    test_broker broker;
    test_broker_start(&broker,
                      &(test_broker_opts){.config = "authorization { user: u, password: right }"});
    cr_assert(refused(broker.url, "Auth"));
    bus_conn *conn;
    test_ok(bus_conn_open(&conn,
                          &(bus_conn_opts){.url = broker.url, .user = "u", .password = "right"}));
    wait_until_up(conn, 5000);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

Test(conn, takes_a_broker_that_was_replaced_by_a_good_one)
{
    test_broker broker;
    test_broker_start(&broker,
                      &(test_broker_opts){.config = "authorization { user: u, password: right }"});
    bus_conn *conn;
    test_ok(bus_conn_open(&conn, &(bus_conn_opts){.url = broker.url}));
    test_expect_err(bus_conn_wait(conn, BUS_SPAN_S(10)), BUS_ESTATE);
    broker.opts.config = NULL;
    test_broker_restart(&broker);
    for (int i = 0; i < 600 && bus_conn_state_of(conn) != BUS_CONN_UP; i++)
        sleep_ms(10);
    cr_assert_eq(bus_conn_state_of(conn), BUS_CONN_UP);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

// --- where a password goes ------------------------------------------------------------------------------------

// A network of this process's own: loopback, and on it an address that is none of loopback's.
static void given_network(const char *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct ifreq lo = {.ifr_name = "lo"}, other = {.ifr_name = "lo:1"};
    if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
        test_skip("no network of one's own here");
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(inet_pton(AF_INET, address, &in.sin_addr), 1);
    lo.ifr_flags = IFF_UP;
    memcpy(&other.ifr_addr, &in, sizeof in);
    cr_assert_eq(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
    cr_assert_eq(ioctl(fd, SIOCSIFADDR, &other), 0);
    close(fd);
}

// How often the log was told of it by a connection to `url` that came up.
static int64_t told_in_clear(const char *url, bool expected)
{
    int64_t before = bus_log_count(BUS_LOG_WARN);
    bus_conn *conn;
    test_ok(bus_conn_open(&conn, &(bus_conn_opts){.url = url, .user = "u", .password = "p"}));
    wait_until_up(conn, 5000);
    cr_expect_eq(bus_conn_in_clear(conn), expected, "%s", url);
    bus_conn_close(conn);
    return bus_log_count(BUS_LOG_WARN) - before;
}

Test(conn, says_when_a_password_leaves_the_machine_in_clear_and_only_then)
{
    given_network("10.9.8.7");
    char config[160], near[64], far[64];
    int port = test_free_port();
    snprintf(near, sizeof near, "nats://127.0.0.1:%d", port);
    snprintf(far, sizeof far, "nats://10.9.8.7:%d", port);
    snprintf(config, sizeof config,
             "listen: \"0.0.0.0:%d\"\nauthorization { user: u, password: p }", port);
    test_broker broker;
    test_broker_start(&broker, &(test_broker_opts){.port = port, .config = config});
    cr_expect_eq(told_in_clear(far, true), 1);
    cr_expect_eq(told_in_clear(near, false), 0);
    test_broker_stop(&broker);
}
