// progress: how far one instance is, and its saved state, as they stand in the bucket `workers`.
// Every write is a compare-and-set on what was read, so an instance that was replaced cannot overwrite its
// successor. A write that got no answer may be stored all the same; what is stored names its writer, so that
// the writer knows its own work and goes on behind it.
// Thread: the owner's. Source: schemas/specs/workers.md, "Records".
#ifndef WORKHOST_RUNTIME_PROGRESS_H
#define WORKHOST_RUNTIME_PROGRESS_H

#include "bus/nats/kv.h"
#include "bus/nats/stream.h"

#define WORK_BUCKET "workers"

enum { WORK_SKIPPED_MAX = 256, WORK_RUN_TEXT = 64, WORK_KEY_TEXT = 128, WORK_WRITER_TEXT = 17 };

// A record's place in the bucket, as one writer knows it. Made by the read; all zero: a new writer of a key
// that is not there.
typedef struct {
    uint64_t revision;         // 0: not stored yet
    char by[WORK_WRITER_TEXT]; // this writer, among all there ever were
} work_place;

typedef struct {
    char scenario[40], worker[40], stream[40];
    char session[24];          // act lane; "" on hyp
    char runid[WORK_RUN_TEXT]; // hyp lane; "" on act
    char sha256[72];
    uint64_t start_seq, done_seq, outputs, out_seq, generation;
    bool end;
    uint64_t skipped[WORK_SKIPPED_MAX]; // rising
    uint32_t skipped_count;
    bus_mark seen; // act lane: the last input taken from the stream; seq 0: none yet
    work_place place;
} work_progress;

// work_progress_from_json reads a record into *out, which keeps its names and place.
//   errors  BUS_EDATALOSS: no JSON object, or a field that is not of its type or size; *out is untouched
bus_err work_progress_from_json(work_progress *out, bus_view json);
// BUS_ENOTFOUND: there is none; BUS_EDATALOSS: it is no record. Then *out is empty but for its names and place.
bus_err work_progress_read(bus_conn *conn, const char *scenario, const char *worker,
                           work_progress *out);
// BUS_ECONFLICT: replaced. After any other error it may be stored or not; write again.
bus_err work_progress_write(bus_conn *conn, work_progress *progress);
bool work_progress_skips(const work_progress *progress, uint64_t seq);
bus_err work_progress_skip(work_progress *progress, uint64_t seq); // BUS_ELIMIT
// The session or run its ids are made from.
const char *work_progress_run(const work_progress *progress);

typedef struct {
    uint64_t seq, generation;
    int64_t now_ns;
    char session[24], runid[WORK_RUN_TEXT], sha256[72];
    uint8_t *bytes; // malloc'ed
    size_t len;
    work_place place;
} work_saved;

// work_saved_from_json: as work_progress_from_json; *out owns bytes only on BUS_OK.
bus_err work_saved_from_json(work_saved *out, bus_view json);
// BUS_ENOTFOUND: there is none; BUS_EDATALOSS: it is none that can be read.
bus_err work_saved_read(bus_conn *conn, const char *scenario, const char *worker, work_saved *out);
bus_err work_saved_write(bus_conn *conn, const char *scenario, const char *worker,
                         work_saved *saved);
void work_saved_release(work_saved *saved);

#endif
