// book: one symbol's book as any reader of the lane rebuilds it: updates that follow one another from a
// snapshot that they join, counted. Thread: the owner's. Source: schemas/specs/market-events.md, "Reading a book".
#ifndef CLI_BOOK_H
#define CLI_BOOK_H

#include <jansson.h>

#include "cli/ladder.h"

typedef struct lane_kept lane_kept; // an update that waits for a snapshot

typedef struct {
    lane_ladder bids, asks;
    bool whole, waiting; // waiting: a snapshot is loaded and no update has joined it yet
    uint64_t last_update;
    void (*reached)(void *ctx, uint64_t update_id); // the book is whole and has just reached it
    void *ctx;
    lane_kept *first, **tail;
    uint64_t kept_count;
    // a snapshot whose parts are coming
    lane_ladder part_bids, part_asks;
    uint64_t part_id, part_next;
    // what was counted
    uint64_t first_snapshot, snapshot_levels[2], snapshots, snapshot_differences;
    uint64_t stale, applied, gaps, rows;
} lane_book;

// lane_book_init: the book stays where it is until its release.
void lane_book_init(lane_book *book, void (*reached)(void *ctx, uint64_t update_id), void *ctx);
void lane_book_release(lane_book *book);
bus_err lane_book_update(lane_book *book, bus_view data); // of orderbook.update
bus_err lane_book_part(lane_book *book, bus_view data);   // of orderbook.snapshot
bool lane_book_stands(const lane_book *book);             // it has levels that may be believed
void lane_book_json(const lane_book *book,
                    json_t *out); // adds its figures, once there was a snapshot

#endif
