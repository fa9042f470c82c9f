// The synthetic market's side of the exchange: its events to the hub and into the books, paced by the
// clock. Source: schemas/specs/simexd.md, "Synthetic market".
#include <stdio.h>
#include <stdlib.h>

#include "bus/base/log.h"
#include "feeds/sim/inside.h"

enum { STEPS_A_TURN = 1000, ROOM_BYTES = 1024 * 1024 };

// Topics of one symbol: one per kind but klines, then one per interval.
enum { KIND_TOPICS = SIM_EVENT_KLINE, SYMBOL_TOPICS = SIM_EVENT_KLINE + SIM_INTERVALS };

static int topic_of(int symbol, sim_event_kind kind, int interval)
{
    return symbol * SYMBOL_TOPICS + (kind == SIM_EVENT_KLINE ? KIND_TOPICS + interval : (int)kind);
}

// The topics come in the order that topic_of counts on.
static bus_err add_topics(sim_exchange *x, const char *symbol)
{
    static const char *const channels[] = {"trade", "aggTrade", "bookTicker", "depth",
                                           "depth@1000ms"};
    char kline[SIM_CHANNEL_MAX];
    int topic;
    bus_err err = BUS_OK;
    if (sim_topics_symbol(&x->hub.topics, bus_view_of(symbol)) >= 0)
        return bus_fail(BUS_EINVAL, "symbol '%s' is given twice", symbol);
    for (int i = 0; i < KIND_TOPICS && !err; i++)
        err = sim_topics_add(&x->hub.topics, symbol, channels[i], &topic);
    for (int i = 0; i < SIM_INTERVALS && !err; i++) {
        snprintf(kline, sizeof kline, "kline_%s", sim_interval_name(i));
        err = sim_topics_add(&x->hub.topics, symbol, kline, &topic);
    }
    return err;
}

// --- events -----------------------------------------------------------------------------------------

static void book_depth(sim_exchange *x, const sim_event *event)
{
    sim_instrument *in = &x->instrument[event->symbol];
    size_t count = event->as.depth.count;
    if (count > x->change_cap) {
        sim_change *grown = realloc(x->changes, count * sizeof *grown);
        if (!grown) {
            bus_error("%s: no memory for %zu changes of the book", in->name, count);
            return;
        }
        x->changes = grown;
        x->change_cap = count;
    }
    for (size_t i = 0; i < count; i++) {
        x->changes[i] = event->as.depth.change[i];
        x->changes[i].price *= event->units->tick;
        x->changes[i].quantity *= event->units->step;
    }
    if (sim_history_frame(in->history, event->first_id, event->last_id, x->changes, count) !=
        BUS_OK)
        bus_error("%s: book at update id %lld: %s", in->name, (long long)event->last_id,
                  bus_err_text());
}

static void on_event(void *ctx, const sim_event *event)
{
    sim_exchange *x = ctx;
    int topic = topic_of(event->symbol, event->kind,
                         event->kind == SIM_EVENT_KLINE ? event->as.kline.interval : 0);
    bool heard = sim_hub_listened(&x->hub, topic) || x->hub.faults.open;
    sim_text_clear(&x->payload);
    sim_text_clear(&x->micros);
    if (heard) // nobody reads it otherwise; the log has its ids
        sim_event_render(event, 1, &x->payload);
    if (heard && x->hub.micros_clients && event->kind != SIM_EVENT_BOOK_TICKER)
        sim_event_render(event, 1000, &x->micros);
    if (event->kind == SIM_EVENT_DEPTH)
        book_depth(x, event);
    sim_hub_publish(&x->hub,
                    &(sim_outgoing){.topic = topic,
                                    .payload = sim_text_view(&x->payload),
                                    .micros = sim_text_view(&x->micros),
                                    .recorded_ns = event->at_ns,
                                    .first_id = event->first_id,
                                    .last_id = event->last_id},
                    x->now);
}

static bool wanted(void *ctx, int symbol, int interval)
{
    sim_exchange *x = ctx;
    return sim_hub_listened(&x->hub, interval < 0 ? topic_of(symbol, SIM_EVENT_DEPTH_1000, 0)
                                                  : topic_of(symbol, SIM_EVENT_KLINE, interval));
}

static const sim_synth_host host = {on_event, wanted};

// --- opening ----------------------------------------------------------------------------------------

static bus_err open_instrument(sim_exchange *x, int no)
{
    sim_instrument *in = &x->instrument[no];
    const sim_units *units = sim_synth_units(x->synth, no);
    const sim_orders *orders = sim_synth_orders(x->synth, no);
    in->price_digits = in->quantity_digits = 8;
    in->price_scale = units->price_scale;
    in->quantity_scale = units->quantity_scale;
    sim_book_clear(&x->scratch);
    bus_err err = BUS_OK;
    for (int side = SIM_BID; side <= SIM_ASK; side++) {
        for (size_t i = 0; i < sim_orders_levels(orders, (sim_side)side) && !err; i++) {
            sim_level level = sim_orders_level(orders, (sim_side)side, i);
            err = sim_book_apply(&x->scratch,
                                 (sim_change){level.price * units->tick,
                                              level.quantity * units->step, (sim_side)side});
        }
    }
    return err ? err
               : sim_history_base(in->history, sim_synth_update_id(x->synth, no), &x->scratch);
}

bus_err sim_synth_feed_topics(sim_exchange *x)
{
    bus_err err = BUS_OK;
    for (size_t i = 0; i < x->opts.symbol_count && !err; i++)
        err = add_topics(x, x->opts.symbols[i]);
    return err;
}

bus_err sim_synth_feed_open(sim_exchange *x, bus_mono now)
{
    bus_wall wall = bus_now_wall();
    int64_t base;
    bus_err err = sim_ids_open(&x->ids, x->opts.state_folder, wall, &base);
    if (err)
        return err;
    sim_synth_opts opts = {
        .symbols = x->opts.symbols,
        .symbol_count = x->opts.symbol_count,
        .seed = (uint64_t)x->opts.seed,
        .rate = x->opts.rate,
        .events = x->opts.events,
        .first_id = base,
        .start_ns = wall.ns / 100000000 * 100000000,
        .host = &host,
        .ctx = x,
    };
    err = sim_synth_open(&x->synth, &opts);
    for (int i = 0; i < (int)x->instrument_count && !err; i++)
        err = open_instrument(x, i);
    x->pace.anchor = now;
    x->pace.anchor_ns = wall.ns;
    return err;
}

// --- time -------------------------------------------------------------------------------------------

static int64_t market_now(const sim_exchange *x, bus_mono now)
{
    __int128 passed = (__int128)(now.ns - x->pace.anchor.ns) * x->speed_milli / 1000;
    return x->pace.anchor_ns + (int64_t)passed;
}

static bus_mono due(const sim_exchange *x, int64_t at_ns)
{
    __int128 ahead = (__int128)(at_ns - x->pace.anchor_ns) * 1000 / x->speed_milli;
    return (bus_mono){x->pace.anchor.ns + (int64_t)ahead};
}

static bool anybody(const sim_exchange *x)
{
    for (const sim_client *c = x->hub.clients; c; c = c->next)
        if (c->sub_used && !c->closing)
            return true;
    return false;
}

sim_play_state sim_synth_feed_state(const sim_exchange *x)
{
    if (sim_synth_ended(x->synth))
        return SIM_ENDED;
    if (x->pace.paused)
        return SIM_HOLDING;
    return x->speed_milli == 0 && !anybody(x) ? SIM_WAITING : SIM_PLAYING;
}

void sim_synth_feed_pause(sim_exchange *x, bool on, bus_mono now)
{
    if (x->pace.paused == on)
        return;
    if (on)
        x->pace.anchor_ns = market_now(x, now);
    x->pace.anchor = now;
    x->pace.paused = on;
}

static void keep_ids(sim_exchange *x)
{
    if (sim_ids_raise(&x->ids, sim_synth_highest_id(x->synth)) == BUS_OK || x->ids_failed)
        return;
    x->ids_failed = true;
    bus_error("%s; ids rest on the clock alone", bus_err_text());
}

bus_mono sim_synth_feed_turn(sim_exchange *x, bus_mono now)
{
    bool max = x->speed_milli == 0;
    bus_mono soon = bus_mono_add(now, BUS_SPAN_MS(100));
    x->now = now;
    if (sim_synth_feed_state(x) != SIM_PLAYING)
        return soon;
    int64_t until = max ? INT64_MAX : market_now(x, now);
    keep_ids(x);
    for (int i = 0; i < STEPS_A_TURN; i++) {
        int64_t next = sim_synth_next(x->synth);
        if (sim_synth_ended(x->synth))
            return soon;
        if (next > until)
            return due(x, next);
        if (max && sim_hub_queued_max(&x->hub) > ROOM_BYTES)
            return bus_mono_add(now, BUS_SPAN_MS(1));
        sim_synth_step(x->synth);
    }
    return now;
}

// --- what REST asks ---------------------------------------------------------------------------------

static void render_orders(const sim_exchange *x, int no, sim_side side, size_t limit, sim_text *out)
{
    const sim_units *units = sim_synth_units(x->synth, no);
    const sim_orders *orders = sim_synth_orders(x->synth, no);
    size_t levels = sim_orders_levels(orders, side);
    sim_text_str(out, "[");
    for (size_t i = 0; i < limit && i < levels; i++) {
        sim_level level = sim_orders_level(orders, side, i);
        sim_text_str(out, i ? ",[\"" : "[\"");
        sim_text_decimal(out, level.price * units->tick, 8);
        sim_text_str(out, "\",\"");
        sim_text_decimal(out, level.quantity * units->step, 8);
        sim_text_str(out, "\"]");
    }
    sim_text_str(out, "]");
}

void sim_synth_feed_depth(sim_exchange *x, int no, size_t limit, sim_text *out)
{
    int64_t id = sim_synth_update_id(x->synth, no);
    sim_text_printf(out, "{\"lastUpdateId\":%lld,\"bids\":", (long long)id);
    render_orders(x, no, SIM_BID, limit, out);
    sim_text_str(out, ",\"asks\":");
    render_orders(x, no, SIM_ASK, limit, out);
    sim_text_str(out, "}");
    x->snapshots.own++;
    sim_hub_note(&x->hub, x->instrument[no].name, "snapshot", id, 1, "");
}

void sim_synth_feed_trades(sim_exchange *x, int no, size_t limit, sim_text *out)
{
    sim_event e;
    sim_text quote = {0};
    while (limit > 0 && !sim_synth_trade(x->synth, no, limit - 1, &e))
        limit--;
    sim_text_str(out, "[");
    for (size_t i = limit; i-- > 0;) {
        (void)sim_synth_trade(x->synth, no, i, &e);
        sim_text_clear(&quote);
        sim_quote_render(e.units, (__int128)e.as.trade.price * e.as.trade.quantity, &quote);
        sim_text_printf(out, "%s{\"id\":%lld,\"price\":\"", i + 1 < limit ? "," : "",
                        (long long)e.as.trade.id);
        sim_text_decimal(out, e.as.trade.price * e.units->tick, 8);
        sim_text_str(out, "\",\"qty\":\"");
        sim_text_decimal(out, e.as.trade.quantity * e.units->step, 8);
        sim_text_str(out, "\",\"quoteQty\":\"");
        sim_text_add(out, sim_text_view(&quote));
        sim_text_printf(out, "\",\"time\":%lld,\"isBuyerMaker\":%s,\"isBestMatch\":true}",
                        (long long)(e.at_ns / 1000000),
                        e.as.trade.buyer_is_maker ? "true" : "false");
    }
    sim_text_str(out, "]");
    sim_text_release(&quote);
}

static void render_bar(const sim_units *u, const sim_bar *bar, sim_text *out)
{
    const int64_t prices[] = {bar->open, bar->high, bar->low, bar->close};
    sim_text_printf(out, "[%lld", (long long)(bar->open_ns / 1000000));
    for (int i = 0; i < 4; i++) {
        sim_text_str(out, ",\"");
        sim_text_decimal(out, prices[i] * u->tick, 8);
        sim_text_str(out, "\"");
    }
    sim_text_str(out, ",\"");
    sim_text_decimal(out, bar->volume * u->step, 8);
    sim_text_printf(out, "\",%lld,\"", (long long)(bar->close_ns / 1000000 - 1));
    sim_quote_render(u, bar->quote, out);
    sim_text_printf(out, "\",%lld,\"", (long long)bar->trades);
    sim_text_decimal(out, bar->taker_volume * u->step, 8);
    sim_text_str(out, "\",\"");
    sim_quote_render(u, bar->taker_quote, out);
    sim_text_str(out, "\",\"0\"]");
}

void sim_synth_feed_klines(sim_exchange *x, int no, int interval, size_t limit, sim_text *out)
{
    const sim_bars *bars = &sim_synth_klines(x->synth, no)->interval[interval];
    const sim_units *units = sim_synth_units(x->synth, no);
    size_t closed = limit - 1 < bars->count ? limit - 1 : bars->count;
    sim_text_str(out, "[");
    for (size_t i = closed; i-- > 0;) {
        render_bar(units, sim_bars_at(bars, i), out);
        sim_text_str(out, ",");
    }
    render_bar(units, &bars->now, out);
    sim_text_str(out, "]");
}
