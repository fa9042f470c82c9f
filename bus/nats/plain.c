// The path every broker has: each message with its id, each answered by itself.
#include <inttypes.h>
#include <stdio.h>

#include "bus/base/kill_point.h"
#include "bus/base/log.h"
#include "bus/nats/answer.h"
#include "bus/nats/api.h"
#include "bus/nats/publisher_impl.h"

enum { ERR_MESSAGE_TOO_LARGE = 10054, ERR_HEADER_TOO_LARGE = 10097 };

// --- sending ----------------------------------------------------------------------------------------------

void bus_plain_send(bus_publisher *pub)
{
    char tail[24];
    bus_mono now = bus_machine_mono();
    for (uint64_t n = bus_window_due(&pub->window, now); n; n = bus_window_due(&pub->window, now)) {
        bus_frame m = bus_frame_at(bus_window_bytes(&pub->window, n));
        if (bus_publisher_refuse_large(pub, &m, n, bus_frame_block_len(&m, true, (bus_view){0})))
            continue;
        bus_window_sent(&pub->window, n, now); // also when it fails: it may be on its way
        bus_kill_point("publisher.publish");
        int len = snprintf(tail, sizeof tail, "%" PRIu64, n);
        if (!bus_outlet_send(&pub->outlet, &m, true, (bus_view){0}, (bus_view){tail, (size_t)len}))
            return;
    }
}

// --- answers ----------------------------------------------------------------------------------------------

static void declined(bus_publisher *pub, uint64_t number, const char *words)
{
    bus_publisher_declined(pub, words);
    bus_window_declined(&pub->window, number);
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

// The answer of a message that is recorded.
static void stored(bus_publisher *pub, uint64_t number, const bus_answer *answer)
{
    bus_window_stored(&pub->window, number, answer->seq, answer->duplicate);
    remember(pub, answer->stream, answer->seq);
    pub->why[0] = '\0';
}

// Anything but the usual answer.
static void take_odd(bus_publisher *pub, uint64_t number, bus_view payload)
{
    json_error_t bad;
    json_t *answer = json_loadb(payload.ptr ? payload.ptr : "", payload.len, 0, &bad);
    int err_code = 0;
    if (answer && bus_api_error(answer, &err_code) == BUS_OK) {
        const char *stream = json_string_value(json_object_get(answer, "stream"));
        json_int_t seq = json_integer_value(json_object_get(answer, "seq"));
        if (stream && seq > 0)
            stored(pub, number,
                   &(bus_answer){bus_view_of(stream), (uint64_t)seq,
                                 json_is_true(json_object_get(answer, "duplicate"))});
        else
            declined(pub, number, "an answer without a sequence");
    } else if (err_code == ERR_MESSAGE_TOO_LARGE || err_code == ERR_HEADER_TOO_LARGE) {
        bus_window_refused(&pub->window, number, BUS_ELIMIT, bus_err_text());
    } else {
        declined(pub, number, answer ? bus_err_text() : "an answer that is no JSON");
    }
    json_decref(answer);
}

void bus_plain_answer(bus_publisher *pub, bus_view tail, const bus_msg *msg)
{
    uint64_t number;
    bus_answer answer;
    bus_view payload = bus_msg_payload(msg);
    if (!bus_view_u64(tail, &number))
        return;
    if (bus_answer_read(&answer, payload)) {
        stored(pub, number, &answer);
        return;
    }
    if (payload.len > 0 || !bus_msg_no_responders(msg)) {
        take_odd(pub, number, payload);
        return;
    }
    if (!bus_window_slot(&pub->window, number))
        return;
    char words[BUS_PUBLISHER_WHY];
    bus_frame m = bus_frame_at(bus_window_bytes(&pub->window, number));
    snprintf(words, sizeof words, "no stream records '%s'", m.subject.ptr);
    declined(pub, number, words);
}

// --- doubt ------------------------------------------------------------------------------------------------

static void look_at_tail(bus_publisher *pub, bool by_content)
{
    if (!pub->stream[0] || pub->several_streams)
        bus_warn(
            "publisher: an outage longer than ids are remembered, and no one stream to look into: "
            "what is sent again may be stored twice");
    else if (bus_tail_open(&pub->tail, pub->outlet.conn, &pub->window,
                           &(bus_tail_opts){.stream = pub->stream,
                                            .after_seq = pub->last_seq,
                                            .filter = *pub->owned ? pub->owned : NULL,
                                            .by_content = by_content,
                                            .wake = pub->wake}))
        bus_warn("publisher: %s", bus_err_text());
}

// What was sent longer ago than the broker surely remembers ids may be stored and would be stored again: the
// tail of the stream tells.
void bus_plain_doubt(bus_publisher *pub)
{
    bus_mono oldest;
    bus_window_doubt(&pub->window);
    if (pub->outlet.link && bus_window_tried(&pub->window, &oldest) &&
        bus_mono_since(bus_machine_mono(), oldest).ns >= pub->duplicates.ns / 2)
        look_at_tail(pub, false);
}

void bus_plain_begin(bus_publisher *pub)
{
    bus_mono oldest;
    bus_window_doubt(&pub->window);
    bus_view_copy(bus_view_of(pub->owned_stream), pub->stream, sizeof pub->stream);
    pub->several_streams = false;
    pub->last_seq = pub->batch.after;
    if (bus_window_tried(&pub->window, &oldest))
        look_at_tail(pub, true); // it was sent without ids
}
