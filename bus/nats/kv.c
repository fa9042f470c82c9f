#include "bus/nats/kv_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/lane/lane.h"
#include "bus/nats/api.h"
#include "bus/nats/rights.h"
#include "bus/nats/stream.h"

enum {
    HISTORY_MAX = 64,
    WRONG_LAST_SEQUENCE = 10071,
    TIMEOUT_MS = 5000,
};
static const int64_t DUPLICATES_NS = 120000000000;

static const char key_bytes[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_=/.-";

// --- names -------------------------------------------------------------------------------------------

static bus_err check_key(const char *key, bool pattern)
{
    size_t len = strlen(key);
    bool wild = pattern && strpbrk(key, "*>");
    if (len == 0 || len > BUS_KV_KEY_MAX)
        return bus_fail(BUS_EINVAL, "key '%.64s' must have 1 to %d bytes", key, BUS_KV_KEY_MAX);
    if (!wild && strspn(key, key_bytes) != len)
        return bus_fail(BUS_EINVAL, "key '%s': byte %zu is not one of A-Z a-z 0-9 _ = / . -", key,
                        strspn(key, key_bytes));
    if (key[0] == '.' || key[len - 1] == '.' || strstr(key, ".."))
        return bus_fail(BUS_EINVAL, "key '%s': a dot must stand between two other bytes", key);
    return wild ? bus_subject_check(bus_view_of(key), true) : BUS_OK;
}

bus_err bus_kv_subject_of(char buf[BUS_KV_SUBJECT], const char *bucket, const char *key,
                          bool pattern)
{
    if (pattern && (!key || !*key))
        key = ">";
    bus_err err = bus_api_name_check(bucket, "bucket");
    if (!err)
        err = check_key(key ? key : "", pattern);
    if (err)
        return err;
    snprintf(buf, BUS_KV_SUBJECT, "$KV.%s.%s", bucket, key);
    return BUS_OK;
}

bus_err bus_kv_etag_parse(const char *etag, uint64_t *revision)
{
    if (!etag || !bus_view_u64(bus_view_of(etag), revision))
        return bus_fail(BUS_EINVAL, "ETag: a decimal revision is expected, got '%.64s'",
                        etag ? etag : "");
    return BUS_OK;
}

// --- entries -----------------------------------------------------------------------------------------

// A key is gone by a delete, by a purge, or because the broker says that it expired. The library's KV
// knows the first two alone: a marker reads there as an empty value, and blocks a create.
static bool is_deleted(const bus_msg *msg)
{
    bus_view v;
    if (bus_msg_header(msg, "Nats-Marker-Reason", &v))
        return true;
    return bus_msg_header(msg, "KV-Operation", &v) &&
           (bus_view_is(v, "DEL") || bus_view_is(v, "PURGE"));
}

// What an entry owns: the message, and its key as text of its own (a header's value has no NUL).
typedef struct {
    bus_msg *msg;
    char key[];
} entry_owner;

bus_err bus_kv_entry_of(bus_kv_entry *out, const char *bucket, bus_msg *msg, bus_view subject,
                        uint64_t revision, bus_wall time)
{
    size_t prefix = strlen(bucket) + sizeof "$KV.." - 1;
    if (prefix > subject.len)
        prefix = subject.len;
    size_t len = subject.len - prefix;
    entry_owner *owner = malloc(sizeof *owner + len + 1);
    if (!owner) {
        bus_msg_release(msg);
        return bus_fail(BUS_ENOMEM, "entry of bucket '%s'", bucket);
    }
    owner->msg = msg;
    memcpy(owner->key, subject.ptr + prefix, len);
    owner->key[len] = 0;
    bus_view value = bus_msg_payload(msg);
    *out = (bus_kv_entry){
        .key = {owner->key, len},
        .value = value.len ? value : BUS_VIEW(""),
        .revision = revision,
        .time = time,
        .deleted = is_deleted(msg),
        .owner = owner,
    };
    return BUS_OK;
}

void bus_kv_entry_release(bus_kv_entry *entry)
{
    entry_owner *owner = entry->owner;
    if (owner)
        bus_msg_release(owner->msg);
    free(owner);
    *entry = (bus_kv_entry){0};
}

// The newest entry of a key, deleted or not.
static bus_err last(bus_conn *conn, const char *bucket, const char *subject, bus_kv_entry *out)
{
    char stream[80];
    bus_record record;
    bus_msg *owner = NULL;
    snprintf(stream, sizeof stream, "KV_%s", bucket);
    bus_err err = bus_stream_last(conn, stream, subject, &record, &owner);
    if (!err)
        err = bus_kv_entry_of(out, bucket, owner, record.subject, record.seq, record.stored);
    return err;
}

// The broker says "not found" of a key and of a bucket alike.
static bus_err explain_missing(bus_conn *conn, const char *bucket, const char *key)
{
    char stream[80];
    bus_stream_info info;
    snprintf(stream, sizeof stream, "KV_%s", bucket);
    if (bus_stream_info_get(conn, stream, &info) == BUS_ENOTFOUND)
        return bus_fail(BUS_ENOTFOUND, "there is no bucket '%s'", bucket);
    return bus_fail(BUS_ENOTFOUND, "there is no key '%s' in bucket '%s'", key, bucket);
}

bus_err bus_kv_get(bus_conn *conn, const char *bucket, const char *key, bus_kv_entry *out)
{
    char subject[BUS_KV_SUBJECT];
    bus_kv_entry entry = {0};
    bus_err err = bus_kv_subject_of(subject, bucket, key, false);
    if (!err)
        err = last(conn, bucket, subject, &entry);
    if (err == BUS_ENOTFOUND)
        return explain_missing(conn, bucket, key);
    if (!err && entry.deleted)
        err = bus_fail(BUS_ENOTFOUND, "it was deleted (revision %" PRIu64 ")", entry.revision);
    if (err) {
        bus_kv_entry_release(&entry);
        return bus_note(err, "key '%s' of bucket '%s'", key, bucket);
    }
    *out = entry;
    return BUS_OK;
}

// --- writing -----------------------------------------------------------------------------------------

static bus_err read_ack(const bus_msg *reply, uint64_t *revision, int *err_code)
{
    bus_view payload = bus_msg_payload(reply);
    json_t *ack = json_loadb(payload.ptr, payload.len, 0, NULL);
    bus_err err = ack ? bus_api_error(ack, err_code)
                      : bus_fail(BUS_EINTERNAL, "the broker's answer is no JSON");
    if (!err && revision)
        *revision = (uint64_t)json_integer_value(json_object_get(ack, "seq"));
    json_decref(ack);
    return err;
}

// One acknowledged message to the bucket. A bucket that is not there has no stream and so no responder.
static bus_err store(bus_conn *conn, const char *bucket, const char *subject,
                     const bus_header_pair *headers, size_t count, bus_view value,
                     uint64_t *revision, int *err_code)
{
    char stream[80];
    bus_stream_info info;
    bus_msg *reply = NULL;
    bus_err err =
        bus_request(conn, subject, headers, count, value, BUS_SPAN_MS(TIMEOUT_MS), &reply);
    if (err == BUS_EUNAVAILABLE && bus_conn_state_of(conn) == BUS_CONN_UP) {
        snprintf(stream, sizeof stream, "KV_%s", bucket);
        if (bus_stream_info_get(conn, stream, &info) == BUS_ENOTFOUND)
            return bus_fail(BUS_ENOTFOUND, "there is no bucket '%s'", bucket);
        return bus_fail(BUS_EUNAVAILABLE, "bucket '%s' does not answer", bucket);
    }
    if (!err)
        err = read_ack(reply, revision, err_code);
    bus_msg_release(reply);
    return err;
}

bus_err bus_kv_put(bus_conn *conn, const char *bucket, const char *key, bus_view value,
                   uint64_t *revision)
{
    char subject[BUS_KV_SUBJECT];
    bus_err err = bus_kv_subject_of(subject, bucket, key, false);
    if (!err)
        err = store(conn, bucket, subject, NULL, 0, value, revision, NULL);
    return bus_note(err, "putting key '%s' of bucket '%s'", key, bucket);
}

// Stores if the key's newest revision is still `expected` (0: it never had one).
static bus_err store_if(bus_conn *conn, const char *bucket, const char *subject, bus_view value,
                        uint64_t expected, const char *operation, uint64_t *revision)
{
    char number[24];
    int err_code = 0;
    snprintf(number, sizeof number, "%" PRIu64, expected);
    bus_header_pair headers[] = {{"Nats-Expected-Last-Subject-Sequence", number},
                                 {"KV-Operation", operation}};
    bus_err err =
        store(conn, bucket, subject, headers, operation ? 2 : 1, value, revision, &err_code);
    // The broker's number decides, not the library's status: that is the same for every refusal.
    return err_code == WRONG_LAST_SEQUENCE ? BUS_ECONFLICT : err;
}

bus_err bus_kv_create(bus_conn *conn, const char *bucket, const char *key, bus_view value,
                      uint64_t *revision)
{
    char subject[BUS_KV_SUBJECT];
    bus_kv_entry there = {0};
    bus_err err = bus_kv_subject_of(subject, bucket, key, false);
    if (!err)
        err = store_if(conn, bucket, subject, value, 0, NULL, revision);
    // What is there may be a tombstone or an expiry marker: then the key is free all the same.
    if (err == BUS_ECONFLICT && last(conn, bucket, subject, &there) == BUS_OK) {
        if (there.deleted)
            err = store_if(conn, bucket, subject, value, there.revision, NULL, revision);
        else
            err = bus_fail(BUS_EEXISTS, "it exists, revision %" PRIu64, there.revision);
        bus_kv_entry_release(&there);
    }
    return bus_note(err, "creating key '%s' of bucket '%s'", key, bucket);
}

static bus_err explain_conflict(bus_conn *conn, const char *bucket, const char *subject,
                                uint64_t expected)
{
    bus_kv_entry there = {0};
    if (last(conn, bucket, subject, &there) != BUS_OK)
        return bus_fail(BUS_ECONFLICT,
                        "revision %" PRIu64 " was expected, but there is no such key", expected);
    bus_fail(BUS_ECONFLICT, "revision %" PRIu64 " was expected, but it has %" PRIu64 "%s", expected,
             there.revision, there.deleted ? " (deleted)" : "");
    bus_kv_entry_release(&there);
    return BUS_ECONFLICT;
}

bus_err bus_kv_update(bus_conn *conn, const char *bucket, const char *key, bus_view value,
                      uint64_t expected, uint64_t *revision)
{
    char subject[BUS_KV_SUBJECT];
    bus_err err = bus_kv_subject_of(subject, bucket, key, false);
    if (!err)
        err = store_if(conn, bucket, subject, value, expected, NULL, revision);
    if (err == BUS_ECONFLICT)
        err = explain_conflict(conn, bucket, subject, expected);
    return bus_note(err, "updating key '%s' of bucket '%s'", key, bucket);
}

bus_err bus_kv_delete(bus_conn *conn, const char *bucket, const char *key, uint64_t expected)
{
    static const bus_header_pair gone = {"KV-Operation", "DEL"};
    char subject[BUS_KV_SUBJECT];
    bus_view none = {0};
    bus_err err = bus_kv_subject_of(subject, bucket, key, false);
    if (!err && expected)
        err = store_if(conn, bucket, subject, none, expected, "DEL", NULL);
    else if (!err)
        err = store(conn, bucket, subject, &gone, 1, none, NULL, NULL);
    if (err == BUS_ECONFLICT)
        err = explain_conflict(conn, bucket, subject, expected);
    return bus_note(err, "deleting key '%s' of bucket '%s'", key, bucket);
}

// --- buckets -----------------------------------------------------------------------------------------

static json_t *bucket_config(const bus_kv_def *def, const char *stream, const char *subjects)
{
    int64_t duplicates = DUPLICATES_NS;
    if (def->ttl.ns && def->ttl.ns < duplicates)
        duplicates = def->ttl.ns;
    return json_pack("{s:s, s:s, s:[s], s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:i,"
                     " s:b, s:b, s:b}",
                     "name", stream, "description", def->description ? def->description : "",
                     "subjects", subjects, "retention", "limits", "storage", "file", "discard",
                     "new", "max_msgs_per_subject", def->history ? def->history : 1, "max_age",
                     (json_int_t)def->ttl.ns, "max_msgs", (json_int_t)-1, "max_bytes",
                     (json_int_t)-1, "max_msg_size", (json_int_t)-1, "max_consumers",
                     (json_int_t)-1, "duplicate_window", (json_int_t)duplicates, "num_replicas",
                     def->replicas ? def->replicas : 1, "allow_rollup_hdrs", 1, "deny_delete", 1,
                     "allow_direct", 1);
}

bus_err bus_kv_ensure(bus_conn *conn, const bus_kv_def *def)
{
    char stream[80], subjects[80], api[BUS_API_SUBJECT];
    bus_stream_info info;
    json_t *config = NULL, *answer = NULL;
    bus_err err = bus_api_name_check(def->bucket, "bucket");
    if (!err && (def->history < 0 || def->history > HISTORY_MAX))
        err = bus_fail(BUS_EINVAL, "history %d is not within 1 and %d", def->history, HISTORY_MAX);
    if (err)
        return bus_note(err, "bucket '%s'", def->bucket ? def->bucket : "");
    snprintf(stream, sizeof stream, "KV_%s", def->bucket);
    snprintf(subjects, sizeof subjects, "$KV.%s.>", def->bucket);
    snprintf(api, sizeof api, "$JS.API.STREAM.CREATE.%s", stream);
    // Look first: the library's own create may *update* a bucket that is there, and drop what it does not know.
    err = bus_stream_info_get(conn, stream, &info);
    if (err == BUS_ENOTFOUND && !bus_rights_publish(conn, api))
        err = bus_fail(err, "it is not there yet, and not this user's to make");
    else if (err == BUS_ENOTFOUND) {
        config = bucket_config(def, stream, subjects);
        err = config ? bus_api_call(&answer, conn, api, config)
                     : bus_fail(BUS_EINVAL, "its description is not UTF-8");
        if (err == BUS_EEXISTS)
            err = BUS_OK; // somebody else made it meanwhile, otherwise: theirs stays
    }
    json_decref(config);
    json_decref(answer);
    return bus_note(err, "bucket '%s'", def->bucket);
}

typedef struct {
    void (*fn)(void *ctx, const char *bucket, uint64_t values, uint64_t bytes);
    void *ctx;
} bucket_lister;

static void list_one(void *ctx, const bus_stream_info *info)
{
    bucket_lister *lister = ctx;
    if (strncmp(info->name, "KV_", 3) == 0)
        lister->fn(lister->ctx, info->name + 3, info->messages, info->bytes);
}

bus_err bus_kv_buckets(bus_conn *conn,
                       void (*fn)(void *ctx, const char *bucket, uint64_t values, uint64_t bytes),
                       void *ctx)
{
    bucket_lister lister = {fn, ctx};
    return bus_note(bus_stream_list(conn, list_one, &lister), "listing buckets");
}

bus_err bus_kv_each(bus_conn *conn, const char *bucket, const char *key_pattern, bus_kv_fn fn,
                    void *ctx)
{
    char stream[80];
    bus_stream_info info;
    bus_kv_watch *watch = NULL;
    bus_kv_result result = BUS_KV_NOTHING;
    bus_err err = bus_kv_watch_open(&watch, conn, bucket, key_pattern, (bus_wake){0});
    if (err)
        return err;
    snprintf(stream, sizeof stream, "KV_%s", bucket);
    err = bus_stream_info_get(conn, stream, &info);
    if (err == BUS_ENOTFOUND) {
        bus_kv_watch_close(watch);
        return bus_fail(err, "there is no bucket '%s'", bucket);
    }
    bus_mono until = bus_mono_add(bus_machine_mono(), BUS_SPAN_MS(TIMEOUT_MS));
    while (!err && result != BUS_KV_CURRENT) {
        bus_kv_entry entry = {0};
        result = bus_kv_watch_next(watch, BUS_SPAN_MS(100), &entry);
        if (result == BUS_KV_ENTRY && !entry.deleted)
            fn(ctx, &entry);
        if (result == BUS_KV_ENTRY)
            until = bus_mono_add(bus_machine_mono(), BUS_SPAN_MS(TIMEOUT_MS));
        else if (result == BUS_KV_NOTHING && bus_mono_since(bus_machine_mono(), until).ns > 0)
            err = bus_fail(BUS_ETIMEOUT, "no answer within %d ms", TIMEOUT_MS);
        bus_kv_entry_release(&entry);
    }
    bus_kv_watch_close(watch);
    return bus_note(err, "keys of bucket '%s'", bucket);
}
