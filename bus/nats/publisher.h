// publisher: acknowledged publishing to recorded lanes, with a bounded window and re-send.
// It has a connection of its own that never buffers while down: after any loss it opens a new one and
// sends again, in order, everything not yet acknowledged, after it has made sure of what is stored: by the
// de-duplication ids, or, for a writer who alone owns its subjects on a broker with fast ingest, by batches
// without ids. So what is stored is always a prefix of what was sent, each message once.
// Thread: one owner; `wake` comes from the library's. Source: schemas/specs/recording.md, "Writing".
#ifndef BUS_NATS_PUBLISHER_H
#define BUS_NATS_PUBLISHER_H

#include "bus/nats/conn.h"

typedef struct bus_publisher bus_publisher;

// An acknowledged (or refused) message. tag is the sender's own number.
typedef struct {
    uint64_t tag;
    uint64_t
        stream_seq; // 0 when refused; of own subjects (fast ingest) the place is not before it, but may be behind
    bool duplicate; // the stream held it already
    bus_err
        err; // BUS_OK, or why it can never be stored (too large). "Not now" (no stream, store full) is retried
    const char *text; // its words; "" when OK
    // Of a refused one the message itself, until the callback ends or sends: "" and empty when OK.
    const char *subject;
    bus_view msg_id, payload;
} bus_ack;
typedef void (*bus_ack_fn)(
    void *ctx, const bus_ack *ack); // on the owner's thread, from poll/wait, in order of sending

typedef struct {
    bus_conn_opts
        conn; // profile LATENCY: a message goes out when it is sent; else at the next poll, if not before
    // Subjects that nobody else writes to while this publisher does, and their stream: "act.exchange.binance.>",
    // "ACT"; borrowed until open returns. Opens the way to fast ingest. NULL: ids, whatever the broker.
    const char *owned, *owned_stream;
    uint32_t window_msgs_max;  // not yet acknowledged; 0: 4,096
    uint32_t window_bytes_max; // 0: 8 MiB
    bus_span ack_timeout;      // then the connection is replaced and the window sent again; 0: 5 s
    bus_span duplicates;       // the stream's de-duplication window; 0: 2 min
    bus_wake wake;             // acks arrived, or there is room again, or the connection changed
    bus_ack_fn on_ack;         // may be NULL
    // Asked on the owner's thread, from any verb, before anything is sent on a new connection: does the store
    // still hold what the owner knows? False: nothing is sent, and it is asked again. NULL: not asked.
    bool (*confirm)(void *ctx);
    void *on_ack_ctx; // of both
} bus_publisher_opts;

typedef enum {
    BUS_PUBLISH_SENT, // in the window; counts as recorded when its ack came
    BUS_PUBLISH_FULL, // window full (the broker is slow or away): try again after wake
    BUS_PUBLISH_ERROR // never will be: bus_err_text tells (subject, lane rules, size)
} bus_publish_result;

bus_err bus_publisher_open(bus_publisher **out, const bus_publisher_opts *opts);
// msg_id NULL: no de-duplication id. Copies everything. Of own subjects no two messages may be alike in every byte.
bus_publish_result bus_publisher_send(bus_publisher *pub, const char *subject, const char *msg_id,
                                      const bus_header_pair *headers, size_t count,
                                      bus_view payload, uint64_t tag);
// bus_publisher_event checks and encodes the event into the window itself, with Content-Type and the
// de-duplication id of bus_identity_dedup.
bus_publish_result bus_publisher_event(bus_publisher *pub, const char *subject,
                                       const bus_event *event, uint64_t tag);
void bus_publisher_push(bus_publisher *pub); // what was sent goes out now, whatever the profile
void bus_publisher_poll(
    bus_publisher *pub); // takes acks, re-sends, reconnects; call on wake and at least every 100 ms
bus_err bus_publisher_wait(bus_publisher *pub,
                           bus_span timeout); // polls until the window is empty; BUS_ETIMEOUT
uint32_t bus_publisher_pending(const bus_publisher *pub); // messages in the window
// bus_publisher_each shows what is in the window, in order of sending; views are valid within the call.
typedef struct {
    bus_view subject, msg_id, payload; // msg_id empty: none
    uint64_t tag;
} bus_unacknowledged;
typedef void (*bus_unacknowledged_fn)(void *ctx, const bus_unacknowledged *message);
void bus_publisher_each(const bus_publisher *pub, bus_unacknowledged_fn fn, void *ctx);
// up: connected, and the broker takes messages. why: the reason when it is not ("" when it is).
bool bus_publisher_up(const bus_publisher *pub);
const char *bus_publisher_why(const bus_publisher *pub, char *buf, size_t cap);
// bus_publisher_batches: what is sent goes by fast ingest, without ids.
bool bus_publisher_batches(const bus_publisher *pub);
void bus_publisher_close(bus_publisher *pub); // what is un-acknowledged is given up: wait first

#endif
