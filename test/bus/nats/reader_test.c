// Source: schemas/specs/recording.md, "Reading".
#include <inttypes.h>
#include <nats/nats.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/nats/reader.h"
#include "support.h"
#include "test/support/test.h"

TestSuite(reader, .timeout = 120);

static test_broker broker;
static bus_conn *conn;

static void setup(void)
{
    test_broker_start(&broker, NULL);
    conn = given_conn(&broker, BUS_PROFILE_BULK);
    given_stream(conn, "ACT", "act.>");
}

static void teardown(void)
{
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

static bus_reader *given_reader(bus_reader_opts opts)
{
    bus_reader *reader = NULL;
    opts.stream = "ACT";
    test_ok(bus_reader_open(&reader, conn, &opts));
    return reader;
}

// The next outcome that is no NOTHING, within some seconds.
static bus_reader_result next(bus_reader *reader, bus_record *record, bus_seq_range *gap)
{
    bus_reader_result result = BUS_READER_NOTHING;
    for (int i = 0; i < 15 && result == BUS_READER_NOTHING; i++)
        result = bus_reader_next(reader, BUS_SPAN_S(1), record, gap);
    return result;
}

static void expect_record(bus_reader *reader, uint64_t seq)
{
    bus_record record;
    bus_seq_range gap;
    bus_reader_result result;
    do
        result = next(reader, &record, &gap);
    while (result == BUS_READER_CAUGHT_UP);
    cr_assert_eq(result, BUS_READER_RECORD, "%d instead of record %" PRIu64 ": %s", (int)result,
                 seq, bus_err_text());
    cr_assert_eq(record.seq, seq);
    cr_assert_eq(bus_reader_seq(reader), seq);
}

Test(reader, reads_all_in_order_then_says_caught_up_once_at_once, .init = setup, .fini = teardown)
{
    given_records(conn, "ACT", "act.a", 5000, 100);
    bus_reader *reader = given_reader((bus_reader_opts){.from_seq = 1});
    bus_record record;
    bus_seq_range gap;
    for (uint64_t seq = 1; seq <= 5000; seq++) {
        cr_assert_eq(next(reader, &record, &gap), BUS_READER_RECORD);
        cr_assert(record.seq == seq && strtoull(record.payload.ptr, NULL, 10) == seq);
        cr_assert(bus_view_is(record.subject, "act.a") && record.stored.ns > 0);
    }
    bus_mono before = bus_machine_mono();
    cr_assert_eq(bus_reader_next(reader, BUS_SPAN_S(2), &record, &gap), BUS_READER_CAUGHT_UP);
    cr_assert_lt(bus_mono_since(bus_machine_mono(), before).ns, 1000000000);
    cr_assert_eq(bus_reader_next(reader, BUS_SPAN_MS(100), &record, &gap), BUS_READER_CAUGHT_UP);
    given_records(conn, "ACT", "act.a", 1, 10);
    expect_record(reader, 5001);
    bus_reader_close(reader);
}

Test(reader, an_empty_stream_is_caught_up_and_is_followed, .init = setup, .fini = teardown)
{
    bus_reader *reader = given_reader((bus_reader_opts){0});
    bus_record record;
    bus_seq_range gap;
    cr_assert_eq(next(reader, &record, &gap), BUS_READER_CAUGHT_UP);
    given_records(conn, "ACT", "act.a", 3, 10);
    expect_record(reader, 1);
    bus_reader_close(reader);
}

Test(reader, reports_a_gap_once_and_continues, .init = setup, .fini = teardown)
{
    given_records(conn, "ACT", "act.a", 10, 10);
    given_records(conn, "ACT", "act.b", 5, 10);
    given_records(conn, "ACT", "act.a", 5, 10);
    purge_stream(conn, "ACT", "act.b");
    bus_reader *reader = given_reader((bus_reader_opts){.from_seq = 9});
    bus_record record;
    bus_seq_range gap;
    expect_record(reader, 9);
    expect_record(reader, 10);
    cr_assert_eq(next(reader, &record, &gap), BUS_READER_GAP);
    cr_assert(gap.first == 11 && gap.last == 15);
    expect_record(reader, 16);
    bus_reader_close(reader);
}

Test(reader, what_expired_before_the_first_is_a_gap_too, .init = setup, .fini = teardown)
{
    given_records(conn, "ACT", "act.b", 5, 10);
    given_records(conn, "ACT", "act.a", 5, 10);
    purge_stream(conn, "ACT", "act.b");
    bus_reader *reader = given_reader((bus_reader_opts){.from_seq = 2});
    bus_record record;
    bus_seq_range gap;
    cr_assert_eq(next(reader, &record, &gap), BUS_READER_GAP);
    cr_assert(gap.first == 2 && gap.last == 5);
    expect_record(reader, 6);
    bus_reader_close(reader);
}

Test(reader, several_filters_are_no_gaps, .init = setup, .fini = teardown)
{
    for (int i = 0; i < 20; i++) {
        given_records(conn, "ACT", "act.a", 1, 10);
        given_records(conn, "ACT", "act.b", 1, 10);
        given_records(conn, "ACT", "act.c", 1, 10);
    }
    const char *filters[] = {"act.a", "act.c"};
    bus_reader *reader = given_reader((bus_reader_opts){.filters = filters, .filter_count = 2});
    for (uint64_t i = 0; i < 20; i++) {
        expect_record(reader, 3 * i + 1);
        expect_record(reader, 3 * i + 3);
    }
    bus_reader_close(reader);
}

// act.a.1, act.a.2, act.b.1, act.b.2 and act.c.2, five times over: sequences 5 i + 1 … 5 i + 5.
static void expect_of_five(const char *const *filters, size_t count, const char *wanted)
{
    bus_reader *reader = given_reader((bus_reader_opts){.filters = filters, .filter_count = count});
    for (uint64_t i = 0; i < 5; i++)
        for (const char *digit = wanted; *digit; digit++)
            expect_record(reader, 5 * i + (uint64_t)(*digit - '0'));
    bus_record record;
    bus_seq_range gap;
    cr_assert_eq(bus_reader_next(reader, BUS_SPAN_S(5), &record, &gap), BUS_READER_CAUGHT_UP);
    bus_reader_close(reader);
}

Test(reader, filters_may_overlap, .init = setup, .fini = teardown)
{
    static const char *const subjects[] = {"act.a.1", "act.a.2", "act.b.1", "act.b.2", "act.c.2"};
    for (int i = 0; i < 25; i++)
        given_records(conn, "ACT", subjects[i % 5], 1, 10);
    expect_of_five((const char *[]){"act.a.1", "act.b.1", "act.a.1"}, 3, "13");
    expect_of_five((const char *[]){"act.a.1", "act.a.>", "act.*.1"}, 3, "123");
    expect_of_five((const char *[]){"act.a.*", "act.*.1", "act.c.2"}, 3, "1235");
    expect_of_five((const char *[]){"act.b.>", ">"}, 2, "12345");
}

// What was read to find the wanted ones is no news: not a second CAUGHT_UP, and never a gap.
Test(reader, what_only_wider_filters_match_is_not_told, .init = setup, .fini = teardown)
{
    const char *filters[] = {"act.a.*", "act.*.1"};
    bus_record record;
    bus_seq_range gap;
    given_records(conn, "ACT", "act.a.2", 1, 10);
    bus_reader *reader = given_reader((bus_reader_opts){.filters = filters, .filter_count = 2});
    expect_record(reader, 1);
    cr_assert_eq(bus_reader_next(reader, BUS_SPAN_S(5), &record, &gap), BUS_READER_CAUGHT_UP);
    given_records(conn, "ACT", "act.b.2", 50, 10);
    given_records(conn, "ACT", "act.b.1", 1, 10);
    cr_assert_eq(bus_reader_next(reader, BUS_SPAN_S(15), &record, &gap), BUS_READER_RECORD);
    cr_assert_eq(record.seq, 52);
    bus_reader_close(reader);
}

Test(reader, begins_at_a_store_time, .init = setup, .fini = teardown)
{
    given_records(conn, "ACT", "act.a", 5, 10);
    sleep_ms(50);
    bus_wall between = bus_now_wall();
    sleep_ms(50);
    given_records(conn, "ACT", "act.a", 5, 10);
    bus_reader *reader = given_reader((bus_reader_opts){.from_time = between});
    expect_record(reader, 6);
    bus_reader_close(reader);
}

Test(reader, goes_on_after_the_broker_was_killed, .init = setup, .fini = teardown)
{
    given_records(conn, "ACT", "act.a", 30000, 100);
    bus_reader *reader = given_reader((bus_reader_opts){.from_seq = 1, .window_bytes_max = 200000});
    for (uint64_t seq = 1; seq <= 30000; seq++) {
        expect_record(reader, seq);
        if (seq % 10000 == 5000)
            test_broker_restart(&broker);
    }
    bus_reader_close(reader);
}

Test(reader, goes_on_after_its_consumer_was_taken_away, .init = setup, .fini = teardown)
{
    given_records(conn, "ACT", "act.a", 1000, 100);
    bus_reader *reader = given_reader((bus_reader_opts){.from_seq = 1, .window_bytes_max = 20000});
    expect_record(reader, 1);
    bus_msg *reply;
    test_ok(bus_request(conn, "$JS.API.CONSUMER.NAMES.ACT", NULL, 0, (bus_view){0}, BUS_SPAN_S(2),
                        &reply));
    const char *name = strstr(bus_msg_payload(reply).ptr, "read");
    cr_assert_not_null(name);
    char subject[128];
    snprintf(subject, sizeof subject, "$JS.API.CONSUMER.DELETE.ACT.%.*s", (int)strcspn(name, "\""),
             name);
    bus_msg_release(reply);
    test_ok(bus_request(conn, subject, NULL, 0, (bus_view){0}, BUS_SPAN_S(2), &reply));
    bus_msg_release(reply);
    for (uint64_t seq = 2; seq <= 1000; seq++)
        expect_record(reader, seq);
    bus_reader_close(reader);
}

Test(reader, leaves_no_consumer_behind, .init = setup, .fini = teardown)
{
    bus_reader *reader = given_reader((bus_reader_opts){0});
    bus_record record;
    bus_seq_range gap;
    cr_assert_eq(next(reader, &record, &gap), BUS_READER_CAUGHT_UP);
    bus_reader_close(reader);
    bus_stream_info info;
    for (int i = 0; i < 100; i++, sleep_ms(10)) {
        test_ok(bus_stream_info_get(conn, "ACT", &info));
        if (info.consumers == 0)
            break;
    }
    cr_assert_eq(info.consumers, 0);
}

Test(reader, tells_a_missing_stream_and_reads_when_it_is_made, .init = setup, .fini = teardown)
{
    test_ok(bus_stream_delete(conn, "ACT"));
    bus_reader *reader = given_reader((bus_reader_opts){.from_seq = 1});
    bus_record record;
    bus_seq_range gap;
    cr_assert_eq(next(reader, &record, &gap), BUS_READER_ERROR);
    cr_assert(strstr(bus_err_text(), "'ACT'") && strstr(bus_err_text(), "not found"));
    given_stream(conn, "ACT", "act.>");
    given_records(conn, "ACT", "act.a", 1, 10);
    bus_reader_result result;
    for (int i = 0; i < 50; i++)
        if ((result = next(reader, &record, &gap)) != BUS_READER_ERROR)
            break;
    cr_assert(result == BUS_READER_RECORD && record.seq == 1);
    bus_reader_close(reader);
}

// The sequences of another stream of the same name must not be taken for those that were to come.
Test(reader, refuses_to_go_on_in_a_stream_that_was_made_anew, .init = setup, .fini = teardown)
{
    given_records(conn, "ACT", "act.a", 10, 10);
    bus_reader *reader = given_reader((bus_reader_opts){.from_seq = 1});
    for (uint64_t seq = 1; seq <= 10; seq++)
        expect_record(reader, seq);
    test_ok(bus_stream_delete(conn, "ACT"));
    given_stream(conn, "ACT", "act.>");
    given_records(conn, "ACT", "act.a", 20, 10);
    bus_record record;
    bus_seq_range gap;
    bus_reader_result result;
    for (int i = 0; i < 50; i++) {
        result = next(reader, &record, &gap);
        cr_assert_neq(result, BUS_READER_RECORD);
        if (result == BUS_READER_ERROR && strstr(bus_err_text(), "made anew"))
            break;
    }
    cr_assert(strstr(bus_err_text(), "made anew"), "%s", bus_err_text());
    bus_reader_close(reader);
}

Test(reader, takes_a_record_larger_than_its_window, .init = setup, .fini = teardown)
{
    given_records(conn, "ACT", "act.a", 3, 10);
    given_records(conn, "ACT", "act.a", 2, 300000);
    given_records(conn, "ACT", "act.a", 3, 10);
    bus_reader *reader = given_reader((bus_reader_opts){.from_seq = 1, .window_bytes_max = 16384});
    for (uint64_t seq = 1; seq <= 8; seq++)
        expect_record(reader, seq);
    bus_reader_close(reader);
}

Test(reader, refuses_a_stream_name_that_could_reach_another_api, .init = setup, .fini = teardown)
{
    bus_reader *reader;
    test_expect_err(bus_reader_open(&reader, conn, &(bus_reader_opts){.stream = "A.B"}),
                    BUS_EINVAL);
    const char *filters[] = {"act. x"};
    test_expect_err(
        bus_reader_open(&reader, conn,
                        &(bus_reader_opts){.stream = "ACT", .filters = filters, .filter_count = 1}),
        BUS_EINVAL);
}

Test(reader, holds_no_more_than_its_window_while_its_owner_sleeps, .init = setup, .fini = teardown)
{
    given_records(conn, "ACT", "act.a", 40000, 1000); // 40 MB
    bus_reader *reader =
        given_reader((bus_reader_opts){.from_seq = 1, .window_bytes_max = 1 << 20});
    expect_record(reader, 1);
    long before = memory_kb();
    sleep_ms(1500);
    long grown = memory_kb() - before;
    cr_assert_lt(grown, 6 * 1024, "%ld KiB more for a window of 1 MiB", grown);
    for (uint64_t seq = 2; seq <= 40000; seq++)
        expect_record(reader, seq);
    bus_reader_close(reader);
}

// --- the trap: the same load, a slow owner ----------------------------------------------------------------

enum { SLOW_COUNT = 300000, SLOW_NS = 20000, SLOW_BYTES = 100 };

static void work(void)
{
    int64_t until = bus_machine_mono().ns + SLOW_NS;
    while (bus_machine_mono().ns < until)
        ;
}

typedef struct {
    _Atomic uint64_t got;
} counter;

static void slow_callback(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *ctx)
{
    (void)nc, (void)sub;
    counter *c = ctx;
    work();
    c->got++;
    natsMsg_Destroy(msg);
}

// Nothing of this is ours: the library's ordered consumer, as its documentation shows it.
Test(reader_trap, the_librarys_ordered_consumer_loses_in_silence_when_its_callback_is_slow,
     .init = setup, .fini = teardown, .timeout = 120)
{
    test_skip_under_valgrind("nothing that sends is faster than the callback");
    given_records(conn, "ACT", "act.a", SLOW_COUNT, SLOW_BYTES);
    natsConnection *nc = NULL;
    jsCtx *js = NULL;
    natsSubscription *sub = NULL;
    jsSubOptions opts;
    counter c = {0};
    jsSubOptions_Init(&opts);
    opts.Ordered = true;
    cr_assert_eq(natsConnection_ConnectTo(&nc, broker.url), NATS_OK);
    cr_assert_eq(natsConnection_JetStream(&js, nc, NULL), NATS_OK);
    cr_assert_eq(js_Subscribe(&sub, js, "act.>", slow_callback, &c, NULL, &opts, NULL), NATS_OK);
    uint64_t last = 1;
    for (int quiet = 0; c.got < SLOW_COUNT && quiet < 30; sleep_ms(100)) {
        quiet = c.got == last ? quiet + 1 : 0;
        last = c.got;
    }
    fprintf(stderr, "ordered consumer: %" PRIu64 " of %d\n", (uint64_t)c.got, SLOW_COUNT);
    cr_assert_lt(c.got, SLOW_COUNT, "the trap is gone");
    natsSubscription_Destroy(sub);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
}

Test(reader, loses_nothing_when_its_owner_is_slow, .init = setup, .fini = teardown)
{
    given_records(conn, "ACT", "act.a", SLOW_COUNT, SLOW_BYTES);
    bus_reader *reader = given_reader((bus_reader_opts){.from_seq = 1});
    bus_record record;
    bus_seq_range gap;
    for (uint64_t seq = 1; seq <= SLOW_COUNT; seq++) {
        bus_reader_result result = next(reader, &record, &gap);
        cr_assert(result == BUS_READER_RECORD && record.seq == seq);
        work();
    }
    bus_reader_close(reader);
}

static void *nudge_soon(void *reader)
{
    sleep_ms(50);
    bus_reader_nudge(reader);
    return NULL;
}

Test(reader, a_wait_ends_when_somebody_nudges, .init = setup, .fini = teardown)
{
    pthread_t thread;
    bus_record record;
    bus_seq_range gap;
    given_records(conn, "ACT", "act.a", 1, 10);
    bus_reader *reader = given_reader((bus_reader_opts){.from_seq = 1});
    cr_assert_eq(next(reader, &record, &gap), BUS_READER_RECORD);
    cr_assert_eq(next(reader, &record, &gap),
                 BUS_READER_CAUGHT_UP); // told once; from now on it waits
    bus_mono begin = bus_machine_mono();
    pthread_create(&thread, NULL, nudge_soon, reader);
    cr_assert_eq(bus_reader_next(reader, BUS_SPAN_S(30), &record, &gap), BUS_READER_CAUGHT_UP);
    cr_assert_lt(bus_mono_since(bus_machine_mono(), begin).ns, BUS_SPAN_S(20).ns);
    pthread_join(thread, NULL);
    bus_reader_close(reader);
}
