#include "feeds/recall.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bus/base/log.h"
#include "bus/nats/reader.h"
#include "bus/nats/stream.h"

enum { STILL_MS = 250, LOOK_BACK = 100000 };

#define STREAM "ACT"

// The last event on a subject pattern. The event lives until owner is released.
typedef struct {
    uint64_t seq;    // 0: there is none
    bus_wall stored; // by the server's clock
    bus_event event;
    bus_msg *owner;
} last_one;

static bus_err last_event(bus_conn *conn, const char *pattern, last_one *out, bus_scratch *scratch)
{
    bus_record record;
    out->seq = 0;
    out->owner = NULL;
    bus_err err = bus_stream_last(conn, STREAM, pattern, &record, &out->owner);
    if (err == BUS_ENOTFOUND)
        return BUS_OK;
    if (err)
        return err;
    out->stored = record.stored;
    err = bus_msg_event(out->owner, &out->event, scratch);
    if (err) {
        bus_msg_release(out->owner);
        out->owner = NULL;
        return bus_note(err, "sequence %llu of " STREAM, (unsigned long long)record.seq);
    }
    out->seq = record.seq;
    return BUS_OK;
}

// Whoever wrote before us may have bytes on the way: the tail must have stood still for a while. What the
// server stored long enough before it answered us has.
static bus_err still(bus_conn *conn, const char *pattern, bus_wall answered, bus_scratch *scratch)
{
    last_one last, again;
    bus_err err = last_event(conn, pattern, &last, scratch);
    bus_msg_release(last.owner);
    if (err || last.seq == 0 ||
        (answered.ns && answered.ns - last.stored.ns >= (int64_t)STILL_MS * 1000000))
        return err;
    nanosleep(&(struct timespec){.tv_nsec = STILL_MS * 1000000}, NULL);
    err = last_event(conn, pattern, &again, scratch);
    bus_msg_release(again.owner);
    if (!err && again.seq != last.seq)
        err = bus_fail(BUS_ESTATE, "the tail of " STREAM " moves: %llu, then %llu",
                       (unsigned long long)last.seq, (unsigned long long)again.seq);
    return err;
}

static void raise_epoch(int64_t *epoch, bus_view id)
{
    uint64_t ms;
    const char *dot = memchr(id.ptr, '.', id.len);
    if (dot && bus_view_u64((bus_view){id.ptr, (size_t)(dot - id.ptr)}, &ms) &&
        (int64_t)ms > *epoch && ms < INT64_MAX / 2)
        *epoch = (int64_t)ms;
}

static bus_err highest_epoch(bus_conn *conn, const char *venue, int64_t *epoch,
                             bus_scratch *scratch)
{
    static const char *const own[] = {"feed.>", "orderbook.snapshot.>", "instrument.>"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        char pattern[BUS_SUBJECT_BUF];
        last_one last;
        snprintf(pattern, sizeof pattern, "act.exchange.%s.%s", venue, own[i]);
        bus_err err = last_event(conn, pattern, &last, scratch);
        if (err)
            return err;
        if (last.seq)
            raise_epoch(epoch, last.event.id);
        bus_msg_release(last.owner);
    }
    return BUS_OK;
}

// The receipt of the last frame: where a gap would begin. Not that of events of our own making: those of
// the writer before us tell of silence and of an end, or stand before the gap that it did not live to tell.
static bus_err raise_received(int64_t *received_ns, const bus_event *event)
{
    int64_t ns;
    bus_err err = bus_time_parse(event->recordedtime, &ns);
    if (!err && ns > *received_ns)
        *received_ns = ns;
    return err;
}

// Two channels share a subject: the last event is of one of them, the other's is further back.
static bus_err look_back(feed_session *session, bus_conn *conn, const char *subject, uint64_t last,
                         bus_scratch *scratch)
{
    bus_reader *reader;
    bus_reader_opts opts = {.stream = STREAM,
                            .filters = &subject,
                            .filter_count = 1,
                            .from_seq = last > LOOK_BACK ? last - LOOK_BACK : 1};
    bus_err err = bus_reader_open(&reader, conn, &opts);
    if (err)
        return err;
    for (;;) {
        bus_record record;
        bus_seq_range gap;
        bus_event event;
        bus_reader_result result = bus_reader_next(reader, BUS_SPAN_S(5), &record, &gap);
        if (result == BUS_READER_GAP)
            continue;
        if (result != BUS_READER_RECORD) {
            if (result != BUS_READER_CAUGHT_UP)
                err = bus_fail(BUS_EUNAVAILABLE, "reading back on '%s'", subject);
            break;
        }
        if (!bus_msg_event(record.msg, &event, scratch))
            session->venue->seen(session, event.id);
        if (record.seq >= last)
            break;
    }
    bus_reader_close(reader);
    return err;
}

// received_ns: of the last frame on any of the subjects; as it was when there is none.
static bus_err last_ids(feed_session *session, bus_conn *conn, int64_t *received_ns,
                        bus_scratch *scratch)
{
    const char *subject;
    bool several;
    for (uint32_t i = 0; session->venue->recall(session, i, &subject, &several); i++) {
        last_one last;
        bus_err err = last_event(conn, subject, &last, scratch);
        if (err)
            return err;
        if (last.seq) {
            session->venue->seen(session, last.event.id);
            err = raise_received(received_ns, &last.event);
        }
        bus_msg_release(last.owner);
        if (!err && last.seq && several)
            err = look_back(session, conn, subject, last.seq, scratch);
        if (err)
            return err;
    }
    return BUS_OK;
}

static bus_err recall(feed_session *session, bus_conn *conn, bool *fresh, bus_scratch *scratch)
{
    char pattern[BUS_SUBJECT_BUF];
    last_one last;
    int64_t last_ns = 0, frame_ns = 0, epoch = 0;
    bus_stream_info info;
    bus_err err = bus_stream_info_get(conn, STREAM, &info);
    if (err)
        return err;
    snprintf(pattern, sizeof pattern, "act.exchange.%s.>", session->venue->name);
    err = still(conn, pattern, info.answered, scratch);
    if (!err)
        err = last_event(conn, pattern, &last, scratch);
    if (err)
        return err;
    *fresh = last.seq == 0;
    if (last.seq)
        err = bus_time_parse(last.event.recordedtime, &last_ns);
    bus_msg_release(last.owner);
    if (err || !last.seq)
        return err;
    err = highest_epoch(conn, session->venue->name, &epoch, scratch);
    if (!err)
        err = last_ids(session, conn, &frame_ns, scratch);
    if (err)
        return err;
    feed_session_resume(session, (bus_recorded_time){frame_ns ? frame_ns : last_ns}, epoch);
    bus_info("the lane holds events of %s up to sequence %llu", session->venue->name,
             (unsigned long long)last.seq);
    return BUS_OK;
}

bus_err feed_recall(feed_session *session, bus_conn *conn, bool *fresh)
{
    bus_scratch scratch = {0};
    bus_err err = recall(session, conn, fresh, &scratch);
    bus_scratch_release(&scratch);
    return bus_note(err, "reading the tail of " STREAM " for %s", session->venue->name);
}
