// lane doctor: is all in order, and what to do where it is not. Source: schemas/specs/cli.md, "lane doctor".
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

#include "bus/base/secrets.h"
#include "bus/nats/kv.h"
#include "bus/nats/stream.h"
#include "cli/http.h"
#include "cli/services.h"
#include "cli/verbs.h"

typedef enum { OK, WARN, FAIL } verdict;

typedef struct {
    lane_cli *cli;
    uint64_t monitor; // port, where asked for
    bool secret;      // lane logs in with a password or token
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
        lane_say(stdout, "%-4s  %-22s %s%s%s\n", words[v], what, found, v == OK ? "" : ": ",
                 v == OK ? "" : advice);
    fflush(stdout);
}

// --- the machine ---------------------------------------------------------------------------------------

enum { CLOCK_ERROR_MAX_US = 16000000 }; // the kernel's word for: nobody has measured it

static void check_clock(doctor *d)
{
    struct timex t = {.modes = 0};
    char found[96];
    int state = adjtimex(&t);
    bool in_step = state >= 0 && state != TIME_ERROR && !(t.status & STA_UNSYNC);
    bool measured = t.esterror < CLOCK_ERROR_MAX_US;
    snprintf(found, sizeof found, measured ? "%s, estimated error %ld us" : "%s, error unknown",
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

// --- the broker ----------------------------------------------------------------------------------------

// Where the password or token went, if there is one.
static void check_login(doctor *d)
{
    bool in_clear = bus_conn_in_clear(d->cli->conn);
    if (d->secret)
        say(d, in_clear ? WARN : OK, "login",
            in_clear ? "the password or token went over the network in clear"
                     : "the password or token stays on this machine or goes by TLS",
            "use TLS (nats_ca, or a URL tls://...), then change it: it may have been read");
}

static bool check_broker(doctor *d)
{
    char found[128];
    bus_err err = lane_connect(d->cli);
    if (err) {
        say(d, FAIL, "broker", bus_err_text(),
            "start one: nats-server -js (2.11.1 or newer), or name it: --nats-url");
        return false;
    }
    uint32_t v = bus_conn_broker(d->cli->conn);
    bus_mono start = bus_now_mono();
    bus_conn_flush(d->cli->conn, d->cli->timeout);
    snprintf(found, sizeof found, "version %u.%u.%u, round trip %lld us, payloads to %lld KiB",
             v / 1000000, v / 1000 % 1000, v % 1000,
             (long long)(bus_mono_since(bus_now_mono(), start).ns / 1000),
             (long long)(bus_conn_max_payload(d->cli->conn) / 1024));
    const char *fault = bus_conn_fault(d->cli->conn);
    say(d, fault ? WARN : OK, "broker", found, fault ? fault : "");
    check_login(d);
    return true;
}

// The JSON that a request is answered with (new reference), or NULL; *err: why there was no answer.
static json_t *ask(const doctor *d, const char *subject, bus_span timeout, bus_err *err)
{
    bus_msg *reply = NULL;
    *err = bus_request(d->cli->conn, subject, NULL, 0, (bus_view){0}, timeout, &reply);
    bus_view text = *err ? (bus_view){0} : bus_msg_payload(reply);
    json_t *answer = text.len ? json_loadb(text.ptr, text.len, 0, NULL) : NULL;
    bus_msg_release(reply);
    return answer;
}

// --- who we are to it -------------------------------------------------------------------------------------

// What of the system an account has: all of it, or its side of two. Names: schemas/specs/access.md, "Accounts".
typedef enum { HAS_ALL, HAS_LIVE, HAS_RESEARCH, HAS_NONE } share;

static share share_of(const char *account)
{
    if (strcmp(account, "LIVE") == 0)
        return HAS_LIVE;
    if (strcmp(account, "RESEARCH") == 0)
        return HAS_RESEARCH;
    return strcmp(account, "SYS") == 0 || strcmp(account, "WATCH") == 0 ? HAS_NONE : HAS_ALL;
}

// A user without permissions may do everything, also publish on sc.LIVE. *limited: it has some.
static share check_rights(doctor *d, bool *limited)
{
    bus_err err;
    char found[160];
    json_t *answer = ask(d, "$SYS.REQ.USER.INFO", BUS_SPAN_S(1), &err);
    json_t *me = json_object_get(answer, "data");
    const char *user = json_string_value(json_object_get(me, "user"));
    const char *account = json_string_value(json_object_get(me, "account"));
    *limited = err || json_object_size(json_object_get(me, "permissions")) > 0;
    snprintf(found, sizeof found, "user '%s' of account '%s', %s", user ? user : "",
             account ? account : "?",
             *limited ? "with permissions of its own"
                      : "may publish and read everything, sc.LIVE too");
    share has = err ? HAS_NONE : share_of(account ? account : "");
    if (err)
        say(d, WARN, "rights", "this user may only listen, so nothing more can be asked",
            "ask as a user of LIVE or RESEARCH");
    else
        say(d, *limited ? OK : WARN, "rights", found,
            "fine on one machine; for production use one account a side, with allow-lists");
    json_decref(answer);
    return has;
}

// What others may do with the files that the connection is made from.
static void check_secrets(doctor *d)
{
    lane_connection c = {0};
    char why[1200];
    bool loose = false;
    if (lane_connection_find(&c, &d->cli->args))
        return;
    d->secret = c.password || c.token;
    const struct {
        const char *path;
        bus_file_use use;
    } files[] = {
        {c.file, c.password || c.token ? BUS_FILE_SECRET : BUS_FILE_TRUSTED},
        {c.creds, BUS_FILE_SECRET},
        {c.ca, BUS_FILE_TRUSTED},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (!bus_secrets_loose(files[i].path, files[i].use, why, sizeof why))
            continue;
        say(d, WARN, "credentials", why, "then change what was in it: it may have been read");
        loose = true;
    }
    if (!loose && (c.file || c.creds || c.ca))
        say(d, OK, "credentials", "only the owner may read what is secret", "");
    lane_connection_release(&c);
}

static void check_sync(doctor *d, const json_t *server)
{
    char found[64];
    if (!server) {
        say(d, WARN, "sync_interval",
            "cannot be seen from this account (2 min unless the server's file says otherwise)",
            "an acknowledged event may be lost in a power cut within it: jetstream { "
            "sync_interval: "
            "always } if that matters");
        return;
    }
    json_t *config = json_object_get(server, "config");
    snprintf(found, sizeof found, "%.3f s",
             (double)json_integer_value(json_object_get(config, "sync_interval")) / 1e9);
    say(d, OK, "sync_interval", found, "");
}

// --- where the broker keeps what is recorded -------------------------------------------------------------

static double gib(json_int_t bytes)
{
    return (double)bytes / (1 << 30);
}

// Room, in GiB, for what streams may still grow by, and for one more scenario's stream.
static verdict room(double left, double promised)
{
    return left < 1 ? FAIL : left < promised + 1 ? WARN : OK;
}

// The store's folder, when the broker is on this machine: only then is its disk one we can look at.
static bool look_at_store(doctor *d, const json_t *config, double promised)
{
    struct statvfs fs;
    char found[256];
    const char *folder = json_string_value(json_object_get(config, "store_dir"));
    if (!lane_has(d->cli, "monitor") || !folder || statvfs(folder, &fs) != 0)
        return false;
    double left = (double)fs.f_bavail * (double)fs.f_frsize / (1 << 30);
    snprintf(found, sizeof found,
             "%.1f GiB free on the broker's disk (%s), streams may grow by %.1f", left, folder,
             promised);
    say(d, room(left, promised), "storage", found,
        "make room on that disk, or lower act_bytes of stored");
    return true;
}

// What the broker holds and may hold: of the whole server when it tells us (`server`), else of this account.
static void check_storage(doctor *d, const json_t *server, const json_t *account)
{
    const json_t *config = json_object_get(server, "config");
    const json_t *from = server ? server : account;
    json_int_t used = json_integer_value(json_object_get(from, "storage"));
    json_int_t reserved = json_integer_value(json_object_get(from, "reserved_storage"));
    json_int_t limit = json_integer_value(
        json_object_get(server ? config : json_object_get(account, "limits"), "max_storage"));
    double promised = reserved > used ? gib(reserved - used) : 0;
    char found[256];
    if (look_at_store(d, config, promised))
        return;
    if (limit > 0) {
        snprintf(found, sizeof found,
                 "%.1f of at most %.1f GiB in use %s, streams may grow by %.1f", gib(used),
                 gib(limit), server ? "by the broker" : "by this account", promised);
        say(d, room(gib(limit - used), promised), "storage", found,
            "raise max_file of the broker or the account's limit, or lower act_bytes of stored");
        return;
    }
    snprintf(
        found, sizeof found,
        "%.1f GiB in use, streams may grow by %.1f; this account has no limit, and how much is "
        "free on the broker's disk cannot be seen from it",
        gib(used), promised);
    say(d, WARN, "storage", found,
        "`df` on the broker's machine tells, or its monitoring port: nats-server -m 8222, "
        "lane doctor --monitor 8222");
}

// The server as a whole, from its monitoring port, or over the bus where the account may ask. New reference.
static json_t *ask_server(doctor *d, bool may_ask)
{
    bus_err err;
    int status = 0;
    json_t *body = NULL;
    if (!lane_has(d->cli, "monitor")) {
        if (!may_ask)
            return NULL;
        json_t *answer = ask(d, "$SYS.REQ.SERVER.PING.JSZ", BUS_SPAN_MS(300), &err);
        body = json_incref(json_object_get(answer, "data"));
        json_decref(answer);
        return body;
    }
    err = lane_http_json((int)d->monitor, "/jsz?config=true", &status, &body);
    if (!err && (status != 200 || !json_object_get(body, "config")))
        err = bus_fail(BUS_EINVAL,
                       "GET /jsz: port %d is no broker's monitoring port, or it has no JetStream",
                       (int)d->monitor);
    if (err) {
        say(d, WARN, "monitoring", bus_err_text(), "nats-server -m PORT opens one");
        json_decref(body);
        body = NULL;
    }
    return body;
}

// false: there is none to look at.
static bool check_jetstream(doctor *d, share has, bool limited)
{
    bus_err err = BUS_OK;
    json_t *server = ask_server(d, !limited || has == HAS_NONE);
    if (has == HAS_NONE) {
        check_sync(d, server);
        json_decref(server);
        return false;
    }
    json_t *account = ask(d, "$JS.API.INFO", d->cli->timeout, &err);
    bool there = account && !json_object_get(account, "error");
    if (!there) {
        say(d, FAIL, "jetstream",
            err == BUS_EUNAVAILABLE ? "the broker has none, so nothing can be recorded or kept"
            : err                   ? bus_err_text()
                                    : "refused for this user",
            "the broker needs -js (or jetstream in its file) and this account the right to use it");
    } else {
        say(d, OK, "jetstream", "enabled for this account", "");
        check_storage(d, server, account);
        check_sync(d, server);
    }
    json_decref(account);
    json_decref(server);
    return there;
}

// --- what should be there ------------------------------------------------------------------------------

// Source: schemas/specs/streams.md, "Two accounts".
enum { NAMES_MAX = 8 };
static const char *const streams[][NAMES_MAX] = {
    [HAS_ALL] = {"ACT", "SC_LIVE", "EXEC", "LIFECYCLE", "COMMAND", "DLQ"},
    [HAS_LIVE] = {"ACT", "SC_LIVE", "EXEC", "LIFECYCLE", "COMMAND", "DLQ"},
    [HAS_RESEARCH] = {"ACT", "SC_LIVE", "LIFECYCLE", "COMMAND", "DLQ"},
};
static const char *const buckets[][NAMES_MAX] = {
    [HAS_ALL] = {"scenarios", "replays", "workers", "connections", "config", "leases"},
    [HAS_LIVE] = {"scenarios", "workers", "connections", "config", "leases"},
    [HAS_RESEARCH] = {"scenarios", "replays", "workers", "config", "leases"},
};

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

static void check_stores(doctor *d, share has)
{
    static const char advice[] = "start stored: it makes and keeps them";
    char missing[256];
    json_t *have = json_object(), *kv = json_object();
    if (bus_stream_list(d->cli->conn, add_name, have) ||
        bus_kv_buckets(d->cli->conn, add_bucket, kv)) {
        say(d, FAIL, "streams", bus_err_text(), advice);
    } else {
        missing_of(have, "", streams[has], missing, sizeof missing);
        say(d, missing[0] ? FAIL : OK, "streams", missing[0] ? missing : "all there", advice);
        missing_of(kv, "", buckets[has], missing, sizeof missing);
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
        json_array_foreach (answers, k, one) {
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
    snprintf(found, sizeof found, "%d connection%s, %d connected", counts[0],
             counts[0] == 1 ? "" : "s", counts[1]);
    say(d, counts[1] ? OK : WARN, "feedd", found,
        "nothing arrives from a venue: start feedd, see `lane connections`");
}

static void check_system(doctor *d)
{
    bool limited;
    share has = check_rights(d, &limited);
    bool kept = check_jetstream(d, has, limited);
    if (has == HAS_NONE)
        return;
    if (kept)
        check_stores(d, has);
    if (kept && has != HAS_RESEARCH)
        check_live(d);
    check_daemons(d);
    if (kept && has != HAS_RESEARCH)
        check_feeds(d);
}

static int run_doctor(lane_cli *cli)
{
    doctor d = {.cli = cli};
    bus_err err = lane_opt_u64(cli, "monitor", 0, &d.monitor);
    if (!err && lane_has(cli, "monitor") && (d.monitor < 1 || d.monitor > 65535))
        err = bus_fail(BUS_EUSAGE, "--monitor %llu is no port", (unsigned long long)d.monitor);
    if (err)
        return lane_fail(cli, err);
    check_clock(&d);
    check_files(&d);
    check_secrets(&d);
    if (check_broker(&d))
        check_system(&d);
    return d.failed ? 1 : 0;
}

static const lane_option doctor_options[] = {
    {"monitor", 0, "PORT", "the broker's monitoring port on this machine: its disk and settings"},
    {0},
};

const lane_verb lane_doctor_verbs[] = {
    {"doctor", "", 0, 0, "machine, broker and stack: what is in order, and what to do",
     doctor_options, run_doctor},
    {0},
};
