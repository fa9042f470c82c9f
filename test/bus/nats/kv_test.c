#include "bus/nats/kv.h"

#include <stdio.h>
#include <stdlib.h>

#include "bus/nats/stream.h"
#include "test/support/broker.h"
#include "test/support/test.h"

static test_broker broker;
static bus_conn *conn;

static void given_a_bucket(int history)
{
    test_broker_start(&broker, NULL);
    bus_conn_opts opts = {.url = broker.url, .name = "kv_test"};
    test_ok(bus_conn_open(&conn, &opts));
    test_ok(bus_conn_wait(conn, BUS_SPAN_S(10)));
    test_ok(bus_kv_ensure(conn, &(bus_kv_def){.bucket = "b", .history = history}));
}

static void done(void)
{
    bus_conn_close(conn);
    conn = NULL;
    test_broker_stop(&broker);
}

TestSuite(kv, .fini = done, .timeout = 60);

static uint64_t put(const char *key, const char *value)
{
    uint64_t revision = 0;
    test_ok(bus_kv_put(conn, "b", key, bus_view_of(value), &revision));
    return revision;
}

static void expect_value(const char *key, const char *value, uint64_t revision)
{
    bus_kv_entry entry = {0};
    test_ok(bus_kv_get(conn, "b", key, &entry));
    cr_assert(bus_view_is(entry.value, value), "'%.*s'", BUS_VIEW_ARG(entry.value));
    cr_assert(bus_view_is(entry.key, key));
    cr_assert_eq(entry.key.ptr[entry.key.len], 0);
    cr_assert_eq(entry.value.ptr[entry.value.len], 0);
    cr_assert(revision == 0 || entry.revision == revision);
    cr_assert(entry.time.ns > 0);
    bus_kv_entry_release(&entry);
}

Test(kv, stores_and_reads_with_revisions)
{
    given_a_bucket(1);
    bus_kv_entry entry;
    test_expect_err(bus_kv_get(conn, "b", "a.b", &entry), BUS_ENOTFOUND);
    uint64_t first = put("a.b", "one");
    uint64_t second = put("a.b", "");
    cr_assert(second > first);
    expect_value("a.b", "", second);
    test_expect_err(bus_kv_get(conn, "nowhere", "a", &entry), BUS_ENOTFOUND);
    test_expect_err(bus_kv_put(conn, "nowhere", "a", BUS_VIEW("x"), NULL), BUS_ENOTFOUND);
    cr_assert(strstr(bus_err_text(), "nowhere"));
}

Test(kv, refuses_keys_that_could_leave_the_bucket)
{
    given_a_bucket(1);
    const char *bad[] = {"", ".a", "a.", "a..b", "a b", "*", ">", "a~", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        test_expect_err(bus_kv_put(conn, "b", bad[i], BUS_VIEW("x"), NULL), BUS_EINVAL);
}

// In the library a conflict is the status of any refusal, and only the words tell.
Test(kv, tells_a_conflict_with_both_revisions)
{
    given_a_bucket(1);
    char text[64];
    uint64_t first = put("k", "1"), second = put("k", "2"), third = 0;
    test_expect_err(bus_kv_update(conn, "b", "k", BUS_VIEW("3"), first, NULL), BUS_ECONFLICT);
    snprintf(text, sizeof text, "revision %d was expected, but it has %d", (int)first, (int)second);
    cr_assert(strstr(bus_err_text(), text), "%s", bus_err_text());
    test_ok(bus_kv_update(conn, "b", "k", BUS_VIEW("3"), second, &third));
    expect_value("k", "3", third);
    test_expect_err(bus_kv_delete(conn, "b", "k", second), BUS_ECONFLICT);
    test_ok(bus_kv_delete(conn, "b", "k", third));
    bus_kv_entry entry;
    test_expect_err(bus_kv_get(conn, "b", "k", &entry), BUS_ENOTFOUND);
}

Test(kv, creates_only_what_is_not_there_and_over_a_tombstone)
{
    given_a_bucket(1);
    uint64_t revision = 0;
    test_ok(bus_kv_create(conn, "b", "k", BUS_VIEW("1"), &revision));
    test_expect_err(bus_kv_create(conn, "b", "k", BUS_VIEW("2"), NULL), BUS_EEXISTS);
    test_ok(bus_kv_delete(conn, "b", "k", 0));
    test_ok(bus_kv_create(conn, "b", "k", BUS_VIEW("3"), &revision));
    expect_value("k", "3", revision);
}

// The library reads the broker's expiry marker as an empty value, and its create then says "exists".
Test(kv, takes_an_expiry_marker_for_a_deleted_key)
{
    given_a_bucket(1);
    const char *config =
        "{\"name\":\"KV_m\",\"subjects\":[\"$KV.m.>\"],\"max_msgs_per_subject\":1,"
        "\"max_age\":1000000000,\"subject_delete_marker_ttl\":60000000000,\"allow_msg_ttl\":true,"
        "\"allow_rollup_hdrs\":true,\"allow_direct\":true,\"storage\":\"file\"}";
    bus_msg *reply = NULL;
    test_ok(bus_request(conn, "$JS.API.STREAM.CREATE.KV_m", NULL, 0, bus_view_of(config),
                        BUS_SPAN_S(5), &reply));
    bus_msg_release(reply);
    test_ok(bus_kv_put(conn, "m", "k", BUS_VIEW("1"), NULL));
    bus_kv_watch *watch = NULL;
    test_ok(bus_kv_watch_open(&watch, conn, "m", NULL, (bus_wake){0}));
    bus_kv_entry entry = {0};
    bool deleted = false;
    for (int i = 0; i < 50 && !deleted; i++) {
        if (bus_kv_watch_next(watch, BUS_SPAN_MS(200), &entry) == BUS_KV_ENTRY)
            deleted = entry.deleted;
        bus_kv_entry_release(&entry);
    }
    cr_assert(deleted, "no marker came");
    test_expect_err(bus_kv_get(conn, "m", "k", &entry), BUS_ENOTFOUND);
    test_ok(bus_kv_create(conn, "m", "k", BUS_VIEW("2"), NULL));
    bus_kv_watch_close(watch);
}

// The library's create may update a bucket that is there, and drop the settings it does not know.
Test(kv, leaves_a_bucket_that_is_there_as_it_is)
{
    given_a_bucket(5);
    test_ok(bus_kv_ensure(conn, &(bus_kv_def){.bucket = "b", .history = 1, .ttl = BUS_SPAN_S(9)}));
    bus_msg *reply = NULL;
    test_ok(bus_request(conn, "$JS.API.STREAM.INFO.KV_b", NULL, 0, (bus_view){0}, BUS_SPAN_S(5),
                        &reply));
    cr_assert(strstr(bus_msg_payload(reply).ptr, "\"max_msgs_per_subject\":5"));
    bus_msg_release(reply);
    test_expect_err(bus_kv_ensure(conn, &(bus_kv_def){.bucket = "b c"}), BUS_EINVAL);
}

static void count_bucket(void *ctx, const char *bucket, uint64_t values, uint64_t bytes)
{
    cr_assert_str_eq(bucket, "b");
    cr_assert(values == 2 && bytes > 0);
    ++*(int *)ctx;
}

static void collect(void *ctx, const bus_kv_entry *entry)
{
    char *text = ctx;
    snprintf(text + strlen(text), 256 - strlen(text), "%.*s=%.*s ", BUS_VIEW_ARG(entry->key),
             BUS_VIEW_ARG(entry->value));
}

Test(kv, lists_buckets_and_live_keys)
{
    given_a_bucket(1);
    char text[256] = "";
    int buckets = 0;
    test_ok(bus_kv_each(conn, "b", NULL, collect, text));
    cr_assert_str_eq(text, "");
    put("a.1", "x");
    put("a.2", "y");
    bus_kv_buckets(conn, count_bucket, &buckets);
    cr_assert_eq(buckets, 1);
    put("b.1", "z");
    bus_kv_delete(conn, "b", "a.1", 0);
    test_ok(bus_kv_each(conn, "b", NULL, collect, text));
    cr_assert_str_eq(text, "a.2=y b.1=z ");
    text[0] = 0;
    test_ok(bus_kv_each(conn, "b", "b.*", collect, text));
    cr_assert_str_eq(text, "b.1=z ");
    test_expect_err(bus_kv_each(conn, "nowhere", NULL, collect, text), BUS_ENOTFOUND);
}

// --- watching ----------------------------------------------------------------------------------------

static bus_kv_result next(bus_kv_watch *watch, bus_kv_entry *entry)
{
    bus_kv_result r = BUS_KV_NOTHING;
    for (int i = 0; i < 150 && r == BUS_KV_NOTHING; i++)
        r = bus_kv_watch_next(watch, BUS_SPAN_MS(100), entry);
    return r;
}

static void expect_entry(bus_kv_watch *watch, const char *key, const char *value)
{
    bus_kv_entry entry = {0};
    cr_assert_eq(next(watch, &entry), BUS_KV_ENTRY, "nothing for '%s'", key);
    cr_assert(bus_view_is(entry.key, key), "%.*s where %s is next", BUS_VIEW_ARG(entry.key), key);
    cr_assert(bus_view_is(entry.value, value));
    bus_kv_entry_release(&entry);
}

static void expect_current(bus_kv_watch *watch)
{
    bus_kv_entry entry = {0};
    cr_assert_eq(next(watch, &entry), BUS_KV_CURRENT);
}

Test(kv, watches_the_current_entries_and_then_changes)
{
    given_a_bucket(3);
    put("a", "1");
    put("b", "2");
    put("a", "3");
    bus_kv_watch *watch = NULL;
    test_ok(bus_kv_watch_open(&watch, conn, "b", ">", (bus_wake){0}));
    expect_entry(watch, "b", "2");
    expect_entry(watch, "a", "3");
    expect_current(watch);
    put("c", "4");
    expect_entry(watch, "c", "4");
    bus_kv_entry entry;
    cr_assert_eq(bus_kv_watch_next(watch, (bus_span){0}, &entry), BUS_KV_NOTHING);
    bus_kv_watch_close(watch);
}

Test(kv, watch_of_an_empty_bucket_is_current_at_once)
{
    given_a_bucket(1);
    bus_kv_watch *watch = NULL;
    test_ok(bus_kv_watch_open(&watch, conn, "b", ">", (bus_wake){0}));
    expect_current(watch);
    bus_kv_watch_close(watch);
}

Test(kv, watch_survives_a_restart_of_the_broker)
{
    given_a_bucket(1);
    bus_kv_watch *watch = NULL;
    put("a", "1");
    test_ok(bus_kv_watch_open(&watch, conn, "b", ">", (bus_wake){0}));
    expect_entry(watch, "a", "1");
    expect_current(watch);
    test_broker_restart(&broker);
    bus_kv_entry entry;
    for (int i = 0; i < 20; i++)
        bus_kv_watch_next(watch, BUS_SPAN_MS(10), &entry);
    test_ok(bus_conn_wait(conn, BUS_SPAN_S(10)));
    bus_err err = BUS_EUNAVAILABLE;
    for (int i = 0; i < 50 && err; i++)
        err = bus_kv_put(conn, "b", "z", BUS_VIEW("9"), NULL);
    test_ok(err);
    expect_entry(watch, "z", "9"); // and "a" is not told again
    bus_kv_watch_close(watch);
}

Test(kv, watch_waits_for_a_bucket_and_notices_one_made_anew)
{
    given_a_bucket(1);
    bus_kv_watch *watch = NULL;
    bus_kv_entry entry;
    test_ok(bus_kv_watch_open(&watch, conn, "later", ">", (bus_wake){0}));
    cr_assert_eq(bus_kv_watch_next(watch, BUS_SPAN_MS(50), &entry), BUS_KV_NOTHING);
    test_ok(bus_kv_ensure(conn, &(bus_kv_def){.bucket = "later"}));
    expect_current(watch);
    for (int i = 0; i < 3; i++) { // one by one: a value may be gone before it was told
        test_ok(bus_kv_put(conn, "later", "k", BUS_VIEW("old"), NULL));
        expect_entry(watch, "k", "old");
    }
    test_ok(bus_stream_delete(conn, "KV_later"));
    test_ok(bus_kv_ensure(conn, &(bus_kv_def){.bucket = "later"}));
    test_ok(bus_kv_put(conn, "later", "k", BUS_VIEW("new"), NULL)); // revision 1 again
    expect_entry(watch, "k", "new");
    expect_current(watch);
    bus_kv_watch_close(watch);
}

// More than the library holds for a subscription, and a watcher that does not look: nothing is lost.
Test(kv, slow_watcher_gets_every_key)
{
    given_a_bucket(1);
    enum { KEYS = 3000 };
    char key[32];
    bus_kv_watch *watch = NULL;
    test_ok(bus_kv_watch_open(&watch, conn, "b", ">", (bus_wake){0}));
    expect_current(watch);
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "$KV.b.k%d", i);
        test_ok(bus_publish(conn, key, NULL, NULL, 0, BUS_VIEW("v")));
    }
    test_ok(bus_conn_flush(conn, BUS_SPAN_S(5)));
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "k%d", i);
        expect_entry(watch, key, "v");
    }
    bus_kv_watch_close(watch);
}

Test(kv, etag_is_a_decimal_revision)
{
    uint64_t revision = 0;
    test_ok(bus_kv_etag_parse("42", &revision));
    cr_assert_eq(revision, 42);
    const char *bad[] = {"", "x", "4 2", "-1", "\"42\"", "99999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        test_expect_err(bus_kv_etag_parse(bad[i], &revision), BUS_EINVAL);
        cr_assert(strstr(bus_err_text(), "a decimal revision is expected"));
    }
}
