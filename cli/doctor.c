// lane doctor: is all in order, and what to do where it is not. Source: schemas/specs/cli.md, "lane doctor".
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

#include "bus/nats/kv.h"
#include "bus/nats/stream.h"
#include "cli/services.h"
#include "cli/verbs.h"

typedef enum { OK, WARN, FAIL } verdict;

typedef struct {
    lane_cli *cli;
    int failed;
} doctor;

static void say(doctor *d, verdict v, const char *what, const char *found, const char *advice)
{
    static const char *const words[] = {"ok", "warn", "fail"};
    d->failed += v == FAIL;
    if (d->cli->json)
        lane_json_line(json_pack("{s:s,s:s,s:s,s:s}", "check", what, "verdict", words[v], "found",
                                 found, "advice", v == OK ? "" : advice));
    else
        printf("%-4s  %-22s %s%s%s\n", words[v], what, found, v == OK ? "" : ": ",
               v == OK ? "" : advice);
    fflush(stdout);
}

// --- the machine ---------------------------------------------------------------------------------------

static void check_clock(doctor *d)
{
    struct timex t = {.modes = 0};
    char found[96];
    int state = adjtimex(&t);
    bool in_step = state >= 0 && state != TIME_ERROR && !(t.status & STA_UNSYNC);
    snprintf(found, sizeof found, "%s, estimated error %ld us",
             in_step ? "synchronised" : "free-running", t.esterror);
    say(d, in_step ? OK : WARN, "clock", found,
        "times of receipt will drift against the venue's: run chrony or systemd-timesyncd");
}

static void check_files(doctor *d)
{
    struct rlimit limit;
    char found[96];
    getrlimit(RLIMIT_NOFILE, &limit);
    snprintf(found, sizeof found, "%llu of at most %llu", (unsigned long long)limit.rlim_cur,
             (unsigned long long)limit.rlim_max);
    say(d, limit.rlim_cur < 1024 ? FAIL : OK, "open files", found, "raise it: ulimit -n 65536");
}

static void check_disk(doctor *d)
{
    struct statvfs fs;
    char found[96];
    if (statvfs(".", &fs) != 0)
        return;
    double free_gib = (double)fs.f_bavail * (double)fs.f_frsize / (1 << 30);
    snprintf(found, sizeof found, "%.1f GiB free here", free_gib);
    say(d,
        free_gib < 1    ? FAIL
        : free_gib < 10 ? WARN
                        : OK,
        "disk", found, "ACT alone may take 4 GiB: make room, or lower act_bytes of stored");
}

// --- the broker ----------------------------------------------------------------------------------------

static bool check_broker(doctor *d)
{
    char found[128];
    bus_err err = lane_connect(d->cli);
    if (err) {
        say(d, FAIL, "broker", bus_err_text(),
            "start one: nats-server -js (2.11 or newer), or name it: --nats-url");
        return false;
    }
    uint32_t v = bus_conn_broker(d->cli->conn);
    bus_mono start = bus_now_mono();
    bus_conn_flush(d->cli->conn, d->cli->timeout);
    snprintf(found, sizeof found, "version %u.%u.%u, round trip %lld us, payloads to %lld KiB",
             v / 1000000, v / 1000 % 1000, v % 1000,
             (long long)(bus_mono_since(bus_now_mono(), start).ns / 1000),
             (long long)(bus_conn_max_payload(d->cli->conn) / 1024));
    say(d, OK, "broker", found, "");
    return true;
}

// Only the system account may ask the server for its settings; with one account nobody has to.
static void check_sync(doctor *d)
{
    bus_msg *reply = NULL;
    bus_err err = bus_request(d->cli->conn, "$SYS.REQ.SERVER.PING.JSZ", NULL, 0, (bus_view){0},
                              BUS_SPAN_MS(300), &reply);
    if (err) {
        say(d, WARN, "sync_interval",
            "cannot be seen from this account (2 min unless the server's file says otherwise)",
            "an acknowledged event may be lost in a power cut within it: jetstream { "
            "sync_interval: "
            "always } if that matters");
        return;
    }
    bus_view text = bus_msg_payload(reply);
    json_t *answer = json_loadb(text.ptr ? text.ptr : "", text.len, 0, NULL);
    json_t *config = json_object_get(json_object_get(answer, "data"), "config");
    char found[64];
    snprintf(found, sizeof found, "%.3f s",
             (double)json_integer_value(json_object_get(config, "sync_interval")) / 1e9);
    say(d, OK, "sync_interval", found, "");
    json_decref(answer);
    bus_msg_release(reply);
}

static void check_jetstream(doctor *d)
{
    bus_msg *reply = NULL;
    bus_err err =
        bus_request(d->cli->conn, "$JS.API.INFO", NULL, 0, (bus_view){0}, d->cli->timeout, &reply);
    bus_view text = err ? (bus_view){0} : bus_msg_payload(reply);
    json_t *answer = text.len ? json_loadb(text.ptr, text.len, 0, NULL) : NULL;
    if (err || json_object_get(answer, "error") || !answer)
        say(d, FAIL, "jetstream", err ? bus_err_text() : "refused for this user",
            "the broker needs -js (or jetstream in its file) and this account the right to use it");
    else
        say(d, OK, "jetstream", "enabled for this account", "");
    json_decref(answer);
    bus_msg_release(reply);
}

// Who we are to the broker. A user without permissions may do everything, also publish on sc.LIVE.
static void check_rights(doctor *d)
{
    bus_msg *reply = NULL;
    char found[160];
    bus_err err = bus_request(d->cli->conn, "$SYS.REQ.USER.INFO", NULL, 0, (bus_view){0},
                              d->cli->timeout, &reply);
    bus_view text = err ? (bus_view){0} : bus_msg_payload(reply);
    json_t *answer = text.len ? json_loadb(text.ptr, text.len, 0, NULL) : NULL;
    json_t *me = json_object_get(answer, "data");
    const char *user = json_string_value(json_object_get(me, "user"));
    const char *account = json_string_value(json_object_get(me, "account"));
    bool limited = json_object_size(json_object_get(me, "permissions")) > 0;
    snprintf(found, sizeof found, "user '%s' of account '%s', %s", user ? user : "",
             account ? account : "?",
             limited ? "with permissions of its own"
                     : "may publish and read everything, sc.LIVE too");
    say(d, limited ? OK : WARN, "rights", err ? bus_err_text() : found,
        "fine on one machine; for production use one account a side, with allow-lists");
    json_decref(answer);
    bus_msg_release(reply);
}

// --- what should be there ------------------------------------------------------------------------------

static const char *const streams[] = {"ACT",     "SC_LIVE", "EXEC", "LIFECYCLE",
                                      "COMMAND", "DLQ",     NULL};
static const char *const buckets[] = {"scenarios", "replays", "workers", "connections",
                                      "config",    "leases",  NULL};

static void add_name(void *ctx, const bus_stream_info *info)
{
    json_object_set_new(ctx, info->name, json_integer((json_int_t)info->messages));
}

static void missing_of(const json_t *have, const char *prefix, const char *const *want, char *out,
                       size_t cap)
{
    out[0] = '\0';
    for (; *want; want++) {
        char name[96];
        snprintf(name, sizeof name, "%s%s", prefix, *want);
        size_t at = strlen(out);
        if (!json_object_get(have, name))
            snprintf(out + at, cap - at, "%s%s", at ? ", " : "missing ", *want);
    }
}

static void add_bucket(void *ctx, const char *bucket, uint64_t values, uint64_t bytes)
{
    (void)bytes;
    json_object_set_new(ctx, bucket, json_integer((json_int_t)values));
}

static void check_stores(doctor *d)
{
    static const char advice[] = "start stored: it makes and keeps them";
    char missing[256];
    json_t *have = json_object(), *kv = json_object();
    if (bus_stream_list(d->cli->conn, add_name, have) ||
        bus_kv_buckets(d->cli->conn, add_bucket, kv)) {
        say(d, FAIL, "streams", bus_err_text(), advice);
    } else {
        missing_of(have, "", streams, missing, sizeof missing);
        say(d, missing[0] ? FAIL : OK, "streams", missing[0] ? missing : "all there", advice);
        missing_of(kv, "", buckets, missing, sizeof missing);
        say(d, missing[0] ? FAIL : OK, "buckets", missing[0] ? missing : "all there", advice);
        json_int_t dead = json_integer_value(json_object_get(have, "DLQ"));
        snprintf(missing, sizeof missing, "%lld", (long long)dead);
        say(d, dead ? WARN : OK, "dead letters", missing, "look at them: lane streams view DLQ");
    }
    json_decref(have);
    json_decref(kv);
}

// The registry's one record that must be there: without it LIVE is not listed, and workers get no new runtime.
static void check_live(doctor *d)
{
    static const char advice[] = "stored seeds it: start stored, or see what its log says";
    bus_kv_entry entry = {0};
    bus_err err = bus_kv_get(d->cli->conn, "scenarios", "LIVE", &entry);
    json_t *record = err ? NULL : json_loadb(entry.value.ptr, entry.value.len, 0, NULL);
    const char *status = "", *market = "", *portfolio = "", *strategy = "";
    json_unpack(record, "{s:s,s:{s:s},s:{s:s},s:{s:s}}", "status", &status, "market", "lane",
                &market, "portfolio", "lane", &portfolio, "strategy", "lane", &strategy);
    bool right = strcmp(status, "active") == 0 && strcmp(market, "act") == 0 &&
                 strcmp(portfolio, "act") == 0 && strcmp(strategy, "act") == 0;
    say(d, right ? OK : FAIL, "scenario LIVE",
        right ? "registered and active"
        : err ? "is not registered"
              : "its record is not {act, act, act}, active",
        advice);
    json_decref(record);
    bus_kv_entry_release(&entry);
}

static void check_daemons(doctor *d)
{
    static const struct {
        const char *name, *advice;
        verdict when_missing;
    } daemons[] = {
        {"stored", "without it there is no registry and no replay: start stored", FAIL},
        {"workhostd", "without it no worker runs: start workhostd", WARN},
    };
    json_t *answers = NULL, *one;
    if (lane_services_ask(d->cli, "PING", NULL, &answers))
        answers = json_array();
    for (size_t i = 0; i < sizeof daemons / sizeof *daemons; i++) {
        bool there = false;
        size_t k;
        json_array_foreach(answers, k, one)
        {
            const char *name = json_string_value(json_object_get(one, "name"));
            there |= name && strcmp(name, daemons[i].name) == 0;
        }
        say(d, there ? OK : daemons[i].when_missing, daemons[i].name,
            there ? "answers" : "does not answer", daemons[i].advice);
    }
    json_decref(answers);
}

static void count_connected(void *ctx, const bus_kv_entry *entry)
{
    static const char up[] = "connected\"";
    int *counts = ctx;
    counts[0]++;
    counts[1] += memmem(entry->value.ptr, entry->value.len, up, sizeof up - 1) != NULL;
}

static void check_feeds(doctor *d)
{
    int counts[2] = {0};
    char found[64];
    bus_kv_each(d->cli->conn, "connections", NULL, count_connected, counts);
    snprintf(found, sizeof found, "%d connections, %d connected", counts[0], counts[1]);
    say(d, counts[1] ? OK : WARN, "feedd", found,
        "nothing arrives from a venue: start feedd, see `lane connections`");
}

static int run_doctor(lane_cli *cli)
{
    doctor d = {.cli = cli};
    check_clock(&d);
    check_files(&d);
    check_disk(&d);
    if (check_broker(&d)) {
        check_sync(&d);
        check_jetstream(&d);
        check_rights(&d);
        check_stores(&d);
        check_live(&d);
        check_daemons(&d);
        check_feeds(&d);
    }
    return d.failed ? 1 : 0;
}

const lane_verb lane_doctor_verbs[] = {
    {"doctor", "", 0, 0, "machine, broker and stack: what is in order, and what to do", NULL,
     run_doctor},
    {0},
};
