// book_check: a reader's books compared with the exchange's, level by level: at update ids that a seed draws, and
// at the end. Thread: main. Source: schemas/specs/cli.md, "lane feed check".
#ifndef CLI_BOOK_CHECK_H
#define CLI_BOOK_CHECK_H

#include "cli/figures.h"
#include "cli/world.h"

enum { LANE_BOOK_POINTS_MAX = 4096 };

typedef struct {
    char symbol[80];
    uint64_t update_id;
} lane_book_point;

typedef struct {
    const lane_world *world;
    uint64_t seed;
    lane_book_point points[LANE_BOOK_POINTS_MAX];
    size_t point_count;
    uint64_t compared, differences;
    bus_err err; // of a comparison, which runs inside a callback
    char text[512];
} lane_book_check;

// lane_book_check_draw: `wanted` update ids of symbols without gaps. played: simexd's status after play.
bus_err lane_book_check_draw(lane_book_check *check, const json_t *played, uint64_t wanted);
void lane_book_check_update(void *check, lane_symbol *symbol, uint64_t update_id); // a lane_book_fn
void lane_book_check_end(void *check, lane_symbol *symbol, uint64_t last_update_id,
                         bool whole); // a lane_symbol_fn

#endif
