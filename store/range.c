#include "store/range.h"

#include <inttypes.h>
#include <string.h>

#include "bus/event/event.h"
#include "bus/nats/stream.h"

enum { DISORDER = 1024, PROBE_BYTES = 64 * 1024 };
static const bus_span probe_timeout = {INT64_C(5000000000)};

// recordedtime (else time) of a stored record in whatever form; false: no event.
static bool recorded_of(const bus_record *record, bus_scratch *scratch, bus_recorded_time *out)
{
    bus_event event;
    if (bus_msg_event(record->msg, &event, scratch))
        return false;
    bus_view text = event.recordedtime.len ? event.recordedtime : event.time;
    return text.len && bus_time_parse(text, &out->ns) == BUS_OK;
}

// One walk over [from, last]: calls fn for each event until it returns true.
typedef bool (*event_fn)(void *ctx, uint64_t seq, bus_recorded_time recorded);

static bus_err walk(bus_conn *conn, const char *stream, uint64_t from, uint64_t last, event_fn fn,
                    void *ctx)
{
    bus_reader *reader = NULL;
    bus_scratch scratch = {0};
    bus_reader_opts opts = {.stream = stream, .from_seq = from, .window_bytes_max = PROBE_BYTES};
    bus_err err = bus_reader_open(&reader, conn, &opts);
    while (!err) {
        bus_record record;
        bus_seq_range gap;
        bus_recorded_time recorded;
        bus_reader_result result = bus_reader_next(reader, probe_timeout, &record, &gap);
        if (result == BUS_READER_CAUGHT_UP)
            break;
        if (result == BUS_READER_NOTHING)
            err = bus_fail(BUS_EUNAVAILABLE, "no answer for sequence %" PRIu64 " within 5 s", from);
        if (result == BUS_READER_ERROR)
            err = BUS_EUNAVAILABLE; // its text stands
        if (result != BUS_READER_RECORD)
            continue;
        if (record.seq > last)
            break;
        if (recorded_of(&record, &scratch, &recorded) && fn(ctx, record.seq, recorded))
            break;
        if (record.seq == last)
            break;
    }
    bus_reader_close(reader);
    bus_scratch_release(&scratch);
    return bus_note(err, "reading stream '%s'", stream);
}

typedef struct {
    bus_recorded_time time; // what is looked for
    uint64_t seq;           // found; 0: none
    bus_recorded_time recorded;
} hit;

static bool first_event(void *ctx, uint64_t seq, bus_recorded_time recorded)
{
    hit *h = ctx;
    h->seq = seq;
    h->recorded = recorded;
    return true;
}

static bool first_at_or_after(void *ctx, uint64_t seq, bus_recorded_time recorded)
{
    hit *h = ctx;
    h->recorded = recorded; // of the last one seen, for the error
    if (recorded.ns < h->time.ns)
        return false;
    h->seq = seq;
    return true;
}

// The lowest probe point whose next event is not before the time, taking times to rise.
static bus_err bisect(bus_conn *conn, const char *stream, bus_seq_range range,
                      bus_recorded_time time, uint64_t *out)
{
    uint64_t low = range.first, high = range.last; // the answer is in [low, high], or there is none
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        hit h = {.time = time};
        bus_err err = walk(conn, stream, middle, range.last, first_event, &h);
        if (err)
            return err;
        if (!h.seq || h.recorded.ns >= time.ns)
            high = middle; // no event from here on: it cannot be later either
        else
            low = h.seq + 1 > high ? high : h.seq + 1;
    }
    *out = low;
    return BUS_OK;
}

bus_err store_range_seek(bus_conn *conn, const char *stream, bus_seq_range range,
                         bus_recorded_time time, uint64_t *seq)
{
    uint64_t at;
    bus_err err = bisect(conn, stream, range, time, &at);
    if (err)
        return err;
    hit h = {.time = time};
    uint64_t from = at > range.first + DISORDER ? at - DISORDER : range.first;
    err = walk(conn, stream, from, range.last, first_at_or_after, &h);
    if (err)
        return err;
    if (!h.seq) {
        char asked[BUS_TIME_TEXT], last[BUS_TIME_TEXT];
        bus_time_format(time.ns, asked);
        bus_time_format(h.recorded.ns, last);
        return bus_fail(BUS_ERANGE, "time %s is after the last event of '%s' in range, recorded %s",
                        asked, stream, last);
    }
    *seq = h.seq;
    return BUS_OK;
}

static bus_err check_seq(const char *what, uint64_t seq, const char *stream, bus_seq_range stored)
{
    if (seq >= stored.first && seq <= stored.last)
        return BUS_OK;
    return bus_fail(BUS_ERANGE,
                    "%s %" PRIu64 " is %s: '%s' holds sequences %" PRIu64 " to %" PRIu64, what, seq,
                    seq < stored.first ? "before the first stored" : "behind the last stored",
                    stream, stored.first, stored.last);
}

static bus_err find_last(bus_conn *conn, const store_range_ask *ask, bus_seq_range stored,
                         uint64_t *out)
{
    *out = stored.last;
    if (ask->to_seq) {
        *out = ask->to_seq;
        return check_seq("last sequence", ask->to_seq, ask->stream, stored);
    }
    if (!ask->has_to)
        return BUS_OK;
    uint64_t after;
    bus_recorded_time next = {ask->to.ns + 1};
    bus_err err = store_range_seek(conn, ask->stream, stored, next, &after);
    if (err == BUS_ERANGE)
        return BUS_OK; // everything was recorded before it
    if (!err && after > stored.first)
        *out = after - 1;
    else if (!err)
        err = bus_fail(BUS_ERANGE, "the end time is before the first event of '%s'", ask->stream);
    return err;
}

bus_err store_range_find(bus_conn *conn, const store_range_ask *ask, bus_seq_range *out)
{
    bus_seq_range stored, found;
    bus_err err = bus_stream_range(conn, ask->stream, &stored);
    if (err)
        return err;
    if (stored.last < stored.first || stored.last == 0)
        return bus_fail(BUS_ESTATE, "stream '%s' is empty: there is nothing to replay",
                        ask->stream);
    found.first = ask->default_first ? ask->default_first : stored.first;
    if (ask->from_seq)
        found.first = ask->from_seq;
    else if (ask->has_from)
        err = store_range_seek(conn, ask->stream, stored, ask->from, &found.first);
    if (!err)
        err = check_seq("first sequence", found.first, ask->stream, stored);
    if (!err)
        err = find_last(conn, ask, stored, &found.last);
    if (!err && found.last < found.first)
        err = bus_fail(BUS_ERANGE,
                       "the range ends at sequence %" PRIu64 ", before its begin %" PRIu64,
                       found.last, found.first);
    if (!err)
        *out = found;
    return err;
}
