#include "feeds/outbox.h"

#include <stdio.h>
#include <string.h>

#include "bus/base/log.h"
#include "bus/event/identity.h"
#include "bus/lane/lane.h"

enum {
    WAITING_BYTES_MAX = 64 << 20, // what one frame or snapshot can make is far below
    SIDE_BYTES_MAX = 4 << 20,
};

static void on_ack(void *ctx, const bus_ack *ack)
{
    feed_outbox *o = ctx;
    if (!ack->err) {
        o->acknowledged++;
        return;
    }
    o->refused++;
    bus_error("the broker refuses an event for good: %s", ack->text);
}

static void on_side_ack(void *ctx, const bus_ack *ack)
{
    (void)ctx;
    if (ack->err)
        bus_warn("the broker refuses a dead letter or lifecycle event: %s", ack->text);
}

bus_err feed_outbox_open(feed_outbox *o, const char *venue, const bus_conn_opts *conn,
                         bus_wake wake)
{
    *o = (feed_outbox){.venue = venue};
    feed_fifo_init(&o->waiting, WAITING_BYTES_MAX);
    feed_fifo_init(&o->side_waiting, SIDE_BYTES_MAX);
    bus_publisher_opts lane = {
        .conn = *conn, .wake = wake, .on_ack = on_ack, .on_ack_ctx = o, .window_msgs_max = 8192};
    bus_publisher_opts side = {.conn = *conn,
                               .wake = wake,
                               .on_ack = on_side_ack,
                               .on_ack_ctx = o,
                               .window_msgs_max = 256};
    bus_err err = bus_publisher_open(&o->lane, &lane);
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
    *o = (feed_outbox){0};
}

static const bus_header_pair event_header[] = {{"Content-Type", BUS_CONTENT_MSGPACK}};

// Sends one waiting event: subject, de-duplication id, payload.
static bus_publish_result send_waiting(feed_outbox *o, bus_publisher *pub,
                                       const feed_fifo_record *r)
{
    char subject[BUS_SUBJECT_BUF], id[BUS_DEDUP_TEXT];
    if (!bus_view_copy(r->piece[0], subject, sizeof subject) ||
        !bus_view_copy(r->piece[1], id, sizeof id))
        return BUS_PUBLISH_ERROR;
    return bus_publisher_send(pub, subject, id, event_header, 1, r->piece[2], ++o->tag);
}

static bus_publish_result send_side(feed_outbox *o, const feed_fifo_record *r)
{
    char reason[1024], received[BUS_TIME_TEXT], lane[64];
    if (r->piece[0].len) // a lifecycle event
        return send_waiting(o, o->side, r);
    bus_view_copy(r->piece[1], reason, sizeof reason);
    bus_time_format(r->at, received);
    snprintf(lane, sizeof lane, "act.exchange.%s", o->venue);
    const bus_header_pair header[] = {{"Dlq-Stream", "ACT"},
                                      {"Dlq-Subject", lane},
                                      {"Dlq-Consumer", "feedd"},
                                      {"Dlq-Reason", reason},
                                      {"Dlq-Received", received}};
    return bus_publisher_send(o->side, "dlq.ACT.feedd", NULL, header,
                              sizeof header / sizeof *header, r->piece[2], ++o->tag);
}

static void drain(feed_outbox *o, bool side)
{
    feed_fifo *fifo = side ? &o->side_waiting : &o->waiting;
    feed_fifo_record r;
    while (feed_fifo_front(fifo, &r)) {
        bus_publish_result result = side ? send_side(o, &r) : send_waiting(o, o->lane, &r);
        if (result == BUS_PUBLISH_FULL)
            return;
        if (result == BUS_PUBLISH_ERROR)
            bus_error("not published: %s", bus_err_text());
        feed_fifo_pop(fifo);
    }
}

void feed_outbox_turn(feed_outbox *o)
{
    bus_publisher_poll(o->lane);
    bus_publisher_poll(o->side);
    drain(o, false);
    drain(o, true);
}

bool feed_outbox_ready(const feed_outbox *o)
{
    return o->waiting.count == 0;
}

bool feed_outbox_empty(const feed_outbox *o)
{
    return feed_outbox_ready(o) && bus_publisher_pending(o->lane) == 0;
}

static void keep(feed_fifo *fifo, const char *subject, const bus_event *event, bool *lost)
{
    static _Thread_local uint8_t buf[BUS_EVENT_SIZE_MAX];
    char id[BUS_DEDUP_TEXT];
    size_t id_len;
    bus_pack p = bus_pack_to(buf, sizeof buf);
    bus_err err = bus_event_encode(&p, event);
    if (!err)
        err = bus_identity_dedup(id, sizeof id, event->runid, event->source, event->id, &id_len);
    if (err) {
        bus_error("not published: %s", bus_err_text());
        return;
    }
    const bus_view piece[3] = {bus_view_of(subject), {id, id_len}, {(const char *)p.buf, p.len}};
    if (!feed_fifo_push(fifo, 0, piece) && lost)
        *lost = true;
}

void feed_outbox_event(feed_outbox *o, const char *subject, const bus_event *event)
{
    o->published++;
    if (o->waiting.count == 0) {
        switch (bus_publisher_event(o->lane, subject, event, ++o->tag)) {
        case BUS_PUBLISH_SENT:
            return;
        case BUS_PUBLISH_ERROR:
            o->refused++;
            bus_error("not published: %s", bus_err_text());
            return;
        case BUS_PUBLISH_FULL:
            break;
        }
    }
    keep(&o->waiting, subject, event, &o->lost);
}

void feed_outbox_lifecycle(feed_outbox *o, const char *subject, const bus_event *event)
{
    keep(&o->side_waiting, subject, event, NULL);
    drain(o, true);
}

void feed_outbox_dead_letter(feed_outbox *o, bus_view bytes, const char *reason,
                             bus_recorded_time received)
{
    char plain[1024]; // a header has no line ends, and the reason may quote the bytes
    snprintf(plain, sizeof plain, "%s", reason);
    for (char *at = plain; *at; at++)
        if ((unsigned char)*at < 0x20 || (unsigned char)*at > 0x7e)
            *at = '?';
    const bus_view piece[3] = {{"", 0}, bus_view_of(plain), bytes};
    o->dead_letters++;
    if (!feed_fifo_push(&o->side_waiting, received.ns, piece))
        bus_error("a dead letter is lost, too many wait for the broker: %s", reason);
    drain(o, true);
}
