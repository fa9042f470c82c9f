#include "cli/picture.h"

#include <stdlib.h>
#include <string.h>

#include "bus/base/metrics.h"
#include "bus/event/identity.h"
#include "bus/nats/kv.h"
#include "bus/nats/stream.h"
#include "cli/call.h"
#include "cli/meter.h"
#include "virtufin/api/v1/replay.pb-c.h"

enum { ANSWER_WAIT_MS = 300, FORGET_S = 10 };

struct lane_painter {
    lane_cli *cli;
    lane_meter *meter;
    bus_sub *inbox; // of the services' answers
    char inbox_name[80];
    json_t *daemons; // id -> the last answer, with "at" and the one before as "before"
    json_t *streams; // name -> last sequence of the picture before
    bus_mono painted;
    double elapsed_s; // between this picture and the one before; 0: there is none
};

// --- small helpers -----------------------------------------------------------------------------------

static uint64_t whole(const json_t *object, const char *field)
{
    uint64_t v = 0;
    const json_t *value = json_object_get(object, field);
    if (json_is_string(value)) // protobuf's JSON has 64-bit integers as strings
        bus_view_u64(bus_view_of(json_string_value(value)), &v);
    return json_is_integer(value) ? (uint64_t)json_integer_value(value) : v;
}

static const char *text(const json_t *object, const char *field)
{
    const char *value = json_string_value(json_object_get(object, field));
    return value ? value : "";
}

static json_t *parsed(const bus_kv_entry *entry)
{
    return json_loadb(entry->value.ptr ? entry->value.ptr : "", entry->value.len, 0, NULL);
}

// A part of the picture that could not be had says why, in place of its rows.
static void put_part(json_t *picture, const char *name, json_t *rows, bus_err err)
{
    if (err && err != BUS_ENOTFOUND) {
        json_t *errors = json_object_get(picture, "errors");
        json_object_set_new(errors, name, json_string(bus_err_text()));
    }
    json_object_set_new(picture, name, rows);
}

// --- lanes -------------------------------------------------------------------------------------------

static json_t *lag_ms(int64_t ns)
{
    return ns < 0 ? json_null() : json_real((double)ns / 1e6);
}

static bus_err add_lanes(lane_painter *p, json_t *picture)
{
    lane_reading r;
    bus_err err = lane_meter_take(p->meter, &r);
    if (err)
        return err;
    json_t *rows = json_array();
    double seconds = r.listened_s > 1e-3 ? r.listened_s : 1e-3;
    for (size_t i = 0; i < r.count; i++) {
        const lane_family *f = &r.family[i];
        double idle_s = (double)(bus_now_wall().ns - f->last.ns) / 1e9;
        json_array_append_new(
            rows,
            json_pack("{s:s, s:i, s:f, s:f, s:o, s:o, s:f}", "lane", f->name, "subjects",
                      (int)f->subjects, "events_per_s", (double)f->messages / seconds,
                      "bytes_per_s", (double)f->bytes / seconds, "lag_ms", lag_ms(f->lag_ns),
                      "lag_worst_ms", lag_ms(f->lag_worst_ns), "idle_s", idle_s > 0 ? idle_s : 0));
    }
    free(r.family);
    json_object_set_new(picture, "lanes", rows);
    // Not all of the time was listened to: the rates are right, but of a sample.
    json_object_set_new(picture, "sampled", json_boolean(r.listened_s < 0.9 * r.elapsed_s));
    json_object_set_new(picture, "lost", json_integer((json_int_t)r.lost));
    return BUS_OK;
}

// --- streams -----------------------------------------------------------------------------------------

typedef struct {
    lane_painter *painter;
    json_t *rows, *seen;
} stream_list;

static void add_stream(void *ctx, const bus_stream_info *s)
{
    stream_list *list = ctx;
    const json_t *before = json_object_get(list->painter->streams, s->name);
    double seconds = list->painter->elapsed_s;
    if (strncmp(s->name, "KV_", 3) == 0)
        return;
    json_t *rate = json_null();
    if (before && seconds > 0)
        rate = json_real(((double)s->last_seq - (double)json_integer_value(before)) / seconds);
    json_object_set_new(list->seen, s->name, json_integer((json_int_t)s->last_seq));
    json_array_append_new(
        list->rows,
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:i}", "stream", s->name, "messages",
                  (json_int_t)s->messages, "bytes", (json_int_t)s->bytes, "bytes_max",
                  (json_int_t)s->bytes_max, "first_seq", (json_int_t)s->first_seq, "last_seq",
                  (json_int_t)s->last_seq, "events_per_s", rate, "consumers", (int)s->consumers));
}

static void add_streams(lane_painter *p, json_t *picture)
{
    stream_list list = {p, json_array(), json_object()};
    put_part(picture, "streams", list.rows, bus_stream_list(p->cli->conn, add_stream, &list));
    json_decref(p->streams);
    p->streams = list.seen;
}

static uint64_t last_of(const json_t *picture, const char *stream)
{
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(picture, "streams"), i,
                       row) if (strcmp(text(row, "stream"), stream) == 0) return whole(row,
                                                                                       "last_seq");
    return 0;
}

// --- connections -------------------------------------------------------------------------------------

static void add_connection(void *ctx, const bus_kv_entry *entry)
{
    json_t *record = parsed(entry), *row = json_object();
    static const char *const fields[] = {"status", "url", "topic", "instance_id"};
    json_object_set_new(row, "connection", lane_json_view(entry->key));
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        json_object_set_new(row, fields[i], json_string(text(record, fields[i])));
    double since = (double)(bus_now_wall().ns - entry->time.ns) / 1e9;
    json_object_set_new(row, "since_s", json_real(since > 0 ? since : 0));
    json_decref(record);
    json_array_append_new(ctx, row);
}

static void add_connections(lane_painter *p, json_t *picture)
{
    json_t *rows = json_array();
    put_part(picture, "connections", rows,
             bus_kv_each(p->cli->conn, "connections", NULL, add_connection, rows));
}

// --- replays -----------------------------------------------------------------------------------------

static json_t *replay_row(const json_t *info)
{
    uint64_t first = whole(info, "firstSeq"), last = whole(info, "lastSeq");
    uint64_t at = whole(info, "position"), behind = 0;
    const json_t *member;
    size_t i;
    json_array_foreach(json_object_get(info, "participants"), i,
                       member) if (strcmp(text(member, "state"), "joined") == 0 &&
                                   whole(member, "behind") > behind) behind =
        whole(member, "behind");
    double part =
        last >= first && at >= first ? (double)(at - first + 1) / (double)(last - first + 1) : 0;
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:f, s:f, s:I, s:s, s:s, s:s}", "selector",
                     text(info, "selector"), "state", text(info, "state"), "stream",
                     text(info, "stream"), "speed", text(info, "speed"), "position", (json_int_t)at,
                     "last_seq", (json_int_t)last, "done_percent", 100 * part, "events_per_s",
                     json_number_value(json_object_get(info, "eventsPerS")), "behind",
                     (json_int_t)behind, "slowest", text(info, "slowest"), "message",
                     text(info, "message"), "runid", text(info, "runid"));
}

static void add_replays(lane_painter *p, json_t *picture)
{
    static const lane_rpc rpc = {"virtufin.api.v1.Replay", "List",
                                 &virtufin__api__v1__list_replays_request__descriptor,
                                 &virtufin__api__v1__list_replays_reply__descriptor};
    json_t *reply = NULL, *rows = json_array(), *info;
    size_t i;
    bus_err err = lane_call(p->cli, &rpc, json_object(), &reply);
    json_array_foreach(json_object_get(reply, "replays"), i, info)
        json_array_append_new(rows, replay_row(info));
    put_part(picture, "replays", rows, err);
    json_decref(reply);
}

// --- workers -----------------------------------------------------------------------------------------

typedef struct {
    const json_t *picture;
    json_t *rows;
} worker_list;

// How far there is to go: for a run of a replay its position, else the end of the stream.
static uint64_t goal_of(const json_t *picture, const json_t *record)
{
    const json_t *replay;
    size_t i;
    const char *runid = text(record, "runid");
    if (!*runid)
        return last_of(picture, *text(record, "stream") ? text(record, "stream") : "ACT");
    json_array_foreach(json_object_get(picture, "replays"), i,
                       replay) if (strcmp(text(replay, "runid"), runid) ==
                                   0) return whole(replay, "position");
    return 0;
}

// Keys sc.<scenario>.<worker>; those with a further token hold saved states.
static void add_worker(void *ctx, const bus_kv_entry *entry)
{
    worker_list *list = ctx;
    char key[256];
    bus_view_copy(entry->key, key, sizeof key);
    char *worker = strncmp(key, "sc.", 3) == 0 ? strchr(key + 3, '.') : NULL;
    if (!worker || strchr(worker + 1, '.'))
        return;
    *worker++ = '\0';
    json_t *record = parsed(entry);
    uint64_t done = whole(record, "done_seq"), goal = goal_of(list->picture, record);
    json_array_append_new(
        list->rows,
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "scenario", key + 3, "worker", worker, "state",
                  json_is_true(json_object_get(record, "end")) ? "ended" : "running", "done_seq",
                  (json_int_t)done, "outputs", (json_int_t)whole(record, "outputs"), "behind",
                  (json_int_t)(goal > done ? goal - done : 0)));
    json_decref(record);
}

static void add_workers(lane_painter *p, json_t *picture)
{
    worker_list list = {picture, json_array()};
    put_part(picture, "workers", list.rows,
             bus_kv_each(p->cli->conn, "workers", "sc.>", add_worker, &list));
}

// --- daemons -----------------------------------------------------------------------------------------

static json_t *health_of(const json_t *answer)
{
    json_t *endpoint, *data;
    size_t i;
    json_array_foreach(json_object_get(answer, "endpoints"), i,
                       endpoint) if ((data = json_object_get(endpoint, "data"))) return data;
    return NULL;
}

static void keep_answer(lane_painter *p, bus_view payload)
{
    json_t *answer = json_loadb(payload.ptr ? payload.ptr : "", payload.len, 0, NULL);
    const char *id = text(answer, "id");
    json_t *health = health_of(answer);
    if (*id && health) {
        json_t *now = json_pack("{s:s, s:s, s:O, s:f}", "daemon", text(answer, "name"), "version",
                                text(answer, "version"), "health", health, "at",
                                (double)bus_machine_mono().ns / 1e9);
        json_t *before = json_object_get(p->daemons, id);
        if (before) {
            json_object_del(before, "before");
            json_object_set(now, "before", before);
        }
        json_object_set_new(p->daemons, id, now);
    }
    json_decref(answer);
}

// Asks everybody, and takes the answers that have come; the first time it waits for them.
static bus_err ask_daemons(lane_painter *p)
{
    bus_err err = bus_publish(p->cli->conn, "$SRV.STATS", p->inbox_name, NULL, 0, (bus_view){0});
    bus_msg *msg;
    while (!err && (msg = bus_sub_next(p->inbox, BUS_SPAN_MS(ANSWER_WAIT_MS / 3)))) {
        bool nobody = bus_msg_no_responders(msg);
        if (!nobody)
            keep_answer(p, bus_msg_payload(msg));
        bus_msg_release(msg);
        if (nobody)
            break;
    }
    return err;
}

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
    double wall = json_number_value(json_object_get(entry, "at")) -
                  json_number_value(json_object_get(before, "at"));
    double used = json_number_value(json_object_get(now, "cpu_seconds")) -
                  json_number_value(json_object_get(then, "cpu_seconds"));
    return before && wall > 0.05 ? 100 * used / wall : 0;
}

// The first probe that does not hold, in words; a loop that does not turn counts as one.
static void why_of(const json_t *health, char *buf, size_t cap)
{
    const json_t *probe;
    size_t i;
    buf[0] = '\0';
    if (json_integer_value(json_object_get(health, "age_ms")) > 3000)
        snprintf(buf, cap, "its main loop does not turn");
    json_array_foreach(json_object_get(health, "probes"), i,
                       probe) if (!buf[0] && !json_is_true(json_object_get(probe, "ready")))
        snprintf(buf, cap, "%s: %s", text(probe, "name"), text(probe, "why"));
}

static json_t *daemon_row(const char *id, const json_t *entry, double silent_s)
{
    const json_t *health = json_object_get(entry, "health");
    const json_t *process = json_object_get(health, "process");
    char why[400];
    why_of(health, why, sizeof why);
    if (silent_s > 3)
        snprintf(why, sizeof why, "no answer for %.0f s", silent_s);
    return json_pack("{s:s, s:s, s:s, s:b, s:s, s:f, s:I, s:f, s:I, s:I, s:I, s:I}", "daemon",
                     text(entry, "daemon"), "id", id, "version", text(entry, "version"), "ready",
                     !why[0], "why", why, "uptime_s", (double)whole(health, "uptime_ms") / 1000,
                     "resident_bytes", (json_int_t)whole(process, "resident_bytes"), "cpu_percent",
                     cpu_percent(entry), "fds", (json_int_t)whole(process, "fds"), "warnings",
                     (json_int_t)figure(health, "log_records_total{level=\"warn\"}"), "errors",
                     (json_int_t)figure(health, "log_records_total{level=\"error\"}"),
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
static void add_latency(json_t *rows, const char *daemon, const char *metric, const json_t *now,
                        const json_t *before, double seconds)
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
        rows, json_pack("{s:s, s:s, s:s, s:f, s:o, s:o}", "latency", name, "of", of, "daemon",
                        daemon, "events_per_s", seconds > 0 ? count / seconds : 0.0, "p50_ms",
                        milliseconds(bucket, 0.5), "p99_ms", milliseconds(bucket, 0.99)));
}

static void add_latencies(json_t *rows, const json_t *entry)
{
    const json_t *before = json_object_get(entry, "before"), *buckets;
    const json_t *then = json_object_get(json_object_get(before, "health"), "histograms");
    const json_t *uptime = json_object_get(json_object_get(entry, "health"), "uptime_ms");
    double at = json_number_value(json_object_get(entry, "at"));
    double seconds = before ? at - json_number_value(json_object_get(before, "at"))
                            : json_number_value(uptime) / 1000;
    const char *name;
    json_object_foreach(json_object_get(json_object_get(entry, "health"), "histograms"), name,
                        buckets) add_latency(rows, text(entry, "daemon"), name, buckets,
                                             json_object_get(then, name), seconds);
}

static void add_daemons(lane_painter *p, json_t *picture)
{
    json_t *rows = json_array(), *latencies = json_array(), *entry;
    const char *id;
    void *next;
    bus_err err = ask_daemons(p);
    double now = (double)bus_machine_mono().ns / 1e9;
    json_object_foreach_safe(p->daemons, next, id, entry)
    {
        double silent_s = now - json_number_value(json_object_get(entry, "at"));
        if (silent_s > FORGET_S * 6) {
            json_object_del(p->daemons, id);
            continue;
        }
        json_array_append_new(rows, daemon_row(id, entry, silent_s));
        if (silent_s <= 3)
            add_latencies(latencies, entry);
    }
    put_part(picture, "daemons", rows, err);
    json_object_set_new(picture, "latencies", latencies);
}

// --- the whole ----------------------------------------------------------------------------------------

static json_t *broker_json(lane_painter *p)
{
    char why[512];
    bus_conn *conn = p->cli->conn;
    uint32_t v = bus_conn_broker(conn);
    bool up = bus_conn_state_of(conn) == BUS_CONN_UP;
    bus_mono start = bus_machine_mono();
    if (up && bus_conn_flush(conn, BUS_SPAN_S(1)))
        up = false;
    double rtt_ms = (double)bus_mono_since(bus_machine_mono(), start).ns / 1e6;
    snprintf(why, sizeof why, "it does not answer");
    if (bus_conn_state_of(conn) != BUS_CONN_UP)
        bus_conn_why(conn, why, sizeof why);
    char version[40];
    snprintf(version, sizeof version, "%u.%u.%u", v / 1000000, v / 1000 % 1000, v % 1000);
    return json_pack("{s:s, s:b, s:o, s:s}", "version", version, "connected", up, "rtt_ms",
                     up ? json_real(rtt_ms) : json_null(), "why", up ? "" : why);
}

json_t *lane_painter_paint(lane_painter *p)
{
    bus_mono now = bus_machine_mono();
    json_t *broker = broker_json(p);
    p->elapsed_s = p->painted.ns ? (double)(now.ns - p->painted.ns) / 1e9 : 0;
    p->painted = now;
    json_t *picture = json_pack("{s:o, s:f, s:o, s:{}}", "time", lane_json_time(bus_now_wall().ns),
                                "interval_s", p->elapsed_s, "broker", broker, "errors");
    if (!picture || add_lanes(p, picture)) {
        json_decref(picture);
        return NULL;
    }
    if (!json_is_true(json_object_get(broker, "connected")))
        return picture;
    add_streams(p, picture);
    add_connections(p, picture);
    add_replays(p, picture);
    add_workers(p, picture);
    add_daemons(p, picture);
    return picture;
}

// --- life ---------------------------------------------------------------------------------------------

bus_err lane_painter_open(lane_painter **out, lane_cli *cli, const char *const *subjects,
                          size_t count)
{
    static const char *const preset[] = {"act.>", "hyp.>", "sc.>"};
    char id[BUS_UUID_TEXT];
    lane_painter *p = calloc(1, sizeof *p);
    if (!p)
        return bus_fail(BUS_ENOMEM, "lane top");
    p->cli = cli;
    p->daemons = json_object();
    p->streams = json_object();
    bus_err err = bus_identity_run(id);
    snprintf(p->inbox_name, sizeof p->inbox_name, "_INBOX.lane.%s", id);
    if (!err)
        err = bus_sub_open(&p->inbox, cli->conn, &(bus_sub_opts){.subject = p->inbox_name});
    if (!err)
        err = lane_meter_open(&p->meter, cli->conn, count ? subjects : preset, count ? count : 3);
    if (err) {
        lane_painter_close(p);
        return err;
    }
    *out = p;
    return BUS_OK;
}

void lane_painter_close(lane_painter *p)
{
    if (!p)
        return;
    lane_meter_close(p->meter);
    bus_sub_close(p->inbox);
    json_decref(p->daemons);
    json_decref(p->streams);
    free(p);
}
