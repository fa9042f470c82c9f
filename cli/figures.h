// figures: what the events of a venue on its lane add up to, by symbol: counts, book, sums. A reader of the
// lane's events alone, by the rules that the market events' specification gives to any reader.
// Thread: the owner's. Source: schemas/specs/market-events.md, "Reading a book".
#ifndef CLI_FIGURES_H
#define CLI_FIGURES_H

#include <jansson.h>

#include "bus/event/event.h"
#include "bus/lane/lane.h"
#include "cli/ladder.h"

typedef struct lane_figures lane_figures;

// Called when the book of a symbol is whole and has just reached an update id.
typedef struct lane_symbol lane_symbol;
typedef void (*lane_book_fn)(void *ctx, lane_symbol *symbol, uint64_t update_id);

bus_err lane_figures_open(lane_figures **out, lane_book_fn fn, void *ctx);
void lane_figures_close(lane_figures *figures);
// lane_figures_take: the next event of the lane. An error names the event; counting may go on.
bus_err lane_figures_take(lane_figures *figures, const bus_lane *lane, const bus_event *event);
json_t *lane_figures_json(const lane_figures *figures);    // {"frames", "symbols": {…}, …}
uint64_t lane_figures_faults(const lane_figures *figures); // duplicates and the like: should be 0

const char *lane_symbol_name(const lane_symbol *symbol);
const lane_ladder *lane_symbol_side(const lane_symbol *symbol, bool bids);
typedef void (*lane_symbol_fn)(void *ctx, lane_symbol *symbol, uint64_t last_update_id, bool whole);
void lane_figures_each(lane_figures *figures, lane_symbol_fn fn, void *ctx);

#endif
