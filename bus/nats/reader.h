// reader: events of one stream in stream order, with proof that none is missing.
// Pulls by hand (no library consumer, whose ordered reading loses silently when the reader is slow) with
// a bounded window, and makes its consumer anew from the next sequence after any doubt.
// Thread: the one that opened it; `wake` comes from the library's. Source: schemas/specs/recording.md, "Reading".
#ifndef BUS_NATS_READER_H
#define BUS_NATS_READER_H

#include "bus/nats/conn.h"

typedef struct bus_reader bus_reader;

typedef struct {
    uint64_t first, last; // inclusive
} bus_seq_range;

typedef struct {
    const char *stream;         // e.g. "ACT"; borrowed until open returns
    const char *const *filters; // subjects with wildcards, which may overlap; NULL: all
    size_t filter_count;
    uint64_t from_seq;         // stream sequence, 1-based; 0 means from_time
    bus_wall from_time;        // server's store time; used when from_seq is 0; 0 means the first
    uint32_t window_bytes_max; // held in memory; 0 means 8 MiB
    bus_wake wake;
    bool direct; // faster at full speed; the owner gets no wake and looks each millisecond instead
} bus_reader_opts;

typedef struct {
    uint64_t seq;    // stream sequence
    bus_wall stored; // the server's store time
    bus_view subject;
    bus_view payload;
    const bus_msg *msg; // for headers and bus_msg_event
} bus_record;

typedef enum {
    BUS_READER_RECORD,
    BUS_READER_CAUGHT_UP, // nothing newer is stored (as of the last answer)
    BUS_READER_NOTHING, // nothing within the timeout; not known whether there is more (broker away, slow)
    BUS_READER_GAP, // stored sequences that are not there any more (deleted, expired, purged)
    BUS_READER_ERROR, // the stream is gone or refuses us: bus_err_text; reading goes on when it comes back
} bus_reader_result;

bus_err bus_reader_open(bus_reader **out, bus_conn *conn, const bus_reader_opts *opts);
void bus_reader_close(bus_reader *reader);
// bus_reader_next waits up to `timeout` (0: does not wait) for the next record. With timeout 0 call it on
// wake and at least every 100 ms: it is also what keeps the reading going.
//   CAUGHT_UP comes at once, once, when the last stored record was taken, then whenever a timeout passes
//   out   valid until the next call on this reader; untouched unless RECORD
//   gap   set only on GAP: first and last missing; reported once, before the record after it
//   With filters, sequences of other subjects are no gap; continuity is proven by the consumer's own count.
bus_reader_result bus_reader_next(bus_reader *reader, bus_span timeout, bus_record *out,
                                  bus_seq_range *gap);
// bus_reader_nudge, any thread: the owner's present or next wait ends as if its time were over. Not for a direct one.
void bus_reader_nudge(bus_reader *reader);
bool bus_reader_gone(const bus_reader *reader); // the last ERROR was: there is no such stream
bool bus_reader_anew(const bus_reader *reader); // it was: another stream has the name; it stays so
uint64_t
bus_reader_seq(const bus_reader *reader); // sequence of the last record; 0 before the first

#endif
