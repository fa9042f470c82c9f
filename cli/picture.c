#include "cli/picture.h"

#include <stdlib.h>
#include <string.h>

#include "bus/nats/kv.h"
#include "bus/nats/stream.h"
#include "cli/call.h"
#include "cli/daemons.h"
#include "cli/meter.h"
#include "virtufin/api/v1/replay.pb-c.h"

struct lane_painter {
    lane_cli *cli;
    lane_meter *meter;
    lane_daemons *daemons;
    json_t *streams; // name -> last sequence of the picture before
    bus_mono painted;
    double elapsed_s; // between this picture and the one before; 0: there is none
};

// --- small helpers -----------------------------------------------------------------------------------

// A part of the picture that could not be had says why, in place of its rows.
static void put_part(json_t *picture, const char *name, json_t *rows, bus_err err)
{
    // Which of the questions was refused is what counts, not who asked it.
    const char *why = bus_err_text(), *refused = strstr(why, "not permitted: ");
    if (err && err != BUS_ENOTFOUND) {
        json_t *errors = json_object_get(picture, "errors");
        json_object_set_new(errors, name, json_string(err == BUS_EPERM && refused ? refused : why));
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
    put_part(picture, "lanes", rows,
             *r.denied ? bus_fail(BUS_EPERM, "not permitted: %s", r.denied) : BUS_OK);
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
    json_array_foreach (json_object_get(picture, "streams"), i, row)
        if (strcmp(lane_json_text(row, "stream"), stream) == 0)
            return lane_json_u64(row, "last_seq");
    return 0;
}

// --- connections -------------------------------------------------------------------------------------

static void add_connection(void *ctx, const bus_kv_entry *entry)
{
    json_t *record = lane_json_parse(entry->value), *row = json_object();
    static const char *const fields[] = {"status", "url", "topic", "instance_id"};
    json_object_set_new(row, "connection", lane_json_view(entry->key));
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        json_object_set_new(row, fields[i], json_string(lane_json_text(record, fields[i])));
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
    uint64_t first = lane_json_u64(info, "firstSeq"), last = lane_json_u64(info, "lastSeq");
    uint64_t at = lane_json_u64(info, "position"), behind = 0;
    const json_t *member;
    size_t i;
    json_array_foreach (json_object_get(info, "participants"), i, member)
        if (strcmp(lane_json_text(member, "state"), "joined") == 0 &&
            lane_json_u64(member, "behind") > behind)
            behind = lane_json_u64(member, "behind");
    double part =
        last >= first && at >= first ? (double)(at - first + 1) / (double)(last - first + 1) : 0;
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:f, s:f, s:I, s:s, s:s, s:s}", "selector",
                     lane_json_text(info, "selector"), "state", lane_json_text(info, "state"),
                     "stream", lane_json_text(info, "stream"), "speed",
                     lane_json_text(info, "speed"), "position", (json_int_t)at, "last_seq",
                     (json_int_t)last, "done_percent", 100 * part, "events_per_s",
                     json_number_value(json_object_get(info, "eventsPerS")), "behind",
                     (json_int_t)behind, "slowest", lane_json_text(info, "slowest"), "message",
                     lane_json_text(info, "message"), "runid", lane_json_text(info, "runid"));
}

static void add_replays(lane_painter *p, json_t *picture)
{
    static const lane_rpc rpc = {"virtufin.api.v1.Replay", "List",
                                 &virtufin__api__v1__list_replays_request__descriptor,
                                 &virtufin__api__v1__list_replays_reply__descriptor};
    json_t *reply = NULL, *rows = json_array(), *info;
    size_t i;
    bus_err err = lane_call(p->cli, &rpc, json_object(), &reply);
    json_array_foreach (json_object_get(reply, "replays"), i, info)
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
    const char *runid = lane_json_text(record, "runid");
    if (!*runid)
        return last_of(picture, *lane_json_text(record, "stream") ? lane_json_text(record, "stream")
                                                                  : "ACT");
    json_array_foreach (json_object_get(picture, "replays"), i, replay)
        if (strcmp(lane_json_text(replay, "runid"), runid) == 0)
            return lane_json_u64(replay, "position");
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
    json_t *record = lane_json_parse(entry->value);
    uint64_t done = lane_json_u64(record, "done_seq"), goal = goal_of(list->picture, record);
    json_array_append_new(
        list->rows,
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "scenario", key + 3, "worker", worker, "state",
                  json_is_true(json_object_get(record, "end")) ? "ended" : "running", "done_seq",
                  (json_int_t)done, "outputs", (json_int_t)lane_json_u64(record, "outputs"),
                  "behind", (json_int_t)(goal > done ? goal - done : 0)));
    json_decref(record);
}

static void add_workers(lane_painter *p, json_t *picture)
{
    worker_list list = {picture, json_array()};
    put_part(picture, "workers", list.rows,
             bus_kv_each(p->cli->conn, "workers", "sc.>", add_worker, &list));
}

// --- daemons -----------------------------------------------------------------------------------------

static void add_daemons(lane_painter *p, json_t *picture)
{
    json_t *rows = json_array(), *latencies = json_array();
    bus_err err = lane_daemons_ask(p->daemons);
    lane_daemons_rows(p->daemons, rows, latencies);
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
    lane_painter *p = calloc(1, sizeof *p);
    if (!p)
        return bus_fail(BUS_ENOMEM, "lane top");
    p->cli = cli;
    p->streams = json_object();
    bus_err err = lane_daemons_open(&p->daemons, cli->conn);
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
    lane_daemons_close(p->daemons);
    json_decref(p->streams);
    free(p);
}
