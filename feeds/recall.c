#include "feeds/recall.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bus/base/log.h"
#include "bus/nats/reader.h"
#include "bus/nats/stream.h"

enum { STILL_MS = 250, LOOK_BACK = 100000 };

#define STREAM "ACT"

typedef struct {
    bus_conn *conn;
    char source[80]; // of the venue's events
    uint64_t told;   // the newest message that was passed over and said so
    bus_scratch scratch;
} tail;

// Anybody may publish on a lane: only a whole event with the venue's source tells what a feed recorded.
static bus_err check_ours(tail *t, const bus_msg *msg, bus_event *event)
{
    int64_t received_ns;
    bus_err err = bus_msg_event(msg, event, &t->scratch);
    if (!err && !bus_view_eq(event->source, bus_view_of(t->source)))
        return bus_fail(BUS_EINVAL, "it is no event of this venue's feed");
    return err ? err : bus_time_parse(event->recordedtime, &received_ns);
}

static bool is_ours(tail *t, const bus_record *record, const bus_msg *msg, bus_event *event)
{
    if (!check_ours(t, msg, event))
        return true;
    if (record->seq > t->told) {
        t->told = record->seq;
        bus_warn("sequence %llu of " STREAM ", '%.*s', is passed over: %s",
                 (unsigned long long)record->seq, BUS_VIEW_ARG(record->subject), bus_err_text());
    }
    return false;
}

typedef void (*tail_fn)(void *ctx, uint64_t seq, const bus_event *event);

// Visits the feed's own events on a subject pattern from one sequence to another, in order.
static bus_err read_range(tail *t, const char *pattern, uint64_t from, uint64_t last, tail_fn visit,
                          void *ctx)
{
    bus_reader *reader;
    bus_reader_opts opts = {
        .stream = STREAM, .filters = &pattern, .filter_count = 1, .from_seq = from};
    bus_err err = bus_reader_open(&reader, t->conn, &opts);
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
                err = bus_fail(BUS_EUNAVAILABLE, "reading back on '%s'", pattern);
            break;
        }
        if (is_ours(t, &record, record.msg, &event))
            visit(ctx, record.seq, &event);
        if (record.seq >= last)
            break;
    }
    bus_reader_close(reader);
    return err;
}

static void keep_seq(void *ctx, uint64_t seq, const bus_event *event)
{
    (void)event;
    *(uint64_t *)ctx = seq;
}

// The newest event of ours before a message that is none; 0: there is none.
static bus_err newest_before(tail *t, const char *pattern, uint64_t seq, uint64_t *found)
{
    *found = 0;
    for (uint64_t back = LOOK_BACK;; back *= 16) {
        uint64_t from = seq > back ? seq - back : 1;
        bus_err err = read_range(t, pattern, from, seq, keep_seq, found);
        if (err || *found || from == 1)
            return err;
    }
}

// The feed's last event on a subject pattern. The event lives until owner is released.
typedef struct {
    uint64_t seq; // 0: there is none
    bus_view subject;
    bus_event event;
    bus_msg *owner;
} last_one;

static bus_err last_event(tail *t, const char *pattern, last_one *out)
{
    bus_record record;
    *out = (last_one){0};
    bus_err err = bus_stream_last(t->conn, STREAM, pattern, &record, &out->owner);
    if (err)
        return err == BUS_ENOTFOUND ? BUS_OK : err;
    if (!is_ours(t, &record, out->owner, &out->event)) {
        bus_msg_release(out->owner);
        out->owner = NULL;
        uint64_t found;
        err = newest_before(t, pattern, record.seq, &found);
        if (err || !found)
            return err;
        err = bus_stream_get(t->conn, STREAM, found, &record, &out->owner);
        if (!err)
            err = bus_msg_event(out->owner, &out->event, &t->scratch);
        if (err)
            return bus_note(err, "sequence %llu of " STREAM, (unsigned long long)found);
    }
    out->seq = record.seq;
    out->subject = record.subject;
    return BUS_OK;
}

// The last message of whoever it is. seq 0: there is none.
static bus_err last_message(tail *t, const char *pattern, uint64_t *seq, bus_wall *stored)
{
    bus_record record = {0};
    bus_msg *owner = NULL;
    bus_err err = bus_stream_last(t->conn, STREAM, pattern, &record, &owner);
    *seq = err ? 0 : record.seq;
    *stored = record.stored;
    bus_msg_release(owner);
    return err == BUS_ENOTFOUND ? BUS_OK : err;
}

// Whoever wrote before us may have bytes on the way: the tail must have stood still for a while. What the
// server stored long enough before it answered us has.
static bus_err still(tail *t, const char *pattern, bus_wall answered)
{
    uint64_t last, again;
    bus_wall stored;
    bus_err err = last_message(t, pattern, &last, &stored);
    if (err || last == 0 || (answered.ns && answered.ns - stored.ns >= (int64_t)STILL_MS * 1000000))
        return err;
    nanosleep(&(struct timespec){.tv_nsec = STILL_MS * 1000000}, NULL);
    err = last_message(t, pattern, &again, &stored);
    uint64_t ours = 0; // what others write meanwhile does not matter
    if (!err && again > last)
        err = read_range(t, pattern, last + 1, again, keep_seq, &ours);
    if (!err && (ours || again < last))
        err = bus_fail(BUS_ESTATE, "the tail of " STREAM " moves: %llu, then %llu",
                       (unsigned long long)last, (unsigned long long)again);
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

static bus_err highest_epoch(tail *t, const char *venue, int64_t *epoch)
{
    static const char *const own[] = {"feed.>", "orderbook.snapshot.>", "instrument.>"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        char pattern[BUS_SUBJECT_BUF];
        last_one last;
        snprintf(pattern, sizeof pattern, "act.exchange.%s.%s", venue, own[i]);
        bus_err err = last_event(t, pattern, &last);
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

static void tell_seen(void *ctx, uint64_t seq, const bus_event *event)
{
    (void)seq;
    feed_session *session = ctx;
    session->venue->seen(session, event->id);
}

// received_ns: of the last frame on any of the subjects; as it was when there is none.
static bus_err last_frame(feed_session *session, tail *t, int64_t *received_ns)
{
    const char *subject;
    bool several;
    bus_err err = BUS_OK;
    for (uint32_t i = 0; !err && session->venue->recall(session, i, &subject, &several); i++) {
        last_one last;
        err = last_event(t, subject, &last);
        if (!err && last.seq)
            err = raise_received(received_ns, &last.event);
        if (!err)
            bus_msg_release(last.owner);
    }
    return err;
}

// The same, and the session is told the ids.
static bus_err last_ids(feed_session *session, tail *t, int64_t *received_ns)
{
    const char *subject;
    bool several;
    for (uint32_t i = 0; session->venue->recall(session, i, &subject, &several); i++) {
        last_one last;
        bus_err err = last_event(t, subject, &last);
        if (err)
            return err;
        if (last.seq) {
            session->venue->seen(session, last.event.id);
            err = raise_received(received_ns, &last.event);
        }
        bus_msg_release(last.owner);
        if (!err && last.seq &&
            several) // two channels share it: the other's last event is further back
            err = read_range(t, subject, last.seq > LOOK_BACK ? last.seq - LOOK_BACK : 1, last.seq,
                             tell_seen, session);
        if (err)
            return err;
    }
    return BUS_OK;
}

// The last event of the venue's, once nobody writes any more.
static bus_err end_of_lane(feed_session *session, tail *t, last_one *last)
{
    char pattern[BUS_SUBJECT_BUF];
    bus_stream_info info;
    bus_err err = bus_stream_info_get(t->conn, STREAM, &info);
    if (err)
        return err;
    snprintf(pattern, sizeof pattern, "act.exchange.%s.>", session->venue->name);
    err = still(t, pattern, info.answered);
    return err ? err : last_event(t, pattern, last);
}

static bus_err recall(feed_session *session, tail *t, bool *fresh)
{
    last_one last;
    int64_t last_ns = 0, frame_ns = 0, epoch = 0;
    bus_err err = end_of_lane(session, t, &last);
    if (err)
        return err;
    *fresh = last.seq == 0;
    if (last.seq)
        err = bus_time_parse(last.event.recordedtime, &last_ns);
    bus_msg_release(last.owner);
    if (err || !last.seq)
        return err;
    err = highest_epoch(t, session->venue->name, &epoch);
    if (!err)
        err = last_ids(session, t, &frame_ns);
    if (err)
        return err;
    feed_session_resume(session, (bus_recorded_time){frame_ns ? frame_ns : last_ns}, epoch);
    bus_info("the lane holds events of %s up to sequence %llu", session->venue->name,
             (unsigned long long)last.seq);
    return BUS_OK;
}

bus_err feed_recall(feed_session *session, bus_conn *conn, bool *fresh)
{
    tail t = {.conn = conn};
    snprintf(t.source, sizeof t.source, "urn:com.virtufin.exchange.%s", session->venue->name);
    bus_err err = recall(session, &t, fresh);
    bus_scratch_release(&t.scratch);
    return bus_note(err, "reading the tail of " STREAM " for %s", session->venue->name);
}

static bus_err recall_end(feed_session *session, tail *t, feed_lane_end *end)
{
    last_one last;
    bus_seq_range range = {0};
    bus_err err = bus_stream_range(t->conn, STREAM, &range);
    end->last_seq = range.last;
    if (!err)
        err = end_of_lane(session, t, &last);
    if (err || !last.seq)
        return err;
    const bus_event *e = &last.event;
    bus_view_copy(last.subject, end->subject, sizeof end->subject);
    err = bus_identity_dedup(end->msg_id, sizeof end->msg_id, e->runid, e->source, e->id, NULL);
    bus_msg_release(last.owner);
    return err ? err : last_frame(session, t, &end->received.ns);
}

bus_err feed_recall_end(feed_session *session, bus_conn *conn, feed_lane_end *end)
{
    tail t = {.conn = conn};
    *end = (feed_lane_end){0};
    snprintf(t.source, sizeof t.source, "urn:com.virtufin.exchange.%s", session->venue->name);
    bus_err err = recall_end(session, &t, end);
    bus_scratch_release(&t.scratch);
    return bus_note(err, "reading the end of " STREAM " for %s", session->venue->name);
}
