// tally: a reader of market events that follows schemas/specs/market-events.md and nothing else: it
// shares no code with the adapter. Counts, sums, and a book kept in texts.
#ifndef TEST_FEEDS_VENUES_TALLY_H
#define TEST_FEEDS_VENUES_TALLY_H

#include <jansson.h>

#include "bus/event/event.h"

typedef struct {
    char price[40], quantity[40];
} tally_level;

typedef struct {
    tally_level *level;
    size_t count, cap;
} tally_side;

typedef struct {
    char name[32];
    uint64_t depth, trades, aggregates, quotes, candles, snapshots, gaps, resyncs, wholes, degraded;
    uint64_t stale, applied, rows, snapshot_id, last, holes, compared, differ;
    size_t snapshot_levels[2];
    bool bridges, whole;
    tally_side side[2], coming[2]; // coming: parts of a snapshot that is not complete
    uint64_t parts_seen;
    json_t *waiting;             // updates before the snapshot
    __int128 quantity, notional; // 8 and 16 digits behind the point
    uint64_t first_id, last_id, sells;
    int64_t high, low;
    json_t *last_quote;
    uint64_t gap_first, gap_last; // of the last gap with a range
} tally_symbol;

typedef struct {
    tally_symbol symbol[16];
    uint32_t symbols;
    uint64_t events, gaps, connected, disconnected, instruments;
    char last_id[160], last_reason[64];
    json_t *last_data; // of the last event
    char **seen;       // every subject#id, when on
    bool keep_order;
} tally;

void tally_event(void *ctx, const char *subject, const bus_event *event); // ctx: tally *
tally_symbol *tally_of(tally *t, const char *symbol);
void tally_release(tally *t);
// tally_expect compares with one entry of golden.json (`symbols` of a file).
void tally_expect(tally *t, const json_t *symbols);

#endif
