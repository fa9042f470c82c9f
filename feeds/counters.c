#include "feeds/counters.h"

#include "bus/base/metrics.h"

#define COUNTER(name, help) BUS_METRIC(BUS_METRIC_COUNTER, name "_total", help)
#define GAUGE(name, help)   BUS_METRIC(BUS_METRIC_GAUGE, name, help)

static bus_metric metric[FEED_COUNT_KINDS] = {
    [FEED_COUNT_FRAMES] = COUNTER("frames", "messages received from the venue"),
    [FEED_COUNT_FAILURES] = COUNTER("connect_failures", "tries to connect that failed"),
    [FEED_COUNT_ROTATIONS] = COUNTER("rotations", "connections replaced as planned"),
    [FEED_COUNT_EVENTS] = COUNTER("events", "events given to the publisher"),
    [FEED_COUNT_ACKNOWLEDGED] = COUNTER("acknowledged", "events the broker acknowledged"),
    [FEED_COUNT_DUPLICATES] = COUNTER("duplicates", "frames not published: known, or in a gap"),
    [FEED_COUNT_REFUSED] = COUNTER("events_refused", "events the broker never will store"),
    [FEED_COUNT_DEAD_LETTERS] = COUNTER("dead_letters", "frames not translated, events refused"),
    [FEED_COUNT_LETTERS_LOST] = COUNTER("dead_letters_lost", "dead letters that could not be kept"),
    [FEED_COUNT_GAPS] = COUNTER("gaps", "feed.gap events"),
    [FEED_COUNT_RESYNCS] = COUNTER("resyncs", "feed.resync events"),
    [FEED_COUNT_SNAPSHOTS] = COUNTER("snapshots", "book snapshots published"),
    [FEED_COUNT_BYTES] = COUNTER("received_bytes", "payload of those messages"),
    [FEED_COUNT_DISCONNECTS] = COUNTER("disconnects", "connections that ended unasked"),
    [FEED_COUNT_STALE] = COUNTER("stale", "feed.stale events: silence of the venue"),
    [FEED_COUNT_QUEUE_BYTES] = GAUGE("queue_bytes", "frames waiting for the publisher"),
    [FEED_COUNT_QUEUE_LIMIT] = GAUGE("queue_limit_bytes", "frames that may wait"),
    [FEED_COUNT_WINDOW] = GAUGE("window_events", "events published and not acknowledged"),
    [FEED_COUNT_WINDOW_LIMIT] = GAUGE("window_limit_events", "events that may be so"),
    [FEED_COUNT_WAITING_BYTES] = GAUGE("outbox_bytes", "events the window has no room for"),
    [FEED_COUNT_ONLY_DUPLICATES] = GAUGE("only_duplicates_channels", "channels with nothing else"),
    [FEED_COUNT_LEASE] = GAUGE("lease_held", "1 while this feedd is the venue's one"),
    [FEED_COUNT_BATCHES] = GAUGE("fast_ingest", "1 while events go in batches, without ids"),
    [FEED_COUNT_CONNECTED] = GAUGE("venue_connected", "1 while the subscriptions stand"),
    [FEED_COUNT_LAST_FRAME] = BUS_METRIC_TIME(BUS_METRIC_GAUGE, "last_frame_time_seconds",
                                              "receipt of the newest message, since 1970"),
    [FEED_COUNT_LANE] =
        BUS_METRIC(BUS_METRIC_HISTOGRAM, "frame_to_lane_seconds",
                   "from the receipt of a frame to the acknowledgement of an event made of it"),
};

void feed_counters_add(void)
{
    for (int i = 0; i < FEED_COUNT_KINDS; i++)
        bus_metrics_add(&metric[i]);
}

void feed_count(feed_counter counter, int64_t by)
{
    bus_metric_inc(&metric[counter], by);
}

void feed_count_set(feed_counter counter, int64_t value)
{
    bus_metric_set(&metric[counter], value);
}

void feed_count_frame(size_t bytes, bus_recorded_time received)
{
    bus_metric_inc(&metric[FEED_COUNT_FRAMES], 1);
    bus_metric_inc(&metric[FEED_COUNT_BYTES], (int64_t)bytes);
    bus_metric_set(&metric[FEED_COUNT_LAST_FRAME], received.ns);
}

void feed_count_lane(bus_recorded_time received)
{
    bus_metric_observe(&metric[FEED_COUNT_LANE], bus_now_wall().ns - received.ns);
}

void feed_count_session(const feed_stats *stats, const feed_outbox *outbox, size_t queue_bytes)
{
    feed_count_set(FEED_COUNT_EVENTS, (int64_t)outbox->published);
    feed_count_set(FEED_COUNT_ACKNOWLEDGED, (int64_t)outbox->acknowledged);
    feed_count_set(FEED_COUNT_DUPLICATES, (int64_t)stats->duplicates);
    feed_count_set(FEED_COUNT_ONLY_DUPLICATES, (int64_t)stats->only_duplicates);
    feed_count_set(FEED_COUNT_REFUSED, (int64_t)outbox->refused);
    feed_count_set(FEED_COUNT_DEAD_LETTERS, (int64_t)outbox->dead_letters);
    feed_count_set(FEED_COUNT_LETTERS_LOST, (int64_t)outbox->letters_lost);
    feed_count_set(FEED_COUNT_GAPS, (int64_t)stats->gaps);
    feed_count_set(FEED_COUNT_RESYNCS, (int64_t)stats->resyncs);
    feed_count_set(FEED_COUNT_SNAPSHOTS, (int64_t)stats->snapshots);
    feed_count_set(FEED_COUNT_QUEUE_BYTES, (int64_t)queue_bytes);
    feed_count_set(FEED_COUNT_WINDOW, bus_publisher_pending(outbox->lane));
    feed_count_set(FEED_COUNT_BATCHES, bus_publisher_batches(outbox->lane));
    feed_count_set(FEED_COUNT_WINDOW_LIMIT, FEED_WINDOW_EVENTS_MAX);
    feed_count_set(FEED_COUNT_WAITING_BYTES, (int64_t)feed_fifo_bytes(&outbox->waiting));
}
