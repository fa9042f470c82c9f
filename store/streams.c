#include "store/streams.h"

#include <stdio.h>
#include <string.h>

#include "bus/base/log.h"
#include "store/relay.h"

enum { HOUR_S = 3600 };
#define MIB INT64_C(1048576)

const store_limits store_limits_default = {
    .act_bytes = 4096 * MIB,
    .scenario_bytes = 1024 * MIB,
    .exec_bytes = 1024 * MIB,
    .audit_bytes = 256 * MIB,
    .dlq_bytes = 1024 * MIB,
    .act_age = BUS_SPAN_S(24 * HOUR_S),
    .audit_age = BUS_SPAN_S(168 * HOUR_S),
    .dlq_age = BUS_SPAN_S(720 * HOUR_S),
    .replicas = 1,
};

static const store_stream_row streams[] = {
    {"ACT",
     BUS_SIDE_LIVE,
     STORE_TWIN_MIRROR,
     {"act.>"},
     STORE_STREAM_ACT,
     true,
     "live market data; its sequence is the total order across venues"},
    {"SC_LIVE",
     BUS_SIDE_LIVE,
     STORE_TWIN_MIRROR,
     {"sc.LIVE.>"},
     STORE_STREAM_SCENARIO,
     false,
     "production decisions, orders, fills"},
    {"EXEC",
     BUS_SIDE_LIVE,
     STORE_TWIN_NONE,
     {"execution.>"},
     STORE_STREAM_EXEC,
     false,
     "requests to and reports from venues, for audit"},
    {"LIFECYCLE",
     BUS_SIDE_LIVE,
     STORE_TWIN_OWN,
     {"websocketmanager.>", "workmanager.>"},
     STORE_STREAM_AUDIT,
     false,
     "status of connections and workers"},
    {"COMMAND",
     BUS_SIDE_LIVE,
     STORE_TWIN_OWN,
     {"command.>"},
     STORE_STREAM_AUDIT,
     false,
     "what workers were told, for audit"},
    {"DLQ",
     BUS_SIDE_LIVE,
     STORE_TWIN_OWN,
     {"dlq.>"},
     STORE_STREAM_DLQ,
     false,
     "what could not be processed, with its reason"},
    {"SC_<id>",
     BUS_SIDE_RESEARCH,
     STORE_TWIN_NONE,
     {"sc.<id>.>"},
     STORE_STREAM_SCENARIO,
     false,
     "decisions of one scenario; made and deleted with it"},
};

static const store_bucket_row buckets[] = {
    {"scenarios", BUS_SIDE_LIVE, STORE_TWIN_OWN, 8, "scenario id", "the scenario registry"},
    {"replays", BUS_SIDE_RESEARCH, STORE_TWIN_NONE, 4, "selector",
     "the running or last replay of each selector"},
    {"workers", BUS_SIDE_LIVE, STORE_TWIN_OWN, 4, "by kind", "worker declarations and progress"},
    {"connections", BUS_SIDE_LIVE, STORE_TWIN_NONE, 4, "connection id", "connections to venues"},
    {"config", BUS_SIDE_LIVE, STORE_TWIN_OWN, 8, "by service", "settings shared over the bus"},
    {"leases", BUS_SIDE_LIVE, STORE_TWIN_OWN, 1, "what is held", "who holds what"},
};

enum { STREAMS = sizeof streams / sizeof *streams, BUCKETS = sizeof buckets / sizeof *buckets };

const store_stream_row *store_stream_rows(size_t *count)
{
    *count = STREAMS;
    return streams;
}

const store_bucket_row *store_bucket_rows(size_t *count)
{
    *count = BUCKETS;
    return buckets;
}

bus_stream_def store_stream_def(const store_stream_row *row, const store_limits *limits)
{
    bus_stream_def def = {
        .name = row->name,
        .subjects = row->subjects,
        .description = row->description,
        .replicas = (int)limits->replicas,
        .allow_direct = true,
        .allow_batched = row->fast_ingest,
    };
    switch (row->kind) {
    case STORE_STREAM_ACT:
        def.bytes_max = limits->act_bytes;
        def.age_max = limits->act_age;
        break;
    case STORE_STREAM_SCENARIO:
        def.bytes_max = limits->scenario_bytes;
        break;
    case STORE_STREAM_EXEC:
        def.bytes_max = limits->exec_bytes;
        break;
    case STORE_STREAM_AUDIT:
        def.bytes_max = limits->audit_bytes;
        def.age_max = limits->audit_age;
        break;
    case STORE_STREAM_DLQ:
        def.bytes_max = limits->dlq_bytes;
        def.age_max = limits->dlq_age;
        break;
    }
    // the broker refuses a window longer than the age
    bus_span window = BUS_SPAN_S(120);
    if (def.age_max.ns && def.age_max.ns < window.ns)
        def.duplicates = def.age_max;
    return def;
}

static bool is_template(const store_stream_row *row)
{
    return strchr(row->name, '<') != NULL;
}

// Whether the row is the role's to make.
static bool is_of(store_role role, bus_side side, store_twin twin)
{
    if (role == STORE_ROLE_RESEARCH)
        return side == BUS_SIDE_RESEARCH || twin != STORE_TWIN_NONE;
    return role == STORE_ROLE_ALL || side == BUS_SIDE_LIVE;
}

static bus_err apply_mirror(bus_conn *conn, const bus_stream_def *live, store_relay_step step,
                            bool *changed)
{
    bool did = false;
    store_relay relay;
    store_relay_make(&relay, live, step);
    bus_err err = bus_stream_ensure(conn, &relay.def, &did);
    *changed |= did;
    return err;
}

static bus_err apply_stream(bus_conn *conn, store_role role, const store_limits *limits,
                            const store_stream_row *row, bool *changed)
{
    if (is_template(row) || !is_of(role, row->side, row->twin))
        return BUS_OK;
    bus_stream_def def = store_stream_def(row, limits);
    bool crosses = row->twin == STORE_TWIN_MIRROR;
    if (role == STORE_ROLE_RESEARCH && crosses)
        return apply_mirror(conn, &def, STORE_RELAY_RESEARCH, changed);
    bus_err err = bus_stream_ensure(conn, &def, changed);
    if (err || role != STORE_ROLE_LIVE || !crosses)
        return err;
    err = apply_mirror(conn, &def, STORE_RELAY_FIRST, changed);
    return err ? err : apply_mirror(conn, &def, STORE_RELAY_SECOND, changed);
}

static bus_err apply_bucket(bus_conn *conn, store_role role, const store_limits *limits,
                            const store_bucket_row *row)
{
    if (!is_of(role, row->side, row->twin))
        return BUS_OK;
    bus_kv_def def = {.bucket = row->name,
                      .description = row->description,
                      .history = row->history,
                      .replicas = (int)limits->replicas};
    return bus_kv_ensure(conn, &def);
}

bus_err store_streams_apply(bus_conn *conn, store_role role, const store_limits *limits,
                            int *changed)
{
    bus_err first = BUS_OK;
    char text[1024] = "";
    *changed = 0;
    for (size_t i = 0; i < STREAMS + BUCKETS; i++) {
        bool did = false;
        const char *name = i < STREAMS ? streams[i].name : buckets[i - STREAMS].name;
        bus_err err = i < STREAMS ? apply_stream(conn, role, limits, &streams[i], &did)
                                  : apply_bucket(conn, role, limits, &buckets[i - STREAMS]);
        *changed += did;
        if (!err)
            continue;
        bus_note(err, "%s '%s'", i < STREAMS ? "stream" : "bucket", name);
        bus_warn("%s", bus_err_text());
        if (!first) {
            first = err;
            snprintf(text, sizeof text, "%s", bus_err_text());
        }
        if (err == BUS_EUNAVAILABLE || err == BUS_ETIMEOUT)
            break; // the broker is away: the other rows would only wait for it
    }
    return first ? bus_fail(first, "%s", text) : BUS_OK;
}

void store_scenario_stream_name(char buf[STORE_STREAM_NAME_MAX], const char *id)
{
    snprintf(buf, STORE_STREAM_NAME_MAX, "SC_%s", id);
}

bus_err store_scenario_stream_ensure(bus_conn *conn, const char *id, const store_limits *limits)
{
    char name[STORE_STREAM_NAME_MAX], subject[STORE_STREAM_NAME_MAX + 8];
    if (strcmp(id, "LIVE") == 0)
        return bus_fail(BUS_EINVAL, "the stream of LIVE is a row of the table");
    store_scenario_stream_name(name, id);
    snprintf(subject, sizeof subject, "sc.%s.>", id);
    store_stream_row row = streams[STREAMS - 1];
    row.name = name;
    row.subjects[0] = subject;
    bus_stream_def def = store_stream_def(&row, limits);
    return bus_note(bus_stream_ensure(conn, &def, NULL), "stream '%s'", name);
}

bus_err store_scenario_stream_delete(bus_conn *conn, const char *id, uint64_t *messages)
{
    char name[STORE_STREAM_NAME_MAX];
    bus_stream_info info;
    store_scenario_stream_name(name, id);
    *messages = 0;
    bus_err err = bus_stream_info_get(conn, name, &info);
    if (!err) {
        *messages = info.messages;
        err = bus_stream_delete(conn, name);
    }
    return err == BUS_ENOTFOUND ? BUS_OK : bus_note(err, "deleting stream '%s'", name);
}
