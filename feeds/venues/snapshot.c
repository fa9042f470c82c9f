#include "feeds/venues/snapshot.h"

#include <string.h>

#include "bus/base/kill_point.h"

enum { HEAD_MAX = 512 }; // everything in a part's data but the levels

static void book_level(const void *from, uint32_t i, feed_level_text *out)
{
    const feed_book *book = from;
    uint32_t bids = book->side[FEED_BID].count;
    if (i < bids)
        feed_book_text(book, FEED_BID, i, out);
    else
        feed_book_text(book, FEED_ASK, i - bids, out);
}

feed_snapshot_source feed_snapshot_of_book(feed_book *book)
{
    feed_book_tidy(book);
    return (feed_snapshot_source){book_level, book, book->side[FEED_BID].count,
                                  book->side[FEED_ASK].count};
}

static void list_level(const void *from, uint32_t i, feed_level_text *out)
{
    const feed_snapshot_list *list = from;
    const feed_level *level = &list->list->item[i];
    out->price_len = (int)level->price.text.len; // at most 37, feed_decimal's bound
    out->quantity_len = (int)level->quantity.text.len;
    memcpy(out->price, level->price.text.ptr, level->price.text.len);
    memcpy(out->quantity, level->quantity.text.ptr, level->quantity.text.len);
}

feed_snapshot_source feed_snapshot_of_list(const feed_snapshot_list *list)
{
    return (feed_snapshot_source){list_level, list, list->bids, list->list->count - list->bids};
}

static uint32_t packed_len(const feed_level_text *t)
{
    return 1 + 2 + (uint32_t)t->price_len + 2 + (uint32_t)t->quantity_len;
}

// End of the part that begins at level `from`.
static uint32_t part_end(const feed_snapshot_source *source, uint32_t from)
{
    uint32_t all = source->bids + source->asks, room = FEED_PART_MAX - HEAD_MAX, i = from;
    for (; i < all; i++) {
        feed_level_text text;
        source->level(source->from, i, &text);
        uint32_t need = packed_len(&text);
        if (need > room)
            break;
        room -= need;
    }
    return i;
}

static void pack_levels(bus_pack *p, const char *key, const feed_snapshot_source *source,
                        uint32_t from, uint32_t end)
{
    bus_pack_key(p, key);
    bus_pack_array(p, end > from ? end - from : 0);
    for (uint32_t i = from; i < end; i++) {
        feed_level_text text;
        source->level(source->from, i, &text);
        bus_pack_array(p, 2);
        bus_pack_str(p, (bus_view){text.price, (size_t)text.price_len});
        bus_pack_str(p, (bus_view){text.quantity, (size_t)text.quantity_len});
    }
}

bus_err feed_snapshot_emit(feed_emit *emit, const feed_topic *topic, const char *symbol,
                           const feed_snapshot_source *source, uint64_t last_update_id,
                           const char *origin, const feed_now *now)
{
    uint32_t all = source->bids + source->asks, bids = source->bids, parts = 0, at = 0;
    do {
        at = part_end(source, at);
        parts++;
    } while (at < all);
    bus_err err = BUS_OK;
    at = 0;
    for (uint32_t part = 1; part <= parts && !err; part++) {
        uint32_t end = part_end(source, at);
        bus_pack *p = feed_emit_data(emit, 8);
        feed_put_text(p, "symbol", symbol);
        pack_levels(p, "bids", source, at < bids ? at : bids, end < bids ? end : bids);
        pack_levels(p, "asks", source, at > bids ? at : bids, end > bids ? end : bids);
        feed_put_uint(p, "last_update_id", last_update_id);
        feed_put_uint(p, "part", part);
        feed_put_uint(p, "parts", parts);
        feed_put_instant(p, "snapshot_at", now->received.ns);
        feed_put_text(p, "origin", origin);
        err = feed_emit_own(emit, topic, now);
        bus_kill_point("feed.snapshot");
        at = end;
    }
    return err;
}
