#include "cli/figures.h"

#include <stdlib.h>
#include <string.h>

#include "cli/book.h"
#include "cli/fields.h"

enum { SYMBOLS_MAX = 1024, CHANNELS_MAX = 16, SYMBOL_CAP = 80 };

typedef struct {
    char name[24]; // as the venue calls it: "depth@100ms"
    uint64_t count;
    uint64_t last[2]; // id of the newest event; two numbers for candles
} channel;

typedef struct {
    uint64_t count, first_id, last_id, sells;
    lane_amount qty, notional, high, low; // notional at twice the scale
} sums;

struct lane_symbol {
    lane_figures *of;
    char name[SYMBOL_CAP];
    channel channels[CHANNELS_MAX];
    int channel_count;
    sums trades, aggregates;
    char quote[5][LANE_LEVEL_TEXT]; // u b B a A
    uint64_t gaps, resyncs, wholes;
    lane_book book;
};

struct lane_figures {
    lane_symbol *symbols[SYMBOLS_MAX];
    size_t count;
    lane_book_fn fn;
    void *ctx;
    uint64_t frames, duplicates, gaps, others;
};

// --- symbols and channels --------------------------------------------------------------------------------

bus_err lane_figures_open(lane_figures **out, lane_book_fn fn, void *ctx)
{
    lane_figures *f = calloc(1, sizeof *f);
    if (!f)
        return bus_fail(BUS_ENOMEM, "figures");
    f->fn = fn;
    f->ctx = ctx;
    *out = f;
    return BUS_OK;
}

void lane_figures_close(lane_figures *figures)
{
    if (!figures)
        return;
    for (size_t i = 0; i < figures->count; i++) {
        lane_book_release(&figures->symbols[i]->book);
        free(figures->symbols[i]);
    }
    free(figures);
}

static void on_reached(void *ctx, uint64_t update_id)
{
    lane_symbol *s = ctx;
    if (s->of->fn)
        s->of->fn(s->of->ctx, s, update_id);
}

static bus_err find_symbol(lane_figures *f, bus_view name, lane_symbol **out)
{
    for (size_t i = 0; i < f->count; i++)
        if (bus_view_is(name, f->symbols[i]->name)) {
            *out = f->symbols[i];
            return BUS_OK;
        }
    if (f->count == SYMBOLS_MAX)
        return bus_fail(BUS_ELIMIT, "more than %d symbols", SYMBOLS_MAX);
    lane_symbol *s = calloc(1, sizeof *s);
    if (!s || !bus_view_copy(name, s->name, sizeof s->name)) {
        free(s);
        return bus_fail(BUS_EINVAL, "symbol '%.*s'", BUS_VIEW_ARG(name));
    }
    s->of = f;
    lane_book_init(&s->book, on_reached, s);
    f->symbols[f->count++] = *out = s;
    return BUS_OK;
}

// Counts an event of a channel. Ids rise within channel and symbol: one that does not is a duplicate.
static void count_event(lane_figures *f, lane_symbol *s, const char *name, uint64_t id,
                        uint64_t second)
{
    int i = 0;
    while (i < s->channel_count && strcmp(s->channels[i].name, name) != 0)
        i++;
    if (i == CHANNELS_MAX)
        return;
    channel *c = &s->channels[i];
    if (i == s->channel_count) {
        snprintf(c->name, sizeof c->name, "%s", name);
        s->channel_count++;
    } else if (id < c->last[0] || (id == c->last[0] && second <= c->last[1])) {
        f->duplicates++;
    }
    c->last[0] = id;
    c->last[1] = second;
    c->count++;
    f->frames++;
}

// --- events of a market --------------------------------------------------------------------------------

static bus_err add_trade(sums *t, uint64_t id, lane_amount price, lane_amount qty, bool sell)
{
    lane_amount value, notional, whole;
    if (__builtin_mul_overflow(price, qty, &value) ||
        __builtin_add_overflow(t->notional, value, &notional) ||
        __builtin_add_overflow(t->qty, qty, &whole) || !lane_amount_divides(whole))
        return bus_fail(BUS_ERANGE, "trade %llu: the sums do not fit 128 bits",
                        (unsigned long long)id);
    if (t->count++ == 0) {
        t->first_id = id;
        t->high = t->low = price;
    }
    t->last_id = id;
    t->sells += sell;
    t->qty = whole;
    t->notional = notional;
    t->high = price > t->high ? price : t->high;
    t->low = price < t->low ? price : t->low;
    return BUS_OK;
}

static bus_err take_trade(lane_figures *f, lane_symbol *s, bus_view data)
{
    uint64_t id;
    lane_amount price, qty;
    bus_view side;
    bool aggregate = false;
    bus_map_bool(data, "aggregate", &aggregate);
    bus_err err = lane_need_id(data, "trade_id", &id);
    if (!err)
        err = lane_need_amount(data, "price", &price);
    if (!err)
        err = lane_need_amount(data, "qty", &qty);
    if (!err)
        err = lane_need_text(data, "side", &side);
    if (err)
        return err;
    count_event(f, s, aggregate ? "aggTrade" : "trade", id, 0);
    return add_trade(aggregate ? &s->aggregates : &s->trades, id, price, qty,
                     bus_view_is(side, "sell"));
}

static bus_err take_quote(lane_figures *f, lane_symbol *s, bus_view data)
{
    static const char *const names[] = {"bid_price", "bid_qty", "ask_price", "ask_qty"};
    uint64_t id;
    bus_err err = lane_need_id(data, "update_id", &id);
    for (int i = 0; i < 4 && !err; i++) {
        bus_view text;
        err = lane_need_text(data, names[i], &text);
        if (!err)
            bus_view_copy(text, s->quote[i + 1], LANE_LEVEL_TEXT);
    }
    if (err)
        return err;
    snprintf(s->quote[0], LANE_LEVEL_TEXT, "%llu", (unsigned long long)id);
    count_event(f, s, "bookTicker", id, 0);
    return BUS_OK;
}

static bus_err take_candle(lane_figures *f, lane_symbol *s, bus_view data)
{
    uint64_t open, at;
    bus_view interval;
    char name[24];
    bus_err err = lane_need_id(data, "open_time", &open);
    if (!err)
        err = lane_need_id(data, "event_time", &at);
    if (!err)
        err = lane_need_text(data, "interval", &interval);
    if (err)
        return err;
    snprintf(name, sizeof name, "kline_%.*s", BUS_VIEW_ARG(interval));
    count_event(f, s, name, open, at);
    return BUS_OK;
}

static bus_err take_update(lane_figures *f, lane_symbol *s, bus_view data)
{
    uint64_t last;
    bus_err err = lane_need_id(data, "last_update_id", &last);
    if (err)
        return err;
    count_event(f, s, "depth@100ms", last, 0);
    return lane_book_update(&s->book, data);
}

static bus_err take_part(lane_figures *f, lane_symbol *s, bus_view data)
{
    (void)f;
    return lane_book_part(&s->book, data);
}

// --- the feed's own words ------------------------------------------------------------------------------

static bus_err take_feed(lane_figures *f, const bus_lane *lane, bus_view data)
{
    bus_view name;
    lane_symbol *s = NULL;
    if (bus_map_str(data, "symbol", &name)) {
        bus_err err = find_symbol(f, name, &s);
        if (err)
            return err;
    }
    if (bus_view_is(lane->event, "gap"))
        *(s ? &s->gaps : &f->gaps) += 1;
    else if (s && bus_view_is(lane->event, "resync"))
        s->resyncs++;
    else if (s && bus_view_is(lane->event, "whole"))
        s->wholes++;
    else
        f->others++;
    return BUS_OK;
}

typedef bus_err (*take_fn)(lane_figures *, lane_symbol *, bus_view);

static take_fn taker_of(const bus_lane *lane)
{
    static const struct {
        const char *entity, *event;
        take_fn take;
    } takers[] = {
        {"trade", "tape", take_trade},        {"quote", "update", take_quote},
        {"orderbook", "update", take_update}, {"orderbook", "snapshot", take_part},
        {"ohlcv", "candle", take_candle},
    };
    for (size_t i = 0; i < sizeof takers / sizeof *takers; i++)
        if (bus_view_is(lane->entity, takers[i].entity) &&
            bus_view_is(lane->event, takers[i].event))
            return takers[i].take;
    return NULL;
}

bus_err lane_figures_take(lane_figures *f, const bus_lane *lane, const bus_event *event)
{
    if (bus_view_is(lane->entity, "feed"))
        return take_feed(f, lane, event->data);
    take_fn take = taker_of(lane);
    bus_view name;
    lane_symbol *s;
    if (!take) {
        f->others++;
        return BUS_OK;
    }
    bus_err err = lane_need_text(event->data, "symbol", &name);
    if (!err)
        err = find_symbol(f, name, &s);
    if (!err)
        err = take(f, s, event->data);
    return err ? bus_note(err, "event '%.*s'", BUS_VIEW_ARG(event->id)) : BUS_OK;
}

// --- results ---------------------------------------------------------------------------------------------

const char *lane_symbol_name(const lane_symbol *symbol)
{
    return symbol->name;
}

const lane_ladder *lane_symbol_side(const lane_symbol *symbol, bool bids)
{
    return bids ? &symbol->book.bids : &symbol->book.asks;
}

void lane_figures_each(lane_figures *figures, lane_symbol_fn fn, void *ctx)
{
    for (size_t i = 0; i < figures->count; i++)
        fn(ctx, figures->symbols[i], figures->symbols[i]->book.last_update,
           lane_book_stands(&figures->symbols[i]->book));
}

uint64_t lane_figures_faults(const lane_figures *figures)
{
    uint64_t faults = figures->duplicates;
    for (size_t i = 0; i < figures->count; i++)
        faults += figures->symbols[i]->book.snapshot_differences;
    return faults;
}

static void add_sums(json_t *out, const char *name, const sums *t)
{
    char qty[LANE_AMOUNT_TEXT], notional[LANE_AMOUNT_TEXT], vwap[LANE_AMOUNT_TEXT];
    char high[LANE_AMOUNT_TEXT], low[LANE_AMOUNT_TEXT];
    if (t->count == 0)
        return;
    json_object_set_new(
        out, name,
        json_pack("{s:I,s:s,s:s,s:s,s:I,s:I,s:I,s:s,s:s}", "count", (json_int_t)t->count, "sum_qty",
                  lane_amount_text(t->qty, LANE_AMOUNT_SCALE, qty), "sum_notional",
                  lane_amount_text(t->notional, 2 * LANE_AMOUNT_SCALE, notional), "vwap",
                  lane_amount_ratio(t->notional, t->qty, vwap), "first_id", (json_int_t)t->first_id,
                  "last_id", (json_int_t)t->last_id, "sell_aggressor", (json_int_t)t->sells, "high",
                  lane_amount_text(t->high, LANE_AMOUNT_SCALE, high), "low",
                  lane_amount_text(t->low, LANE_AMOUNT_SCALE, low)));
}

static json_t *symbol_json(const lane_symbol *s)
{
    json_t *out = json_object(), *channels = json_object();
    for (int i = 0; i < s->channel_count; i++)
        json_object_set_new(channels, s->channels[i].name,
                            json_integer((json_int_t)s->channels[i].count));
    json_object_set_new(out, "channels", channels);
    lane_book_json(&s->book, out);
    add_sums(out, "trades", &s->trades);
    add_sums(out, "aggTrades", &s->aggregates);
    if (s->quote[0][0])
        json_object_set_new(out, "last_bookTicker",
                            json_pack("{s:I,s:s,s:s,s:s,s:s}", "u",
                                      (json_int_t)strtoull(s->quote[0], NULL, 10), "b", s->quote[1],
                                      "B", s->quote[2], "a", s->quote[3], "A", s->quote[4]));
    json_object_set_new(out, "snapshots", json_integer((json_int_t)s->book.snapshots));
    json_object_set_new(out, "gaps", json_integer((json_int_t)s->gaps));
    json_object_set_new(out, "resyncs", json_integer((json_int_t)s->resyncs));
    json_object_set_new(out, "wholes", json_integer((json_int_t)s->wholes));
    json_object_set_new(out, "snapshot_differences",
                        json_integer((json_int_t)s->book.snapshot_differences));
    return out;
}

json_t *lane_figures_json(const lane_figures *figures)
{
    json_t *symbols = json_object();
    uint64_t snapshots = 0;
    for (size_t i = 0; i < figures->count; i++) {
        json_object_set_new(symbols, figures->symbols[i]->name, symbol_json(figures->symbols[i]));
        snapshots += figures->symbols[i]->book.snapshots;
    }
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:o}", "frames", (json_int_t)figures->frames,
                     "snapshots", (json_int_t)snapshots, "duplicates",
                     (json_int_t)figures->duplicates, "gaps_all_symbols", (json_int_t)figures->gaps,
                     "other_events", (json_int_t)figures->others, "symbols", symbols);
}
