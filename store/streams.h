// streams: THE table of streams and buckets, and its application to a broker. The AsyncAPI document is
// generated from the same rows. Thread: any. Source: schemas/specs/streams.md.
#ifndef STORE_STREAMS_H
#define STORE_STREAMS_H

#include <stddef.h>

#include "bus/base/err.h"
#include "bus/nats/conn.h"
#include "bus/nats/kv.h"
#include "bus/nats/stream.h"

// Bounds that the operator may set; bytes, and spans of which 0 is none.
typedef struct {
    int64_t act_bytes, scenario_bytes, exec_bytes, audit_bytes, dlq_bytes;
    bus_span act_age, audit_age, dlq_age;
    int64_t replicas; // 1..5
} store_limits;

extern const store_limits store_limits_default;

typedef enum {
    STORE_STREAM_ACT,
    STORE_STREAM_SCENARIO,
    STORE_STREAM_EXEC,
    STORE_STREAM_AUDIT,
    STORE_STREAM_DLQ
} store_stream_class;

// What a keeper looks after: everything on one account, or one of two accounts.
typedef enum { STORE_ROLE_ALL, STORE_ROLE_LIVE, STORE_ROLE_RESEARCH } store_role;
// What RESEARCH has, where it is an account of its own, of a row of LIVE.
typedef enum { STORE_TWIN_NONE, STORE_TWIN_OWN, STORE_TWIN_MIRROR } store_twin;

typedef struct {
    const char *name; // "SC_<id>" is the template of scenario streams: not applied, see below
    bus_side side;    // where it is, of two accounts
    store_twin twin;
    const char *subjects[3]; // ends with NULL
    store_stream_class kind; // which bounds
    bool fast_ingest;
    const char *description;
} store_stream_row;

typedef struct {
    const char *name;
    bus_side side;
    store_twin twin;
    int history;
    const char *key; // what a key is, for people
    const char *description;
} store_bucket_row;

const store_stream_row *store_stream_rows(size_t *count);
const store_bucket_row *store_bucket_rows(size_t *count);
// store_stream_def: a row with the bounds of `limits`; borrows from the row.
bus_stream_def store_stream_def(const store_stream_row *row, const store_limits *limits);

// store_streams_apply brings every row of the role to the broker; a row that fails is logged, the others are
// applied all the same, and the first error is returned. changed: rows created or updated.
bus_err store_streams_apply(bus_conn *conn, store_role role, const store_limits *limits,
                            int *changed);

// The stream of one scenario ("LIVE" has a row of its own: BUS_EINVAL).
enum { STORE_STREAM_NAME_MAX = 40 };
void store_scenario_stream_name(char buf[STORE_STREAM_NAME_MAX], const char *id);
bus_err store_scenario_stream_ensure(bus_conn *conn, const char *id, const store_limits *limits);
// messages: what it held; a stream that is not there is no error
bus_err store_scenario_stream_delete(bus_conn *conn, const char *id, uint64_t *messages);

#endif
