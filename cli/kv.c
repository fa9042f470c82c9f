// lane kv: buckets and keys.
#include "bus/nats/kv.h"

#include <string.h>

#include "cli/session.h"
#include "cli/verbs.h"

static json_t *entry_json(const bus_kv_entry *entry)
{
    json_t *value = json_loadb(entry->value.ptr ? entry->value.ptr : "", entry->value.len,
                               JSON_DECODE_ANY, NULL);
    char etag[24];
    snprintf(etag, sizeof etag, "%llu", (unsigned long long)entry->revision);
    json_t *row = json_pack("{s:o,s:s,s:o,s:b}", "key", lane_json_view(entry->key), "etag", etag,
                            "time", lane_json_time(entry->time.ns), "deleted", entry->deleted);
    if (!entry->deleted) // JSON is shown as JSON, all else as text
        json_object_set_new(row, "value", value ? value : lane_json_view(entry->value));
    else
        json_decref(value);
    return row;
}

// What a bucket holds are its keys' histories: the keys are counted apart.
static void add_bucket(void *ctx, const char *bucket, uint64_t values, uint64_t bytes)
{
    (void)values;
    json_array_append_new(
        ctx, json_pack("{s:s,s:i,s:I}", "bucket", bucket, "keys", 0, "bytes", (json_int_t)bytes));
}

static void count_key(void *ctx, const bus_kv_entry *entry)
{
    (void)entry;
    ++*(json_int_t *)ctx;
}

static bus_err list_buckets(lane_cli *cli, json_t *rows)
{
    size_t i;
    json_t *row;
    bus_err err = bus_kv_buckets(cli->conn, add_bucket, rows);
    json_array_foreach (rows, i, row) {
        json_int_t keys = 0;
        const char *bucket = json_string_value(json_object_get(row, "bucket"));
        if (!err)
            err = bus_kv_each(cli->conn, bucket, NULL, count_key, &keys);
        json_integer_set(json_object_get(row, "keys"), keys);
    }
    return err;
}

static void add_entry(void *ctx, const bus_kv_entry *entry)
{
    json_array_append_new(ctx, entry_json(entry));
}

static int run_ls(lane_cli *cli)
{
    static const lane_column buckets[] = {
        {"BUCKET", "bucket"}, {"KEYS", "keys"}, {"BYTES", "bytes"}, {0}};
    static const lane_column entries[] = {
        {"KEY", "key"}, {"ETAG", "etag"}, {"TIME", "time"}, {"VALUE", "value"}, {0}};
    const char *bucket = lane_arg(cli, 0);
    json_t *rows = json_array();
    bus_err err = lane_connect(cli);
    if (!err)
        err = bucket ? bus_kv_each(cli->conn, bucket, lane_arg(cli, 1), add_entry, rows)
                     : list_buckets(cli, rows);
    if (err) {
        json_decref(rows);
        return lane_fail(cli, err);
    }
    lane_rows(cli, bucket ? entries : buckets, rows);
    return 0;
}

static int run_get(lane_cli *cli)
{
    bus_kv_entry entry = {0};
    bus_err err = lane_connect(cli);
    if (!err)
        err = bus_kv_get(cli->conn, lane_arg(cli, 0), lane_arg(cli, 1), &entry);
    if (err)
        return lane_fail(cli, err);
    if (cli->json)
        lane_json_line(entry_json(&entry));
    else
        printf("%.*s\n", BUS_VIEW_ARG(entry.value));
    bus_kv_entry_release(&entry);
    return 0;
}

// What daemons keep in a bucket is theirs to write: they answer for what hangs on it.
static bus_err check_owner(const lane_cli *cli)
{
    static const struct {
        const char *bucket, *advice;
    } owned[] = {
        {"scenarios", "stored keeps it: lane scenario create|pause|resume|archive|restore|delete"},
        {"replays", "stored keeps it: lane replay start|pause|resume|seek|stop"},
        {"workers", "workhostd keeps it: lane workers start|stop"},
        {"connections", "feedd keeps it: lane connections shows it"},
        {"leases", "daemons hold them: one is given back when its daemon stops"},
    };
    for (size_t i = 0; i < sizeof owned / sizeof *owned && !lane_has(cli, "force"); i++)
        if (strcmp(lane_arg(cli, 0), owned[i].bucket) == 0)
            return bus_fail(BUS_EUSAGE, "bucket '%s' has an owner; %s (--force does it anyway)",
                            owned[i].bucket, owned[i].advice);
    return BUS_OK;
}

// --etag: absent: whatever it is; "0": it must not be there yet; else the revision it must still have.
static int run_put(lane_cli *cli)
{
    const char *bucket = lane_arg(cli, 0), *key = lane_arg(cli, 1);
    const char *etag = lane_opt(cli, "etag", NULL);
    bus_view value = bus_view_of(lane_arg(cli, 2));
    uint64_t expected = 0, revision = 0;
    bus_err err = check_owner(cli);
    if (!err && etag)
        err = bus_kv_etag_parse(etag, &expected);
    if (!err)
        err = lane_connect(cli);
    if (!err && !etag)
        err = bus_kv_put(cli->conn, bucket, key, value, &revision);
    else if (!err && expected == 0)
        err = bus_kv_create(cli->conn, bucket, key, value, &revision);
    else if (!err)
        err = bus_kv_update(cli->conn, bucket, key, value, expected, &revision);
    if (err)
        return lane_fail(cli, err);
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)revision);
    lane_object(cli, json_pack("{s:s,s:s,s:s}", "bucket", bucket, "key", key, "etag", text));
    return 0;
}

static int run_del(lane_cli *cli)
{
    const char *etag = lane_opt(cli, "etag", NULL);
    uint64_t expected = 0;
    bus_err err = check_owner(cli);
    if (!err && etag)
        err = bus_kv_etag_parse(etag, &expected);
    if (!err)
        err = lane_connect(cli);
    if (!err)
        err = bus_kv_delete(cli->conn, lane_arg(cli, 0), lane_arg(cli, 1), expected);
    return err ? lane_fail(cli, err) : 0;
}

static void print_entry(const lane_cli *cli, const bus_kv_entry *entry)
{
    if (cli->json)
        lane_json_line(entry_json(entry));
    else
        lane_say(stdout, "%.*s  %llu  %.*s\n", BUS_VIEW_ARG(entry->key),
                 (unsigned long long)entry->revision, entry->deleted ? 9 : (int)entry->value.len,
                 entry->deleted ? "(deleted)" : entry->value.ptr);
}

static int run_watch(lane_cli *cli)
{
    bus_kv_watch *watch = NULL;
    const char *pattern = lane_arg(cli, 1);
    uint64_t count = 0, seen = 0;
    bus_err err = lane_opt_u64(cli, "count", UINT64_MAX, &count);
    if (!err)
        err = lane_connect(cli);
    if (!err)
        err = bus_kv_watch_open(&watch, cli->conn, lane_arg(cli, 0), pattern ? pattern : ">",
                                (bus_wake){0});
    while (!err && seen < count && !lane_interrupted()) {
        bus_kv_entry entry = {0};
        if (bus_kv_watch_next(watch, BUS_SPAN_MS(200), &entry) != BUS_KV_ENTRY)
            continue;
        print_entry(cli, &entry);
        err = lane_flush();
        bus_kv_entry_release(&entry);
        seen++;
    }
    bus_kv_watch_close(watch);
    return err ? lane_fail(cli, err) : 0;
}

static const char force_help[] = "also in a bucket that a daemon keeps";
static const lane_option put_options[] = {
    {"etag", 0, "E", "only if the key still has this ETag; 0: only if it is not there"},
    {"force", 0, NULL, force_help},
    {0},
};
static const lane_option del_options[] = {
    {"etag", 0, "E", "only if the key still has this ETag"},
    {"force", 0, NULL, force_help},
    {0},
};
static const lane_option watch_options[] = {{"count", 'n', "N", "end after N entries"}, {0}};

const lane_verb lane_kv_verbs[] = {
    {"kv ls", "[BUCKET [PATTERN]]", 0, 2, "buckets, or the entries of one", NULL, run_ls},
    {"kv get", "BUCKET KEY", 2, 2, "one value", NULL, run_get},
    {"kv put", "BUCKET KEY VALUE", 3, 3, "write a value; prints its ETag", put_options, run_put},
    {"kv watch", "BUCKET [PATTERN]", 1, 2, "entries as they are and as they change", watch_options,
     run_watch},
    {"kv del", "BUCKET KEY", 2, 2, "delete a key", del_options, run_del},
    {0},
};
