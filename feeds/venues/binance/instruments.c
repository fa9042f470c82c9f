// Instruments: all subscribed symbols in as few requests as their names need. A symbol that the venue
// does not know spoils the answer for all: then half as many are asked for, until it stands alone.
#include <stdio.h>
#include <string.h>

#include "bus/base/log.h"
#include "feeds/venues/binance/binance.h"

enum { INSTRUMENTS_EVERY_S = 3600 };

// --- asking ------------------------------------------------------------------------------------------

// The names of as many symbols, from round.at on, as may be asked for together; returns how many.
// One that was not known the last time is asked for alone.
static uint32_t names(const binance *b, char *buf, size_t cap)
{
    const binance_round *round = &b->round;
    uint32_t count = 0;
    size_t len = (size_t)snprintf(buf, cap, "/api/v3/exchangeInfo?symbols=%%5B");
    for (uint32_t i = round->at; i < b->symbols && len + BINANCE_SYMBOL_MAX + 16 < cap; i++) {
        bool full = round->limit && count >= round->limit;
        if (full || (count && (b->symbol[i].unlisted || b->symbol[i - 1].unlisted)))
            break;
        len += (size_t)snprintf(buf + len, cap - len, "%s%%22%s%%22", count++ ? "%2C" : "",
                                b->symbol[i].name);
    }
    snprintf(buf + len, cap - len, "%%5D");
    return count;
}

void feed_binance_ask_instruments(binance *b)
{
    feed_request request = {.kind = FEED_REQUEST_INSTRUMENTS, .symbol = b->round.at};
    b->round.count = names(b, request.path, sizeof request.path);
    b->instruments.asked = true;
    b->base.request(b->base.ctx, &request);
}

// --- reading -----------------------------------------------------------------------------------------

typedef struct {
    bus_view symbol, status, base, quote;
    bus_view tick, min_price, max_price, lot, min_quantity, max_quantity, min_notional;
} instrument;

static bool text_or_skip(feed_scan *s, bus_view key, const char *name, bus_view *out)
{
    if (!bus_view_is(key, name))
        return false;
    feed_scan_string(s, out);
    return true;
}

static bool filter_read(feed_scan *s, instrument *in)
{
    bus_view key, type = {0}, tick = {0}, low = {0}, high = {0}, step = {0}, least = {0},
                  most = {0}, notional = {0};
    bool first = true;
    if (!feed_scan_char(s, '{'))
        return false;
    while (feed_scan_key(s, &key, &first))
        if (!text_or_skip(s, key, "filterType", &type) &&
            !text_or_skip(s, key, "tickSize", &tick) && !text_or_skip(s, key, "minPrice", &low) &&
            !text_or_skip(s, key, "maxPrice", &high) && !text_or_skip(s, key, "stepSize", &step) &&
            !text_or_skip(s, key, "minQty", &least) && !text_or_skip(s, key, "maxQty", &most) &&
            !text_or_skip(s, key, "minNotional", &notional))
            feed_scan_skip(s);
    if (bus_view_is(type, "PRICE_FILTER")) {
        in->tick = tick;
        in->min_price = low;
        in->max_price = high;
    } else if (bus_view_is(type, "LOT_SIZE")) {
        in->lot = step;
        in->min_quantity = least;
        in->max_quantity = most;
    } else if (bus_view_is(type, "MIN_NOTIONAL") || bus_view_is(type, "NOTIONAL")) {
        in->min_notional = notional;
    }
    return !s->rule;
}

static bool instrument_read(feed_scan *s, instrument *in)
{
    bus_view key;
    bool first = true;
    *in = (instrument){0};
    if (!feed_scan_char(s, '{'))
        return false;
    while (feed_scan_key(s, &key, &first)) {
        bool filter = true;
        if (text_or_skip(s, key, "symbol", &in->symbol) ||
            text_or_skip(s, key, "status", &in->status) ||
            text_or_skip(s, key, "baseAsset", &in->base) ||
            text_or_skip(s, key, "quoteAsset", &in->quote))
            continue;
        if (!bus_view_is(key, "filters"))
            feed_scan_skip(s);
        else if (feed_scan_char(s, '['))
            while (feed_scan_element(s, &filter) && filter_read(s, in))
                ;
    }
    return !s->rule;
}

static void scale_put(bus_pack *p, const char *key, bus_view step)
{
    int scale = 0;
    if (bus_decimal_scale_of(step, &scale))
        scale = 0;
    bus_pack_key(p, key);
    bus_pack_int(p, scale);
}

static void instrument_pack(feed_emit *emit, const instrument *in)
{
    const struct {
        const char *key;
        bus_view value;
    } field[] = {{"symbol", in->symbol},
                 {"status", in->status},
                 {"base_asset", in->base},
                 {"quote_asset", in->quote},
                 {"tick_size", in->tick},
                 {"lot_size", in->lot},
                 {"min_price", in->min_price},
                 {"max_price", in->max_price},
                 {"min_qty", in->min_quantity},
                 {"max_qty", in->max_quantity},
                 {"min_notional", in->min_notional}};
    uint32_t count = sizeof field / sizeof *field, pairs = (in->tick.len > 0) + (in->lot.len > 0);
    for (uint32_t i = 0; i < count; i++)
        pairs += field[i].value.len > 0;
    bus_pack *p = feed_emit_data(emit, pairs);
    for (uint32_t i = 0; i < count; i++)
        if (field[i].value.len)
            feed_put_view(p, field[i].key, field[i].value);
    if (in->tick.len)
        scale_put(p, "price_scale", in->tick);
    if (in->lot.len)
        scale_put(p, "qty_scale", in->lot);
}

// Publishes when it is not what was published last on this connection.
static bus_err instrument_publish(binance *b, const instrument *in, const feed_now *now)
{
    binance_symbol *symbol = feed_binance_symbol(b, in->symbol);
    if (!symbol)
        return BUS_OK; // the venue may answer with all it has
    symbol->answered = true;
    instrument_pack(&b->base.emit, in);
    const bus_pack *data = &b->base.emit.data;
    binance_bytes *last = &symbol->instrument_last;
    if (last->len == data->len && memcmp(last->bytes, data->buf, data->len) == 0)
        return BUS_OK;
    last->len = 0;
    if (!feed_binance_bytes_add(last, data->buf, data->len))
        return bus_fail(BUS_ENOMEM, "instrument");
    return feed_emit_own(&b->base.emit, &symbol->instrument, now);
}

static bus_err instruments_read(binance *b, bus_view body, const feed_now *now)
{
    feed_scan s = feed_scan_of(body);
    bus_view key;
    bool first = true, found = false;
    bus_err err = BUS_OK;
    feed_scan_char(&s, '{');
    while (feed_scan_key(&s, &key, &first)) {
        bool element = true;
        instrument in;
        if (!bus_view_is(key, "symbols")) {
            feed_scan_skip(&s);
            continue;
        }
        found = true;
        feed_scan_char(&s, '[');
        while (!err && feed_scan_element(&s, &element) && instrument_read(&s, &in))
            err = instrument_publish(b, &in, now);
    }
    feed_scan_end(&s);
    if (s.rule)
        return feed_scan_error(&s, "binance exchangeInfo");
    return found || err ? err
                        : bus_fail(BUS_EINVAL, "binance exchangeInfo: key 'symbols' is missing");
}

// --- symbols that the venue does not know ------------------------------------------------------------

// Frames of the symbol came on this connection, whatever the list says.
static bool flows(const binance_symbol *symbol)
{
    const feed_channel *all[] = {&symbol->trade, &symbol->agg_trade, &symbol->book_ticker,
                                 &symbol->depth};
    bool found = false;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        found = found || (all[i]->has_last && !all[i]->interruption);
    for (uint32_t i = 0; i < symbol->klines; i++)
        found = found || (symbol->kline[i].has_last && !symbol->kline[i].interruption);
    return found;
}

static void leave_out(binance *b, binance_symbol *symbol, const feed_now *now)
{
    char text[160];
    bool flowing = flows(symbol);
    if (symbol->unlisted)
        return;
    snprintf(text, sizeof text, "the venue does not list symbol '%s': %s", symbol->name,
             flowing ? "its frames come all the same"
                     : "it is left out, and looked for again later");
    bus_warn("binance: %s", text);
    feed_session_degraded(&b->base, symbol->name,
                          flowing ? "instruments_unavailable" : "symbol_unknown", text, now);
    if (flowing)
        return;
    symbol->unlisted = true;
    feed_binance_sync_stop(symbol);
}

static void take_in(binance_symbol *symbol)
{
    if (symbol->unlisted)
        bus_info("binance: the venue lists symbol '%s' now", symbol->name);
    symbol->unlisted = false;
}

// Every symbol has been asked for. The streams to subscribe may be others than before.
static void round_over(binance *b, const feed_now *now)
{
    b->round.at = b->round.limit = 0;
    b->instruments.due = now->mono;
    if (!b->round.again)
        b->instruments.due = bus_mono_add(now->mono, BUS_SPAN_S(INSTRUMENTS_EVERY_S));
    b->round.again = false;
    uint32_t streams = feed_binance_streams(b);
    if (b->base.streams != streams)
        b->base.renew = true;
    b->base.streams = streams;
}

static void go_on(binance *b, const feed_now *now)
{
    b->instruments.failing = false;
    b->instruments.back_off = (bus_span){0};
    b->instruments.due = now->mono;
    if (b->round.at >= b->symbols)
        round_over(b, now);
}

// The venue refuses the names that it was asked for.
static void refused(binance *b, const feed_now *now)
{
    binance_round *round = &b->round;
    if (round->count > 1) {
        round->limit = (round->count + 1) / 2;
    } else {
        leave_out(b, &b->symbol[round->at++], now);
        round->limit = 0;
    }
    go_on(b, now);
}

static bus_err listed(binance *b, bus_view body, const feed_now *now)
{
    binance_round *round = &b->round;
    for (uint32_t i = 0; i < round->count; i++)
        b->symbol[round->at + i].answered = false;
    bus_err err = instruments_read(b, body, now);
    if (err)
        return err;
    for (uint32_t i = 0; i < round->count; i++) {
        binance_symbol *symbol = &b->symbol[round->at + i];
        if (symbol->answered)
            take_in(symbol);
        else
            leave_out(b, symbol, now);
    }
    round->at += round->count;
    go_on(b, now);
    return BUS_OK;
}

// {"code":-1121,"msg":"Invalid symbol."}
static bool invalid_symbol(int status, bus_view body)
{
    feed_scan s = feed_scan_of(body);
    bus_view key, value;
    bool first = true, found = false;
    if (status < 400 || !feed_scan_char(&s, '{'))
        return false;
    while (feed_scan_key(&s, &key, &first) && feed_scan_value(&s, &value))
        found = found || (bus_view_is(key, "code") && bus_view_is(value, "-1121"));
    return found;
}

bus_err feed_binance_instruments_answer(binance *b, int status, bus_view body, const feed_now *now)
{
    if (!b->instruments.asked)
        return BUS_OK; // nobody asked
    b->instruments.asked = false;
    if (invalid_symbol(status, body)) {
        refused(b, now);
        return BUS_OK;
    }
    bus_err err = feed_binance_check_status(status, body);
    if (!err)
        err = listed(b, body, now);
    if (!err)
        return BUS_OK;
    feed_binance_again_later(b, &b->instruments, NULL, "instruments_unavailable", now);
    return bus_note(err, "instruments");
}
