// snapshot: an order book as orderbook.snapshot events, in parts that fit an event.
// The levels come best first, all bids and then all asks, and are cut where a part is full.
// Thread: the venue's. Source: schemas/specs/market-events.md, "Subjects and data".
#ifndef FEEDS_VENUES_SNAPSHOT_H
#define FEEDS_VENUES_SNAPSHOT_H

#include "feeds/venues/book.h"
#include "feeds/venues/emit.h"
#include "feeds/venues/scan.h"

// Where the levels come from: level i of all (bids first), its texts into out; and how many of each.
typedef struct {
    void (*level)(const void *from, uint32_t i, feed_level_text *out);
    const void *from;
    uint32_t bids, asks;
} feed_snapshot_source;

feed_snapshot_source feed_snapshot_of_book(feed_book *book); // tidies it
// list holds the bids and then the asks, as the venue sent them.
typedef struct {
    const feed_level_list *list;
    uint32_t bids;
} feed_snapshot_list;
feed_snapshot_source feed_snapshot_of_list(const feed_snapshot_list *list);

// feed_snapshot_emit publishes all parts. origin: "venue" or "book".
bus_err feed_snapshot_emit(feed_emit *emit, const feed_topic *topic, const char *symbol,
                           const feed_snapshot_source *source, uint64_t last_update_id,
                           const char *origin, const feed_now *now);

#endif
