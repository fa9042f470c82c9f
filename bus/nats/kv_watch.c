// A watch is a push consumer of our own on the bucket's stream: last entry of each key first, then every
// change. Deliveries are numbered in their reply subjects; a number that is missing, silence, another
// connection: the consumer is made anew from the revision after the last one taken.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bus/nats/api.h"
#include "bus/nats/kv_impl.h"
#include "bus/nats/wait.h"

enum {
    HEARTBEAT_MS = 2000,
    SILENCE_MS = 5 * HEARTBEAT_MS / 2,
    RETRY_MS = 250,
    INACTIVE_S = 60,
    PENDING_MAX = 1 << 18,
    ACK_TOKENS_MAX = 12,
};

struct bus_kv_watch {
    bus_conn *conn;
    char bucket[72];
    char filter[BUS_KV_SUBJECT];
    char inbox[64]; // deliveries come on <inbox>.<generation>
    bus_wake wake;
    // One for each consumer: the broker delivers only while somebody listens to exactly its delivery
    // subject; a wildcard over it is no interest.
    bus_sub *sub;

    uint32_t generation; // of the consumer that counts; 0: none
    uint32_t epoch;      // of the connection it was made on
    uint64_t deliveries; // taken from it
    bus_mono heard, tried;
    char created[64]; // of the stream: another one means another bucket of the same name

    uint64_t revision; // last one taken
    bool current;      // CURRENT was told
    bool tell_current;
};

bus_err bus_kv_watch_open(bus_kv_watch **out, bus_conn *conn, const char *bucket,
                          const char *key_pattern, bus_wake wake)
{
    bus_kv_watch *w = calloc(1, sizeof *w);
    if (!w)
        return bus_fail(BUS_ENOMEM, "watch of bucket '%s'", bucket);
    w->conn = conn;
    w->wake = wake;
    bus_err err = bus_kv_subject_of(w->filter, bucket, key_pattern, true);
    if (!err) {
        snprintf(w->bucket, sizeof w->bucket, "%s", bucket);
        snprintf(w->inbox, sizeof w->inbox, "_INBOX.%016" PRIx64 "%016" PRIx64,
                 bus_machine_random(), bus_machine_random());
    }
    if (err) {
        bus_kv_watch_close(w);
        return bus_note(err, "watching bucket '%s'", bucket);
    }
    w->tried.ns = bus_machine_mono().ns - BUS_SPAN_MS(RETRY_MS).ns;
    *out = w;
    return BUS_OK;
}

static void consumer_name(const bus_kv_watch *w, char name[64])
{
    snprintf(name, 64, "w%s-%u", w->inbox + sizeof "_INBOX." - 1, w->generation);
}

static void drop_consumer(bus_kv_watch *w)
{
    char api[BUS_API_SUBJECT], name[64];
    if (w->generation == 0)
        return;
    consumer_name(w, name);
    snprintf(api, sizeof api, "$JS.API.CONSUMER.DELETE.KV_%s.%s", w->bucket, name);
    bus_publish(w->conn, api, NULL, NULL, 0, (bus_view){0});
    bus_sub_close(w->sub);
    w->sub = NULL;
}

void bus_kv_watch_close(bus_kv_watch *w)
{
    if (!w)
        return;
    drop_consumer(w);
    free(w);
}

// --- making the consumer -----------------------------------------------------------------------------

static json_t *consumer_request(const bus_kv_watch *w, const char *name, const char *deliver)
{
    json_t *config = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:b, s:I, s:I, s:b, s:i}", "name",
                               name, "deliver_subject", deliver, "filter_subject", w->filter,
                               "ack_policy", "none", "replay_policy", "instant", "idle_heartbeat",
                               (json_int_t)BUS_SPAN_MS(HEARTBEAT_MS).ns, "flow_control", 1,
                               "inactive_threshold", (json_int_t)BUS_SPAN_S(INACTIVE_S).ns,
                               "max_deliver", (json_int_t)1, "mem_storage", 1, "num_replicas", 1);
    if (!config)
        return NULL;
    if (w->revision) {
        json_object_set_new(config, "deliver_policy", json_string("by_start_sequence"));
        json_object_set_new(config, "opt_start_seq", json_integer((json_int_t)w->revision + 1));
    } else {
        json_object_set_new(config, "deliver_policy", json_string("last_per_subject"));
    }
    char stream[80];
    snprintf(stream, sizeof stream, "KV_%s", w->bucket);
    return json_pack("{s:s, s:o}", "stream_name", stream, "config", config);
}

// A bucket that was deleted and made anew counts its revisions from 1 again: what we had says nothing.
static bus_err check_bucket(bus_kv_watch *w)
{
    char api[BUS_API_SUBJECT];
    json_t *info = NULL;
    snprintf(api, sizeof api, "$JS.API.STREAM.INFO.KV_%s", w->bucket);
    bus_err err = bus_api_call(&info, w->conn, api, NULL);
    if (err)
        return err;
    const char *created = json_string_value(json_object_get(info, "created"));
    const json_t *state = json_object_get(info, "state");
    uint64_t last = (uint64_t)json_integer_value(json_object_get(state, "last_seq"));
    if (strcmp(w->created, created ? created : "") != 0 || last < w->revision) {
        w->revision = 0;
        w->current = false;
        snprintf(w->created, sizeof w->created, "%s", created ? created : "");
    }
    json_decref(info);
    return BUS_OK;
}

static void make_consumer(bus_kv_watch *w, bus_mono now)
{
    char api[BUS_API_SUBJECT], deliver[80], name[64];
    json_t *answer = NULL, *request = NULL;
    uint32_t epoch = bus_conn_epoch(w->conn);
    w->tried = now;
    if (bus_conn_state_of(w->conn) != BUS_CONN_UP || check_bucket(w))
        return;
    drop_consumer(w);
    w->generation++; // deliveries may come before the answer does
    consumer_name(w, name);
    snprintf(deliver, sizeof deliver, "%s.%u", w->inbox, w->generation);
    snprintf(api, sizeof api, "$JS.API.CONSUMER.CREATE.KV_%s.%s", w->bucket, name);
    w->deliveries = 0;
    w->epoch = 0;
    bus_sub_opts opts = {.subject = deliver, .pending_max = PENDING_MAX, .wake = w->wake};
    if (bus_sub_open(&w->sub, w->conn, &opts))
        return;
    request = consumer_request(w, name, deliver);
    if (request && bus_api_call(&answer, w->conn, api, request) == BUS_OK) {
        w->epoch = epoch;
        w->heard = bus_machine_mono();
        const json_t *pending = json_object_get(answer, "num_pending");
        const json_t *delivered =
            json_object_get(json_object_get(answer, "delivered"), "consumer_seq");
        if (!w->current && json_integer_value(pending) == 0 && json_integer_value(delivered) == 0)
            w->tell_current = true;
    }
    json_decref(request);
    json_decref(answer);
}

static void keep_consumer(bus_kv_watch *w)
{
    bus_mono now = bus_machine_mono();
    bool stands = w->epoch != 0 && w->epoch == bus_conn_epoch(w->conn) &&
                  bus_mono_since(now, w->heard).ns < BUS_SPAN_MS(SILENCE_MS).ns;
    if (!stands && bus_mono_since(now, w->tried).ns >= BUS_SPAN_MS(RETRY_MS).ns)
        make_consumer(w, now);
}

// --- taking deliveries -------------------------------------------------------------------------------

typedef struct {
    bus_view consumer;
    uint64_t revision, delivery, pending;
    int64_t time_ns;
} place;

// $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>, or with domain and
// account in front of the stream and a random token at the end.
static bool read_place(bus_view reply, place *out)
{
    bus_view token[ACK_TOKENS_MAX];
    size_t count = 0, from = 0;
    if (reply.len == 0)
        return false;
    for (size_t i = 0; i <= reply.len && count < ACK_TOKENS_MAX; i++) {
        if (i < reply.len && reply.ptr[i] != '.')
            continue;
        token[count++] = (bus_view){reply.ptr + from, i - from};
        from = i + 1;
    }
    size_t at = count == 9 ? 3 : 5;
    uint64_t time = 0;
    if (count < 9 || count == 10 || !bus_view_is(token[0], "$JS") || !bus_view_is(token[1], "ACK"))
        return false;
    out->consumer = token[at];
    bool fine = bus_view_u64(token[at + 2], &out->revision) &&
                bus_view_u64(token[at + 3], &out->delivery) && bus_view_u64(token[at + 4], &time) &&
                bus_view_u64(token[at + 5], &out->pending);
    out->time_ns = (int64_t)time;
    return fine;
}

// Heartbeats and flow control: a status of 100. Any other means that the consumer is gone.
static void take_status(bus_kv_watch *w, const bus_msg *msg, bus_view status)
{
    bus_view stalled, last;
    uint64_t delivered = 0;
    char subject[BUS_API_SUBJECT];
    w->heard = bus_machine_mono();
    if (!bus_view_is(status, "100")) {
        w->epoch = 0;
        return;
    }
    // Flow control: the broker goes on when this has come back.
    if (bus_view_copy(bus_msg_reply(msg), subject, sizeof subject) && *subject)
        bus_publish(w->conn, subject, NULL, NULL, 0, (bus_view){0});
    if (bus_msg_header(msg, "Nats-Consumer-Stalled", &stalled) &&
        bus_view_copy(stalled, subject, sizeof subject))
        bus_publish(w->conn, subject, NULL, NULL, 0, (bus_view){0});
    // A heartbeat tells how many were delivered before it: fewer here means that the last were lost.
    if (bus_msg_header(msg, "Nats-Last-Consumer", &last) && bus_view_u64(last, &delivered) &&
        delivered > w->deliveries)
        w->epoch = 0;
}

// Is msg the next entry? A delivery shows the stored subject, and its consumer in the reply subject.
static bool take_entry(bus_kv_watch *w, const bus_msg *msg, place *at)
{
    char name[64];
    bus_view status;
    if (bus_msg_payload(msg).len == 0 && bus_msg_header(msg, "Status", &status)) {
        take_status(w, msg, status);
        return false;
    }
    consumer_name(w, name);
    if (!read_place(bus_msg_reply(msg), at) || !bus_view_is(at->consumer, name))
        return false;
    w->heard = bus_machine_mono();
    if (at->delivery != w->deliveries + 1) {
        w->epoch = 0; // something between was lost
        return false;
    }
    w->deliveries = at->delivery;
    if (!w->current && at->pending == 0)
        w->tell_current = true;
    w->revision = at->revision;
    return true;
}

static bus_kv_result tell_current(bus_kv_watch *w)
{
    w->tell_current = false;
    w->current = true;
    return BUS_KV_CURRENT;
}

// The next message, or the time passes; there is nothing to listen on while the broker is away.
static bus_msg *wait_message(bus_kv_watch *w, int64_t left_ns)
{
    int64_t turn = BUS_SPAN_MS(RETRY_MS).ns / (w->sub ? 1 : 10);
    int64_t ns = left_ns < 0 ? 0 : left_ns < turn ? left_ns : turn;
    if (w->sub)
        return bus_sub_next(w->sub, (bus_span){ns});
    nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
    return NULL;
}

bus_kv_result bus_kv_watch_next(bus_kv_watch *w, bus_span timeout, bus_kv_entry *out)
{
    bus_mono until = bus_mono_add(bus_machine_mono(), timeout);
    for (;;) {
        keep_consumer(w);
        if (w->tell_current)
            return tell_current(w);
        int64_t left = bus_mono_since(until, bus_machine_mono()).ns;
        bus_msg *msg = wait_message(w, left);
        place at;
        if (msg && take_entry(w, msg, &at)) {
            if (bus_kv_entry_of(out, w->bucket, msg, bus_msg_subject(msg), at.revision,
                                (bus_wall){at.time_ns}) == BUS_OK)
                return BUS_KV_ENTRY;
            w->revision = at.revision - 1; // no memory: this one is told again
            w->epoch = 0;
            continue;
        }
        bus_msg_release(msg);
        if (!msg && left <= 0)
            return BUS_KV_NOTHING;
    }
}
