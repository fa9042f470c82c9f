#include "cli/daemons.h"

#include <stdlib.h>
#include <string.h>

#include "bus/base/metrics.h"
#include "bus/event/identity.h"
#include "cli/json.h"

enum { ANSWER_WAIT_MS = 300, FORGET_S = 60, SILENT_S = 3, INTERVAL_MS_MIN = 50 };

struct lane_daemons {
    bus_conn *conn;
    bus_sub *inbox; // of the answers
    char inbox_name[80];
    json_t *answers; // id -> the last answer, with "at" (ours) and the one before as "before"
};

// --- asking --------------------------------------------------------------------------------------------

static json_t *health_of(const json_t *answer)
{
    json_t *endpoint, *data;
    size_t i;
    json_array_foreach (json_object_get(answer, "endpoints"), i, endpoint)
        if ((data = json_object_get(endpoint, "data")))
            return data;
    return NULL;
}

// When it was answered, on the daemon's own clock: an answer may lie here for a while before it is taken.
static int64_t answered_ms(const json_t *entry)
{
    const json_t *health = json_object_get(entry, "health");
    return json_integer_value(json_object_get(health, "uptime_ms")) +
           json_integer_value(json_object_get(health, "age_ms"));
}

// Seconds between the answer before and this one; 0: there is none to compare with.
static double interval_s(const json_t *entry)
{
    const json_t *before = json_object_get(entry, "before");
    int64_t ms = before ? answered_ms(entry) - answered_ms(before) : 0;
    return ms > 0 ? (double)ms / 1000 : 0;
}

// The older of two that were given almost at once, after a stop, stays what rates are taken from.
static void keep_before(json_t *now, json_t *last)
{
    json_t *older = json_object_get(last, "before");
    bool near = older && answered_ms(now) - answered_ms(last) < INTERVAL_MS_MIN &&
                answered_ms(now) > answered_ms(older);
    json_object_set(now, "before", near ? older : last);
    if (!near)
        json_object_del(last, "before");
}

static void keep_answer(lane_daemons *d, bus_view payload)
{
    json_t *answer = lane_json_parse(payload);
    const char *id = lane_json_text(answer, "id");
    json_t *health = health_of(answer);
    if (*id && health) {
        json_t *now = json_pack("{s:s, s:s, s:O, s:f}", "daemon", lane_json_text(answer, "name"),
                                "version", lane_json_text(answer, "version"), "health", health,
                                "at", (double)bus_machine_mono().ns / 1e9);
        json_t *before = json_object_get(d->answers, id);
        if (before)
            keep_before(now, before);
        json_object_set_new(d->answers, id, now);
    }
    json_decref(answer);
}

bus_err lane_daemons_ask(lane_daemons *d)
{
    static const char subject[] = "$SRV.STATS";
    uint64_t denials = bus_conn_denials(d->conn);
    bus_err err = bus_publish(d->conn, subject, d->inbox_name, NULL, 0, (bus_view){0});
    bus_msg *msg;
    while (!err && (msg = bus_sub_next(d->inbox, BUS_SPAN_MS(ANSWER_WAIT_MS / 3)))) {
        bool nobody = bus_msg_no_responders(msg);
        if (!nobody)
            keep_answer(d, bus_msg_payload(msg));
        bus_msg_release(msg);
        if (nobody)
            break;
    }
    return err ? err : bus_conn_denied(d->conn, subject, denials);
}

// --- rows ----------------------------------------------------------------------------------------------

static int64_t figure(const json_t *health, const char *name)
{
    enum { EXACT_BITS = 53 }; // above that it is no count, whoever says it
    const json_t *metrics = json_object_get(health, "metrics");
    double value = json_number_value(json_object_get(metrics, name));
    double most = (double)((int64_t)1 << EXACT_BITS);
    return (int64_t)(value > most ? most : value < 0 ? 0 : value);
}

static double cpu_percent(const json_t *entry)
{
    const json_t *before = json_object_get(entry, "before");
    const json_t *now = json_object_get(json_object_get(entry, "health"), "process");
    const json_t *then = json_object_get(json_object_get(before, "health"), "process");
    double wall = interval_s(entry);
    double used = json_number_value(json_object_get(now, "cpu_seconds")) -
                  json_number_value(json_object_get(then, "cpu_seconds"));
    return wall > 0 && used > 0 ? 100 * used / wall : 0;
}

// The first probe that does not hold, in words; a loop that does not turn counts as one.
static void why_of(const json_t *health, char *buf, size_t cap)
{
    const json_t *probe;
    size_t i;
    buf[0] = '\0';
    if (json_integer_value(json_object_get(health, "age_ms")) > 3000)
        snprintf(buf, cap, "its main loop does not turn");
    json_array_foreach (json_object_get(health, "probes"), i, probe)
        if (!buf[0] && !json_is_true(json_object_get(probe, "ready")))
            snprintf(buf, cap, "%s: %s", lane_json_text(probe, "name"),
                     lane_json_text(probe, "why"));
}

static json_t *daemon_row(const char *id, const json_t *entry, double silent_s)
{
    const json_t *health = json_object_get(entry, "health");
    const json_t *process = json_object_get(health, "process");
    char why[400];
    why_of(health, why, sizeof why);
    if (silent_s > SILENT_S)
        snprintf(why, sizeof why, "no answer for %.0f s", silent_s);
    return json_pack("{s:s, s:s, s:s, s:b, s:s, s:f, s:I, s:f, s:I, s:I, s:I, s:I}", "daemon",
                     lane_json_text(entry, "daemon"), "id", id, "version",
                     lane_json_text(entry, "version"), "ready", !why[0], "why", why, "uptime_s",
                     (double)lane_json_u64(health, "uptime_ms") / 1000, "resident_bytes",
                     (json_int_t)lane_json_u64(process, "resident_bytes"), "cpu_percent",
                     cpu_percent(entry), "fds", (json_int_t)lane_json_u64(process, "fds"),
                     "warnings", (json_int_t)figure(health, "log_records_total{level=\"warn\"}"),
                     "errors", (json_int_t)figure(health, "log_records_total{level=\"error\"}"),
                     "broker_losses", (json_int_t)figure(health, "broker_losses_total"));
}

// --- latencies ---------------------------------------------------------------------------------------

double lane_quantile(const int64_t *bucket, int count, double q)
{
    double total = 0, below = 0;
    for (int i = 0; i < count; i++)
        total += bucket[i] > 0 ? (double)bucket[i] : 0;
    if (total <= 0)
        return -1;
    for (int i = 0; i < count; i++) {
        double n = bucket[i] > 0 ? (double)bucket[i] : 0;
        double low = i ? 1e-6 * (double)((int64_t)1 << (i - 1)) : 0;
        double high = 1e-6 * (double)((int64_t)1 << i);
        if (below + n >= q * total && n > 0)
            return i == count - 1 ? low : low + (high - low) * (q * total - below) / n;
        below += n;
    }
    return -1;
}

// "frame_to_worker_seconds{scenario="LIVE"}" is frame_to_worker of LIVE.
static void split_name(const char *metric, char name[96], char of[96])
{
    const char *seconds = strstr(metric, "_seconds"), *quote = strchr(metric, '"');
    snprintf(name, 96, "%.*s", (int)(seconds ? (size_t)(seconds - metric) : strcspn(metric, "{")),
             metric);
    snprintf(of, 96, "%.*s", quote ? (int)strcspn(quote + 1, "\"") : 0, quote ? quote + 1 : "");
}

static json_t *milliseconds(const int64_t *bucket, double q)
{
    double seconds = lane_quantile(bucket, BUS_METRIC_BUCKETS, q);
    return seconds < 0 ? json_null() : json_real(1000 * seconds);
}

static int64_t count_at(const json_t *buckets, int i)
{
    json_int_t count = json_integer_value(json_array_get(buckets, (size_t)i));
    return count > 0 ? count : 0;
}

// What has never been measured is left out.
static void add_latency(json_t *rows, const char *daemon, const char *id, const char *metric,
                        const json_t *now, const json_t *before, double seconds)
{
    int64_t bucket[BUS_METRIC_BUCKETS];
    double count = 0, ever = 0;
    char name[96], of[96];
    for (int i = 0; i < BUS_METRIC_BUCKETS; i++) {
        int64_t all = count_at(now, i), then = count_at(before, i);
        bucket[i] = all < then ? all : all - then; // less: it began anew
        count += (double)bucket[i];
        ever += (double)all;
    }
    if (ever <= 0)
        return;
    split_name(metric, name, of);
    json_array_append_new(
        rows, json_pack("{s:s, s:s, s:s, s:s, s:f, s:o, s:o}", "latency", name, "of", of, "daemon",
                        daemon, "id", id, "events_per_s", seconds > 0 ? count / seconds : 0.0,
                        "p50_ms", milliseconds(bucket, 0.5), "p99_ms", milliseconds(bucket, 0.99)));
}

static void add_latencies(json_t *rows, const char *id, const json_t *entry)
{
    const json_t *before = json_object_get(entry, "before"), *buckets;
    const json_t *then = json_object_get(json_object_get(before, "health"), "histograms");
    double seconds = before ? interval_s(entry) : (double)answered_ms(entry) / 1000;
    const char *name;
    json_object_foreach (json_object_get(json_object_get(entry, "health"), "histograms"), name,
                         buckets)
        add_latency(rows, lane_json_text(entry, "daemon"), id, name, buckets,
                    json_object_get(then, name), seconds);
}

void lane_daemons_rows(lane_daemons *d, json_t *rows, json_t *latencies)
{
    json_t *entry;
    const char *id;
    void *next;
    double now = (double)bus_machine_mono().ns / 1e9;
    json_object_foreach_safe (d->answers, next, id, entry) {
        double silent_s = now - json_number_value(json_object_get(entry, "at"));
        if (silent_s > FORGET_S) {
            json_object_del(d->answers, id);
            continue;
        }
        json_array_append_new(rows, daemon_row(id, entry, silent_s));
        if (silent_s <= SILENT_S)
            add_latencies(latencies, id, entry);
    }
}

// --- life ----------------------------------------------------------------------------------------------

bus_err lane_daemons_open(lane_daemons **out, bus_conn *conn)
{
    char id[BUS_UUID_TEXT];
    lane_daemons *d = calloc(1, sizeof *d);
    if (!d)
        return bus_fail(BUS_ENOMEM, "daemons");
    d->conn = conn;
    d->answers = json_object();
    bus_err err = bus_identity_run(id);
    snprintf(d->inbox_name, sizeof d->inbox_name, "_INBOX.lane.%s", id);
    if (!err)
        err = bus_sub_open(&d->inbox, conn, &(bus_sub_opts){.subject = d->inbox_name});
    if (err) {
        lane_daemons_close(d);
        return err;
    }
    *out = d;
    return BUS_OK;
}

void lane_daemons_close(lane_daemons *d)
{
    if (!d)
        return;
    bus_sub_close(d->inbox);
    json_decref(d->answers);
    free(d);
}
