#include "feeds/counters.h"

#include "bus/base/metrics.h"

#define COUNTER(name, help) BUS_METRIC(BUS_METRIC_COUNTER, "tradelane_feedd_" name "_total", help)
#define GAUGE(name, help)   BUS_METRIC(BUS_METRIC_GAUGE, "tradelane_feedd_" name, help)

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
    [FEED_COUNT_QUEUE_BYTES] = GAUGE("queue_bytes", "frames waiting for the publisher"),
    [FEED_COUNT_CONNECTED] = GAUGE("connected_state", "1 while the subscriptions stand"),
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

void feed_count_session(const feed_stats *stats, const feed_outbox *outbox, size_t queue_bytes)
{
    feed_count_set(FEED_COUNT_EVENTS, (int64_t)outbox->published);
    feed_count_set(FEED_COUNT_ACKNOWLEDGED, (int64_t)outbox->acknowledged);
    feed_count_set(FEED_COUNT_DUPLICATES, (int64_t)stats->duplicates);
    feed_count_set(FEED_COUNT_REFUSED, (int64_t)outbox->refused);
    feed_count_set(FEED_COUNT_DEAD_LETTERS, (int64_t)outbox->dead_letters);
    feed_count_set(FEED_COUNT_LETTERS_LOST, (int64_t)outbox->letters_lost);
    feed_count_set(FEED_COUNT_GAPS, (int64_t)stats->gaps);
    feed_count_set(FEED_COUNT_RESYNCS, (int64_t)stats->resyncs);
    feed_count_set(FEED_COUNT_SNAPSHOTS, (int64_t)stats->snapshots);
    feed_count_set(FEED_COUNT_QUEUE_BYTES, (int64_t)queue_bytes);
}
