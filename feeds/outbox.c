#include "feeds/outbox.h"

#include <stdio.h>
#include <string.h>

#include "bus/base/log.h"
#include "bus/event/event.h"
#include "bus/event/identity.h"
#include "bus/lane/lane.h"
#include "bus/nats/stream.h"
#include "feeds/counters.h"

enum {
    WAITING_BYTES_MAX = 64 << 20, // what one frame or snapshot can make is far below
    SIDE_BYTES_MAX = 4 << 20,
};

static const char letters[] = "dlq.ACT.feedd";

// --- complaints --------------------------------------------------------------------------------------

static void complain(feed_complaint *c, const char *what, const char *why)
{
    if (c->count++ == 0)
        snprintf(c->first, sizeof c->first, "%s: %s", what, why);
}

bool feed_complaint_take(feed_complaint *c, feed_complaint *out)
{
    if (c->count == 0)
        return false;
    *out = *c;
    *c = (feed_complaint){0};
    return true;
}

static void letter_lost(feed_outbox *o, const char *from, size_t len, const char *why)
{
    char what[BUS_SUBJECT_BUF + 64];
    snprintf(what, sizeof what, "dead letter (%s) of %zu bytes", from, len);
    o->letters_lost++;
    complain(&o->losses, what, why);
    bus_error("%s, is lost: %s", what, why);
}

// --- dead letters ------------------------------------------------------------------------------------

typedef struct {
    const char *from; // lane or subject
    bus_view msg_id;  // of the event that was refused; empty: a frame
    bus_view bytes;
    const char *reason;
    bus_recorded_time received; // of a frame
} letter;

// A record of side_waiting that is a letter has no subject; its second piece is id, from and reason, each
// with a NUL behind it.
static void keep_letter(feed_outbox *o, const letter *l)
{
    char id[BUS_DEDUP_TEXT], plain[1024], about[sizeof id + BUS_SUBJECT_BUF + sizeof plain + 3];
    bus_view_copy(l->msg_id, id, sizeof id);
    snprintf(plain, sizeof plain, "%s", l->reason);
    for (char *at = plain; *at;
         at++) // a header has no line ends, and the reason may quote the bytes
        if ((unsigned char)*at < 0x20 || (unsigned char)*at > 0x7e)
            *at = '?';
    int len = snprintf(about, sizeof about, "%s%c%s%c%s%c", id, 0, l->from, 0, plain, 0);
    const bus_view piece[3] = {{"", 0}, {about, (size_t)len}, l->bytes};
    o->dead_letters++;
    if (!feed_fifo_push(&o->side_waiting, l->received.ns, piece))
        letter_lost(o, l->from, l->bytes.len, "too many wait for the broker");
}

static bus_publish_result send_letter(feed_outbox *o, const feed_fifo_record *r)
{
    const char *id = r->piece[1].ptr, *from = id + strlen(id) + 1,
               *reason = from + strlen(from) + 1;
    char received[BUS_TIME_TEXT];
    bus_header_pair header[6] = {{"Dlq-Stream", "ACT"},
                                 {"Dlq-Subject", from},
                                 {"Dlq-Consumer", "feedd"},
                                 {"Dlq-Reason", reason}};
    size_t count = 4;
    if (id[0])
        header[count++] = (bus_header_pair){"Content-Type", BUS_CONTENT_MSGPACK};
    if (r->at) {
        bus_time_format(r->at, received);
        header[count++] = (bus_header_pair){"Dlq-Received", received};
    }
    bus_publish_result result =
        bus_publisher_send(o->side, letters, id[0] ? id : NULL, header, count, r->piece[2], 0);
    if (result == BUS_PUBLISH_ERROR)
        letter_lost(o, from, r->piece[2].len, bus_err_text());
    return result;
}

// --- what the broker says ----------------------------------------------------------------------------

// An event that never will be on the lane: it is kept where whoever looks for it finds it.
static void refused(feed_outbox *o, const char *subject, bus_view msg_id, bus_view event,
                    const char *why)
{
    const letter l = {.from = subject, .msg_id = msg_id, .bytes = event, .reason = why};
    o->refused++;
    if (strncmp(subject, o->feed_lane, strlen(o->feed_lane)) !=
        0) // else each complaint would cause one
        complain(&o->refusals, subject, why);
    bus_error("an event on '%s' never will be stored, to dead letters: %s", subject, why);
    keep_letter(o, &l);
}

static void on_ack(void *ctx, const bus_ack *ack)
{
    feed_outbox *o = ctx;
    if (ack->err) {
        refused(o, ack->subject, ack->msg_id, ack->payload, ack->text);
        return;
    }
    o->acknowledged++;
    if (ack->tag)
        feed_count_lane((bus_recorded_time){(int64_t)ack->tag});
    if (ack->stream_seq > o->known_seq)
        o->known_seq = ack->stream_seq;
}

static bool confirm(void *ctx)
{
    feed_outbox *o = ctx;
    if (o->went_back || !o->ask)
        return !o->went_back;
    bus_holds holds = bus_stream_holds(o->ask, "ACT", (bus_mark){.seq = o->known_seq});
    o->went_back = holds == BUS_HOLDS_NO;
    if (o->went_back)
        snprintf(o->why, sizeof o->why, "%s", bus_err_text());
    return holds == BUS_HOLDS_YES;
}

static void on_side_ack(void *ctx, const bus_ack *ack)
{
    feed_outbox *o = ctx;
    if (!ack->err)
        return;
    if (strcmp(ack->subject, letters) == 0)
        letter_lost(o, letters, ack->payload.len, ack->text);
    else
        bus_warn("the broker refuses a lifecycle event: %s", ack->text);
}

// --- life --------------------------------------------------------------------------------------------

static bus_err open_lane(feed_outbox *o, const bus_conn_opts *conn, bus_wake wake,
                         bus_publisher **out)
{
    char own[64];
    snprintf(own, sizeof own, "act.exchange.%s.>", o->venue);
    bus_publisher_opts lane = {.conn = *conn,
                               .owned = own,
                               .owned_stream = "ACT",
                               .wake = wake,
                               .on_ack = on_ack,
                               .confirm = confirm,
                               .on_ack_ctx = o,
                               .window_msgs_max = FEED_WINDOW_EVENTS_MAX};
    return bus_publisher_open(out, &lane);
}

bus_err feed_outbox_open(feed_outbox *o, const char *venue, const bus_conn_opts *conn,
                         bus_wake wake)
{
    *o = (feed_outbox){.venue = venue};
    snprintf(o->feed_lane, sizeof o->feed_lane, "act.exchange.%s.feed.", venue);
    feed_fifo_init(&o->waiting, WAITING_BYTES_MAX);
    feed_fifo_init(&o->side_waiting, SIDE_BYTES_MAX);
    bus_publisher_opts side = {.conn = *conn,
                               .wake = wake,
                               .on_ack = on_side_ack,
                               .on_ack_ctx = o,
                               .window_msgs_max = 256};
    bus_err err = open_lane(o, conn, wake, &o->lane);
    if (!err)
        err = bus_publisher_open(&o->side, &side);
    if (err)
        feed_outbox_close(o);
    return err;
}

void feed_outbox_close(feed_outbox *o)
{
    bus_publisher_close(o->lane);
    bus_publisher_close(o->side);
    feed_fifo_release(&o->waiting);
    feed_fifo_release(&o->side_waiting);
    feed_fifo_release(&o->held);
    *o = (feed_outbox){0};
}

// --- a store that went back ---------------------------------------------------------------------------

typedef struct {
    feed_outbox *o;
    const feed_lane_last *last;
    bool stored;
} holding;

static void hold(void *ctx, const bus_unacknowledged *m)
{
    holding *h = ctx;
    feed_outbox *o = h->o;
    const bus_view piece[3] = {m->subject, m->msg_id, m->payload};
    if (bus_view_is(m->subject, h->last->subject) && bus_view_is(m->msg_id, h->last->msg_id)) {
        // What is stored is a prefix of what was sent: it ends with this one.
        feed_fifo_release(&o->held);
        h->stored = true;
    } else if (!feed_fifo_push(&o->held, (int64_t)m->tag, piece)) {
        o->lost = true;
    }
}

bus_err feed_outbox_reopen(feed_outbox *o, const bus_conn_opts *conn, bus_wake wake,
                           const feed_lane_last *last, bool *stored)
{
    bus_publisher *lane = NULL;
    feed_fifo_record r;
    holding h = {o, last, false};
    bus_err err = open_lane(o, conn, wake, &lane);
    if (err)
        return err;
    feed_fifo_init(&o->held, WAITING_BYTES_MAX);
    bus_publisher_each(o->lane, hold, &h);
    while (feed_fifo_front(&o->waiting, &r)) {
        hold(&h, &(bus_unacknowledged){r.piece[0], r.piece[1], r.piece[2], (uint64_t)r.at});
        feed_fifo_pop(&o->waiting);
    }
    bus_publisher_close(o->lane);
    o->lane = lane;
    o->known_seq = last->known_seq;
    o->went_back = false;
    *stored = h.stored;
    return BUS_OK;
}

bool feed_outbox_held(const feed_outbox *o, bus_recorded_time *first)
{
    feed_fifo_record r;
    bus_event event;
    return feed_fifo_front(&o->held, &r) && !bus_event_decode_msgpack(&event, r.piece[2]) &&
           !bus_time_parse(event.recordedtime, &first->ns);
}

void feed_outbox_resend(feed_outbox *o)
{
    feed_fifo_record r;
    while (feed_fifo_front(&o->held, &r)) {
        if (!feed_fifo_push(&o->waiting, r.at, r.piece))
            o->lost = true;
        feed_fifo_pop(&o->held);
    }
    feed_fifo_release(&o->held);
}

// --- events -------------------------------------------------------------------------------------------

static const bus_header_pair event_header[] = {{"Content-Type", BUS_CONTENT_MSGPACK}};

// Sends one waiting event: subject, de-duplication id, payload.
static bus_publish_result send_waiting(bus_publisher *pub, const feed_fifo_record *r)
{
    char subject[BUS_SUBJECT_BUF], id[BUS_DEDUP_TEXT];
    if (!bus_view_copy(r->piece[0], subject, sizeof subject) ||
        !bus_view_copy(r->piece[1], id, sizeof id))
        return BUS_PUBLISH_ERROR;
    return bus_publisher_send(pub, subject, id, event_header, 1, r->piece[2], (uint64_t)r->at);
}

static void drain(feed_outbox *o)
{
    feed_fifo_record r;
    while (feed_fifo_front(&o->waiting, &r)) {
        bus_publish_result result = send_waiting(o->lane, &r);
        if (result == BUS_PUBLISH_FULL)
            return;
        if (result == BUS_PUBLISH_ERROR) {
            char subject[BUS_SUBJECT_BUF];
            bus_view_copy(r.piece[0], subject, sizeof subject);
            refused(o, subject, r.piece[1], r.piece[2], bus_err_text());
        }
        feed_fifo_pop(&o->waiting);
    }
}

static void drain_side(feed_outbox *o)
{
    feed_fifo_record r;
    while (feed_fifo_front(&o->side_waiting, &r)) {
        bool lifecycle = r.piece[0].len > 0;
        bus_publish_result result = lifecycle ? send_waiting(o->side, &r) : send_letter(o, &r);
        if (result == BUS_PUBLISH_FULL)
            return;
        if (result == BUS_PUBLISH_ERROR && lifecycle)
            bus_error("not published: %s", bus_err_text());
        feed_fifo_pop(&o->side_waiting);
    }
}

void feed_outbox_turn(feed_outbox *o)
{
    bus_publisher_poll(o->lane);
    bus_publisher_poll(o->side);
    drain(o);
    drain_side(o);
}

void feed_outbox_push(feed_outbox *o)
{
    bus_publisher_push(o->lane);
    bus_publisher_push(o->side);
}

bool feed_outbox_ready(const feed_outbox *o)
{
    return o->waiting.count == 0 && o->held.count == 0;
}

bool feed_outbox_empty(const feed_outbox *o)
{
    return feed_outbox_ready(o) && o->side_waiting.count == 0 &&
           bus_publisher_pending(o->lane) == 0 && bus_publisher_pending(o->side) == 0;
}

// Why it cannot be written is our own mistake, and the text says which.
static void unwritable(feed_outbox *o, const char *subject, const bus_event *event)
{
    char why[512];
    snprintf(why, sizeof why, "%s", bus_err_text());
    refused(o, subject, (bus_view){0}, event->data, why);
}

// False: it can never be written, bus_err_text tells why.
static bool keep(feed_fifo *fifo, const char *subject, const bus_event *event,
                 bus_recorded_time received, bool *lost)
{
    static _Thread_local uint8_t buf[BUS_EVENT_SIZE_MAX];
    char id[BUS_DEDUP_TEXT];
    size_t id_len;
    bus_pack p = bus_pack_to(buf, sizeof buf);
    bus_err err = bus_event_encode(&p, event);
    if (!err)
        err = bus_identity_dedup(id, sizeof id, event->runid, event->source, event->id, &id_len);
    if (err)
        return false;
    const bus_view piece[3] = {bus_view_of(subject), {id, id_len}, {(const char *)p.buf, p.len}};
    if (!feed_fifo_push(fifo, received.ns, piece) && lost)
        *lost = true;
    return true;
}

void feed_outbox_event(feed_outbox *o, const char *subject, const bus_event *event)
{
    o->published++;
    if (o->waiting.count == 0) {
        switch (bus_publisher_event(o->lane, subject, event, (uint64_t)o->received.ns)) {
        case BUS_PUBLISH_SENT:
            return;
        case BUS_PUBLISH_ERROR:
            unwritable(o, subject, event);
            drain_side(o);
            return;
        case BUS_PUBLISH_FULL:
            break;
        }
    }
    if (!keep(&o->waiting, subject, event, o->received, &o->lost)) {
        unwritable(o, subject, event);
        drain_side(o);
    }
}

void feed_outbox_lifecycle(feed_outbox *o, const char *subject, const bus_event *event)
{
    if (!keep(&o->side_waiting, subject, event, (bus_recorded_time){0}, NULL))
        bus_error("not published: %s", bus_err_text());
    drain_side(o);
}

void feed_outbox_dead_letter(feed_outbox *o, bus_view bytes, const char *reason,
                             bus_recorded_time received)
{
    char lane[64];
    snprintf(lane, sizeof lane, "act.exchange.%s", o->venue);
    keep_letter(o, &(letter){.from = lane, .bytes = bytes, .reason = reason, .received = received});
    drain_side(o);
}
