// One replay against a real broker, without the service. Source: schemas/specs/replay.md.
#include "store/replay.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bus/base/err.h"
#include "market.h"
#include "test/support/broker.h"
#include "test/support/test.h"

static test_broker broker;
static bus_conn *conn;
static bus_sub *sub;

static void given_market(uint64_t events)
{
    test_broker_start(&broker, NULL);
    conn = market_connect(broker.url);
    cr_assert(conn, "%s", bus_err_text());
    cr_assert(market_write(broker.url, 1, events), "%s", bus_err_text());
    test_ok(
        bus_sub_open(&sub, conn, &(bus_sub_opts){.subject = "hyp.mon.>", .pending_max = 1 << 20}));
    test_ok(bus_conn_flush(conn, BUS_SPAN_S(5)));
}

static void end_market(void)
{
    bus_sub_close(sub);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

static store_replay_opts given_opts(void)
{
    return (store_replay_opts){.source = {.url = broker.url, .name = "replay"},
                               .selector = "mon",
                               .range = {.stream = "ACT"}};
}

static store_replay_result wait_result(store_replay *r)
{
    store_replay_result result;
    for (int i = 0; i < 2000; i++) {
        if (store_replay_take(r, &result))
            return result;
        struct timespec t = {.tv_nsec = 5000000};
        nanosleep(&t, NULL);
    }
    cr_assert_fail("no result within 10 s");
    return result;
}

static store_replay *given_replay(const store_replay_opts *opts)
{
    store_replay *r;
    test_ok(store_replay_open(&r, opts, NULL));
    store_replay_result result = wait_result(r);
    cr_assert_eq(result.err, BUS_OK, "%s", result.text);
    return r;
}

static void command(store_replay *r, store_replay_command c, bus_err expected)
{
    test_ok(store_replay_send(r, &c));
    store_replay_result result = wait_result(r);
    cr_assert_eq(result.err, expected, "%s", result.text);
}

static store_replay_info wait_state(store_replay *r, store_replay_state state)
{
    store_replay_info info;
    for (int i = 0; i < 4000; i++) {
        store_replay_info_get(r, &info);
        if (info.state == state)
            return info;
        struct timespec t = {.tv_nsec = 5000000};
        nanosleep(&t, NULL);
    }
    cr_assert_fail("the replay is %s, not %s: %s", store_replay_state_name(info.state),
                   store_replay_state_name(state), info.message);
    return info;
}

// The next event of the lane (watermarks are passed over); 0: none within the time.
static char run[BUS_UUID_TEXT]; // of the event that came last

static uint64_t next_event(bus_span timeout)
{
    for (;;) {
        bus_msg *msg = bus_sub_next(sub, timeout);
        if (!msg)
            return 0;
        bus_lane_stamp stamp;
        bus_view runid;
        bool mark = bus_watermark_is(bus_msg_subject(msg));
        cr_assert(bus_lane_headers_read(msg, &stamp, &runid));
        cr_assert(bus_view_copy(runid, run, sizeof run));
        bus_msg_release(msg);
        if (!mark)
            return stamp.seq;
    }
}

Test(replay, sends_every_event_of_the_range_in_order, .fini = end_market)
{
    given_market(3000);
    store_replay_opts opts = given_opts();
    opts.range.from_seq = 5;
    opts.range.to_seq = 2990;
    store_replay *r = given_replay(&opts);
    store_replay_info info = wait_state(r, STORE_REPLAY_FINISHED);
    for (uint64_t seq = 5; seq <= 2990; seq++)
        cr_assert_eq(next_event(BUS_SPAN_S(5)), seq);
    cr_assert_eq(next_event(BUS_SPAN_MS(100)), 0);
    cr_assert_eq(info.sent, 2986);
    cr_assert_eq(info.position, 2990);
    cr_assert_eq(info.skipped + info.missing, 0);
    store_replay_close(r);
}

Test(replay, says_that_a_stream_is_empty_or_absent_and_when_a_range_is_not_stored,
     .fini = end_market)
{
    given_market(100);
    bus_msg *answer = NULL;
    test_ok(bus_request(conn, "$JS.API.STREAM.PURGE.ACT", NULL, 0, (bus_view){0}, BUS_SPAN_S(5),
                        &answer));
    bus_msg_release(answer);
    store_replay_opts opts = given_opts();
    store_replay *r;
    test_ok(store_replay_open(&r, &opts, NULL));
    store_replay_result result = wait_result(r);
    cr_assert_eq(result.err, BUS_ESTATE);
    cr_assert(strstr(result.text, "stream 'ACT' is empty"), "%s", result.text);
    store_replay_close(r);
    cr_assert(market_write(broker.url, 101, 100));
    opts.range.from_seq = 7;
    test_ok(store_replay_open(&r, &opts, NULL));
    result = wait_result(r);
    cr_assert_eq(result.err, BUS_ERANGE);
    cr_assert(strstr(result.text, "7") && strstr(result.text, "101"), "%s", result.text);
    store_replay_close(r);
    opts.range.stream = "NOPE";
    test_ok(store_replay_open(&r, &opts, NULL));
    result = wait_result(r);
    cr_assert_eq(result.err, BUS_ENOTFOUND, "%s", result.text);
    store_replay_close(r);
}

Test(replay, steps_pauses_and_resumes, .fini = end_market)
{
    given_market(1000);
    store_replay_opts opts = given_opts();
    opts.paused = true;
    store_replay *r = given_replay(&opts);
    cr_assert_eq(next_event(BUS_SPAN_MS(200)), 0);
    command(r, (store_replay_command){.verb = STORE_REPLAY_STEP, .n = 3}, BUS_OK);
    store_replay_info info;
    store_replay_info_get(r, &info);
    cr_assert_eq(info.position, 3);
    cr_assert_eq(info.state, STORE_REPLAY_PAUSED);
    for (uint64_t seq = 1; seq <= 3; seq++)
        cr_assert_eq(next_event(BUS_SPAN_S(5)), seq);
    cr_assert_eq(next_event(BUS_SPAN_MS(100)), 0);
    command(r, (store_replay_command){.verb = STORE_REPLAY_PAUSE}, BUS_ESTATE);
    command(r, (store_replay_command){.verb = STORE_REPLAY_RESUME}, BUS_OK);
    info = wait_state(r, STORE_REPLAY_FINISHED);
    cr_assert_eq(info.sent, 1000);
    store_replay_close(r);
}

Test(replay, seeks_by_sequence_and_by_time_into_a_new_run, .fini = end_market)
{
    given_market(5000);
    store_replay_opts opts = given_opts();
    opts.paused = true;
    store_replay *r = given_replay(&opts);
    store_replay_info before, after;
    store_replay_info_get(r, &before);
    command(r, (store_replay_command){.verb = STORE_REPLAY_SEEK, .n = 4000}, BUS_OK);
    store_replay_info_get(r, &after);
    cr_assert_str_neq(before.runid, after.runid);
    cr_assert_str_eq(before.replay, after.replay);
    cr_assert_eq(after.state, STORE_REPLAY_PAUSED);
    command(r, (store_replay_command){.verb = STORE_REPLAY_STEP, .n = 1}, BUS_OK);
    cr_assert_eq(next_event(BUS_SPAN_S(5)), 4000);
    cr_assert_str_eq(run, after.runid);
    // 2,000 was recorded 5 ms early: the first one not before its neighbour's time is the neighbour's
    static const uint64_t targets[] = {1, 17, 1024, 2001, 4999, 5000};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        uint64_t expected = targets[i];
        while (expected > 1 && market_recorded(expected - 1).ns >= market_recorded(targets[i]).ns)
            expected--;
        if (targets[i] % 16 == 0)
            expected = targets[i] - 5;
        command(
            r,
            (store_replay_command){.verb = STORE_REPLAY_SEEK, .time = market_recorded(targets[i])},
            BUS_OK);
        command(r, (store_replay_command){.verb = STORE_REPLAY_STEP, .n = 1}, BUS_OK);
        cr_assert_eq(next_event(BUS_SPAN_S(5)), expected, "target %zu", i);
    }
    command(r, (store_replay_command){.verb = STORE_REPLAY_SEEK, .n = 5001}, BUS_ERANGE);
    bus_recorded_time late = {market_recorded(5000).ns + BUS_SPAN_S(60).ns};
    command(r, (store_replay_command){.verb = STORE_REPLAY_SEEK, .time = late}, BUS_ERANGE);
    command(r, (store_replay_command){.verb = STORE_REPLAY_STOP}, BUS_OK);
    wait_state(r, STORE_REPLAY_STOPPED);
    store_replay_close(r);
}

Test(replay, plays_at_the_recorded_pace, .fini = end_market)
{
    given_market(500); // half a second
    store_replay_opts opts = given_opts();
    test_ok(store_speed_parse(BUS_VIEW("2x"), &opts.speed));
    bus_mono from = bus_now_mono();
    store_replay *r = given_replay(&opts);
    wait_state(r, STORE_REPLAY_FINISHED);
    int64_t took_ms = bus_mono_since(bus_now_mono(), from).ns / 1000000;
    cr_assert_geq(took_ms, 245);
    cr_assert_leq(took_ms, 2000);
    store_replay_close(r);
}

Test(replay, fails_naming_the_scenario_that_did_not_join, .fini = end_market)
{
    given_market(10);
    static const char *const scenarios[] = {"bt1", "bt2"};
    store_replay_opts opts = given_opts();
    opts.scenarios = scenarios;
    opts.scenario_count = 2;
    opts.join_timeout = BUS_SPAN_MS(300);
    store_replay *r = given_replay(&opts);
    store_replay_command join = {.verb = STORE_REPLAY_JOIN, .participant = "scenario-bt2"};
    command(r, join, BUS_OK);
    store_replay_info info = wait_state(r, STORE_REPLAY_FAILED);
    cr_assert_eq(info.error, BUS_ESTATE);
    cr_assert(strstr(info.message, "scenario-bt1") && !strstr(info.message, "scenario-bt2"), "%s",
              info.message);
    cr_assert_eq(info.sent, 0);
    store_replay_close(r);
}

Test(replay, waits_for_a_slow_participant_and_names_one_that_falls_silent, .fini = end_market)
{
    test_skip_under_valgrind("300 ms are no time to send a window in");
    given_market(2000);
    static const char *const scenarios[] = {"bt1"};
    store_replay_opts opts = given_opts();
    opts.scenarios = scenarios;
    opts.scenario_count = 1;
    opts.window_events = 100;
    opts.lease = BUS_SPAN_MS(700);
    store_replay *r = given_replay(&opts);
    store_replay_command join = {.verb = STORE_REPLAY_JOIN, .participant = "scenario-bt1"};
    command(r, join, BUS_OK);
    struct timespec t = {.tv_nsec = 300000000};
    nanosleep(&t, NULL);
    store_replay_info info;
    store_replay_info_get(r, &info);
    cr_assert_eq(info.sent, 100);
    cr_assert_str_eq(info.slowest, "scenario-bt1");
    store_replay_command done = {.verb = STORE_REPLAY_DONE, .participant = "scenario-bt1", .n = 60};
    command(r, done, BUS_OK);
    nanosleep(&t, NULL);
    store_replay_info_get(r, &info);
    cr_assert_eq(info.sent, 160);
    info = wait_state(r, STORE_REPLAY_FINISHED); // its lease ends, play goes on without it
    cr_assert_eq(info.sent, 2000);
    cr_assert(strstr(info.message, "scenario-bt1"), "%s", info.message);
    cr_assert_eq(info.member[0].state, BUS_MEMBER_LAPSED);
    store_replay_close(r);
}

Test(replay, passes_over_what_is_no_event_and_counts_what_is_gone, .fini = end_market)
{
    given_market(50);
    bus_msg *ack;
    test_ok(bus_request(conn, "act.exchange.binance.trade.tape.X", NULL, 0, BUS_VIEW("garbage"),
                        BUS_SPAN_S(5), &ack));
    bus_msg_release(ack);
    test_ok(bus_request(conn, "act.note.of.the.operator", NULL, 0, BUS_VIEW("hello"), BUS_SPAN_S(5),
                        &ack));
    bus_msg_release(ack);
    cr_assert(market_write(broker.url, 51, 50));
    store_replay_opts opts = given_opts();
    store_replay *r = given_replay(&opts);
    store_replay_info info = wait_state(r, STORE_REPLAY_FINISHED);
    cr_assert_eq(info.sent, 100);
    cr_assert_eq(info.skipped, 1);
    cr_assert_eq(info.position, 102);
    store_replay_close(r);
}

Test(replay, is_paced_by_a_virtual_clock_where_there_is_one, .fini = end_market)
{
    given_market(100);
    bus_clock_virtual((bus_wall){INT64_C(1800000000000000000)});
    store_replay_clock_listen();
    store_replay_opts opts = given_opts();
    test_ok(store_speed_parse(BUS_VIEW("1x"), &opts.speed));
    store_replay *r = given_replay(&opts);
    cr_assert_eq(next_event(BUS_SPAN_S(5)), 1);
    cr_assert_eq(next_event(BUS_SPAN_MS(300)), 0); // the clock stands still, and so does play
    bus_clock_set((bus_wall){bus_now_wall().ns + 10 * 1000000});
    for (uint64_t seq = 2; seq <= 11; seq++)
        cr_assert_eq(next_event(BUS_SPAN_S(5)), seq);
    cr_assert_eq(next_event(BUS_SPAN_MS(300)), 0);
    bus_clock_set((bus_wall){bus_now_wall().ns + BUS_SPAN_S(1).ns});
    wait_state(r, STORE_REPLAY_FINISHED);
    store_replay_close(r);
}
