#include "cli/ladder.h"

#include <stdlib.h>
#include <string.h>

void lane_ladder_release(lane_ladder *ladder)
{
    free(ladder->level);
    *ladder = (lane_ladder){.bids = ladder->bids};
}

void lane_ladder_clear(lane_ladder *ladder)
{
    ladder->count = 0;
}

// Where a price stands or would stand: worst first.
static size_t find(const lane_ladder *ladder, lane_amount price)
{
    size_t low = 0, high = ladder->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        bool before =
            ladder->bids ? ladder->level[mid].price < price : ladder->level[mid].price > price;
        if (before)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bus_err set_level(lane_ladder *ladder, const lane_level *fresh)
{
    size_t at = find(ladder, fresh->price);
    bool there = at < ladder->count && ladder->level[at].price == fresh->price;
    if (fresh->qty == 0) {
        if (there) {
            ladder->count--;
            memmove(ladder->level + at, ladder->level + at + 1,
                    (ladder->count - at) * sizeof *fresh);
        }
        return BUS_OK;
    }
    if (!there) {
        if (ladder->count == ladder->cap) {
            size_t cap = ladder->cap ? 2 * ladder->cap : 1024;
            lane_level *level = realloc(ladder->level, cap * sizeof *level);
            if (!level)
                return bus_fail(BUS_ENOMEM, "book of %zu levels", cap);
            ladder->level = level;
            ladder->cap = cap;
        }
        memmove(ladder->level + at + 1, ladder->level + at, (ladder->count - at) * sizeof *fresh);
        ladder->count++;
    }
    ladder->level[at] = *fresh;
    return BUS_OK;
}

static bus_err make_level(lane_level *out, bus_view price, bus_view qty)
{
    if (!bus_view_copy(price, out->price_text, LANE_LEVEL_TEXT) ||
        !bus_view_copy(qty, out->qty_text, LANE_LEVEL_TEXT))
        return bus_fail(BUS_EINVAL, "a level's text is longer than %d", LANE_LEVEL_TEXT - 1);
    bus_err err = lane_amount_parse(price, &out->price);
    return err ? err : lane_amount_parse(qty, &out->qty);
}

bus_err lane_ladder_apply(lane_ladder *ladder, bus_cursor levels, uint64_t *rows)
{
    bus_pack_value list, pair, price, qty;
    if (!bus_cursor_next(&levels, &list) || list.kind != BUS_PACK_ARRAY)
        return bus_fail(BUS_EINVAL, "levels are no list");
    for (uint32_t i = 0; i < list.as.count; i++) {
        lane_level fresh;
        if (!bus_cursor_next(&levels, &pair) || pair.kind != BUS_PACK_ARRAY || pair.as.count != 2 ||
            !bus_cursor_next(&levels, &price) || price.kind != BUS_PACK_STR ||
            !bus_cursor_next(&levels, &qty) || qty.kind != BUS_PACK_STR)
            return bus_fail(BUS_EINVAL, "level %u is not [\"price\",\"quantity\"]", i);
        bus_err err = make_level(&fresh, price.as.bytes, qty.as.bytes);
        if (!err)
            err = set_level(ladder, &fresh);
        if (err)
            return err;
    }
    if (rows)
        *rows += list.as.count;
    return BUS_OK;
}

const lane_level *lane_ladder_at(const lane_ladder *ladder, size_t i)
{
    return i < ladder->count ? &ladder->level[ladder->count - 1 - i] : NULL;
}

json_t *lane_ladder_top(const lane_ladder *ladder, size_t n)
{
    json_t *list = json_array();
    const lane_level *level;
    for (size_t i = 0; i < n && (level = lane_ladder_at(ladder, i)); i++)
        json_array_append_new(list, json_pack("[s,s]", level->price_text, level->qty_text));
    return list;
}

bus_err lane_ladder_differences(const lane_ladder *ladder, const json_t *list, uint64_t *count)
{
    size_t ours = 0, theirs = 0, total = json_array_size(list);
    while (ours < ladder->count || theirs < total) {
        const lane_level *a = lane_ladder_at(ladder, ours);
        lane_level b = {0};
        if (theirs < total) {
            const json_t *pair = json_array_get(list, theirs);
            const char *price = json_string_value(json_array_get(pair, 0));
            const char *qty = json_string_value(json_array_get(pair, 1));
            bus_err err = make_level(&b, bus_view_of(price), bus_view_of(qty));
            if (err)
                return err;
        }
        bool a_first =
            a && (theirs == total || (ladder->bids ? a->price > b.price : a->price < b.price));
        bool both = a && theirs < total && a->price == b.price;
        *count += !both || a->qty != b.qty;
        ours += a_first || both;
        theirs += !a_first;
    }
    return BUS_OK;
}
