// venue: what an adapter is. One ops table, one folder, one line in venue.c; test/feeds/venues runs the
// same suite over all of them. An adapter is bytes in, events out: no sockets, no files, no clock.
// The machinery around it (feeds/, or a test) carries messages between the venue and the session.
//
//   open -> opened -> subscribe* -> (frame | response | tick)* -> down -> opened -> …  -> close
//
// Thread: a session belongs to one thread. Nothing blocks. Source: schemas/specs/feed-events.md.
#ifndef FEEDS_VENUES_VENUE_H
#define FEEDS_VENUES_VENUE_H

#include "feeds/venues/emit.h"

typedef struct feed_session feed_session;
typedef struct feed_venue feed_venue;

typedef enum { FEED_REQUEST_DEPTH, FEED_REQUEST_INSTRUMENTS } feed_request_kind;

// A REST request the session wants made: GET <rest url><path>. Exactly one response answers it.
typedef struct {
    feed_request_kind kind;
    uint32_t symbol; // index in opts.symbols; of instruments: the first one asked for
    char path[4096];
} feed_request;
typedef void (*feed_request_fn)(void *ctx, const feed_request *request);

typedef struct {
    const char *const *symbols; // as the venue writes them, in any case of letters
    uint32_t symbol_count;
    const char *const *channels; // the venue's names
    uint32_t channel_count;
    bus_span snapshot_every;   // of a whole book; 0: 60 s
    bus_span duplicates_after; // so long nothing but duplicates on a channel: told; 0: 10 s
    uint32_t snapshot_limit;   // levels a side asked of the venue; 0: its largest
    feed_event_fn event;
    feed_request_fn request;
    void *ctx; // of both
} feed_opts;

typedef enum {
    FEED_FRAME_EVENT,     // published, as one event or several
    FEED_FRAME_DUPLICATE, // known already, or inside a gap: counted
    FEED_FRAME_ACK,       // a subscribe message was accepted
    FEED_FRAME_REFUSED,   // a subscribe message was refused: bus_err_text tells
    FEED_FRAME_SHUTDOWN,  // the venue will end this connection soon
    FEED_FRAME_ERROR,     // cannot be translated: bus_err_text names place and rule; keep the bytes
} feed_frame_result;

struct feed_venue {
    const char *name;            // the venue token
    const char *const *channels; // what it can subscribe; ends with NULL; "kline_" is a prefix
    const char *const *channels_preset; // ends with NULL
    uint32_t streams_max;               // per connection
    uint32_t messages_per_second;       // to the venue, per connection
    bus_span life_max;                  // of a connection

    // open: opts are copied. Errors name the symbol or channel and the rule.
    bus_err (*open)(feed_session **out, const feed_opts *opts);
    void (*close)(feed_session *session);
    const char *(*path)(const feed_session *session); // of the WebSocket, e.g. "/stream"
    // subscribe writes message number `step` (0, 1, …) and returns its length; 0: there are no more.
    size_t (*subscribe)(const feed_session *session, uint32_t step, char *buf, size_t cap);
    // up: the subscriptions stand. Asks for what the sync needs.
    void (*up)(feed_session *session, bool rotation, const feed_now *now);
    // down: the connection is gone and no other one carries the streams.
    void (*down)(feed_session *session, const feed_now *now);
    // control: tells acknowledgements, refusals and announcements from data without taking the frame
    // in: EVENT for everything else. For connections whose data are not wanted yet.
    feed_frame_result (*control)(bus_view text);
    feed_frame_result (*frame)(feed_session *session, bus_view text, const feed_now *now);
    // response: status 0 means that no answer came. An error says what was wrong with the body.
    bus_err (*response)(feed_session *session, const feed_request *request, int status,
                        bus_view body, const feed_now *now);
    void (*tick)(feed_session *session, const feed_now *now); // at least once a second
    // again: what the session made of its own accord (books, descriptions) may be gone from the lane: it is due anew.
    void (*again)(feed_session *session, const feed_now *now);
    // seen: the id of a recorded event: nothing at or below it is published again.
    void (*seen)(feed_session *session, bus_view id);
    // recall: subject number i (0, 1, …) whose last recorded event `seen` must be shown after a restart;
    // false: there are no more. several: it carries more than one channel, so look further back too.
    bool (*recall)(const feed_session *session, uint32_t i, const char **subject, bool *several);
};

const feed_venue *feed_venue_find(const char *name); // NULL: no such venue
const feed_venue *feed_venue_at(size_t i);           // NULL: beyond the last

#endif
