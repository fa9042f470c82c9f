#include "cli/book.h"

#include <stdlib.h>
#include <string.h>

#include "cli/fields.h"

enum { KEPT_MAX = 200000 };

struct lane_kept {
    lane_kept *next;
    size_t len;
    char data[];
};

static void drop_kept(lane_book *b)
{
    while (b->first) {
        lane_kept *next = b->first->next;
        free(b->first);
        b->first = next;
    }
    b->tail = &b->first;
    b->kept_count = 0;
}

void lane_book_init(lane_book *b, void (*reached)(void *ctx, uint64_t update_id), void *ctx)
{
    *b = (lane_book){.reached = reached, .ctx = ctx};
    b->bids.bids = b->part_bids.bids = true;
    b->tail = &b->first;
}

void lane_book_release(lane_book *b)
{
    drop_kept(b);
    lane_ladder_release(&b->bids);
    lane_ladder_release(&b->asks);
    lane_ladder_release(&b->part_bids);
    lane_ladder_release(&b->part_asks);
}

bool lane_book_stands(const lane_book *b)
{
    return b->whole || b->waiting;
}

// --- updates -----------------------------------------------------------------------------------------

static bus_err apply_sides(lane_ladder *bids, lane_ladder *asks, bus_view data,
                           const char *bid_name, const char *ask_name, uint64_t *rows)
{
    bus_cursor b, a;
    if (!bus_map_find(data, bid_name, &b) || !bus_map_find(data, ask_name, &a))
        return bus_fail(BUS_EINVAL, "data has no '%s' or '%s'", bid_name, ask_name);
    bus_err err = lane_ladder_apply(bids, b, rows);
    return err ? err : lane_ladder_apply(asks, a, rows);
}

static uint64_t rows_of(bus_view data, const char *name)
{
    bus_cursor c;
    bus_pack_value list;
    bool found = bus_map_find(data, name, &c) && bus_cursor_next(&c, &list);
    return found && list.kind == BUS_PACK_ARRAY ? list.as.count : 0;
}

static bus_err keep(lane_book *b, bus_view data)
{
    if (b->kept_count == KEPT_MAX)
        return bus_fail(BUS_ELIMIT, "%d updates and no snapshot that joins them", KEPT_MAX);
    lane_kept *k = malloc(sizeof *k + data.len);
    if (!k)
        return bus_fail(BUS_ENOMEM, "an update");
    k->next = NULL;
    k->len = data.len;
    memcpy(k->data, data.ptr, data.len);
    *b->tail = k;
    b->tail = &k->next;
    b->kept_count++;
    return BUS_OK;
}

static bus_err lose(lane_book *b, bus_view data)
{
    b->whole = b->waiting = false;
    drop_kept(b);
    return keep(b, data);
}

// An update on a book that is whole, or that waits for its first one.
static bus_err join_update(lane_book *b, bus_view data)
{
    uint64_t first, last;
    bus_err err = lane_need_id(data, "first_update_id", &first);
    if (!err)
        err = lane_need_id(data, "last_update_id", &last);
    if (err)
        return err;
    if (last <= b->last_update) {
        b->stale++;
        b->rows += rows_of(data, "bids_delta") + rows_of(data, "asks_delta");
        return BUS_OK;
    }
    bool joins = b->waiting ? first <= b->last_update + 1 : first == b->last_update + 1;
    if (!joins) {
        b->gaps += !b->waiting;
        return lose(b, data);
    }
    err = apply_sides(&b->bids, &b->asks, data, "bids_delta", "asks_delta", &b->rows);
    b->waiting = false;
    b->whole = true;
    b->last_update = last;
    b->applied++;
    if (!err)
        b->reached(b->ctx, last);
    return err;
}

bus_err lane_book_update(lane_book *b, bus_view data)
{
    return lane_book_stands(b) ? join_update(b, data) : keep(b, data);
}

// --- snapshots ---------------------------------------------------------------------------------------

// Does the oldest kept update that is newer than the snapshot join it? Without any: not known yet.
static bool kept_joins(const lane_book *b, uint64_t id)
{
    for (const lane_kept *k = b->first; k; k = k->next) {
        uint64_t first = 0, last = 0;
        bus_view data = {k->data, k->len};
        if (lane_need_id(data, "first_update_id", &first) ||
            lane_need_id(data, "last_update_id", &last))
            return false;
        if (last > id)
            return first <= id + 1;
    }
    return true;
}

static bus_err load_snapshot(lane_book *b)
{
    lane_ladder bids = b->bids, asks = b->asks;
    b->bids = b->part_bids;
    b->asks = b->part_asks;
    b->part_bids = bids;
    b->part_asks = asks;
    b->last_update = b->part_id;
    b->waiting = true;
    lane_kept *list = b->first;
    b->first = NULL;
    b->tail = &b->first;
    b->kept_count = 0;
    bus_err err = BUS_OK;
    while (list) {
        lane_kept *next = list->next;
        if (!err)
            err = lane_book_update(b, (bus_view){list->data, list->len});
        free(list);
        list = next;
    }
    return err;
}

static uint64_t differing(const lane_ladder *a, const lane_ladder *b)
{
    json_t *list = lane_ladder_top(b, b->count);
    uint64_t count = 0;
    lane_ladder_differences(a, list, &count);
    json_decref(list);
    return count;
}

// All parts of a snapshot are there.
static bus_err take_snapshot(lane_book *b, bool from_venue)
{
    b->snapshots += from_venue;
    if (from_venue && b->first_snapshot == 0) {
        b->first_snapshot = b->part_id;
        b->snapshot_levels[0] = b->part_bids.count;
        b->snapshot_levels[1] = b->part_asks.count;
        b->rows += b->part_bids.count + b->part_asks.count;
    }
    // One that meets a whole book is compared, not applied. The venue's reach only so deep.
    if (b->whole) {
        if (!from_venue && b->part_id == b->last_update)
            b->snapshot_differences +=
                differing(&b->bids, &b->part_bids) + differing(&b->asks, &b->part_asks);
        return BUS_OK;
    }
    return kept_joins(b, b->part_id) ? load_snapshot(b) : BUS_OK;
}

bus_err lane_book_part(lane_book *b, bus_view data)
{
    uint64_t id, part, parts;
    bus_view origin;
    bus_err err = lane_need_id(data, "last_update_id", &id);
    if (!err)
        err = lane_need_id(data, "part", &part);
    if (!err)
        err = lane_need_id(data, "parts", &parts);
    if (!err)
        err = lane_need_text(data, "origin", &origin);
    if (err)
        return err;
    if (part == 1) {
        lane_ladder_clear(&b->part_bids);
        lane_ladder_clear(&b->part_asks);
        b->part_id = id;
        b->part_next = 1;
    }
    if (part != b->part_next || id != b->part_id) {
        b->part_next = 0; // of no use before another part 1
        return bus_fail(BUS_EINVAL, "part %llu of snapshot %llu comes out of turn",
                        (unsigned long long)part, (unsigned long long)id);
    }
    b->part_next++;
    err = apply_sides(&b->part_bids, &b->part_asks, data, "bids", "asks", NULL);
    return err || part < parts ? err : take_snapshot(b, bus_view_is(origin, "venue"));
}

void lane_book_json(const lane_book *b, json_t *out)
{
    if (!b->first_snapshot)
        return;
    json_object_update_new(
        out,
        json_pack("{s:I,s:[I,I],s:I,s:I,s:I,s:I,s:I,s:b,s:{s:I,s:I,s:o,s:o}}",
                  "snapshot_lastUpdateId", (json_int_t)b->first_snapshot, "snapshot_levels",
                  (json_int_t)b->snapshot_levels[0], (json_int_t)b->snapshot_levels[1],
                  "depth_stale_dropped", (json_int_t)b->stale, "depth_applied",
                  (json_int_t)b->applied, "depth_gaps", (json_int_t)b->gaps, "final_u",
                  (json_int_t)b->last_update, "depth_level_rows_incl_snapshot", (json_int_t)b->rows,
                  "whole", lane_book_stands(b), "final_book", "bid_levels",
                  (json_int_t)b->bids.count, "ask_levels", (json_int_t)b->asks.count, "bids",
                  lane_ladder_top(&b->bids, 5), "asks", lane_ladder_top(&b->asks, 5)));
}
