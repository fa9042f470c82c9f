#include <stdio.h>

#include "feeds/venues/binance/binance.h"

enum { BACK_OFF_MS = 1000, BACK_OFF_MAX_MS = 30000 };

// --- asking ------------------------------------------------------------------------------------------

void feed_binance_ask_depth(binance *b, binance_symbol *symbol)
{
    feed_request request = {.kind = FEED_REQUEST_DEPTH, .symbol = (uint32_t)(symbol - b->symbol)};
    snprintf(request.path, sizeof request.path, "/api/v3/depth?symbol=%s&limit=%u", symbol->name,
             b->snapshot_limit);
    symbol->sync.want.asked = true;
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

// --- answers -----------------------------------------------------------------------------------------

void feed_binance_again_later(binance *b, binance_want *want, const char *symbol,
                              const char *reason, const feed_now *now)
{
    int64_t ms = want->back_off.ns / 1000000;
    ms = ms == 0 ? BACK_OFF_MS : ms * 2;
    want->back_off = BUS_SPAN_MS(ms < BACK_OFF_MAX_MS ? ms : BACK_OFF_MAX_MS);
    want->due = bus_mono_add(now->mono, want->back_off);
    if (!want->failing)
        feed_session_degraded(&b->base, symbol, reason, bus_err_text(), now);
    want->failing = true;
}

bus_err feed_binance_check_status(int status, bus_view body)
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
    bus_err err = feed_binance_check_status(status, body);
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
        feed_binance_again_later(b, want, symbol->name, "snapshot_unavailable", now);
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
    return feed_binance_instruments_answer(b, status, body, now);
}
