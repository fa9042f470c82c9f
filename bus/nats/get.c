// Single messages of a stream: by direct get, whose answer is the message itself; where a stream does not
// allow that, by the older request, whose answer is JSON with base64 inside.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/base/base64.h"
#include "bus/nats/api.h"
#include "bus/nats/link.h"
#include "bus/nats/stream.h"

// --- the answer of the older request as a message -------------------------------------------------------

// malloc'ed, NUL-terminated; NULL for bad text or no memory. A missing text is "".
static char *from_base64(const char *text, size_t *len)
{
    bus_view given = bus_view_of(text);
    char *out = malloc(given.len / 4 * 3 + 1);
    if (!out || !bus_base64_read((uint8_t *)out, len, given)) {
        free(out);
        return NULL;
    }
    out[*len] = '\0';
    return out;
}

// "NATS/1.0\r\nName: value\r\n…\r\n\r\n", changed in place.
static natsStatus add_headers(natsMsg *msg, char *text)
{
    natsStatus s = NATS_OK;
    char *save = NULL;
    strtok_r(text, "\r\n", &save);
    for (char *line = strtok_r(NULL, "\r\n", &save); line && s == NATS_OK;
         line = strtok_r(NULL, "\r\n", &save)) {
        char *colon = strchr(line, ':');
        if (!colon)
            continue;
        *colon = '\0';
        s = natsMsgHeader_Add(msg, line, colon + 1 + strspn(colon + 1, " "));
    }
    return s;
}

static bus_err message_of(natsMsg **out, const json_t *stored)
{
    size_t len = 0, headers_len = 0;
    const char *subject = json_string_value(json_object_get(stored, "subject"));
    char *data = from_base64(json_string_value(json_object_get(stored, "data")), &len);
    char *headers = from_base64(json_string_value(json_object_get(stored, "hdrs")), &headers_len);
    natsStatus s =
        subject && data && headers ? natsMsg_Create(out, subject, NULL, data, (int)len) : NATS_ERR;
    if (s == NATS_OK && headers_len)
        s = add_headers(*out, headers);
    free(data);
    free(headers);
    return s == NATS_OK ? BUS_OK : bus_fail(BUS_EINTERNAL, "stored message cannot be read");
}

static bus_err get_json(bus_conn *conn, const char *stream, const json_t *body, bus_record *out,
                        bus_msg **owner)
{
    char subject[BUS_API_SUBJECT];
    snprintf(subject, sizeof subject, "$JS.API.STREAM.MSG.GET.%s", stream);
    json_t *answer = NULL;
    natsMsg *msg = NULL;
    bus_err err = bus_api_call(&answer, conn, subject, body);
    const json_t *stored = json_object_get(answer, "message");
    if (!err)
        err = message_of(&msg, stored);
    if (!err) {
        bus_record got = {.seq = (uint64_t)json_integer_value(json_object_get(stored, "seq")),
                          .msg = (bus_msg *)msg,
                          .subject = bus_msg_subject((bus_msg *)msg),
                          .payload = bus_msg_payload((bus_msg *)msg)};
        const char *time = json_string_value(json_object_get(stored, "time"));
        err = bus_time_parse(bus_view_of(time), &got.stored.ns);
        if (!err) {
            *out = got;
            *owner = (bus_msg *)msg;
            msg = NULL;
        }
    }
    natsMsg_Destroy(msg);
    json_decref(answer);
    return err;
}

// --- direct get -----------------------------------------------------------------------------------------

static bus_err read_direct(bus_msg *msg, bus_record *out)
{
    bus_view status = {0}, words = {0}, seq, subject, time;
    if (bus_msg_header(msg, "Status", &status)) {
        bus_msg_header(msg, "Description", &words);
        return bus_fail(bus_view_is(status, "404") ? BUS_ENOTFOUND : BUS_ESTATE,
                        "the broker says: %.*s (%.*s)", BUS_VIEW_ARG(words), BUS_VIEW_ARG(status));
    }
    bus_record got = {.msg = msg, .payload = bus_msg_payload(msg)};
    if (!bus_msg_header(msg, "Nats-Sequence", &seq) || !bus_view_u64(seq, &got.seq) ||
        !bus_msg_header(msg, "Nats-Subject", &subject) ||
        !bus_msg_header(msg, "Nats-Time-Stamp", &time) || bus_time_parse(time, &got.stored.ns))
        return bus_fail(BUS_EINTERNAL,
                        "answer without Nats-Sequence, Nats-Subject, Nats-Time-Stamp");
    got.subject = subject;
    *out = got;
    return BUS_OK;
}

static bus_err get(bus_conn *conn, const char *stream, const json_t *body, bus_record *out,
                   bus_msg **owner)
{
    char subject[BUS_API_SUBJECT];
    bus_err err = bus_api_name_check(stream, "stream name");
    if (err)
        return err;
    snprintf(subject, sizeof subject, "$JS.API.DIRECT.GET.%s", stream);
    char *text = json_dumps(body, JSON_COMPACT);
    bus_msg *reply = NULL;
    err = bus_request(conn, subject, NULL, 0, bus_view_of(text), BUS_SPAN_MS(BUS_API_TIMEOUT_MS),
                      &reply);
    free(text);
    if (err == BUS_EUNAVAILABLE) // nobody answers: not allowed on this stream, or there is none
        return get_json(conn, stream, body, out, owner);
    if (!err)
        err = read_direct(reply, out);
    if (err)
        bus_msg_release(reply);
    else
        *owner = reply;
    return err;
}

bus_err bus_stream_last(bus_conn *conn, const char *stream, const char *subject, bus_record *out,
                        bus_msg **owner)
{
    json_t *body = json_pack("{s:s}", "last_by_subj", subject);
    bus_err err = body ? get(conn, stream, body, out, owner)
                       : bus_fail(BUS_EINVAL, "the subject is not UTF-8");
    json_decref(body);
    return err ? bus_note(err, "last message on '%s' in stream '%s'", subject, stream) : BUS_OK;
}

bus_err bus_stream_get(bus_conn *conn, const char *stream, uint64_t seq, bus_record *out,
                       bus_msg **owner)
{
    json_t *body = json_pack("{s:I}", "seq", (json_int_t)seq);
    bus_err err = get(conn, stream, body, out, owner);
    json_decref(body);
    return err ? bus_note(err, "message %" PRIu64 " of stream '%s'", seq, stream) : BUS_OK;
}

bus_holds bus_stream_holds(bus_conn *conn, const char *stream, bus_mark known)
{
    bus_seq_range range;
    bus_record record;
    bus_msg *owner = NULL;
    if (known.seq == 0)
        return BUS_HOLDS_YES;
    if (bus_stream_range(conn, stream, &range))
        return BUS_HOLDS_NOT_KNOWN;
    if (range.last < known.seq) {
        bus_fail(BUS_EDATALOSS, "stream '%s' ends at %" PRIu64 ", and held %" PRIu64, stream,
                 range.last, known.seq);
        return BUS_HOLDS_NO;
    }
    if (known.stored.ns == 0 || known.seq < range.first)
        return BUS_HOLDS_YES;
    bus_err err = bus_stream_get(conn, stream, known.seq, &record, &owner);
    bool another = !err && record.stored.ns != known.stored.ns;
    bus_msg_release(owner);
    if (another)
        bus_fail(BUS_EDATALOSS, "stream '%s' holds another record at %" PRIu64, stream, known.seq);
    return another                       ? BUS_HOLDS_NO
           : err && err != BUS_ENOTFOUND ? BUS_HOLDS_NOT_KNOWN
                                         : BUS_HOLDS_YES;
}
