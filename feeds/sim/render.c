// Events of the synthetic market as the venue writes them.
// Source: schemas/specs/simexd.md, "Venue endpoints: WebSocket".
#include "feeds/sim/synth.h"

static void member(sim_text *out, const char *head, int64_t n)
{
    sim_text_str(out, head);
    sim_text_int(out, n);
}

static void decimal(sim_text *out, const char *head, int64_t n, int64_t unit)
{
    sim_text_str(out, head);
    sim_text_decimal(out, n * unit, 8);
}

static void text(sim_text *out, const char *head, const char *value)
{
    sim_text_str(out, head);
    sim_text_str(out, value);
}

static int64_t stamp(int64_t ns, int per_ms)
{
    return ns / (1000000 / per_ms);
}

static void head(const sim_event *e, const char *kind, int per_ms, sim_text *out)
{
    text(out, "{\"e\":\"", kind);
    member(out, "\",\"E\":", stamp(e->at_ns, per_ms));
    text(out, ",\"s\":\"", e->units->name);
}

static void trade_tail(const sim_event *e, int per_ms, sim_text *out)
{
    member(out, ",\"T\":", stamp(e->at_ns, per_ms));
    text(out, ",\"m\":", e->as.trade.buyer_is_maker ? "true" : "false");
    sim_text_str(out, ",\"M\":true}");
}

static void render_trade(const sim_event *e, int per_ms, sim_text *out)
{
    head(e, "trade", per_ms, out);
    member(out, "\",\"t\":", e->as.trade.id);
    decimal(out, ",\"p\":\"", e->as.trade.price, e->units->tick);
    decimal(out, "\",\"q\":\"", e->as.trade.quantity, e->units->step);
    sim_text_str(out, "\"");
    trade_tail(e, per_ms, out);
}

static void render_agg_trade(const sim_event *e, int per_ms, sim_text *out)
{
    head(e, "aggTrade", per_ms, out);
    member(out, "\",\"a\":", e->as.trade.id);
    decimal(out, ",\"p\":\"", e->as.trade.price, e->units->tick);
    decimal(out, "\",\"q\":\"", e->as.trade.quantity, e->units->step);
    member(out, "\",\"f\":", e->as.trade.first_trade);
    member(out, ",\"l\":", e->as.trade.last_trade);
    trade_tail(e, per_ms, out);
}

static void render_ticker(const sim_event *e, sim_text *out)
{
    member(out, "{\"u\":", e->last_id);
    text(out, ",\"s\":\"", e->units->name);
    decimal(out, "\",\"b\":\"", e->as.top.bid.price, e->units->tick);
    decimal(out, "\",\"B\":\"", e->as.top.bid.quantity, e->units->step);
    decimal(out, "\",\"a\":\"", e->as.top.ask.price, e->units->tick);
    decimal(out, "\",\"A\":\"", e->as.top.ask.quantity, e->units->step);
    sim_text_str(out, "\"}");
}

static void render_side(const sim_event *e, sim_side side, sim_text *out)
{
    bool first = true;
    for (size_t i = 0; i < e->as.depth.count; i++) {
        const sim_change *change = &e->as.depth.change[i];
        if (change->side != side)
            continue;
        decimal(out, first ? "[\"" : ",[\"", change->price, e->units->tick);
        decimal(out, "\",\"", change->quantity, e->units->step);
        sim_text_str(out, "\"]");
        first = false;
    }
}

static void render_depth(const sim_event *e, int per_ms, sim_text *out)
{
    head(e, "depthUpdate", per_ms, out);
    member(out, "\",\"U\":", e->first_id);
    member(out, ",\"u\":", e->last_id);
    sim_text_str(out, ",\"b\":[");
    render_side(e, SIM_BID, out);
    sim_text_str(out, "],\"a\":[");
    render_side(e, SIM_ASK, out);
    sim_text_str(out, "]}");
}

void sim_quote_render(const sim_units *units, __int128 quote, sim_text *out)
{
    // tick * step has sixteen digits behind the point; no symbol here needs more than eight.
    sim_text_decimal(out, (int64_t)(quote * units->tick * units->step / 100000000), 8);
}

static void render_kline(const sim_event *e, int per_ms, sim_text *out)
{
    const sim_bar *bar = e->as.kline.bar;
    head(e, "kline", per_ms, out);
    member(out, "\",\"k\":{\"t\":", stamp(bar->open_ns, per_ms));
    member(out, ",\"T\":", stamp(bar->close_ns, per_ms) - 1);
    text(out, ",\"s\":\"", e->units->name);
    text(out, "\",\"i\":\"", sim_interval_name(e->as.kline.interval));
    member(out, "\",\"f\":", bar->first_trade);
    member(out, ",\"L\":", bar->last_trade);
    decimal(out, ",\"o\":\"", bar->open, e->units->tick);
    decimal(out, "\",\"c\":\"", bar->close, e->units->tick);
    decimal(out, "\",\"h\":\"", bar->high, e->units->tick);
    decimal(out, "\",\"l\":\"", bar->low, e->units->tick);
    decimal(out, "\",\"v\":\"", bar->volume, e->units->step);
    member(out, "\",\"n\":", bar->trades);
    text(out, ",\"x\":", e->as.kline.closed ? "true" : "false");
    sim_text_str(out, ",\"q\":\"");
    sim_quote_render(e->units, bar->quote, out);
    decimal(out, "\",\"V\":\"", bar->taker_volume, e->units->step);
    sim_text_str(out, "\",\"Q\":\"");
    sim_quote_render(e->units, bar->taker_quote, out);
    sim_text_str(out, "\",\"B\":\"0\"}}");
}

void sim_event_render(const sim_event *e, int per_ms, sim_text *out)
{
    switch (e->kind) {
    case SIM_EVENT_TRADE:
        render_trade(e, per_ms, out);
        break;
    case SIM_EVENT_AGG_TRADE:
        render_agg_trade(e, per_ms, out);
        break;
    case SIM_EVENT_BOOK_TICKER:
        render_ticker(e, out);
        break;
    case SIM_EVENT_DEPTH:
    case SIM_EVENT_DEPTH_1000:
        render_depth(e, per_ms, out);
        break;
    case SIM_EVENT_KLINE:
        render_kline(e, per_ms, out);
        break;
    }
}
