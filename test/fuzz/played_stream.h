// A small recorded stream, ACT, behind the played bus: descriptions, single messages and consumers are answered as a
// broker answers them, and what the messages are is the input's. A target sets play_published and play_answer to these.
#ifndef TEST_FUZZ_PLAYED_STREAM_H
#define TEST_FUZZ_PLAYED_STREAM_H

#include <inttypes.h>
#include <jansson.h>

#include "played_bus.h"

enum { KEPT_MAX = 24, KEPT_BYTES = 1024 };

typedef struct {
    uint64_t seq;
    int64_t stored_ns;
    char subject[128];
    const char *type; // Content-Type; "": none
    uint8_t payload[KEPT_BYTES];
    size_t len;
} kept;

static struct {
    kept msg[KEPT_MAX];
    size_t count, shown; // shown: stored already; the rest comes while it is read
    int64_t answered_ns; // when the broker says that it answers; 0: it does not say
    // The newest consumer.
    char consumer[64], filter[128];
    uint64_t from, delivered; // sequence, count
} stream;

static const kept *kept_at(uint64_t seq)
{
    for (size_t i = 0; i < stream.shown; i++)
        if (stream.msg[i].seq == seq)
            return &stream.msg[i];
    return NULL;
}

static const kept *kept_last(const char *pattern)
{
    for (size_t i = stream.shown; i-- > 0;)
        if (bus_subject_match(bus_view_of(pattern), bus_view_of(stream.msg[i].subject)))
            return &stream.msg[i];
    return NULL;
}

static bus_msg *in_words(const char *text)
{
    return message(BUS_VIEW("_INBOX.x"), (bus_view){0}, (bus_view){0}, bus_view_of(text));
}

static bus_msg *description(void)
{
    char text[512], ts[2][BUS_TIME_TEXT] = {"", ""};
    const kept *last = stream.shown ? &stream.msg[stream.shown - 1] : NULL;
    if (stream.answered_ns)
        bus_time_format(stream.answered_ns, ts[0]);
    bus_time_format(last ? last->stored_ns : 0, ts[1]);
    snprintf(text, sizeof text,
             "{\"created\":\"2026-11-21T00:00:00Z\",\"ts\":\"%s\",\"config\":{\"name\":\"ACT\"},"
             "\"state\":{\"messages\":%zu,\"first_seq\":%" PRIu64 ",\"last_seq\":%" PRIu64
             ",\"last_ts\":\"%s\"}}",
             ts[0], stream.shown, last ? stream.msg[0].seq : 0, last ? last->seq : 0, ts[1]);
    return in_words(text);
}

static bus_msg *as_direct(const kept *k)
{
    char head[512], ts[BUS_TIME_TEXT];
    if (!k)
        return message(BUS_VIEW("_INBOX.x"), (bus_view){0},
                       BUS_VIEW("NATS/1.0 404 Message Not Found\r\n\r\n"), (bus_view){0});
    bus_time_format(k->stored_ns, ts);
    int len = snprintf(head, sizeof head,
                       "NATS/1.0\r\nNats-Stream: ACT\r\nNats-Subject: %s\r\nNats-Sequence: %" PRIu64
                       "\r\nNats-Time-Stamp: %s\r\n%s%s%s\r\n",
                       k->subject, k->seq, ts, *k->type ? "Content-Type: " : "", k->type,
                       *k->type ? "\r\n" : "");
    return message(BUS_VIEW("_INBOX.x"), (bus_view){0}, (bus_view){head, (size_t)len},
                   (bus_view){(const char *)k->payload, k->len});
}

// A description, or a single message by its sequence or as the last on a subject. False: it is asked for something else.
static inline bool stream_answer(const char *subject, bus_view payload, bus_msg **answer)
{
    if (strcmp(subject, "$JS.API.STREAM.INFO.ACT") == 0)
        return *answer = description(), true;
    if (strcmp(subject, "$JS.API.DIRECT.GET.ACT") != 0)
        return false;
    json_t *body = json_loadb(payload.ptr, payload.len, 0, NULL);
    const char *pattern = json_string_value(json_object_get(body, "last_by_subj"));
    json_int_t seq = json_integer_value(json_object_get(body, "seq"));
    *answer = as_direct(pattern ? kept_last(pattern) : kept_at((uint64_t)seq));
    json_decref(body);
    return true;
}

static bool is_for_consumer(const kept *k)
{
    return k->seq >= stream.from &&
           (!*stream.filter ||
            bus_subject_match(bus_view_of(stream.filter), bus_view_of(k->subject)));
}

static size_t pending(size_t at)
{
    size_t n = 0;
    for (; at < stream.shown; at++)
        n += is_for_consumer(&stream.msg[at]);
    return n;
}

static void make_consumer(const char *name, bus_view payload)
{
    json_t *body = json_loadb(payload.ptr, payload.len, 0, NULL);
    const json_t *config = json_object_get(body, "config");
    const char *filter =
        json_string_value(json_array_get(json_object_get(config, "filter_subjects"), 0));
    snprintf(stream.consumer, sizeof stream.consumer, "%s", name);
    snprintf(stream.filter, sizeof stream.filter, "%s", filter ? filter : "");
    stream.from = (uint64_t)json_integer_value(json_object_get(config, "opt_start_seq"));
    stream.delivered = 0;
    json_decref(body);
}

static void deliver_kept(int sub)
{
    for (size_t i = 0; i < stream.shown; i++) {
        const kept *k = &stream.msg[i];
        char place[192], head[96] = "";
        if (!is_for_consumer(k))
            continue;
        snprintf(place, sizeof place, "$JS.ACK.ACT.%s.1.%" PRIu64 ".%" PRIu64 ".%" PRId64 ".%zu",
                 stream.consumer, k->seq, ++stream.delivered, k->stored_ns, pending(i + 1));
        if (*k->type)
            snprintf(head, sizeof head, "NATS/1.0\r\nContent-Type: %s\r\n\r\n", k->type);
        deliver_to(sub, bus_view_of(k->subject), bus_view_of(place), bus_view_of(head),
                   (bus_view){(const char *)k->payload, k->len});
        stream.from = k->seq + 1;
    }
}

// What a reader publishes: questions for the description, for a consumer, for messages.
static inline void stream_published(const char *subject, const char *reply, bus_view payload)
{
    static const char create[] = "$JS.API.CONSUMER.CREATE.ACT.",
                      pull[] = "$JS.API.CONSUMER.MSG.NEXT.ACT.";
    char text[64];
    int sub = sub_of(bus_view_of(reply));
    bus_msg *answer = NULL;
    if (strncmp(subject, pull, sizeof pull - 1) == 0 &&
        strcmp(subject + sizeof pull - 1, stream.consumer) == 0)
        deliver_kept(sub);
    if (strcmp(subject, "$JS.API.STREAM.INFO.ACT") == 0)
        answer = description();
    if (strncmp(subject, create, sizeof create - 1) == 0) {
        make_consumer(subject + sizeof create - 1, payload);
        snprintf(text, sizeof text, "{\"name\":\"c\",\"num_pending\":%zu}", pending(0));
        answer = in_words(text);
    }
    if (!answer)
        return;
    deliver_to(sub, bus_view_of(reply), (bus_view){0}, (bus_view){0}, bus_msg_payload(answer));
    bus_msg_release(answer);
}

#endif
