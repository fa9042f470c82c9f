#include "cli/figures.h"

#include <stdlib.h>
#include <string.h>

enum { SYMBOLS_MAX = 1024, CHANNELS_MAX = 16, SYMBOL_CAP = 80, KEPT_MAX = 200000 };

typedef struct {
    char name[24]; // as the venue calls it: "depth@100ms"
    uint64_t count;
    uint64_t last[2]; // id of the newest event; two numbers for candles
} channel;

typedef struct {
    uint64_t count, first_id, last_id, sells;
    lane_amount qty, notional, high, low; // notional at twice the scale
} sums;

// An update kept until a snapshot is there.
typedef struct kept {
    struct kept *next;
    size_t len;
    char data[];
} kept;

struct lane_symbol {
    char name[SYMBOL_CAP];
    channel channels[CHANNELS_MAX];
    int channel_count;
    sums trades, aggregates;
    char quote[5][LANE_LEVEL_TEXT]; // u b B a A
    uint64_t gaps, resyncs, wholes;
    // the book
    lane_ladder bids, asks;
    bool whole, waiting; // waiting: a snapshot is loaded and no update has joined it yet
    uint64_t last_update;
    kept *first, **tail;
    uint64_t kept_count;
    // a snapshot whose parts are coming
    lane_ladder part_bids, part_asks;
    uint64_t part_id, part_next;
    uint64_t first_snapshot, snapshot_levels[2], snapshots, snapshot_differences;
    uint64_t stale, applied, depth_gaps, rows;
};

struct lane_figures {
    lane_symbol *symbols[SYMBOLS_MAX];
    size_t count;
    lane_book_fn fn;
    void *ctx;
    uint64_t frames, snapshots, duplicates, gaps, others;
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

static void drop_kept(lane_symbol *s)
{
    while (s->first) {
        kept *next = s->first->next;
        free(s->first);
        s->first = next;
    }
    s->tail = &s->first;
    s->kept_count = 0;
}

void lane_figures_close(lane_figures *figures)
{
    if (!figures)
        return;
    for (size_t i = 0; i < figures->count; i++) {
        lane_symbol *s = figures->symbols[i];
        drop_kept(s);
        lane_ladder_release(&s->bids);
        lane_ladder_release(&s->asks);
        lane_ladder_release(&s->part_bids);
        lane_ladder_release(&s->part_asks);
        free(s);
    }
    free(figures);
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
    s->bids.bids = s->part_bids.bids = true;
    s->tail = &s->first;
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

// --- fields of data ------------------------------------------------------------------------------------

static bus_err need_text(bus_view data, const char *name, bus_view *out)
{
    if (bus_map_str(data, name, out))
        return BUS_OK;
    return bus_fail(BUS_EINVAL, "data has no text '%s'", name);
}

static bus_err need_id(bus_view data, const char *name, uint64_t *out)
{
    int64_t v;
    if (!bus_map_int(data, name, &v) || v < 0)
        return bus_fail(BUS_EINVAL, "data has no id '%s'", name);
    *out = (uint64_t)v;
    return BUS_OK;
}

static bus_err need_amount(bus_view data, const char *name, lane_amount *out)
{
    bus_view text;
    bus_err err = need_text(data, name, &text);
    return err ? err : lane_amount_parse(text, out);
}

// --- trades, quotes, candles -----------------------------------------------------------------------------

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
    bus_err err = need_id(data, "trade_id", &id);
    if (!err)
        err = need_amount(data, "price", &price);
    if (!err)
        err = need_amount(data, "qty", &qty);
    if (!err)
        err = need_text(data, "side", &side);
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
    bus_err err = need_id(data, "update_id", &id);
    for (int i = 0; i < 4 && !err; i++) {
        bus_view text;
        err = need_text(data, names[i], &text);
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
    bus_err err = need_id(data, "open_time", &open);
    if (!err)
        err = need_id(data, "event_time", &at);
    if (!err)
        err = need_text(data, "interval", &interval);
    if (err)
        return err;
    snprintf(name, sizeof name, "kline_%.*s", BUS_VIEW_ARG(interval));
    count_event(f, s, name, open, at);
    return BUS_OK;
}

// --- the book ----------------------------------------------------------------------------------------------

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

static bus_err keep(lane_symbol *s, bus_view data)
{
    if (s->kept_count == KEPT_MAX)
        return bus_fail(BUS_ELIMIT, "%d updates and no snapshot that joins them", KEPT_MAX);
    kept *k = malloc(sizeof *k + data.len);
    if (!k)
        return bus_fail(BUS_ENOMEM, "an update");
    k->next = NULL;
    k->len = data.len;
    memcpy(k->data, data.ptr, data.len);
    *s->tail = k;
    s->tail = &k->next;
    s->kept_count++;
    return BUS_OK;
}

static bus_err lose_book(lane_symbol *s, bus_view data)
{
    s->whole = s->waiting = false;
    drop_kept(s);
    return keep(s, data);
}

// An update on a book that is whole, or that waits for its first one.
static bus_err join_update(lane_figures *f, lane_symbol *s, bus_view data)
{
    uint64_t first, last;
    bus_err err = need_id(data, "first_update_id", &first);
    if (!err)
        err = need_id(data, "last_update_id", &last);
    if (err)
        return err;
    if (last <= s->last_update) {
        s->stale++;
        s->rows += rows_of(data, "bids_delta") + rows_of(data, "asks_delta");
        return BUS_OK;
    }
    bool joins = s->waiting ? first <= s->last_update + 1 : first == s->last_update + 1;
    if (!joins) {
        s->depth_gaps += !s->waiting;
        return lose_book(s, data);
    }
    err = apply_sides(&s->bids, &s->asks, data, "bids_delta", "asks_delta", &s->rows);
    s->waiting = false;
    s->whole = true;
    s->last_update = last;
    s->applied++;
    if (!err && f->fn)
        f->fn(f->ctx, s, last);
    return err;
}

static bus_err take_update(lane_figures *f, lane_symbol *s, bus_view data)
{
    uint64_t last;
    bus_err err = need_id(data, "last_update_id", &last);
    if (err)
        return err;
    count_event(f, s, "depth@100ms", last, 0);
    return s->whole || s->waiting ? join_update(f, s, data) : keep(s, data);
}

// Does the oldest kept update that is newer than the snapshot join it? Without any: not known yet.
static bool kept_joins(const lane_symbol *s, uint64_t id)
{
    for (const kept *k = s->first; k; k = k->next) {
        uint64_t first = 0, last = 0;
        bus_view data = {k->data, k->len};
        if (need_id(data, "first_update_id", &first) || need_id(data, "last_update_id", &last))
            return false;
        if (last > id)
            return first <= id + 1;
    }
    return true;
}

static bus_err load_snapshot(lane_figures *f, lane_symbol *s)
{
    lane_ladder bids = s->bids, asks = s->asks;
    s->bids = s->part_bids;
    s->asks = s->part_asks;
    s->part_bids = bids;
    s->part_asks = asks;
    s->last_update = s->part_id;
    s->waiting = true;
    kept *list = s->first;
    s->first = NULL;
    s->tail = &s->first;
    s->kept_count = 0;
    bus_err err = BUS_OK;
    while (list) {
        kept *next = list->next;
        if (!err)
            err = s->whole || s->waiting ? join_update(f, s, (bus_view){list->data, list->len})
                                         : keep(s, (bus_view){list->data, list->len});
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
static bus_err take_snapshot(lane_figures *f, lane_symbol *s, bool from_venue)
{
    f->snapshots += from_venue;
    s->snapshots += from_venue;
    if (from_venue && s->first_snapshot == 0) {
        s->first_snapshot = s->part_id;
        s->snapshot_levels[0] = s->part_bids.count;
        s->snapshot_levels[1] = s->part_asks.count;
        s->rows += s->part_bids.count + s->part_asks.count;
    }
    // One that meets a whole book is compared, not applied. The venue's reach only so deep.
    if (s->whole) {
        if (!from_venue && s->part_id == s->last_update)
            s->snapshot_differences +=
                differing(&s->bids, &s->part_bids) + differing(&s->asks, &s->part_asks);
        return BUS_OK;
    }
    return kept_joins(s, s->part_id) ? load_snapshot(f, s) : BUS_OK;
}

static bus_err take_part(lane_figures *f, lane_symbol *s, bus_view data)
{
    uint64_t id, part, parts;
    bus_view origin;
    bus_err err = need_id(data, "last_update_id", &id);
    if (!err)
        err = need_id(data, "part", &part);
    if (!err)
        err = need_id(data, "parts", &parts);
    if (!err)
        err = need_text(data, "origin", &origin);
    if (err)
        return err;
    if (part == 1) {
        lane_ladder_clear(&s->part_bids);
        lane_ladder_clear(&s->part_asks);
        s->part_id = id;
        s->part_next = 1;
    }
    if (part != s->part_next || id != s->part_id) {
        s->part_next = 0; // of no use before another part 1
        return bus_fail(BUS_EINVAL, "part %llu of snapshot %llu comes out of turn",
                        (unsigned long long)part, (unsigned long long)id);
    }
    s->part_next++;
    err = apply_sides(&s->part_bids, &s->part_asks, data, "bids", "asks", NULL);
    return err || part < parts ? err : take_snapshot(f, s, bus_view_is(origin, "venue"));
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
    bus_err err = need_text(event->data, "symbol", &name);
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
    return bids ? &symbol->bids : &symbol->asks;
}

void lane_figures_each(lane_figures *figures, lane_symbol_fn fn, void *ctx)
{
    for (size_t i = 0; i < figures->count; i++)
        fn(ctx, figures->symbols[i], figures->symbols[i]->last_update,
           figures->symbols[i]->whole || figures->symbols[i]->waiting);
}

uint64_t lane_figures_faults(const lane_figures *figures)
{
    uint64_t faults = figures->duplicates;
    for (size_t i = 0; i < figures->count; i++)
        faults += figures->symbols[i]->snapshot_differences;
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

static void add_book(json_t *out, const lane_symbol *s)
{
    json_object_update_new(
        out,
        json_pack("{s:I,s:[I,I],s:I,s:I,s:I,s:I,s:I,s:b,s:{s:I,s:I,s:o,s:o}}",
                  "snapshot_lastUpdateId", (json_int_t)s->first_snapshot, "snapshot_levels",
                  (json_int_t)s->snapshot_levels[0], (json_int_t)s->snapshot_levels[1],
                  "depth_stale_dropped", (json_int_t)s->stale, "depth_applied",
                  (json_int_t)s->applied, "depth_gaps", (json_int_t)s->depth_gaps, "final_u",
                  (json_int_t)s->last_update, "depth_level_rows_incl_snapshot", (json_int_t)s->rows,
                  "whole", s->whole || s->waiting, "final_book", "bid_levels",
                  (json_int_t)s->bids.count, "ask_levels", (json_int_t)s->asks.count, "bids",
                  lane_ladder_top(&s->bids, 5), "asks", lane_ladder_top(&s->asks, 5)));
}

static json_t *symbol_json(const lane_symbol *s)
{
    json_t *out = json_object(), *channels = json_object();
    for (int i = 0; i < s->channel_count; i++)
        json_object_set_new(channels, s->channels[i].name,
                            json_integer((json_int_t)s->channels[i].count));
    json_object_set_new(out, "channels", channels);
    if (s->first_snapshot)
        add_book(out, s);
    add_sums(out, "trades", &s->trades);
    add_sums(out, "aggTrades", &s->aggregates);
    if (s->quote[0][0])
        json_object_set_new(out, "last_bookTicker",
                            json_pack("{s:I,s:s,s:s,s:s,s:s}", "u",
                                      (json_int_t)strtoull(s->quote[0], NULL, 10), "b", s->quote[1],
                                      "B", s->quote[2], "a", s->quote[3], "A", s->quote[4]));
    json_object_set_new(out, "snapshots", json_integer((json_int_t)s->snapshots));
    json_object_set_new(out, "gaps", json_integer((json_int_t)s->gaps));
    json_object_set_new(out, "resyncs", json_integer((json_int_t)s->resyncs));
    json_object_set_new(out, "wholes", json_integer((json_int_t)s->wholes));
    json_object_set_new(out, "snapshot_differences",
                        json_integer((json_int_t)s->snapshot_differences));
    return out;
}

json_t *lane_figures_json(const lane_figures *figures)
{
    json_t *symbols = json_object();
    for (size_t i = 0; i < figures->count; i++)
        json_object_set_new(symbols, figures->symbols[i]->name, symbol_json(figures->symbols[i]));
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:o}", "frames", (json_int_t)figures->frames,
                     "snapshots", (json_int_t)figures->snapshots, "duplicates",
                     (json_int_t)figures->duplicates, "gaps_all_symbols", (json_int_t)figures->gaps,
                     "other_events", (json_int_t)figures->others, "symbols", symbols);
}
