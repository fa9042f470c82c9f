#include "bus/nats/publisher.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/base/kill_point.h"
#include "bus/base/log.h"
#include "bus/event/identity.h"
#include "bus/lane/lane.h"
#include "bus/nats/api.h"
#include "bus/nats/counters.h"
#include "bus/nats/publisher_impl.h"

enum {
    WINDOW_MSGS = 4096,
    WINDOW_BYTES = 8 << 20,
    HEADERS_MAX = 16,
    BROKER_INGEST = 2014000, // the first that has it
    LOOK_AGAIN_S = 10,       // on the plain path, for a better one
    ASK_AGAIN_MS = 250,      // for a stream that is not there
};
static const bus_span ACK_TIMEOUT = {5 * (int64_t)1000000000},
                      DUPLICATES = {120 * (int64_t)1000000000};

// --- sending ----------------------------------------------------------------------------------------------

bool bus_publisher_refuse_large(bus_publisher *pub, const bus_frame *m, uint64_t number,
                                size_t headers_len)
{
    size_t len = m->payload.len + headers_len;
    if ((int64_t)len <= pub->outlet.link->max_payload)
        return false;
    char words[128];
    snprintf(words, sizeof words, "%zu bytes with headers; the broker takes at most %lld", len,
             (long long)pub->outlet.link->max_payload);
    bus_window_refused(&pub->window, number, BUS_ELIMIT, words);
    return true;
}

void bus_publisher_declined(bus_publisher *pub, const char *words)
{
    snprintf(pub->why, sizeof pub->why, "%s", words);
}

// Sends what is due. A failure of the link is left to be seen by poll: nothing that follows can go out on it.
static void transmit(bus_publisher *pub)
{
    bool waiting = bus_window_count(&pub->window) > 0;
    if (!bus_outlet_up(&pub->outlet) || pub->tail || pub->draining)
        return;
    if (waiting && !pub->confirmed && pub->confirm && !pub->confirm(pub->on_ack_ctx))
        return;
    pub->confirmed |= waiting;
    if (pub->route == BUS_ROUTE_INGEST)
        bus_ingest_send(pub);
    else if (pub->route == BUS_ROUTE_PLAIN)
        bus_plain_send(pub);
}

static bus_err check_subject(const bus_publisher *pub, const char *subject)
{
    size_t prefix = strlen(pub->owned);
    if (prefix && strncmp(subject, pub->owned, prefix - 1) != 0)
        return bus_fail(BUS_EINVAL, "subject '%s' is not one of '%s'", subject, pub->owned);
    bus_view view = bus_view_of(subject);
    if (!bus_lane_is_lane(view))
        return bus_subject_check(view, false);
    bus_lane lane;
    return bus_lane_parse(&lane, view);
}

static bus_err check_size(const bus_publisher *pub, const char *subject, size_t len)
{
    const bus_link *link = pub->outlet.link;
    if (len > pub->window.arena_bytes)
        return bus_fail(BUS_ELIMIT, "message on '%s': %zu bytes; the window holds %u", subject, len,
                        pub->window.arena_bytes);
    if (link && (int64_t)len > link->max_payload + BUS_SUBJECT_MAX)
        return bus_fail(BUS_ELIMIT, "message on '%s': %zu bytes; the broker takes at most %lld",
                        subject, len, (long long)link->max_payload);
    return BUS_OK;
}

static bus_publish_result failed(bus_err err)
{
    bus_note(err, "publishing");
    return BUS_PUBLISH_ERROR;
}

bus_publish_result bus_publisher_send(bus_publisher *pub, const char *subject, const char *msg_id,
                                      const bus_header_pair *headers, size_t count,
                                      bus_view payload, uint64_t tag)
{
    if (count > HEADERS_MAX)
        return failed(bus_fail(BUS_ELIMIT, "%zu headers; at most %d", count, HEADERS_MAX));
    const bus_frame_head head = {subject, msg_id, headers, count};
    bus_err err = check_subject(pub, subject);
    size_t len = bus_frame_head_len(&head) + payload.len;
    if (!err)
        err = check_size(pub, subject, len);
    if (err)
        return failed(err);
    uint8_t *at = bus_window_room(&pub->window, (uint32_t)len);
    if (!at)
        return BUS_PUBLISH_FULL;
    at = bus_frame_write_head(at, &head, (uint32_t)payload.len);
    if (payload.len)
        memcpy(at, payload.ptr, payload.len);
    bus_window_put(&pub->window, (uint32_t)len, tag);
    transmit(pub);
    return BUS_PUBLISH_SENT;
}

// An upper bound of the encoded form: every string has at most 5 bytes in front.
static size_t encoded_max(const bus_event *event)
{
    size_t len = 64 + event->data.len + 8;
#define X(field, name) len += event->field.len ? sizeof(name) + event->field.len + 10 : 0;
    BUS_EVENT_ATTRIBUTES(X)
#undef X
    for (uint32_t i = 0; i < event->extra_count; i++)
        len += event->extra[i].name.len + event->extra[i].packed.len + 10;
    return len;
}

bus_publish_result bus_publisher_event(bus_publisher *pub, const char *subject,
                                       const bus_event *event, uint64_t tag)
{
    char id[BUS_DEDUP_TEXT];
    bus_err err = check_subject(pub, subject);
    if (!err)
        err = bus_identity_dedup(id, sizeof id, event->runid, event->source, event->id, NULL);
    static const bus_header_pair type = {"Content-Type", BUS_CONTENT_MSGPACK};
    const bus_frame_head frame = {subject, id, &type, 1};
    if (err)
        return failed(err);
    size_t head = bus_frame_head_len(&frame), payload_max = encoded_max(event);
    uint8_t *at = bus_window_room(&pub->window, (uint32_t)(head + payload_max));
    if (!at && head + payload_max > pub->window.arena_bytes)
        return failed(check_size(pub, subject, head + payload_max));
    if (!at)
        return BUS_PUBLISH_FULL;
    bus_pack pack = bus_pack_to(at + head, payload_max);
    err = bus_event_encode(&pack, event);
    if (!err)
        err = check_size(pub, subject, head + pack.len);
    if (err)
        return failed(err);
    bus_frame_write_head(at, &frame, (uint32_t)pack.len);
    bus_window_put(&pub->window, (uint32_t)(head + pack.len), tag);
    transmit(pub);
    return BUS_PUBLISH_SENT;
}

// --- answers ----------------------------------------------------------------------------------------------

// The owner may send from its callback: what it puts in is delivered by this same loop later.
static void deliver(bus_publisher *pub)
{
    if (pub->delivering)
        return;
    pub->delivering = true;
    bus_slot slot;
    bus_mono now = bus_machine_mono();
    while (bus_window_pop(&pub->window, &slot)) {
        if (slot.state == BUS_SLOT_STORED)
            bus_counters_acknowledged(bus_mono_since(now, slot.first));
        bus_ack ack = {.tag = slot.tag,
                       .stream_seq = slot.stream_seq,
                       .duplicate = slot.duplicate,
                       .err = slot.err,
                       .text = slot.words ? slot.words : "",
                       .subject = ""};
        if (slot.state == BUS_SLOT_REFUSED) {
            bus_frame m = bus_frame_at(bus_window_popped(&pub->window, &slot));
            ack.subject = m.subject.ptr;
            ack.msg_id = m.id;
            ack.payload = m.payload;
        }
        if (pub->on_ack)
            pub->on_ack(pub->on_ack_ctx, &ack);
    }
    pub->delivering = false;
}

// --- the path -----------------------------------------------------------------------------------------------
// Who alone owns its subjects asks on each connection whether the stream takes batches. What the window holds
// of messages that may be stored stays on the path it was sent on until that is known.

static void take_route(bus_publisher *pub, bus_route route)
{
    bus_mono tried;
    bool in_doubt = bus_window_tried(&pub->window, &tried);
    if (pub->last_route == BUS_ROUTE_PLAIN && in_doubt)
        route = BUS_ROUTE_PLAIN;
    if (route == BUS_ROUTE_PLAIN && pub->last_route == BUS_ROUTE_INGEST)
        bus_plain_begin(pub);
    if (route == BUS_ROUTE_INGEST && pub->last_route != BUS_ROUTE_INGEST)
        bus_batch_init(&pub->batch);
    if (*pub->owned && route != pub->last_route)
        bus_info("what is written on '%s' goes to '%s' %s", pub->owned, pub->owned_stream,
                 route == BUS_ROUTE_INGEST ? "in batches" : "with message ids");
    pub->route = pub->last_route = route;
    pub->asked = (bus_mono){0};
    pub->draining = false;
    pub->ask_at = bus_mono_add(bus_machine_mono(), BUS_SPAN_S(LOOK_AGAIN_S));
}

static bool may_ingest(const bus_publisher *pub)
{
    return *pub->owned && pub->outlet.link && pub->outlet.link->broker >= BROKER_INGEST;
}

static void ask_stream(bus_publisher *pub)
{
    char subject[BUS_API_SUBJECT], tail[32];
    snprintf(subject, sizeof subject, "$JS.API.STREAM.INFO.%s", pub->owned_stream);
    snprintf(tail, sizeof tail, "info.%" PRIu64, ++pub->questions);
    pub->asked = bus_machine_mono();
    bus_outlet_ask(&pub->outlet, subject, bus_view_of(tail), (bus_view){0});
}

static void take_info(bus_publisher *pub, bus_view payload)
{
    json_error_t bad;
    int code = 0;
    json_t *answer = payload.len ? json_loadb(payload.ptr, payload.len, 0, &bad) : NULL;
    if (!answer || bus_api_error(answer, &code)) {
        char words[BUS_PUBLISHER_WHY];
        snprintf(words, sizeof words, "stream '%s': %s", pub->owned_stream,
                 answer ? bus_err_text() : "the broker does not tell of it");
        bus_publisher_declined(pub, words);
        pub->asked = (bus_mono){0};
        pub->ask_at = bus_mono_add(bus_machine_mono(), BUS_SPAN_MS(ASK_AGAIN_MS));
    } else {
        bool takes =
            json_is_true(json_object_get(json_object_get(answer, "config"), "allow_batched"));
        pub->why[0] = '\0';
        take_route(pub, takes ? BUS_ROUTE_INGEST : BUS_ROUTE_PLAIN);
    }
    json_decref(answer);
}

void bus_publisher_reroute(bus_publisher *pub)
{
    bus_ingest_doubt(pub);
    pub->route = BUS_ROUTE_NONE;
    pub->asked = (bus_mono){0};
    pub->ask_at = bus_mono_add(bus_machine_mono(), BUS_SPAN_MS(ASK_AGAIN_MS));
}

static void choose_route(bus_publisher *pub)
{
    if (!bus_outlet_up(&pub->outlet) || pub->asked.ns)
        return;
    bool due = bus_machine_mono().ns >= pub->ask_at.ns;
    if (pub->route == BUS_ROUTE_NONE && !may_ingest(pub)) {
        take_route(pub, BUS_ROUTE_PLAIN);
    } else if (pub->route == BUS_ROUTE_NONE && due) {
        ask_stream(pub);
    } else if (pub->route == BUS_ROUTE_PLAIN && due && may_ingest(pub)) {
        bus_mono tried;
        pub->draining = true;
        if (pub->window.sent_count > 0 || pub->tail || bus_window_tried(&pub->window, &tried))
            return;
        pub->route = BUS_ROUTE_NONE;
        ask_stream(pub);
    }
}

// --- the connection -----------------------------------------------------------------------------------------

static void take_answer(bus_publisher *pub, bus_view tail, const bus_msg *msg)
{
    static const char info[] = "info.";
    enum { INFO_LEN = sizeof info - 1 };
    uint64_t number;
    if (tail.len > INFO_LEN && memcmp(tail.ptr, info, INFO_LEN) == 0) {
        if (bus_view_u64((bus_view){tail.ptr + INFO_LEN, tail.len - INFO_LEN}, &number) &&
            number == pub->questions && pub->asked.ns)
            take_info(pub, bus_msg_payload(msg));
    } else if (memchr(tail.ptr, '.', tail.len)) {
        bus_ingest_answer(pub, tail, msg);
    } else {
        bus_plain_answer(pub, tail, msg);
    }
}

// Another link than the one that carried the window, or none: doubt.
static void follow(bus_publisher *pub)
{
    if (!bus_outlet_follow(&pub->outlet))
        return;
    bus_counters_resent(pub->window.sent_count);
    pub->denials = bus_outlet_denials(&pub->outlet);
    pub->confirmed = false;
    bus_tail_close(pub->tail);
    pub->tail = NULL;
    pub->route = BUS_ROUTE_NONE;
    pub->asked = pub->ask_at = (bus_mono){0};
    pub->draining = false;
    if (pub->last_route == BUS_ROUTE_INGEST)
        bus_ingest_doubt(pub);
    else
        bus_plain_doubt(pub);
}

static void read_tail(bus_publisher *pub)
{
    if (!pub->tail || !bus_tail_poll(pub->tail, &pub->window))
        return;
    if (pub->route == BUS_ROUTE_INGEST)
        bus_ingest_was_read(pub);
    bus_tail_close(pub->tail);
    pub->tail = NULL;
}

// Since when an answer is owed; false when none is.
static bool owed(const bus_publisher *pub, bus_mono *since)
{
    if (pub->asked.ns) {
        *since = pub->asked;
        return true;
    }
    return bus_window_oldest(&pub->window, since) ||
           (pub->route == BUS_ROUTE_INGEST && bus_batch_late(&pub->batch, since));
}

static void watch_timeout(bus_publisher *pub)
{
    bus_mono since;
    if (!pub->outlet.link || !owed(pub, &since) ||
        bus_mono_since(bus_machine_mono(), since).ns < pub->ack_timeout.ns)
        return;
    long long ms = (long long)(pub->ack_timeout.ns / 1000000);
    if (strstr(pub->why, "not permitted"))
        ; // the reason is known
    else if (pub->asked.ns)
        snprintf(pub->why, sizeof pub->why,
                 "the broker does not tell of stream '%s' within %lld ms", pub->owned_stream, ms);
    else
        snprintf(pub->why, sizeof pub->why, "no acknowledgement within %lld ms", ms);
    bus_outlet_drop(&pub->outlet);
}

// The broker does not answer what the user may not publish or ask: said as soon as it says so itself.
static void watch_denials(bus_publisher *pub)
{
    if (bus_outlet_denials(&pub->outlet) == pub->denials || bus_window_count(&pub->window) == 0)
        return;
    bus_frame oldest = bus_frame_at(bus_window_bytes(&pub->window, pub->window.head));
    char subject[BUS_API_SUBJECT];
    snprintf(subject, sizeof subject, "$JS.API.STREAM.INFO.%s", pub->owned_stream);
    if (bus_outlet_denied(&pub->outlet, oldest.subject.ptr, pub->denials) ||
        (*pub->owned && bus_outlet_denied(&pub->outlet, subject, pub->denials)))
        bus_publisher_declined(pub, bus_err_text());
}

// What was found out in this turn may be acted upon in the next: the owner looks at its lease in between.
static bool again(const bus_publisher *pub)
{
    return pub->route == BUS_ROUTE_INGEST && pub->batch.state == BUS_BATCH_READY &&
           !pub->batch.ripe && pub->window.next < pub->window.tail;
}

void bus_publisher_push(bus_publisher *pub)
{
    bus_outlet_push(&pub->outlet);
}

void bus_publisher_poll(bus_publisher *pub)
{
    bus_view tail;
    bus_batch_turn(&pub->batch);
    for (bus_msg *msg; (msg = bus_outlet_next(&pub->outlet, &tail)) != NULL; bus_msg_release(msg)) {
        take_answer(pub, tail, msg);
        deliver(pub);
    }
    follow(pub);
    choose_route(pub);
    read_tail(pub);
    transmit(pub);
    if (pub->route == BUS_ROUTE_INGEST) {
        bus_batch_rest(&pub->batch, &pub->window, bus_machine_mono());
        transmit(pub);
    }
    watch_denials(pub);
    watch_timeout(pub);
    deliver(pub);
    bus_outlet_push(&pub->outlet);
    bus_outlet_sleep(&pub->outlet);
    if (again(pub) && pub->wake.fn)
        pub->wake.fn(pub->wake.ctx);
    if (bus_window_count(&pub->window))
        bus_kill_point("publisher.window");
}

bus_err bus_publisher_wait(bus_publisher *pub, bus_span timeout)
{
    enum { LOOK_NS = 2000000 }; // also for a batch that is to be ended when nothing more comes
    bus_mono until = bus_mono_add(bus_machine_mono(), timeout);
    bus_publisher_poll(pub);
    while (bus_window_count(&pub->window) > 0) {
        int64_t left = until.ns - bus_machine_mono().ns;
        if (left <= 0) {
            char why[BUS_PUBLISHER_WHY];
            return bus_fail(BUS_ETIMEOUT, "%u messages are not acknowledged%s%s",
                            bus_window_count(&pub->window), bus_publisher_up(pub) ? "" : ": ",
                            bus_publisher_why(pub, why, sizeof why));
        }
        if (!again(pub))
            bus_outlet_wait(&pub->outlet, (bus_span){left < LOOK_NS ? left : LOOK_NS});
        bus_publisher_poll(pub);
    }
    return BUS_OK;
}

// --- life ---------------------------------------------------------------------------------------------------

static bus_err own(bus_publisher *pub, const bus_publisher_opts *opts)
{
    if (!opts->owned)
        return BUS_OK;
    size_t len = strlen(opts->owned);
    bus_err err = bus_api_name_check(opts->owned_stream ? opts->owned_stream : "", "stream name");
    if (!err)
        err = bus_subject_check(bus_view_of(opts->owned), true);
    if (!err && (len < 3 || strcmp(opts->owned + len - 2, ".>") != 0 || strchr(opts->owned, '*')))
        err = bus_fail(BUS_EINVAL, "own subjects '%s': literal tokens and then '>'", opts->owned);
    if (err)
        return err;
    snprintf(pub->owned_stream, sizeof pub->owned_stream, "%s", opts->owned_stream);
    snprintf(pub->owned, sizeof pub->owned, "%s", opts->owned);
    snprintf(pub->end_subject, sizeof pub->end_subject, "%.*send", (int)len - 1, opts->owned);
    return BUS_OK;
}

bus_err bus_publisher_open(bus_publisher **out, const bus_publisher_opts *opts)
{
    bus_publisher *pub = calloc(1, sizeof *pub);
    if (!pub)
        return bus_fail(BUS_ENOMEM, "publisher");
    bus_counters_register_publisher();
    pub->ack_timeout = opts->ack_timeout.ns ? opts->ack_timeout : ACK_TIMEOUT;
    pub->duplicates = opts->duplicates.ns ? opts->duplicates : DUPLICATES;
    pub->wake = opts->wake;
    pub->on_ack = opts->on_ack;
    pub->confirm = opts->confirm;
    pub->on_ack_ctx = opts->on_ack_ctx;
    bus_batch_init(&pub->batch);
    uint32_t msgs_max = opts->window_msgs_max ? opts->window_msgs_max : WINDOW_MSGS;
    bus_err err = own(pub, opts);
    if (!err)
        err = bus_window_init(&pub->window, msgs_max,
                              opts->window_bytes_max ? opts->window_bytes_max : WINDOW_BYTES);
    if (!err)
        err = bus_outlet_open(&pub->outlet, &opts->conn, pub->window.slots_max * 4, opts->wake);
    if (err) {
        bus_publisher_close(pub);
        return bus_note(err, "opening a publisher");
    }
    *out = pub;
    return BUS_OK;
}

bool bus_publisher_batches(const bus_publisher *pub)
{
    return pub->route == BUS_ROUTE_INGEST;
}

void bus_publisher_close(bus_publisher *pub)
{
    if (!pub)
        return;
    bus_tail_close(pub->tail);
    bus_outlet_close(&pub->outlet);
    bus_window_release(&pub->window);
    free(pub);
}

uint32_t bus_publisher_pending(const bus_publisher *pub)
{
    return bus_window_count(&pub->window);
}

void bus_publisher_each(const bus_publisher *pub, bus_unacknowledged_fn fn, void *ctx)
{
    for (uint64_t n = pub->window.head; n < pub->window.tail; n++) {
        bus_frame m = bus_frame_at(bus_window_bytes(&pub->window, n));
        const bus_unacknowledged message = {.subject = m.subject,
                                            .msg_id = m.id,
                                            .payload = m.payload,
                                            .tag = bus_window_slot(&pub->window, n)->tag};
        fn(ctx, &message);
    }
}

bool bus_publisher_up(const bus_publisher *pub)
{
    return bus_conn_state_of(pub->outlet.conn) == BUS_CONN_UP && !pub->why[0];
}

const char *bus_publisher_why(const bus_publisher *pub, char *buf, size_t cap)
{
    buf[0] = '\0';
    if (bus_conn_state_of(pub->outlet.conn) != BUS_CONN_UP)
        return bus_conn_why(pub->outlet.conn, buf, cap);
    snprintf(buf, cap, "%s", pub->why);
    return buf;
}
