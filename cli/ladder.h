// ladder: one side of a book for checking: levels as text, sorted, best last so that changes near the top are
// cheap. Thread: the owner's. Source: schemas/specs/cli.md, "lane feed check".
#ifndef CLI_LADDER_H
#define CLI_LADDER_H

#include <jansson.h>
#include <stdbool.h>

#include "bus/event/pack.h"
#include "cli/amount.h"

enum { LANE_LEVEL_TEXT = 32 };

typedef struct {
    lane_amount price, qty;
    char price_text[LANE_LEVEL_TEXT], qty_text[LANE_LEVEL_TEXT];
} lane_level;

typedef struct {
    bool bids; // best is the highest price
    lane_level *level;
    size_t count, cap;
} lane_ladder;

void lane_ladder_release(lane_ladder *ladder);
void lane_ladder_clear(lane_ladder *ladder);
// lane_ladder_apply reads [["price","qty"], …]; quantity zero removes. *rows (may be NULL) is raised by their number.
bus_err lane_ladder_apply(lane_ladder *ladder, bus_cursor levels, uint64_t *rows);
const lane_level *lane_ladder_at(const lane_ladder *ladder,
                                 size_t i);                   // 0: the best; NULL behind the last
json_t *lane_ladder_top(const lane_ladder *ladder, size_t n); // [["price","qty"], …]
// lane_ladder_differences: levels that are not the same in a JSON list [["price","qty"], …], best first.
bus_err lane_ladder_differences(const lane_ladder *ladder, const json_t *list, uint64_t *count);

#endif
