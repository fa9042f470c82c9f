// counters: what feedd measures, as Prometheus metrics. Any thread.
// Source: schemas/specs/daemons.md, "Metrics".
#ifndef FEEDS_COUNTERS_H
#define FEEDS_COUNTERS_H

#include "feeds/outbox.h"
#include "feeds/venues/session.h"

typedef enum {
    FEED_COUNT_FRAMES,
    FEED_COUNT_FAILURES,
    FEED_COUNT_ROTATIONS,
    FEED_COUNT_EVENTS,
    FEED_COUNT_ACKNOWLEDGED,
    FEED_COUNT_DUPLICATES,
    FEED_COUNT_REFUSED,
    FEED_COUNT_DEAD_LETTERS,
    FEED_COUNT_LETTERS_LOST,
    FEED_COUNT_GAPS,
    FEED_COUNT_RESYNCS,
    FEED_COUNT_SNAPSHOTS,
    FEED_COUNT_BYTES,
    FEED_COUNT_DISCONNECTS,
    FEED_COUNT_STALE,
    FEED_COUNT_QUEUE_BYTES, // a gauge, like what follows
    FEED_COUNT_QUEUE_LIMIT,
    FEED_COUNT_WINDOW,
    FEED_COUNT_WINDOW_LIMIT,
    FEED_COUNT_WAITING_BYTES,
    FEED_COUNT_ONLY_DUPLICATES,
    FEED_COUNT_LEASE,
    FEED_COUNT_BATCHES,
    FEED_COUNT_CONNECTED,
    FEED_COUNT_LAST_FRAME,
    FEED_COUNT_LANE,
    FEED_COUNT_KINDS
} feed_counter;

void feed_counters_add(void); // registers them; once, before threads are started
void feed_count(feed_counter counter, int64_t by);
void feed_count_set(feed_counter counter, int64_t value);
// feed_count_frame: a message of the venue came.
void feed_count_frame(size_t bytes, bus_recorded_time received);
// feed_count_lane: an event made of a frame of that time was acknowledged.
void feed_count_lane(bus_recorded_time received);
// feed_count_session copies the session's and the outbox's own counts.
void feed_count_session(const feed_stats *stats, const feed_outbox *outbox, size_t queue_bytes);

#endif
