#include "workhost/runtime/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/nats/stream.h"
#include "test/support/broker.h"
#include "test/support/test.h"
#include "workhost/runtime/known.h"

// Source: schemas/specs/workers.md, "Records" and "Sessions and feeding".
static test_broker broker;
static bus_conn *conn;

static void given_bus(void)
{
    bus_kv_def bucket = {.bucket = WORK_BUCKET, .history = 4};
    test_broker_start(&broker, NULL);
    bus_conn_opts opts = {.url = broker.url, .name = "test"};
    test_ok(bus_conn_open(&conn, &opts));
    test_ok(bus_conn_wait(conn, BUS_SPAN_S(10)));
    test_ok(bus_kv_ensure(conn, &bucket));
}

static void release_bus(void)
{
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

TestSuite(progress, .init = given_bus, .fini = release_bus);
TestSuite(known, .init = given_bus, .fini = release_bus);

Test(progress, reads_back_what_was_written)
{
    work_progress p, back;
    test_expect_err(work_progress_read(conn, "LIVE", "sma", &p), BUS_ENOTFOUND);
    strcpy(p.stream, "ACT");
    strcpy(p.session, "3");
    p.seen = (bus_mark){18, {1767323045000000006}};
    strcpy(p.sha256, "abc");
    p.start_seq = 17;
    p.done_seq = 9007199254740993; // beyond what a double holds
    p.outputs = 5;
    p.out_seq = 6;
    p.generation = 7;
    p.end = true;
    test_ok(work_progress_skip(&p, 30));
    test_ok(work_progress_skip(&p, 20));
    test_ok(work_progress_skip(&p, 30));
    test_ok(work_progress_write(conn, &p));
    test_ok(work_progress_read(conn, "LIVE", "sma", &back));
    cr_expect_str_eq(back.session, "3");
    cr_expect(back.seen.seq == 18 && back.seen.stored.ns == 1767323045000000006);
    cr_expect_str_eq(work_progress_run(&back), "3");
    cr_expect_eq(back.start_seq, 17);
    cr_expect_eq(back.done_seq, 9007199254740993);
    cr_expect_eq(back.out_seq, 6);
    cr_expect_eq(back.generation, 7);
    cr_expect(back.end);
    cr_assert_eq(back.skipped_count, 2);
    cr_expect_eq(back.skipped[0], 20);
    cr_expect(work_progress_skips(&back, 30) && !work_progress_skips(&back, 25));
}

Test(progress, one_that_was_replaced_cannot_overwrite_its_successor)
{
    work_progress old, young;
    work_progress_read(conn, "LIVE", "sma", &old);
    test_ok(work_progress_write(conn, &old));
    test_ok(work_progress_read(conn, "LIVE", "sma", &young));
    young.done_seq = 100;
    test_ok(work_progress_write(conn, &young));
    old.done_seq = 50;
    test_expect_err(work_progress_write(conn, &old), BUS_ECONFLICT);
    test_ok(work_progress_read(conn, "LIVE", "sma", &young));
    cr_expect_eq(young.done_seq, 100);
    work_progress fresh = {.scenario = "LIVE", .worker = "sma"}; // thinks there is none
    test_expect_err(work_progress_write(conn, &fresh), BUS_ECONFLICT);
}

Test(progress, a_deleted_record_is_not_written_again)
{
    work_progress p;
    work_progress_read(conn, "bt1", "sma", &p);
    test_ok(work_progress_write(conn, &p));
    test_ok(bus_kv_delete(conn, WORK_BUCKET, "sc.bt1.sma", 0));
    test_expect_err(work_progress_write(conn, &p), BUS_ECONFLICT);
    work_progress again;
    test_expect_err(work_progress_read(conn, "bt1", "sma", &again), BUS_ENOTFOUND);
    test_ok(work_progress_write(conn, &again)); // a new scenario of that name
}

// Fields of the wrong type were taken for 0, texts that are too long were cut: a worker went on from somewhere else.
Test(progress, a_record_with_a_field_that_is_none_is_no_record)
{
    static const char *const cases[] = {
        "[]",
        "{",
        "{\"done_seq\":\"240\"}",
        "{\"start_seq\":-1}",
        "{\"session\":7}",
        "{\"session\":\"123456789012345678901234\"}",
        "{\"skipped\":{}}",
        "{\"skipped\":[3,3]}",
        "{\"skipped\":[-3]}",
        "{\"skipped\":[\"3\"]}",
        "{\"done_seq\":1,\"done_seq\":2}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        work_progress p = {.done_seq = 77};
        test_expect_err(work_progress_from_json(&p, bus_view_of(cases[i])), BUS_EDATALOSS);
        cr_expect(p.done_seq == 77 && p.skipped_count == 0, "%s", cases[i]);
    }
    work_progress p = {.worker = "sma"};
    test_ok(work_progress_from_json(
        &p,
        BUS_VIEW("{\"session\":\"12345678901234567890123\",\"done_seq\":5,\"skipped\":[1,4]}")));
    cr_expect(p.done_seq == 5 && p.skipped_count == 2 && strlen(p.session) == 23);
}

// What is half read would be loaded as an empty state, with everything up to its seq passed over.
Test(progress, a_saved_state_that_is_no_base64_is_none_at_all)
{
    work_saved s = {0};
    test_expect_err(
        work_saved_from_json(&s, BUS_VIEW("{\"seq\":9,\"session\":\"1\",\"state\":\"AQI\"}")),
        BUS_EDATALOSS);
    cr_expect(s.bytes == NULL && s.seq == 0);
    test_ok(work_saved_from_json(&s, BUS_VIEW("{\"seq\":9,\"session\":\"1\",\"state\":\"AQI=\"}")));
    cr_expect(s.len == 2 && s.bytes[1] == 2 && s.seq == 9);
    work_saved_release(&s);
}

// As a broker has it that came back on an older copy of its store.
Test(progress, an_own_record_of_an_older_revision_is_no_unanswered_write)
{
    work_progress p;
    work_progress_read(conn, "LIVE", "sma", &p);
    for (int i = 0; i < 5; i++)
        test_ok(work_progress_write(conn, &p));
    bus_kv_def bucket = {.bucket = WORK_BUCKET, .history = 4};
    char older[64];
    snprintf(older, sizeof older, "{\"by\":\"%s\"}", p.place.by);
    test_ok(bus_stream_delete(conn, "KV_" WORK_BUCKET));
    test_ok(bus_kv_ensure(conn, &bucket));
    test_ok(bus_kv_put(conn, WORK_BUCKET, "sc.LIVE.sma", bus_view_of(older), NULL));
    test_expect_err(work_progress_write(conn, &p), BUS_ECONFLICT);
}

Test(progress, what_is_no_record_is_said_and_written_over)
{
    work_progress p, back;
    uint64_t revision;
    test_ok(bus_kv_put(conn, WORK_BUCKET, "sc.LIVE.sma", BUS_VIEW("garbage"), &revision));
    test_expect_err(work_progress_read(conn, "LIVE", "sma", &p), BUS_EDATALOSS);
    p.start_seq = p.done_seq = 9;
    test_ok(work_progress_write(conn, &p));
    p.done_seq = 10;
    test_ok(work_progress_write(conn, &p));
    test_ok(work_progress_read(conn, "LIVE", "sma", &back));
    cr_expect_eq(back.done_seq, 10);
}

static void while_the_broker_stands_still(work_progress *p, work_saved *s)
{
    test_broker_freeze(&broker);
    cr_expect_neq(work_progress_write(conn, p), BUS_OK);
    cr_expect_neq(work_saved_write(conn, "LIVE", "sma", s), BUS_OK);
    test_broker_thaw(&broker);
    test_ok(bus_conn_wait(conn, BUS_SPAN_S(10)));
}

Test(progress, a_writer_goes_on_behind_its_own_unanswered_write)
{
    uint8_t bytes[1] = {7};
    work_progress p, back;
    work_saved s = {.bytes = bytes, .len = 1}, saved;
    work_progress_read(conn, "LIVE", "sma", &p);
    while_the_broker_stands_still(&p, &s); // the very first write: a create
    p.done_seq = s.seq = 1;
    test_ok(work_progress_write(conn, &p));
    test_ok(work_saved_write(conn, "LIVE", "sma", &s));
    p.done_seq = s.seq = 2;
    while_the_broker_stands_still(&p, &s);
    p.done_seq = s.seq = 3;
    test_ok(work_progress_write(conn, &p));
    test_ok(work_saved_write(conn, "LIVE", "sma", &s));
    test_ok(work_progress_read(conn, "LIVE", "sma", &back));
    test_ok(work_saved_read(conn, "LIVE", "sma", &saved));
    cr_expect_eq(back.done_seq, 3);
    cr_expect_eq(saved.seq, 3);
    cr_expect_str_neq(back.place.by, p.place.by, "who reads is another writer");
    work_saved_release(&saved);
}

Test(progress, an_unanswered_write_does_not_hide_a_successor)
{
    uint8_t bytes[1] = {7};
    work_progress old, young;
    work_saved s = {.bytes = bytes, .len = 1}, saved = {0};
    work_progress_read(conn, "LIVE", "sma", &old);
    test_ok(work_progress_write(conn, &old));
    test_ok(work_saved_write(conn, "LIVE", "sma", &s));
    while_the_broker_stands_still(&old, &s);
    do { // the broker stores in its own time what it had not answered
        test_ok(work_progress_read(conn, "LIVE", "sma", &young));
        work_saved_release(&saved);
        test_ok(work_saved_read(conn, "LIVE", "sma", &saved));
    } while (young.place.revision == old.place.revision ||
             saved.place.revision == s.place.revision);
    test_ok(work_progress_write(conn, &young));
    test_ok(work_saved_write(conn, "LIVE", "sma", &saved));
    test_expect_err(work_progress_write(conn, &old), BUS_ECONFLICT);
    test_expect_err(work_saved_write(conn, "LIVE", "sma", &s), BUS_ECONFLICT);
    work_saved_release(&saved);
}

Test(progress, a_saved_state_keeps_its_bytes_whatever_they_are)
{
    for (size_t len = 0; len < 9; len++) {
        work_saved s = {.seq = 5, .now_ns = -3, .generation = 2, .len = len}, back;
        s.bytes = malloc(len + 1);
        for (size_t i = 0; i < len; i++)
            s.bytes[i] = (uint8_t)(251 * i);
        strcpy(s.session, "1");
        bus_kv_delete(conn, WORK_BUCKET, "sc.LIVE.sma.state", 0);
        test_ok(work_saved_write(conn, "LIVE", "sma", &s));
        test_ok(work_saved_read(conn, "LIVE", "sma", &back));
        cr_assert_eq(back.len, len);
        cr_expect(memcmp(back.bytes, s.bytes, len) == 0, "length %zu", len);
        cr_expect_eq(back.now_ns, -3);
        work_saved_release(&s);
        work_saved_release(&back);
    }
}

Test(progress, records_that_cannot_be_read_are_named)
{
    work_progress p;
    work_saved s;
    test_ok(bus_kv_put(conn, WORK_BUCKET, "sc.LIVE.sma", BUS_VIEW("[1]"), NULL));
    test_expect_err(work_progress_read(conn, "LIVE", "sma", &p), BUS_EDATALOSS);
    cr_expect_not_null(strstr(bus_err_text(), "sc.LIVE.sma"));
    test_ok(
        bus_kv_put(conn, WORK_BUCKET, "sc.LIVE.sma.state", BUS_VIEW("{\"state\":\"a\"}"), NULL));
    test_expect_err(work_saved_read(conn, "LIVE", "sma", &s), BUS_EDATALOSS);
    work_saved_release(&s);
}

static void store_output(const char *id, const char *run, const char *data)
{
    char packed[512], text[64];
    bus_pack d = bus_pack_to(text, sizeof text), p = bus_pack_to(packed, sizeof packed);
    bus_header_pair type = {"Content-Type", BUS_CONTENT_MSGPACK};
    bus_msg *reply = NULL;
    bus_pack_key(&d, data);
    bus_event e = {.id = bus_view_of(id),
                   .source = BUS_VIEW("urn:com.virtufin.strategy"),
                   .type = BUS_VIEW("com.virtufin.strategy.signal.emitted"),
                   .runid = bus_view_of(run),
                   .data = {text, d.len}};
    test_ok(bus_event_encode(&p, &e));
    test_ok(bus_request(conn, "sc.bt1.strategy.signal.emitted.sma", &type, 1,
                        (bus_view){packed, p.len}, BUS_SPAN_S(5), &reply));
    bus_msg_release(reply);
}

static work_known_answer ask(const work_known *known, const char *id, const char *run,
                             const char *data, uint64_t *seq)
{
    char text[64];
    bus_pack d = bus_pack_to(text, sizeof text);
    bus_pack_key(&d, data);
    return work_known_find(known, bus_view_of(id), bus_view_of(run), (bus_view){text, d.len}, seq);
}

Test(known, tells_outputs_that_are_stored_with_the_same_data_or_with_other)
{
    static const char *const subjects[] = {"sc.bt1.>", NULL};
    bus_stream_def def = {.name = "SC_bt1", .subjects = subjects};
    work_known *known = NULL;
    uint64_t seq = 0;
    test_ok(bus_stream_ensure(conn, &def, NULL));
    for (int i = 1; i <= 3000; i++) {
        char id[16];
        snprintf(id, sizeof id, "id-%d", i);
        store_output(id, i % 2 ? "run" : "", "data");
    }
    test_ok(work_known_open(&known, conn, "SC_bt1", 10));
    for (int i = 11; i <= 3000; i++) {
        char id[16];
        snprintf(id, sizeof id, "id-%d", i);
        cr_expect_eq(ask(known, id, i % 2 ? "run" : "", "data", &seq), WORK_KNOWN_SAME, "%s", id);
    }
    cr_expect_eq(ask(known, "id-11", "run", "data", &seq), WORK_KNOWN_SAME);
    cr_expect_eq(seq, 11);
    cr_expect_eq(ask(known, "id-12", "", "data", &seq), WORK_KNOWN_SAME);
    cr_expect_eq(ask(known, "id-12", "run", "data", &seq), WORK_KNOWN_NO, "of another run");
    cr_expect_eq(ask(known, "id-2999", "run", "other", &seq), WORK_KNOWN_OTHER);
    cr_expect_eq(seq, 2999);
    cr_expect_eq(ask(known, "id-10", "", "data", &seq), WORK_KNOWN_NO, "before what was asked for");
    cr_expect_eq(ask(known, "id-3001", "run", "data", &seq), WORK_KNOWN_NO);
    work_known_close(known);
}

Test(known, a_stream_that_is_not_there_holds_nothing)
{
    work_known *known = NULL;
    uint64_t seq;
    test_ok(work_known_open(&known, conn, "SC_nothing", 0));
    cr_expect_eq(ask(known, "id", "", "data", &seq), WORK_KNOWN_NO);
    work_known_close(known);
}
