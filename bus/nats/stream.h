// stream: JetStream streams as rows of a table, made and kept as the table says.
// Raw JSON to the stream API: the library's update call would drop settings it does not know.
// Thread: any. Source: schemas/specs/recording.md, "Streams".
#ifndef BUS_NATS_STREAM_H
#define BUS_NATS_STREAM_H

#include "bus/nats/conn.h"
#include "bus/nats/reader.h"

// Where a mirror takes its messages from: a stream of another account, whose JetStream API the mirror's own account
// sees below `api`, and which delivers below `deliver`, of which no two mirrors may have the same.
typedef struct {
    const char *name, *api, *deliver;
} bus_stream_origin;

typedef struct {
    const char *name;
    const char
        *api; // the JetStream API of the account that holds it, as seen here; NULL: one's own
    const char *const *subjects; // ends with NULL; of a mirror: not looked at
    bus_stream_origin mirror;    // name NULL: a stream of its own
    const char *description;
    int64_t bytes_max;         // 0: no limit; oldest out first
    bus_span age_max;          // 0: no limit
    int64_t message_bytes_max; // 0: the server's
    bus_span duplicates;       // de-duplication window; 0: 2 min
    int replicas;              // 0: 1
    bool allow_direct;
    bool
        allow_batched; // fast ingest, where the broker has it (>= 2.14); silently left out elsewhere
} bus_stream_def;

// bus_stream_ensure creates the stream or brings an existing one to the table, touching only our fields.
// changed (may be NULL): created or updated. BUS_ECONFLICT: its subjects overlap another stream's (named).
bus_err bus_stream_ensure(bus_conn *conn, const bus_stream_def *def, bool *changed);
bus_err bus_stream_delete(bus_conn *conn, const char *name); // BUS_ENOTFOUND

typedef struct {
    char name[64];
    char subjects[512]; // comma-separated
    uint64_t first_seq, last_seq, messages, bytes;
    int64_t bytes_max; // 0: no limit
    bus_span age_max;  // 0: no limit
    bus_wall created, last_time;
    bus_wall answered; // now, by the server's clock; 0: it does not say
    uint32_t consumers;
} bus_stream_info;
bus_err bus_stream_info_get(bus_conn *conn, const char *name, bus_stream_info *out);
// bus_stream_range: the sequences that it holds by now; empty: last < first.
bus_err bus_stream_range(bus_conn *conn, const char *stream, bus_seq_range *out);
typedef void (*bus_stream_fn)(void *ctx, const bus_stream_info *info);
bus_err bus_stream_list(bus_conn *conn, bus_stream_fn fn, void *ctx);

// bus_stream_records: does any stream record this subject? BUS_ENOTFOUND: none.
bus_err bus_stream_records(bus_conn *conn, const char *subject);
// bus_stream_last fetches the newest message of a subject pattern (direct get where allowed).
bus_err bus_stream_last(bus_conn *conn, const char *stream, const char *subject, bus_record *out,
                        bus_msg **owner);
bus_err bus_stream_get(bus_conn *conn, const char *stream, uint64_t seq, bus_record *out,
                       bus_msg **owner);

// bus_stream_holds: does the stream still go as far as is known, with the same record there? It does not when
// the broker came back on an older copy of its store.
//   known.stored  of that record, so that one that took its place since is told from it; 0: not known
//   NOT_KNOWN     nobody answers, or there is no such stream at the moment
typedef struct {
    uint64_t seq; // 0: nothing is known, so it is held
    bus_wall stored;
} bus_mark;
typedef enum { BUS_HOLDS_YES, BUS_HOLDS_NO, BUS_HOLDS_NOT_KNOWN } bus_holds;
bus_holds bus_stream_holds(bus_conn *conn, const char *stream,
                           bus_mark known); // with bus_err_text unless YES

#endif
