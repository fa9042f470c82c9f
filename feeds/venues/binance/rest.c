#include <stdio.h>
#include <string.h>

#include "feeds/venues/binance/binance.h"

enum { BACK_OFF_MS = 1000, BACK_OFF_MAX_MS = 30000, INSTRUMENTS_EVERY_S = 3600 };

// --- asking ------------------------------------------------------------------------------------------

static void instruments_path(const binance *b, char *buf, size_t cap)
{
    size_t len = (size_t)snprintf(buf, cap, "/api/v3/exchangeInfo?symbols=%%5B");
    for (uint32_t i = 0; i < b->symbols && len + BINANCE_SYMBOL_MAX + 16 < cap; i++)
        len += (size_t)snprintf(buf + len, cap - len, "%s%%22%s%%22", i ? "%2C" : "",
                                b->symbol[i].name);
    snprintf(buf + len, cap - len, "%%5D");
}

void feed_binance_ask(binance *b, feed_request_kind kind, binance_symbol *symbol)
{
    feed_request request = {.kind = kind};
    if (kind == FEED_REQUEST_DEPTH) {
        request.symbol = (uint32_t)(symbol - b->symbol);
        snprintf(request.path, sizeof request.path, "/api/v3/depth?symbol=%s&limit=%u",
                 symbol->name, b->snapshot_limit);
        symbol->sync.want.asked = true;
    } else {
        instruments_path(b, request.path, sizeof request.path);
        b->instruments.asked = true;
    }
    b->base.request(b->base.ctx, &request);
}

// --- the depth snapshot ------------------------------------------------------------------------------

bus_err feed_binance_snapshot_read(binance *b, bus_view body, uint64_t *id, uint32_t *bids)
{
    feed_scan s = feed_scan_of(body);
    bus_view key;
    bool first = true;
    unsigned seen = 0;
    b->levels.count = 0;
    feed_scan_char(&s, '{');
    while (feed_scan_key(&s, &key, &first)) {
        unsigned bit = 0;
        if (bus_view_is(key, "lastUpdateId")) {
            bit = 1;
            feed_scan_u64(&s, id);
        } else if (bus_view_is(key, "bids")) {
            bit = 2;
            if (seen & 4)
                feed_scan_fail(&s, "'bids' is expected before 'asks'");
            feed_scan_levels(&s, &b->levels);
            *bids = b->levels.count;
        } else if (bus_view_is(key, "asks")) {
            bit = 4;
            feed_scan_levels(&s, &b->levels);
        } else {
            feed_scan_skip(&s);
        }
        if (seen & bit)
            feed_scan_fail(&s, "a key comes twice");
        seen |= bit;
    }
    feed_scan_end(&s);
    if (s.rule)
        return feed_scan_error(&s, "binance depth snapshot");
    if (seen != 7)
        return bus_fail(BUS_EINVAL,
                        "binance depth snapshot: keys lastUpdateId, bids and asks are expected");
    return BUS_OK;
}

// --- instruments -------------------------------------------------------------------------------------

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

static bus_err instruments_answer(binance *b, bus_view body, const feed_now *now)
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

// --- answers -----------------------------------------------------------------------------------------

static void again_later(binance *b, binance_want *want, const char *symbol, const char *reason,
                        const feed_now *now)
{
    int64_t ms = want->back_off.ns / 1000000;
    ms = ms == 0 ? BACK_OFF_MS : ms * 2;
    want->back_off = BUS_SPAN_MS(ms < BACK_OFF_MAX_MS ? ms : BACK_OFF_MAX_MS);
    want->due = bus_mono_add(now->mono, want->back_off);
    if (!want->failing)
        feed_session_degraded(&b->base, symbol, reason, bus_err_text(), now);
    want->failing = true;
}

static bus_err check_status(int status, bus_view body)
{
    if (status == 200)
        return BUS_OK;
    if (status == 0)
        return bus_fail(BUS_EUNAVAILABLE, "no answer from the venue");
    return bus_fail(BUS_EUNAVAILABLE, "the venue answers %d: %.*s", status,
                    (int)(body.len > 200 ? 200 : body.len), body.ptr ? body.ptr : "");
}

static bus_err depth_answer(binance *b, binance_symbol *symbol, int status, bus_view body,
                            const feed_now *now)
{
    binance_want *want = &symbol->sync.want;
    bool wanted = want->wanted;
    want->asked = false;
    bus_err err = check_status(status, body);
    if (!err) {
        want->wanted = false; // the snapshot may raise it again
        err = feed_binance_sync_snapshot(b, symbol, body, now);
    }
    if (!err) {
        want->failing = false;
        want->back_off = (bus_span){0};
        return BUS_OK;
    }
    want->wanted = wanted;
    if (wanted)
        again_later(b, want, symbol->name, "snapshot_unavailable", now);
    return bus_note(err, "depth snapshot of %s", symbol->name);
}

bus_err feed_binance_response(feed_session *session, const feed_request *request, int status,
                              bus_view body, const feed_now *now)
{
    binance *b = (binance *)session;
    if (request->kind == FEED_REQUEST_DEPTH) {
        if (request->symbol >= b->symbols)
            return bus_fail(BUS_EINVAL, "binance: no symbol number %u", request->symbol);
        return depth_answer(b, &b->symbol[request->symbol], status, body, now);
    }
    b->instruments.asked = false;
    bus_err err = check_status(status, body);
    if (!err)
        err = instruments_answer(b, body, now);
    if (err) {
        again_later(b, &b->instruments, NULL, "instruments_unavailable", now);
        return bus_note(err, "instruments");
    }
    b->instruments.failing = false;
    b->instruments.back_off = (bus_span){0};
    b->instruments.due = bus_mono_add(now->mono, BUS_SPAN_S(INSTRUMENTS_EVERY_S));
    return BUS_OK;
}
