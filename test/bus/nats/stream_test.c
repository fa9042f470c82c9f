// Source: schemas/specs/recording.md, "Streams".
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "bus/nats/api.h"
#include "support.h"
#include "test/support/test.h"

TestSuite(stream, .timeout = 60);

static test_broker broker;
static bus_conn *conn;

static json_t *last_info; // the last answer

static const json_t *config_of(const char *name)
{
    char subject[128];
    json_decref(last_info);
    last_info = NULL;
    snprintf(subject, sizeof subject, "$JS.API.STREAM.INFO.%s", name);
    test_ok(bus_api_call(&last_info, conn, subject, NULL));
    return json_object_get(last_info, "config");
}

static void setup(void)
{
    test_broker_start(&broker, NULL);
    conn = given_conn(&broker, BUS_PROFILE_LATENCY);
}

static void teardown(void)
{
    json_decref(last_info);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

static const char *const act[] = {"act.>", NULL};

Test(stream, is_made_once_and_changed_only_when_the_table_changes, .init = setup, .fini = teardown)
{
    bus_stream_def def = {.name = "ACT",
                          .subjects = act,
                          .description = "with \"quotes\" and \\ in it",
                          .bytes_max = 1 << 30,
                          .age_max = BUS_SPAN_S(86400),
                          .allow_direct = true};
    bool changed = false;
    test_ok(bus_stream_ensure(conn, &def, &changed));
    cr_assert(changed);
    test_ok(bus_stream_ensure(conn, &def, &changed));
    cr_assert_not(changed);
    cr_assert_str_eq(json_string_value(json_object_get(config_of("ACT"), "description")),
                     "with \"quotes\" and \\ in it");
    def.bytes_max = 1 << 20;
    test_ok(bus_stream_ensure(conn, &def, &changed));
    cr_assert(changed);
    cr_assert_eq(json_integer_value(json_object_get(config_of("ACT"), "max_bytes")), 1 << 20);
}

// The library's update knows fewer fields than the broker and would put them back.
Test(stream, keeps_settings_it_does_not_know, .init = setup, .fini = teardown)
{
    json_t *body =
        json_pack("{s:s, s:[s], s:i, s:b, s:{s:s}}", "name", "ACT", "subjects", "act.>",
                  "max_msgs_per_subject", 77, "allow_msg_ttl", 1, "metadata", "owner", "me");
    json_t *answer = NULL;
    test_ok(bus_api_call(&answer, conn, "$JS.API.STREAM.CREATE.ACT", body));
    json_decref(answer);
    json_decref(body);
    bool changed = false;
    test_ok(bus_stream_ensure(
        conn, &(bus_stream_def){.name = "ACT", .subjects = act, .bytes_max = 1 << 20}, &changed));
    cr_assert(changed);
    const json_t *config = config_of("ACT");
    cr_assert_eq(json_integer_value(json_object_get(config, "max_msgs_per_subject")), 77);
    cr_assert(json_is_true(json_object_get(config, "allow_msg_ttl")));
    cr_assert_str_eq(
        json_string_value(json_object_get(json_object_get(config, "metadata"), "owner")), "me");
}

Test(stream, allows_batches_where_the_broker_knows_them, .init = setup, .fini = teardown)
{
    test_ok(bus_stream_ensure(
        conn, &(bus_stream_def){.name = "ACT", .subjects = act, .allow_batched = true}, NULL));
    bool has = json_is_true(json_object_get(config_of("ACT"), "allow_batched"));
    cr_assert_eq(has, bus_conn_broker(conn) >= 2014000);
}

Test(stream, names_the_stream_whose_subjects_it_overlaps, .init = setup, .fini = teardown)
{
    static const char *const narrower[] = {"act.exchange.binance.>", NULL};
    given_stream(conn, "ACT", "act.>");
    test_expect_err(
        bus_stream_ensure(conn, &(bus_stream_def){.name = "OTHER", .subjects = narrower}, NULL),
        BUS_ECONFLICT);
    cr_assert(strstr(bus_err_text(), "'OTHER'") && strstr(bus_err_text(), "'ACT'"), "%s",
              bus_err_text());
}

Test(stream, refuses_names_and_subjects_that_could_reach_another_api, .init = setup,
     .fini = teardown)
{
    static const char *const bad_subject[] = {"act.x y", NULL};
    static const char *const names[] = {"", "A.B", "A B", "A>", "../x", "A*"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        test_expect_err(
            bus_stream_ensure(conn, &(bus_stream_def){.name = names[i], .subjects = act}, NULL),
            BUS_EINVAL);
    test_expect_err(
        bus_stream_ensure(conn, &(bus_stream_def){.name = "ACT", .subjects = bad_subject}, NULL),
        BUS_EINVAL);
    test_expect_err(bus_stream_delete(conn, "A.B"), BUS_EINVAL);
}

static void count(void *ctx, const bus_stream_info *info)
{
    (void)info;
    ++*(int *)ctx;
}

Test(stream, lists_more_streams_than_a_page_holds, .init = setup, .fini = teardown)
{
    enum { STREAMS = 300 }; // the broker's pages hold 256
    for (int i = 0; i < STREAMS; i++) {
        char name[32], subject[32];
        snprintf(name, sizeof name, "S%d", i);
        snprintf(subject, sizeof subject, "s%d.>", i);
        given_stream(conn, name, subject);
    }
    int seen = 0;
    test_ok(bus_stream_list(conn, count, &seen));
    cr_assert_eq(seen, STREAMS);
}

Test(stream, purges_one_subject_and_deletes, .init = setup, .fini = teardown)
{
    given_stream(conn, "ACT", "act.>");
    given_records(conn, "ACT", "act.a", 10, 10);
    given_records(conn, "ACT", "act.b", 5, 10);
    purge_stream(conn, "ACT", "act.a");
    cr_assert_eq(stream_messages(conn, "ACT"), 5);
    bus_seq_range range;
    test_ok(bus_stream_range(conn, "ACT", &range));
    cr_assert(range.first == 11 && range.last == 15);
    test_ok(bus_stream_delete(conn, "ACT"));
    test_expect_err(bus_stream_delete(conn, "ACT"), BUS_ENOTFOUND);
    test_expect_err(bus_stream_range(conn, "ACT", &range), BUS_ENOTFOUND);
}

static void read_both_ways(const char *stream, const char *subject)
{
    const bus_header_pair headers[] = {{"Content-Type", "text/plain"}, {"Lane-Seq", "7"}};
    char payload[256];
    for (int i = 0; i < 256; i++)
        payload[i] = (char)i;
    test_ok(bus_publish(conn, subject, NULL, headers, 2, (bus_view){payload, 256}));
    test_ok(bus_publish(conn, subject, NULL, NULL, 0, BUS_VIEW("second")));
    test_ok(bus_conn_flush(conn, BUS_SPAN_S(2)));
    for (int i = 0; i < 200 && stream_messages(conn, stream) < 2; i++)
        sleep_ms(10);
    bus_record record;
    bus_msg *msg = NULL;
    bus_view value;
    test_ok(bus_stream_get(conn, stream, 1, &record, &msg));
    cr_assert(record.seq == 1 && bus_view_is(record.subject, subject));
    cr_assert(record.payload.len == 256 && memcmp(record.payload.ptr, payload, 256) == 0);
    cr_assert(bus_msg_header(msg, "Lane-Seq", &value) && bus_view_is(value, "7"));
    cr_assert_gt(record.stored.ns, 1700000000000000000);
    bus_msg_release(msg);
    test_ok(bus_stream_last(conn, stream, subject, &record, &msg));
    cr_assert(record.seq == 2 && bus_view_is(record.payload, "second"));
    bus_msg_release(msg);
    test_expect_err(bus_stream_get(conn, stream, 99, &record, &msg), BUS_ENOTFOUND);
    test_expect_err(bus_stream_last(conn, stream, "act.nothing", &record, &msg), BUS_ENOTFOUND);
}

Test(stream, reads_single_messages_directly, .init = setup, .fini = teardown)
{
    given_stream(conn, "ACT", "act.>");
    read_both_ways("ACT", "act.a");
}

Test(stream, reads_single_messages_where_direct_reading_is_not_allowed, .init = setup,
     .fini = teardown)
{
    test_ok(bus_stream_ensure(conn, &(bus_stream_def){.name = "ACT", .subjects = act}, NULL));
    read_both_ways("ACT", "act.a");
}

static bus_mark mark_of(uint64_t seq)
{
    bus_record record;
    bus_msg *msg = NULL;
    test_ok(bus_stream_get(conn, "ACT", seq, &record, &msg));
    bus_mark mark = {seq, record.stored};
    bus_msg_release(msg);
    return mark;
}

Test(stream, tells_whether_it_still_holds_what_is_known_of_it, .init = setup, .fini = teardown)
{
    given_stream(conn, "ACT", "act.>");
    given_records(conn, "ACT", "act.a", 5, 8);
    bus_mark third = mark_of(3), last = mark_of(5), untimed = {.seq = 3};
    cr_expect_eq(bus_stream_holds(conn, "ACT", (bus_mark){0}), BUS_HOLDS_YES);
    cr_expect_eq(bus_stream_holds(conn, "ACT", third), BUS_HOLDS_YES);
    cr_expect_eq(bus_stream_holds(conn, "ACT", last), BUS_HOLDS_YES);
    purge_stream(conn, "ACT", "");
    cr_expect_eq(bus_stream_holds(conn, "ACT", last), BUS_HOLDS_YES,
                 "gone, and not given out again");
    test_ok(bus_stream_delete(conn, "ACT"));
    cr_expect_eq(bus_stream_holds(conn, "ACT", third), BUS_HOLDS_NOT_KNOWN, "no stream");
    given_stream(conn, "ACT", "act.>");
    given_records(conn, "ACT", "act.a", 2, 8);
    cr_expect_eq(bus_stream_holds(conn, "ACT", third), BUS_HOLDS_NO, "it ends before");
    given_records(conn, "ACT", "act.a", 7, 8);
    cr_expect_eq(bus_stream_holds(conn, "ACT", third), BUS_HOLDS_NO, "another record");
    cr_expect_eq(bus_stream_holds(conn, "ACT", untimed), BUS_HOLDS_YES);
}
