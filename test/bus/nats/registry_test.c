// Source: schemas/specs/scenarios.md, "Publish gate".
#include "bus/nats/registry.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bus/nats/kv.h"
#include "test/support/broker.h"
#include "test/support/test.h"

static test_broker broker;
static bus_conn *conn;
static bus_registry *registry;

static void given_registry(bool elevated)
{
    test_broker_start(&broker, NULL);
    test_ok(bus_conn_open(&conn, &(bus_conn_opts){.url = broker.url, .name = "test"}));
    test_ok(bus_conn_wait(conn, BUS_SPAN_S(10)));
    test_ok(bus_registry_open(&registry, conn, &(bus_registry_opts){.elevated = elevated}));
}

static void end(void)
{
    bus_registry_close(registry);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

static void given_bucket(void)
{
    test_ok(bus_kv_ensure(conn, &(bus_kv_def){.bucket = "scenarios", .history = 4}));
}

// A connection that has not noticed yet that its broker went says UNAVAILABLE for a moment.
static void given_status(const char *id, const char *record)
{
    bus_err err = BUS_EUNAVAILABLE;
    for (int i = 0; i < 500 && err == BUS_EUNAVAILABLE; i++) {
        err = bus_kv_put(conn, "scenarios", id, bus_view_of(record), NULL);
        if (err == BUS_EUNAVAILABLE)
            usleep(10000);
    }
    test_ok(err);
}

// What the registry says within five seconds, once it says `expected`.
static bus_registry_answer answer(const char *subject, bus_registry_answer expected)
{
    bus_registry_answer got = BUS_REGISTRY_UNKNOWN;
    for (int i = 0; i < 500; i++) {
        bus_registry_poll(registry);
        got = bus_registry_allow(registry, bus_view_of(subject));
        if (got == expected)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return got;
}

static const char signal_of_bt1[] = "sc.bt1.strategy.signal.emitted.sma";

Test(registry, holds_everything_of_a_scenario_until_the_bucket_has_been_read, .fini = end)
{
    given_registry(true);
    cr_assert_eq(answer(signal_of_bt1, BUS_REGISTRY_UNKNOWN), BUS_REGISTRY_UNKNOWN);
    cr_assert_not(bus_registry_current(registry));
    cr_assert_eq(bus_registry_err(BUS_REGISTRY_UNKNOWN), BUS_EUNAVAILABLE);
    given_bucket();
    given_status("bt1", "{\"status\":\"active\"}");
    cr_assert_eq(answer(signal_of_bt1, BUS_REGISTRY_YES), BUS_REGISTRY_YES, "%s", bus_err_text());
}

Test(registry, follows_a_scenario_through_its_states, .fini = end)
{
    given_registry(true);
    given_bucket();
    cr_assert_eq(answer(signal_of_bt1, BUS_REGISTRY_UNREGISTERED), BUS_REGISTRY_UNREGISTERED);
    cr_assert(strstr(bus_err_text(), "'bt1' is not registered"));
    given_status("bt1", "{\"status\":\"active\"}");
    cr_assert_eq(answer(signal_of_bt1, BUS_REGISTRY_YES), BUS_REGISTRY_YES);
    static const char *const others[] = {"paused", "archived", "deleted"};
    for (int i = 0; i < 3; i++) {
        char record[64];
        snprintf(record, sizeof record, "{\"status\":\"%s\"}", others[i]);
        given_status("bt1", record);
        cr_assert_eq(answer(signal_of_bt1, BUS_REGISTRY_INACTIVE), BUS_REGISTRY_INACTIVE);
        given_status("bt1", "{\"status\":\"active\"}");
        cr_assert_eq(answer(signal_of_bt1, BUS_REGISTRY_YES), BUS_REGISTRY_YES);
    }
    given_status("bt1", "not a record");
    cr_assert_eq(answer(signal_of_bt1, BUS_REGISTRY_INACTIVE), BUS_REGISTRY_INACTIVE);
    cr_assert_eq(bus_registry_status(registry, BUS_VIEW("bt1"), NULL), BUS_SCENARIO_BROKEN);
    test_ok(bus_kv_delete(conn, "scenarios", "bt1", 0));
    cr_assert_eq(answer(signal_of_bt1, BUS_REGISTRY_UNREGISTERED), BUS_REGISTRY_UNREGISTERED);
}

Test(registry, asks_for_the_role_on_live_alone_and_for_grammar_everywhere, .fini = end)
{
    given_registry(false);
    given_bucket();
    static const struct {
        const char *subject;
        bus_registry_answer answer;
    } row[] = {
        {"sc.LIVE.strategy.signal.emitted.sma", BUS_REGISTRY_NOT_ELEVATED},
        {"act.exchange.binance.trade.tape.BTCUSDT", BUS_REGISTRY_YES},
        {"hyp.mon.exchange.binance.trade.tape.BTCUSDT", BUS_REGISTRY_YES},
        {"hyp.LIVE.exchange.binance.trade.tape.BTCUSDT", BUS_REGISTRY_BAD},
        {"act.exchange.Binance.trade.tape.BTCUSDT", BUS_REGISTRY_BAD},
        {"act.exchange.binance.trade", BUS_REGISTRY_BAD},
        {"act.>", BUS_REGISTRY_BAD},
        {"sc.bt1.orders", BUS_REGISTRY_BAD},
        {"sc.bt1.nonsense.a.b", BUS_REGISTRY_BAD},
        {"workmanager.workerstatus", BUS_REGISTRY_YES},
        {"a..b", BUS_REGISTRY_BAD},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        cr_assert_eq(answer(row[i].subject, row[i].answer), row[i].answer, "%s: %s", row[i].subject,
                     bus_err_text());
}

Test(registry, keeps_its_answers_while_the_broker_is_away_and_learns_what_changed, .fini = end)
{
    given_registry(true);
    given_bucket();
    given_status("bt1", "{\"status\":\"active\"}");
    cr_assert_eq(answer(signal_of_bt1, BUS_REGISTRY_YES), BUS_REGISTRY_YES);
    test_broker_kill(&broker);
    bus_registry_poll(registry);
    cr_assert_eq(bus_registry_allow(registry, bus_view_of(signal_of_bt1)), BUS_REGISTRY_YES);
    test_broker_restart(&broker);
    test_ok(bus_conn_wait(conn, BUS_SPAN_S(10)));
    given_status("bt1", "{\"status\":\"paused\"}");
    cr_assert_eq(answer(signal_of_bt1, BUS_REGISTRY_INACTIVE), BUS_REGISTRY_INACTIVE);
}
