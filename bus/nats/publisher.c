#include "bus/nats/publisher.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/base/kill_point.h"
#include "bus/base/log.h"
#include "bus/event/identity.h"
#include "bus/lane/lane.h"
#include "bus/nats/api.h"
#include "bus/nats/conn_impl.h"
#include "bus/nats/counters.h"
#include "bus/nats/frame.h"
#include "bus/nats/tail.h"
#include "bus/nats/window.h"

enum {
    WINDOW_MSGS = 4096,
    WINDOW_BYTES = 8 << 20,
    HEADERS_MAX = 16,
    INBOX_CAP = 48,
    WHY_CAP = 256,
    ERR_MESSAGE_TOO_LARGE = 10054,
    ERR_HEADER_TOO_LARGE = 10097,
};
static const bus_span ACK_TIMEOUT = {5 * (int64_t)1000000000},
                      DUPLICATES = {120 * (int64_t)1000000000};

struct bus_publisher {
    bus_conn *conn;
    bus_sub *acks;
    bus_link *link; // what was sent since the last doubt went over this one; NULL: none
    bus_window window;
    bus_span ack_timeout, duplicates;
    bus_wake wake;
    bus_ack_fn on_ack;
    bool (*confirm)(void *ctx);
    void *on_ack_ctx;
    bool confirmed; // for this link
    // Where messages went: for reading the tail after an outage longer than ids are remembered.
    char stream[72];       // of the acknowledgements; "" before the first
    bool several_streams;  // then there is no one tail to read
    uint64_t last_seq;     // the highest acknowledged
    bus_tail *tail;        // being read: nothing is sent meanwhile
    char inbox[INBOX_CAP]; // "_INBOX.<random>."
    size_t inbox_len;
    char why[WHY_CAP]; // the broker's last "not now"; "" after a good answer
    bool delivering;
};

// --- sending ----------------------------------------------------------------------------------------------

static natsStatus transmit_one(bus_publisher *pub, const bus_frame *m, uint64_t number)
{
    char reply[INBOX_CAP + 24];
    snprintf(reply, sizeof reply, "%s%" PRIu64, pub->inbox, number);
    natsMsg *msg = NULL;
    natsStatus s = natsMsg_Create(&msg, m->subject, reply, m->payload.ptr, (int)m->payload.len);
    const char *at = m->headers;
    for (uint16_t i = 0; s == NATS_OK && i < m->count; i++) {
        const char *name = at, *value = name + strlen(name) + 1;
        s = natsMsgHeader_Add(msg, name, value);
        at = value + strlen(value) + 1;
    }
    if (s == NATS_OK)
        s = natsConnection_PublishMsg(pub->link->nc, msg);
    natsMsg_Destroy(msg);
    return s;
}

static void refuse_large(bus_publisher *pub, const bus_frame *m, uint64_t number)
{
    char words[128];
    snprintf(words, sizeof words, "%zu bytes with headers; the broker takes at most %lld",
             m->payload.len + m->headers_len, (long long)pub->link->max_payload);
    bus_window_refused(&pub->window, number, BUS_ELIMIT, words);
}

// Sends what is due. A failure of the link is left to be seen by poll: nothing that follows can go out on it.
static void transmit(bus_publisher *pub)
{
    if (!pub->link || pub->link->lost || pub->tail || bus_window_count(&pub->window) == 0)
        return;
    if (!pub->confirmed && pub->confirm && !pub->confirm(pub->on_ack_ctx))
        return;
    pub->confirmed = true;
    bus_mono now = bus_machine_mono();
    for (uint64_t n = bus_window_due(&pub->window, now); n; n = bus_window_due(&pub->window, now)) {
        bus_frame m = bus_frame_at(bus_window_bytes(&pub->window, n));
        if ((int64_t)(m.payload.len + m.headers_len) > pub->link->max_payload) {
            refuse_large(pub, &m, n);
            continue;
        }
        bus_window_sent(&pub->window, n, now); // also when it fails: it may be on its way
        bus_kill_point("publisher.publish");
        if (transmit_one(pub, &m, n) != NATS_OK) {
            bus_conn_drop(pub->conn, pub->link);
            return;
        }
    }
}

static bus_err check_subject(const char *subject)
{
    bus_view view = bus_view_of(subject);
    if (!bus_lane_is_lane(view))
        return bus_subject_check(view, false);
    bus_lane lane;
    return bus_lane_parse(&lane, view);
}

static bus_err check_size(const bus_publisher *pub, const char *subject, size_t len)
{
    if (len > pub->window.arena_bytes)
        return bus_fail(BUS_ELIMIT, "message on '%s': %zu bytes; the window holds %u", subject, len,
                        pub->window.arena_bytes);
    if (pub->link && (int64_t)len > pub->link->max_payload + BUS_SUBJECT_MAX)
        return bus_fail(BUS_ELIMIT, "message on '%s': %zu bytes; the broker takes at most %lld",
                        subject, len, (long long)pub->link->max_payload);
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
    bus_header_pair all[HEADERS_MAX];
    if (count >= HEADERS_MAX)
        return failed(bus_fail(BUS_ELIMIT, "%zu headers; at most %d", count, HEADERS_MAX - 1));
    size_t n = 0;
    if (msg_id)
        all[n++] = (bus_header_pair){"Nats-Msg-Id", msg_id};
    for (size_t i = 0; i < count; i++)
        all[n++] = headers[i];
    bus_err err = check_subject(subject);
    size_t len = bus_frame_head_len(subject, all, n) + payload.len;
    if (!err)
        err = check_size(pub, subject, len);
    if (err)
        return failed(err);
    uint8_t *at = bus_window_room(&pub->window, (uint32_t)len);
    if (!at)
        return BUS_PUBLISH_FULL;
    at = bus_frame_write_head(at, subject, all, n, (uint32_t)payload.len);
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
    bus_err err = check_subject(subject);
    if (!err)
        err = bus_identity_dedup(id, sizeof id, event->runid, event->source, event->id, NULL);
    const bus_header_pair headers[] = {{"Nats-Msg-Id", id}, {"Content-Type", BUS_CONTENT_MSGPACK}};
    if (err)
        return failed(err);
    size_t head = bus_frame_head_len(subject, headers, 2), payload_max = encoded_max(event);
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
    bus_frame_write_head(at, subject, headers, 2, (uint32_t)pack.len);
    bus_window_put(&pub->window, (uint32_t)(head + pack.len), tag);
    transmit(pub);
    return BUS_PUBLISH_SENT;
}

// --- answers ----------------------------------------------------------------------------------------------

static void declined(bus_publisher *pub, uint64_t number, const char *words)
{
    snprintf(pub->why, sizeof pub->why, "%s", words);
    bus_window_declined(&pub->window, number);
}

// Anything but the usual answer.
static void take_odd(bus_publisher *pub, uint64_t number, bus_view payload)
{
    json_error_t bad;
    json_t *answer = json_loadb(payload.ptr ? payload.ptr : "", payload.len, 0, &bad);
    int err_code = 0;
    if (answer && bus_api_error(answer, &err_code) == BUS_OK) {
        const json_t *seq = json_object_get(answer, "seq");
        if (json_is_integer(seq))
            bus_window_stored(&pub->window, number, (uint64_t)json_integer_value(seq),
                              json_is_true(json_object_get(answer, "duplicate")));
        else
            declined(pub, number, "an answer without a sequence");
    } else if (err_code == ERR_MESSAGE_TOO_LARGE || err_code == ERR_HEADER_TOO_LARGE) {
        bus_window_refused(&pub->window, number, BUS_ELIMIT, bus_err_text());
    } else {
        declined(pub, number, answer ? bus_err_text() : "an answer that is no JSON");
    }
    json_decref(answer);
}

static void remember(bus_publisher *pub, bus_view stream, uint64_t seq)
{
    if (seq > pub->last_seq)
        pub->last_seq = seq;
    if (bus_view_is(stream, pub->stream))
        return;
    pub->several_streams |= pub->stream[0] != '\0';
    bus_view_copy(stream, pub->stream, sizeof pub->stream);
}

// {"stream":"ACT","seq":42} and perhaps ,"duplicate": true. Nothing is allocated for it.
static bool take_usual(bus_publisher *pub, uint64_t number, bus_view payload)
{
    static const char start[] = "{\"stream\":\"", key[] = "\"seq\":";
    if (payload.len < sizeof start || memcmp(payload.ptr, start, sizeof start - 1) != 0)
        return false;
    const char *end = payload.ptr + payload.len;
    const char *at = memmem(payload.ptr, payload.len, key, sizeof key - 1);
    if (!at)
        return false;
    at += sizeof key - 1;
    while (at < end && *at == ' ')
        at++;
    const char *first = at;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    uint64_t seq;
    if (!bus_view_u64((bus_view){first, (size_t)(at - first)}, &seq) || seq == 0)
        return false;
    bool duplicate = memmem(at, (size_t)(end - at), "\"duplicate\"", 11) != NULL;
    bus_window_stored(&pub->window, number, seq, duplicate);
    const char *name = payload.ptr + sizeof start - 1,
               *quote = memchr(name, '"', (size_t)(end - name));
    remember(pub, (bus_view){name, quote ? (size_t)(quote - name) : 0}, seq);
    pub->why[0] = '\0';
    return true;
}

static void take_answer(bus_publisher *pub, const bus_msg *msg)
{
    bus_view subject = bus_msg_subject(msg);
    uint64_t number;
    if (subject.len <= pub->inbox_len ||
        !bus_view_u64((bus_view){subject.ptr + pub->inbox_len, subject.len - pub->inbox_len},
                      &number))
        return;
    bus_view payload = bus_msg_payload(msg);
    if (take_usual(pub, number, payload))
        return;
    if (payload.len == 0 && bus_msg_no_responders(msg)) {
        const bus_slot *slot = bus_window_slot(&pub->window, number);
        if (slot) {
            char words[WHY_CAP];
            bus_frame m = bus_frame_at(bus_window_bytes(&pub->window, number));
            snprintf(words, sizeof words, "no stream records '%s'", m.subject);
            declined(pub, number, words);
        }
        return;
    }
    take_odd(pub, number, payload);
}

// The owner may send from its callback: what it puts in is delivered by this same loop later.
static void deliver(bus_publisher *pub)
{
    if (pub->delivering)
        return;
    pub->delivering = true;
    bus_slot slot;
    while (bus_window_pop(&pub->window, &slot)) {
        if (slot.state == BUS_SLOT_STORED)
            bus_counters_acknowledged(bus_mono_since(bus_machine_mono(), slot.first));
        bus_ack ack = {.tag = slot.tag,
                       .stream_seq = slot.stream_seq,
                       .duplicate = slot.duplicate,
                       .err = slot.err,
                       .text = slot.words ? slot.words : "",
                       .subject = ""};
        if (slot.state == BUS_SLOT_REFUSED) {
            bus_frame m = bus_frame_at(bus_window_popped(&pub->window, &slot));
            ack.subject = m.subject;
            ack.msg_id = bus_frame_id(&m);
            ack.payload = m.payload;
        }
        if (pub->on_ack)
            pub->on_ack(pub->on_ack_ctx, &ack);
    }
    pub->delivering = false;
}

// --- the connection ---------------------------------------------------------------------------------------

// What was sent longer ago than the broker surely remembers ids may be stored and would be stored again: the
// tail of the stream tells.
static void look_at_tail(bus_publisher *pub)
{
    bus_mono oldest;
    bus_tail_close(pub->tail);
    pub->tail = NULL;
    if (!pub->link || !bus_window_tried(&pub->window, &oldest) ||
        bus_mono_since(bus_machine_mono(), oldest).ns < pub->duplicates.ns / 2)
        return;
    if (!pub->stream[0] || pub->several_streams)
        bus_warn(
            "publisher: an outage longer than ids are remembered, and no one stream to look into: "
            "what is sent again may be stored twice");
    else if (bus_tail_open(&pub->tail, pub->conn, &pub->window, pub->stream, pub->last_seq,
                           pub->wake))
        bus_warn("publisher: %s", bus_err_text());
}

static void read_tail(bus_publisher *pub)
{
    if (!pub->tail || !bus_tail_poll(pub->tail, &pub->window))
        return;
    bus_tail_close(pub->tail);
    pub->tail = NULL;
}

// Another link than the one that carried the window, or none: doubt.
static void follow(bus_publisher *pub)
{
    bus_link *link = bus_conn_link(pub->conn);
    if (link == pub->link) {
        bus_link_unref(link);
        return;
    }
    bus_counters_resent(pub->window.sent_count);
    bus_window_doubt(&pub->window);
    bus_link_unref(pub->link);
    pub->link = link;
    pub->confirmed = false;
    look_at_tail(pub);
}

static void watch_timeout(bus_publisher *pub)
{
    bus_mono since;
    if (!pub->link || !bus_window_oldest(&pub->window, &since))
        return;
    if (bus_mono_since(bus_machine_mono(), since).ns < pub->ack_timeout.ns)
        return;
    snprintf(pub->why, sizeof pub->why, "no acknowledgement within %lld ms",
             (long long)(pub->ack_timeout.ns / 1000000));
    bus_conn_drop(pub->conn, pub->link);
}

void bus_publisher_poll(bus_publisher *pub)
{
    for (bus_msg *msg; (msg = bus_sub_next(pub->acks, (bus_span){0})) != NULL;
         bus_msg_release(msg)) {
        take_answer(pub, msg);
        deliver(pub);
    }
    follow(pub);
    read_tail(pub);
    transmit(pub);
    watch_timeout(pub);
    deliver(pub);
    if (bus_window_count(&pub->window))
        bus_kill_point("publisher.window");
}

bus_err bus_publisher_wait(bus_publisher *pub, bus_span timeout)
{
    bus_mono until = bus_mono_add(bus_machine_mono(), timeout);
    bus_publisher_poll(pub);
    while (bus_window_count(&pub->window) > 0) {
        int64_t left = until.ns - bus_machine_mono().ns;
        if (left <= 0) {
            char why[WHY_CAP];
            return bus_fail(BUS_ETIMEOUT, "%u messages are not acknowledged%s%s",
                            bus_window_count(&pub->window), bus_publisher_up(pub) ? "" : ": ",
                            bus_publisher_why(pub, why, sizeof why));
        }
        bus_sub_wait(pub->acks, (bus_span){left < 20000000 ? left : 20000000});
        bus_publisher_poll(pub);
    }
    return BUS_OK;
}

// --- life ---------------------------------------------------------------------------------------------------

bus_err bus_publisher_open(bus_publisher **out, const bus_publisher_opts *opts)
{
    bus_publisher *pub = calloc(1, sizeof *pub);
    if (!pub)
        return bus_fail(BUS_ENOMEM, "publisher");
    pub->ack_timeout = opts->ack_timeout.ns ? opts->ack_timeout : ACK_TIMEOUT;
    pub->duplicates = opts->duplicates.ns ? opts->duplicates : DUPLICATES;
    pub->wake = opts->wake;
    pub->on_ack = opts->on_ack;
    pub->confirm = opts->confirm;
    pub->on_ack_ctx = opts->on_ack_ctx;
    snprintf(pub->inbox, sizeof pub->inbox, "_INBOX.%016" PRIx64 "%08x.", bus_machine_random(),
             (unsigned)bus_machine_random());
    pub->inbox_len = strlen(pub->inbox);
    char subject[INBOX_CAP + 2];
    snprintf(subject, sizeof subject, "%s*", pub->inbox);
    uint32_t msgs_max = opts->window_msgs_max ? opts->window_msgs_max : WINDOW_MSGS;
    bus_conn_opts conn = opts->conn;
    conn.wake = opts->wake;
    bus_err err = bus_window_init(&pub->window, msgs_max,
                                  opts->window_bytes_max ? opts->window_bytes_max : WINDOW_BYTES);
    if (!err)
        err = bus_conn_open(&pub->conn, &conn);
    if (!err)
        err = bus_sub_open(&pub->acks, pub->conn,
                           &(bus_sub_opts){.subject = subject,
                                           .pending_max = pub->window.slots_max * 4,
                                           .wake = opts->wake});
    if (err) {
        bus_publisher_close(pub);
        return bus_note(err, "opening a publisher");
    }
    *out = pub;
    return BUS_OK;
}

void bus_publisher_close(bus_publisher *pub)
{
    if (!pub)
        return;
    bus_tail_close(pub->tail);
    bus_link_unref(pub->link);
    bus_sub_close(pub->acks);
    bus_conn_close(pub->conn);
    bus_window_release(&pub->window);
    free(pub);
}

uint32_t bus_publisher_pending(const bus_publisher *pub)
{
    return bus_window_count(&pub->window);
}

bool bus_publisher_up(const bus_publisher *pub)
{
    return bus_conn_state_of(pub->conn) == BUS_CONN_UP && !pub->why[0];
}

const char *bus_publisher_why(const bus_publisher *pub, char *buf, size_t cap)
{
    buf[0] = '\0';
    if (bus_conn_state_of(pub->conn) != BUS_CONN_UP)
        return bus_conn_why(pub->conn, buf, cap);
    snprintf(buf, cap, "%s", pub->why);
    return buf;
}
