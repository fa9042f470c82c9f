#include "bus/nats/reader.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/nats/api.h"
#include "bus/nats/conn_impl.h"
#include "bus/nats/filters.h"
#include "bus/nats/pull.h"

enum {
    WINDOW_BYTES = 8 << 20,
    REQUEST_BYTES_MIN = 4096,
    REQUESTS = 2,
    BATCH = 1000000, // requests end on bytes or time, not on their count
    EXPIRES_S = 30,
    HEARTBEAT_S = 2,
    SILENCE_S = 6,
    INACTIVE_S = 60,
    ANSWER_S = 3, // for the stream's description and the consumer
    LOOK_MS = 20, // how often a waiting reader looks at its connection
    RETRY_FIRST_MS = 100,
    RETRY_MS_MAX = 2000,
    NAME_CAP = 40,
    INBOX_CAP = 48,
    TEXT_CAP = 320,
};

typedef enum { IDLE, ASKED_STREAM, ASKED_CONSUMER, READING } reader_state;

typedef struct {
    uint64_t number;  // 0: free
    uint64_t records; // taken when it was sent
    bus_mono until;
    uint32_t bytes;
} request;

struct bus_reader {
    bus_conn *conn;
    bus_sub *sub;
    char stream[72];
    bus_filters wanted, asked; // asked: of the broker, which takes none that overlap
    bool wider;                // asked matches more than wanted
    bus_wall from_time;
    char inbox[INBOX_CAP];
    size_t inbox_len;

    reader_state state;
    uint32_t epoch;                 // of the connection the consumer was made on
    char consumer[NAME_CAP];        // "" when there is none
    char created[48];               // the stream's birthday, "" before it was seen
    bus_mono since;                 // of the question asked, or when to try again
    char question[BUS_API_SUBJECT]; // the subject last asked on
    uint64_t denials;               // of the connection, before it was asked
    int retry_ms;
    bus_continuity continuity;
    request requests[REQUESTS];
    uint64_t last_number; // of requests and questions
    uint32_t half_bytes;

    uint64_t records, seq, pending;
    bool caught_up_told;
    bool heard_now;
    _Atomic bool nudged;
    bus_mono heard;
    bus_msg *held;       // what the caller looks at
    bus_msg *behind_gap; // the record after a gap that was just reported
    bus_record after_gap;
    bus_err failed; // the last error
    bus_err error;  // to be reported
    char error_text[TEXT_CAP];
};

static bus_mono after_ms(bus_mono from, int64_t ms)
{
    return bus_mono_add(from, BUS_SPAN_MS(ms));
}

// --- doubt and errors -------------------------------------------------------------------------------------

static void drop_consumer(bus_reader *r)
{
    if (!r->consumer[0])
        return;
    char subject[BUS_API_SUBJECT];
    snprintf(subject, sizeof subject, "$JS.API.CONSUMER.DELETE.%s.%s", r->stream, r->consumer);
    bus_publish(r->conn, subject, NULL, NULL, 0,
                (bus_view){0}); // else it goes by itself after a minute
    r->consumer[0] = '\0';
}

// The consumer is given up; a new one is made at once, from the sequence after the last record.
static void doubt(bus_reader *r)
{
    drop_consumer(r);
    r->state = IDLE;
    r->since = (bus_mono){0};
    memset(r->requests, 0, sizeof r->requests);
}

static void fail(bus_reader *r, bus_err err, const char *text)
{
    doubt(r);
    r->error = r->failed = err;
    snprintf(r->error_text, sizeof r->error_text, "reading stream '%s': %s", r->stream, text);
    r->since = after_ms(bus_machine_mono(), r->retry_ms);
    r->retry_ms = r->retry_ms * 2 > RETRY_MS_MAX ? RETRY_MS_MAX : r->retry_ms * 2;
}

// --- asking -----------------------------------------------------------------------------------------------

static void note_question(bus_reader *r, const char *subject)
{
    r->denials = bus_conn_denials(r->conn);
    snprintf(r->question, sizeof r->question, "%s", subject);
}

static bool ask(bus_reader *r, const char *subject, const json_t *body)
{
    char reply[INBOX_CAP + 24];
    snprintf(reply, sizeof reply, "%s%" PRIu64, r->inbox, ++r->last_number);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    note_question(r, subject);
    bus_err err = bus_publish(r->conn, subject, reply, NULL, 0, bus_view_of(text));
    free(text);
    r->since = bus_machine_mono();
    return err == BUS_OK;
}

// Is it still the stream we began with? Its description is asked for before each consumer.
static void ask_stream(bus_reader *r)
{
    char subject[BUS_API_SUBJECT];
    snprintf(subject, sizeof subject, "$JS.API.STREAM.INFO.%s", r->stream);
    r->epoch = bus_conn_epoch(r->conn);
    if (ask(r, subject, NULL))
        r->state = ASKED_STREAM;
}

static json_t *start_of(const bus_reader *r)
{
    char text[BUS_TIME_TEXT];
    if (r->continuity.next_seq)
        return json_pack("{s:s, s:I}", "deliver_policy", "by_start_sequence", "opt_start_seq",
                         (json_int_t)r->continuity.next_seq);
    if (r->from_time.ns == 0)
        return json_pack("{s:s}", "deliver_policy", "all");
    bus_time_format(r->from_time.ns, text);
    return json_pack("{s:s, s:s}", "deliver_policy", "by_start_time", "opt_start_time", text);
}

static void ask_consumer(bus_reader *r)
{
    snprintf(r->consumer, sizeof r->consumer, "read%016" PRIx64, bus_machine_random());
    json_t *config = start_of(r);
    json_object_set_new(config, "name", json_string(r->consumer));
    json_object_set_new(config, "ack_policy", json_string("none"));
    json_object_set_new(config, "replay_policy", json_string("instant"));
    json_object_set_new(config, "mem_storage", json_true());
    json_object_set_new(config, "num_replicas", json_integer(1));
    json_object_set_new(config, "inactive_threshold",
                        json_integer(INACTIVE_S * (json_int_t)1000000000));
    if (r->asked.count) {
        json_t *list = json_array();
        for (size_t i = 0; i < r->asked.count; i++)
            json_array_append_new(list, json_stringn(r->asked.item[i].ptr, r->asked.item[i].len));
        json_object_set_new(config, "filter_subjects", list);
    }
    json_t *body = json_pack("{s:s, s:s, s:o}", "stream_name", r->stream, "action", "create",
                             "config", config);
    char subject[BUS_API_SUBJECT];
    snprintf(subject, sizeof subject, "$JS.API.CONSUMER.CREATE.%s.%s", r->stream, r->consumer);
    r->continuity.consumer_seq = 0;
    r->state = ask(r, subject, body) ? ASKED_CONSUMER : IDLE;
    json_decref(body);
}

static void ask_records(bus_reader *r, request *slot, uint32_t bytes)
{
    char subject[BUS_API_SUBJECT], reply[INBOX_CAP + 24], body[160];
    snprintf(subject, sizeof subject, "$JS.API.CONSUMER.MSG.NEXT.%s.%s", r->stream, r->consumer);
    *slot = (request){.number = ++r->last_number,
                      .records = r->records,
                      .bytes = bytes,
                      .until = bus_mono_add(bus_machine_mono(), BUS_SPAN_S(EXPIRES_S))};
    snprintf(reply, sizeof reply, "%s%" PRIu64, r->inbox, slot->number);
    note_question(r, subject);
    int len = snprintf(body, sizeof body,
                       "{\"batch\":%d,\"max_bytes\":%u,\"expires\":%d000000000,"
                       "\"idle_heartbeat\":%d000000000}",
                       BATCH, bytes, EXPIRES_S, HEARTBEAT_S);
    if (bus_publish(r->conn, subject, reply, NULL, 0, (bus_view){body, (size_t)len}))
        slot->number = 0; // the connection is gone: tick sees it
}

// --- answers ----------------------------------------------------------------------------------------------

static bool is_answer(const bus_reader *r, const bus_msg *msg, uint64_t *number)
{
    bus_view subject = bus_msg_subject(msg);
    return subject.len > r->inbox_len && memcmp(subject.ptr, r->inbox, r->inbox_len) == 0 &&
           bus_view_u64((bus_view){subject.ptr + r->inbox_len, subject.len - r->inbox_len}, number);
}

static void take_stream(bus_reader *r, const json_t *answer)
{
    const char *created = json_string_value(json_object_get(answer, "created"));
    if (!created)
        created = "";
    if (r->created[0] && strcmp(r->created, created) != 0) {
        char text[160];
        snprintf(text, sizeof text, "it was made anew at %s: its sequences are others now",
                 created);
        fail(r, BUS_ESTATE, text);
        return;
    }
    snprintf(r->created, sizeof r->created, "%s", created);
    ask_consumer(r);
}

static void take_consumer(bus_reader *r, const json_t *answer)
{
    r->pending = (uint64_t)json_integer_value(json_object_get(answer, "num_pending"));
    r->caught_up_told = false;
    r->retry_ms = RETRY_FIRST_MS;
    r->state = READING;
    ask_records(r, &r->requests[0], r->half_bytes / 2);
    ask_records(r, &r->requests[1], r->half_bytes);
}

static void take_question(bus_reader *r, const bus_msg *msg)
{
    bus_view payload = bus_msg_payload(msg);
    if (payload.len == 0 && bus_msg_no_responders(msg)) {
        fail(r, BUS_EUNAVAILABLE, "the broker has no JetStream");
        return;
    }
    json_error_t bad;
    json_t *answer = json_loadb(payload.ptr ? payload.ptr : "", payload.len, 0, &bad);
    bus_err err =
        answer ? bus_api_error(answer, NULL) : bus_fail(BUS_EINTERNAL, "an answer that is no JSON");
    if (err) {
        char text[TEXT_CAP];
        snprintf(text, sizeof text, "%s", bus_err_text());
        fail(r, err, text);
    } else if (r->state == ASKED_STREAM) {
        take_stream(r, answer);
    } else {
        take_consumer(r, answer);
    }
    json_decref(answer);
}

// A request has ended and everything in front of its end is worked off: the next one.
static void ended(bus_reader *r, request *slot, bool on_bytes)
{
    bus_mono now = bus_machine_mono();
    uint32_t bytes = r->half_bytes;
    if (on_bytes && slot->records == r->records && slot->bytes < UINT32_MAX / 2)
        bytes = slot->bytes * 2;
    if (now.ns > slot->until.ns + INACTIVE_S / 2 * (int64_t)1000000000) {
        doubt(r); // we were away for so long that the consumer is gone, or about to go
        return;
    }
    ask_records(r, slot, bytes);
}

static void take_status(bus_reader *r, const bus_msg *msg, uint64_t number)
{
    bus_view status = {0}, words = {0};
    if (!bus_msg_header(msg, "Status", &status) || bus_view_is(status, "100"))
        return;
    request *slot = NULL;
    for (int i = 0; i < REQUESTS; i++)
        if (r->requests[i].number == number)
            slot = &r->requests[i];
    if (!slot)
        return;
    bus_msg_header(msg, "Description", &words);
    bool on_bytes = bus_view_is(words, "Message Size Exceeds MaxBytes");
    if (bus_view_is(status, "408") || bus_view_is(status, "404") || on_bytes ||
        bus_view_is(words, "Batch Completed"))
        ended(r, slot, on_bytes);
    else
        doubt(r); // deleted, leader changed, server going down …
}

static void take_answer(bus_reader *r, const bus_msg *msg)
{
    uint64_t number;
    if (!is_answer(r, msg, &number))
        return;
    if (r->state == READING)
        take_status(r, msg, number);
    else if (r->state != IDLE && number == r->last_number) // else: left over from before a doubt
        take_question(r, msg);
}

// --- records ----------------------------------------------------------------------------------------------

typedef enum { TAKEN_NOTHING, TAKEN_RECORD, TAKEN_GAP } taken;

// On RECORD and GAP the message is kept by the reader; else the caller releases it.
static taken take(bus_reader *r, bus_msg *msg, bus_record *out, bus_seq_range *gap)
{
    bus_place place;
    r->heard_now = true;
    if (!bus_place_parse(&place, bus_msg_reply(msg))) {
        take_answer(r, msg);
        return TAKEN_NOTHING;
    }
    if (r->state != READING || !bus_view_is(place.consumer, r->consumer))
        return TAKEN_NOTHING;
    bus_place_verdict verdict = bus_continuity_check(&r->continuity, &place, gap);
    if (verdict == BUS_PLACE_LOST) {
        doubt(r);
        return TAKEN_NOTHING;
    }
    r->records++;
    r->pending = place.pending;
    if (r->wider && !bus_filters_match(&r->wanted, bus_msg_subject(msg)))
        return TAKEN_NOTHING;
    r->caught_up_told = false;
    bus_record record = {.seq = place.stream_seq,
                         .stored = place.stored,
                         .subject = bus_msg_subject(msg),
                         .payload = bus_msg_payload(msg),
                         .msg = msg};
    if (verdict == BUS_PLACE_GAP) {
        r->behind_gap = msg;
        r->after_gap = record;
        return TAKEN_GAP;
    }
    r->held = msg;
    r->seq = record.seq;
    *out = record;
    return TAKEN_RECORD;
}

static void release_held(bus_reader *r)
{
    bus_msg_release(r->held);
    r->held = NULL;
}

// --- time -------------------------------------------------------------------------------------------------

// Requests that were used up to the last byte end without a word.
static void expire(bus_reader *r, bus_mono now)
{
    for (int i = 0; i < REQUESTS && r->state == READING; i++) {
        request *slot = &r->requests[i];
        if (slot->number == 0 || now.ns > slot->until.ns + HEARTBEAT_S * (int64_t)1000000000)
            ask_records(r, slot, r->half_bytes);
    }
}

// What the user may not ask is not answered.
static bool denied(bus_reader *r)
{
    if (r->state == IDLE || bus_conn_denials(r->conn) == r->denials)
        return false;
    bus_err err = bus_conn_denied(r->conn, r->question, r->denials);
    if (!err)
        err = bus_sub_denied(r->sub);
    if (!err)
        return false;
    char text[TEXT_CAP];
    snprintf(text, sizeof text, "%s", bus_err_text());
    fail(r, err, text);
    return true;
}

// Only called with an empty queue: nothing the broker sent is left to be looked at.
static void tick(bus_reader *r)
{
    bus_mono now = bus_machine_mono();
    if (r->heard_now)
        r->heard = now;
    r->heard_now = false;
    if (bus_conn_state_of(r->conn) != BUS_CONN_UP)
        return;
    if (r->state != IDLE && r->epoch != bus_conn_epoch(r->conn)) {
        r->consumer[0] = '\0'; // of another connection; it goes by itself
        doubt(r);
    }
    if (denied(r))
        return;
    if (r->state == IDLE && now.ns >= r->since.ns) {
        r->heard = now;
        ask_stream(r);
    } else if (r->state == ASKED_STREAM || r->state == ASKED_CONSUMER) {
        if (bus_mono_since(now, r->since).ns > ANSWER_S * (int64_t)1000000000)
            fail(r, BUS_ETIMEOUT, "the broker does not answer");
    } else if (r->state == READING) {
        if (bus_mono_since(now, r->heard).ns > SILENCE_S * (int64_t)1000000000)
            doubt(r);
        else
            expire(r, now);
    }
}

static bool caught_up(const bus_reader *r)
{
    return r->state == READING && r->pending == 0 && bus_conn_state_of(r->conn) == BUS_CONN_UP;
}

bus_reader_result bus_reader_next(bus_reader *r, bus_span timeout, bus_record *out,
                                  bus_seq_range *gap)
{
    release_held(r);
    if (r->behind_gap) {
        r->held = r->behind_gap;
        r->behind_gap = NULL;
        *out = r->after_gap;
        r->seq = out->seq;
        return BUS_READER_RECORD;
    }
    bus_mono until = {0};
    for (;;) {
        for (bus_msg *msg; (msg = bus_sub_next(r->sub, (bus_span){0})) != NULL;
             bus_msg_release(msg)) {
            taken what = take(r, msg, out, gap);
            if (what != TAKEN_NOTHING)
                return what == TAKEN_RECORD ? BUS_READER_RECORD : BUS_READER_GAP;
        }
        tick(r);
        if (r->error) {
            bus_fail(r->error, "%s", r->error_text);
            r->error = BUS_OK;
            return BUS_READER_ERROR;
        }
        if (caught_up(r) && !r->caught_up_told) {
            r->caught_up_told = true;
            return BUS_READER_CAUGHT_UP;
        }
        bus_mono now = bus_machine_mono();
        if (until.ns == 0)
            until = bus_mono_add(now, timeout);
        int64_t left = until.ns - now.ns;
        if (left <= 0 || atomic_exchange(&r->nudged, false))
            return caught_up(r) ? BUS_READER_CAUGHT_UP : BUS_READER_NOTHING;
        bus_sub_wait(r->sub, left < LOOK_MS * 1000000 ? (bus_span){left} : BUS_SPAN_MS(LOOK_MS));
    }
}

void bus_reader_nudge(bus_reader *r)
{
    atomic_store(&r->nudged, true);
    bus_sub_nudge(r->sub);
}

bool bus_reader_gone(const bus_reader *r)
{
    return r->failed == BUS_ENOTFOUND;
}

bool bus_reader_anew(const bus_reader *r)
{
    return r->failed == BUS_ESTATE;
}

uint64_t bus_reader_seq(const bus_reader *r)
{
    return r->seq;
}

// --- life -------------------------------------------------------------------------------------------------

static bus_err take_filters(bus_reader *r, const bus_reader_opts *opts)
{
    if (!opts->filters || opts->filter_count == 0)
        return BUS_OK;
    bus_view *patterns = calloc(opts->filter_count, sizeof *patterns);
    if (!patterns)
        return bus_fail(BUS_ENOMEM, "filters");
    for (size_t i = 0; i < opts->filter_count; i++)
        patterns[i] = bus_view_of(opts->filters[i]);
    r->continuity.filtered = true;
    bus_err err = bus_filters_copy(&r->wanted, patterns, opts->filter_count);
    free(patterns);
    return err ? err : bus_filters_disjoint(&r->asked, &r->wanted, &r->wider);
}

bus_err bus_reader_open(bus_reader **out, bus_conn *conn, const bus_reader_opts *opts)
{
    bus_err err = bus_api_name_check(opts->stream, "stream name");
    if (err)
        return bus_note(err, "opening a reader");
    bus_reader *r = calloc(1, sizeof *r);
    if (!r)
        return bus_fail(BUS_ENOMEM, "reader of stream '%s'", opts->stream);
    r->conn = conn;
    r->retry_ms = RETRY_FIRST_MS;
    r->from_time = opts->from_time;
    r->continuity.next_seq = opts->from_seq;
    snprintf(r->stream, sizeof r->stream, "%s", opts->stream);
    uint32_t window = opts->window_bytes_max ? opts->window_bytes_max : WINDOW_BYTES;
    r->half_bytes = window / 2 > REQUEST_BYTES_MIN ? window / 2 : REQUEST_BYTES_MIN;
    snprintf(r->inbox, sizeof r->inbox, "_INBOX.%016" PRIx64 "%08x.", bus_machine_random(),
             (unsigned)bus_machine_random());
    r->inbox_len = strlen(r->inbox);
    char subject[INBOX_CAP + 2];
    snprintf(subject, sizeof subject, "%s*", r->inbox);
    err = take_filters(r, opts);
    // The requests bound what can come; the subscription must not drop below them.
    if (!err)
        err = bus_sub_open(&r->sub, conn,
                           &(bus_sub_opts){.subject = subject,
                                           .pending_max = UINT32_MAX / 2,
                                           .bytes_max = UINT64_MAX / 2,
                                           .direct = opts->direct,
                                           .wake = opts->wake});
    if (err) {
        bus_reader_close(r);
        return bus_note(err, "opening a reader of stream '%s'", opts->stream);
    }
    *out = r;
    return BUS_OK;
}

void bus_reader_close(bus_reader *r)
{
    if (!r)
        return;
    release_held(r);
    bus_msg_release(r->behind_gap);
    drop_consumer(r);
    bus_sub_close(r->sub);
    bus_filters_release(&r->wanted);
    bus_filters_release(&r->asked);
    free(r);
}
