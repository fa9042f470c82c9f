// The path of a writer who alone owns its subjects, on a broker that has fast ingest: batch.h against the wire.
#include <inttypes.h>
#include <stdio.h>

#include "bus/base/kill_point.h"
#include "bus/nats/answer.h"
#include "bus/nats/api.h"
#include "bus/nats/publisher_impl.h"

enum {
    OP_START = 0,
    OP_APPEND = 1,
    OP_END = 3, // without storing the message that says so
    ERR_MESSAGE_TOO_LARGE = 10054,
    ERR_HEADER_TOO_LARGE = 10097,
    ERR_WRONG_LAST = 10071,
    ERR_WRONG_LAST_OPEN = 10164, // the last one is still being stored
    ERR_NOT_ALLOWED = 10205,
    ERR_UNKNOWN = 10208,
    TAIL_CAP = BUS_INGEST_NAME + 64,
};

// --- sending ----------------------------------------------------------------------------------------------

// "<random>-<first>-<after>.": nobody else's batch of this stream has the name.
static void name_batch(bus_publisher *pub)
{
    const bus_batch *b = &pub->batch;
    int len = snprintf(pub->name, sizeof pub->name, "%.8s-%" PRIx64 "-%" PRIx64 ".",
                       pub->outlet.inbox + strlen("_INBOX."), b->first, b->after);
    pub->name_len = (size_t)len;
}

static char *append(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

static char *append_u64(char *at, uint64_t value)
{
    char digits[20];
    int n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    while (n)
        *at++ = digits[--n];
    return at;
}

// "<name>.<flow>.fail.<place>.<op>.$FI"
static bus_view tail_of(const bus_publisher *pub, char buf[TAIL_CAP], uint64_t place, int op)
{
    char *at = append(buf, pub->name, pub->name_len);
    at = append_u64(at, pub->batch.flow);
    at = append(at, ".fail.", 6);
    at = append_u64(at, place);
    *at++ = '.';
    *at++ = (char)('0' + op);
    at = append(at, ".$FI", 4);
    return (bus_view){buf, (size_t)(at - buf)};
}

static bool send_message(bus_publisher *pub, uint64_t number, bus_mono now)
{
    char more[BUS_SUBJECT_BUF + 160], tail[TAIL_CAP];
    bus_view condition = {0};
    bus_batch *b = &pub->batch;
    bus_frame m = bus_frame_at(bus_window_bytes(&pub->window, number));
    bool first = b->state == BUS_BATCH_READY;
    if (first) {
        int len = snprintf(more, sizeof more,
                           "Nats-Expected-Last-Subject-Sequence: %" PRIu64 "\r\n"
                           "Nats-Expected-Last-Subject-Sequence-Subject: %s\r\n",
                           b->after, pub->owned);
        condition = (bus_view){more, (size_t)len};
    }
    if (bus_publisher_refuse_large(pub, &m, number, bus_frame_block_len(&m, false, condition)))
        return true;
    bus_batch_sent(b, &pub->window, number, now);
    bus_kill_point("publisher.publish");
    if (first)
        name_batch(pub);
    return bus_outlet_send(&pub->outlet, &m, false, condition,
                           tail_of(pub, tail, b->sent, first ? OP_START : OP_APPEND));
}

static bool send_end(bus_publisher *pub, bus_mono now)
{
    char tail[TAIL_CAP];
    const bus_batch *b = &pub->batch;
    uint64_t place = b->sent + 1 < 2 ? 2 : b->sent + 1;
    bus_view to = tail_of(pub, tail, place, OP_END);
    bus_batch_asked(&pub->batch, now);
    return bus_outlet_ask(&pub->outlet, pub->end_subject, to, (bus_view){0});
}

static bool look(bus_publisher *pub, bus_mono now)
{
    char subject[BUS_API_SUBJECT], tail[32], body[BUS_SUBJECT_BUF + 32];
    snprintf(subject, sizeof subject, "$JS.API.STREAM.MSG.GET.%s", pub->owned_stream);
    snprintf(body, sizeof body, "{\"last_by_subj\":\"%s\"}", pub->owned);
    snprintf(tail, sizeof tail, "look.%" PRIu64, ++pub->questions);
    bus_batch_asked(&pub->batch, now);
    return bus_outlet_ask(&pub->outlet, subject, bus_view_of(tail), bus_view_of(body));
}

static bool read_tail(bus_publisher *pub, bus_mono now)
{
    const bus_tail_opts opts = {.stream = pub->owned_stream,
                                .filter = pub->owned,
                                .after_seq = pub->batch.after,
                                .by_content = true,
                                .wake = pub->wake};
    if (bus_tail_open(&pub->tail, pub->outlet.conn, &pub->window, &opts)) {
        bus_publisher_declined(pub, bus_err_text());
        return false;
    }
    bus_batch_asked(&pub->batch, now);
    return true;
}

void bus_ingest_send(bus_publisher *pub)
{
    bus_mono now = bus_machine_mono();
    for (bool ok = true; ok;) {
        uint64_t number;
        switch (bus_batch_next(&pub->batch, &pub->window, now, &number)) {
        case BUS_BATCH_SEND:
            ok = send_message(pub, number, now);
            break;
        case BUS_BATCH_END:
            ok = send_end(pub, now);
            break;
        case BUS_BATCH_LOOK:
            ok = look(pub, now);
            break;
        case BUS_BATCH_READ:
            ok = read_tail(pub, now);
            break;
        case BUS_BATCH_WAIT:
            return;
        }
    }
}

// --- answers ----------------------------------------------------------------------------------------------

static bool take_u64(bus_view *from, const char *key, uint64_t *value)
{
    const char *at = memmem(from->ptr, from->len, key, strlen(key));
    if (!at)
        return false;
    at += strlen(key);
    const char *end = from->ptr + from->len, *first = at;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    *from = (bus_view){at, (size_t)(end - at)};
    return bus_view_u64((bus_view){first, (size_t)(at - first)}, value);
}

static void acked(bus_publisher *pub, uint64_t place, uint64_t step)
{
    bus_batch_acked(&pub->batch, &pub->window, place, (uint32_t)step);
    if (place)
        pub->why[0] = '\0';
}

static void refused(bus_publisher *pub, uint64_t place, int code)
{
    bus_batch *b = &pub->batch;
    bus_batch_refusal why = BUS_BATCH_NOT_NOW;
    bool end = place > b->sent;
    if (code == ERR_UNKNOWN)
        why = BUS_BATCH_UNKNOWN;
    else if ((code == ERR_WRONG_LAST || code == ERR_WRONG_LAST_OPEN) && place == 1)
        why = BUS_BATCH_OVERTAKEN;
    else if ((code == ERR_MESSAGE_TOO_LARGE || code == ERR_HEADER_TOO_LARGE) && !end)
        why = BUS_BATCH_NEVER;
    if (why == BUS_BATCH_NEVER)
        bus_window_refused(&pub->window, b->first + place - 1, BUS_ELIMIT, bus_err_text());
    if (why == BUS_BATCH_NOT_NOW)
        bus_publisher_declined(pub, bus_err_text());
    bus_batch_refused(b, &pub->window, place, why);
    if (code == ERR_NOT_ALLOWED)
        bus_publisher_reroute(pub);
}

static void take_json(bus_publisher *pub, uint64_t place, bus_view payload)
{
    json_error_t bad;
    int code = 0;
    json_t *answer = json_loadb(payload.ptr, payload.len, 0, &bad);
    const json_t *count = json_object_get(answer, "count");
    const char *type = json_string_value(json_object_get(answer, "type"));
    if (!answer) {
        bus_fail(BUS_EINVAL, "an answer that is no JSON");
        refused(pub, place, 0);
    } else if (bus_api_error(answer, &code)) {
        if (type) // of a message in the middle: it says which
            place = (uint64_t)json_integer_value(json_object_get(answer, "seq"));
        refused(pub, place, code);
    } else if (type && strcmp(type, "ack") == 0) { // not in the usual form
        acked(pub, (uint64_t)json_integer_value(json_object_get(answer, "seq")),
              (uint64_t)json_integer_value(json_object_get(answer, "msgs")));
    } else if (json_is_integer(count)) {
        bus_batch_was_ended(&pub->batch, &pub->window, (uint64_t)json_integer_value(count),
                            (uint64_t)json_integer_value(json_object_get(answer, "seq")));
    } // else it tells of a gap: the end follows
    json_decref(answer);
}

static void take_batch(bus_publisher *pub, bus_view tail, const bus_msg *msg)
{
    uint64_t place, step;
    bus_view payload = bus_msg_payload(msg);
    bool ours = tail.len > pub->name_len && pub->name_len &&
                memcmp(tail.ptr, pub->name, pub->name_len) == 0;
    if (!ours || (pub->batch.state != BUS_BATCH_OPEN && pub->batch.state != BUS_BATCH_ENDING))
        return;
    if (bus_answer_read_batch(&place, &step, payload)) {
        acked(pub, place, step);
        return;
    }
    if (!take_u64(&tail, ".fail.", &place))
        return;
    if (payload.len == 0 && bus_msg_no_responders(msg)) {
        bus_fail(BUS_EUNAVAILABLE, "no stream records '%s'", pub->owned);
        refused(pub, place, 0);
    } else {
        take_json(pub, place, payload);
    }
}

// {"message":{"seq":42,…}} or the error 10037: there is none.
static void take_look(bus_publisher *pub, const bus_msg *msg)
{
    enum { ERR_NO_MESSAGE = 10037 };
    json_error_t bad;
    int code = 0;
    bus_view payload = bus_msg_payload(msg);
    json_t *answer = payload.len ? json_loadb(payload.ptr, payload.len, 0, &bad) : NULL;
    bus_err err =
        answer ? bus_api_error(answer, &code)
               : bus_fail(BUS_EUNAVAILABLE, "stream '%s' does not answer", pub->owned_stream);
    const json_t *seq = json_object_get(json_object_get(answer, "message"), "seq");
    if (!err || code == ERR_NO_MESSAGE) {
        bus_batch_looked(&pub->batch, &pub->window, (uint64_t)json_integer_value(seq));
    } else {
        bus_publisher_declined(pub, bus_err_text());
        bus_batch_not_told(&pub->batch);
    }
    json_decref(answer);
}

static bool begins(bus_view tail, const char *word)
{
    return tail.len > strlen(word) && memcmp(tail.ptr, word, strlen(word)) == 0;
}

void bus_ingest_answer(bus_publisher *pub, bus_view tail, const bus_msg *msg)
{
    uint64_t number;
    if (!begins(tail, "look."))
        take_batch(pub, tail, msg);
    else if (bus_view_u64((bus_view){tail.ptr + 5, tail.len - 5}, &number) &&
             number == pub->questions)
        take_look(pub, msg);
}

void bus_ingest_was_read(bus_publisher *pub)
{
    bus_batch_was_read(&pub->batch, &pub->window, bus_tail_last(pub->tail));
}

void bus_ingest_doubt(bus_publisher *pub)
{
    bus_batch_doubt(&pub->batch, &pub->window);
}
