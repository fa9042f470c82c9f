// session: what all adapters share: the emitter, the counters, and the events about the feed itself.
// An adapter's own struct begins with a feed_session. Thread: the venue's.
// Source: schemas/specs/feed-events.md.
#ifndef FEEDS_VENUES_SESSION_H
#define FEEDS_VENUES_SESSION_H

#include "feeds/venues/venue.h"

typedef struct {
    uint64_t frames, events, duplicates, errors, gaps, resyncs, wholes, snapshots;
    uint64_t only_duplicates; // channels on which nothing else comes, now
} feed_stats;

struct feed_session {
    const feed_venue *venue;
    feed_emit emit;
    feed_request_fn request;
    void *ctx;
    bus_span duplicates_after;
    feed_stats stats;
    uint32_t streams; // that subscribe names
    bool renew;       // they are others than those of the connection: it should be replaced
    bus_recorded_time last_received; // of the last frame published or recorded
    const char *interruption;        // "disconnected" or "restart": not yet told as a gap; or NULL
};

void feed_session_init(feed_session *session, const feed_venue *venue, const feed_opts *opts);

// --- for the machinery -------------------------------------------------------------------------------
// A connection to the venue, as its events name it.
typedef struct {
    const char *connection_id, *url;
    uint32_t attempt, streams;
    bool rotation;
    bus_wall stood;      // since when the subscriptions stand; 0: now
    bus_wall lost_after; // begin of the gap, where it is not the last frame published; else 0
} feed_link;

// feed_session_resume: the lane already holds events of this venue; last_received of its last frame.
// Call before the first opened, as venue->seen for the last id of every channel and symbol.
void feed_session_resume(feed_session *session, bus_recorded_time last_received,
                         int64_t last_epoch_ms);
void feed_session_opened(feed_session *session, const feed_now *now); // a new epoch begins
void feed_session_up(feed_session *session, const feed_link *link, const feed_now *now);
// feed_session_down: rotation in link means that another connection carries the streams.
void feed_session_down(feed_session *session, const feed_link *link, const char *reason,
                       const char *text, const feed_now *now);
// feed_session_went_back: what the lane held after `after` is gone; what was received since `now` comes (again) behind
// this. Books and descriptions are due anew.
//   lost  false: nothing of ours was
void feed_session_went_back(feed_session *session, bus_recorded_time after, bool lost,
                            const char *text, const feed_now *now);
void feed_session_stale(feed_session *session, bus_span silent, bus_span limit,
                        const feed_now *now);

// --- for adapters ------------------------------------------------------------------------------------
typedef struct {
    const char *reason, *channel; // channel NULL: all
    const char *symbol;           // NULL: all
    bool has_range;
    uint64_t first, last; // missing
    bus_recorded_time after, before;
} feed_gap;
void feed_session_gap(feed_session *session, const feed_gap *gap, const feed_now *now);
void feed_session_resync(feed_session *session, const char *symbol, const char *reason,
                         uint64_t last_update_id, const feed_now *now);
void feed_session_whole(feed_session *session, const char *symbol, uint64_t snapshot_id,
                        uint64_t last_update_id, const feed_now *now);
void feed_session_degraded(feed_session *session, const char *symbol, const char *reason,
                           const char *text, const feed_now *now);
// A whole book and the venue's snapshot of the same update differ in `levels` levels; the first one.
typedef struct {
    const char *symbol, *side, *price, *expected, *got; // expected: the venue's quantity
    uint64_t last_update_id;
    uint32_t levels;
} feed_difference;
void feed_session_difference(feed_session *session, const feed_difference *d, const feed_now *now);

// A stream of messages of one symbol: where they go and the last id.
typedef struct {
    feed_topic topic;
    const char *name; // channel, as in ids: "trade", "kline_1m"
    bool on, has_last;
    uint64_t last, last_b;
    bus_recorded_time last_received;
    const char *interruption; // why the next message may not follow the last; NULL: it must
    bus_mono known_since;     // of the first of the duplicates since the last new message; 0: none
    bool only_known;          // told: nothing but duplicates comes
} feed_channel;
// feed_channel_fresh: is id above the last? Counts a duplicate when not. `first` is the first of the ids
// that the message covers (first == id for trades); where it is not last + 1 the gap is published,
// unless `holes` says that the channel's ids have holes by nature. Does not move `last`.
bool feed_channel_fresh(feed_session *session, feed_channel *channel, const char *symbol,
                        uint64_t first, uint64_t id, bool holes, const feed_now *now);
// feed_channel_known: a message at or below the last was dropped: counts it, and tells when nothing else comes.
// again: it is the last one once more, which is no sign of anything.
void feed_channel_known(feed_session *session, feed_channel *channel, const char *symbol,
                        uint64_t id, bool again, const feed_now *now);
void feed_channel_took(feed_session *session, feed_channel *channel, uint64_t id,
                       const feed_now *now); // published

#endif
