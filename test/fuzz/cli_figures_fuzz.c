// A venue's lane as `lane feed check` counts it. Lines: a letter for the kind of event, then its data as JSON.
// Whatever comes, the figures are JSON, and a ladder is sorted.
#include <stdlib.h>
#include <string.h>

#include "cli/figures.h"

static void demand(bool ok)
{
    if (!ok)
        abort();
}

static void look_at_side(const lane_ladder *ladder)
{
    const lane_level *before = NULL, *level;
    for (size_t i = 0; (level = lane_ladder_at(ladder, i)); i++, before = level) {
        demand(level->qty > 0 && level->price >= 0);
        if (before)
            demand(ladder->bids ? before->price > level->price : before->price < level->price);
    }
}

static void on_book(void *ctx, lane_symbol *symbol, uint64_t update_id)
{
    (void)ctx;
    (void)update_id;
    look_at_side(lane_symbol_side(symbol, true));
    look_at_side(lane_symbol_side(symbol, false));
}

static void take(lane_figures *figures, bus_view line)
{
    static const char *const subjects[] = {
        "act.exchange.binance.trade.tape.S",       "act.exchange.binance.quote.update.S",
        "act.exchange.binance.orderbook.update.S", "act.exchange.binance.orderbook.snapshot.S",
        "act.exchange.binance.ohlcv.candle.S",     "act.exchange.binance.feed.gap.S",
        "act.exchange.binance.feed.resync.S",      "act.exchange.binance.feed.whole.S",
    };
    static uint8_t buf[1 << 16];
    bus_pack p = bus_pack_to(buf, sizeof buf);
    bus_lane lane;
    const char *subject =
        subjects[(unsigned char)line.ptr[0] % (sizeof subjects / sizeof *subjects)];
    demand(bus_lane_parse(&lane, bus_view_of(subject)) == BUS_OK);
    if (bus_pack_from_json(&p, (bus_view){line.ptr + 1, line.len - 1}))
        return;
    bus_event event = {.id = BUS_VIEW("x"), .data = {(const char *)buf, p.len}};
    (void)lane_figures_take(figures, &lane, &event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bus_view rest = {(const char *)data, size};
    lane_figures *figures;
    if (lane_figures_open(&figures, on_book, NULL))
        return 0;
    while (rest.len) {
        const char *end = memchr(rest.ptr, '\n', rest.len);
        size_t len = end ? (size_t)(end - rest.ptr) : rest.len, used = end ? len + 1 : len;
        if (len)
            take(figures, (bus_view){rest.ptr, len});
        rest = (bus_view){rest.ptr + used, rest.len - used};
    }
    json_t *all = lane_figures_json(figures);
    char *text = json_dumps(all, JSON_COMPACT);
    demand(text != NULL);
    free(text);
    json_decref(all);
    lane_figures_close(figures);
    return 0;
}
