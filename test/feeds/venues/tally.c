#include "tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/event/pack.h"
#include "test/support/test.h"

tally_symbol *tally_of(tally *t, const char *name)
{
    for (uint32_t i = 0; i < t->symbols; i++)
        if (strcmp(t->symbol[i].name, name) == 0)
            return &t->symbol[i];
    cr_assert(t->symbols < 16);
    tally_symbol *s = &t->symbol[t->symbols++];
    snprintf(s->name, sizeof s->name, "%s", name);
    s->waiting = json_array();
    s->low = INT64_MAX;
    return s;
}

void tally_release(tally *t)
{
    for (uint32_t i = 0; i < t->symbols; i++) {
        for (int k = 0; k < 2; k++) {
            free(t->symbol[i].side[k].level);
            free(t->symbol[i].coming[k].level);
        }
        json_decref(t->symbol[i].waiting);
        json_decref(t->symbol[i].last_quote);
    }
    json_decref(t->last_data);
}

// Units of 10^-8.
static int64_t eight(const char *text)
{
    char *end;
    int64_t v = strtoll(text, &end, 10);
    int digits = 0;
    for (end += *end == '.'; *end; end++, digits++)
        v = v * 10 + (*end - '0');
    for (; digits < 8; digits++)
        v *= 10;
    cr_assert(digits == 8, "'%s'", text);
    return v;
}

static bool is_zero(const char *quantity)
{
    return strspn(quantity, "0.") == strlen(quantity);
}

static void set(tally_side *side, const char *price, const char *quantity)
{
    size_t i = 0;
    while (i < side->count && strcmp(side->level[i].price, price) != 0)
        i++;
    if (is_zero(quantity)) {
        if (i < side->count)
            side->level[i] = side->level[--side->count];
        return;
    }
    if (i == side->count) {
        if (side->count == side->cap) {
            side->cap = side->cap ? side->cap * 2 : 1024;
            side->level = realloc(side->level, side->cap * sizeof *side->level);
        }
        snprintf(side->level[side->count++].price, 40, "%s", price);
    }
    snprintf(side->level[i].quantity, 40, "%s", quantity);
}

static void set_all(tally_side *side, const json_t *levels)
{
    for (size_t i = 0; i < json_array_size(levels); i++) {
        const json_t *l = json_array_get(levels, i);
        set(side, json_string_value(json_array_get(l, 0)), json_string_value(json_array_get(l, 1)));
    }
}

static uint64_t integer(const json_t *data, const char *key)
{
    const json_t *v = json_object_get(data, key);
    cr_assert(json_is_integer(v), "key '%s'", key);
    return (uint64_t)json_integer_value(v);
}

static const char *text(const json_t *data, const char *key)
{
    const char *v = json_string_value(json_object_get(data, key));
    cr_assert(v != NULL, "key '%s'", key);
    return v;
}

static void apply(tally_symbol *s, const json_t *data)
{
    set_all(&s->side[0], json_object_get(data, "bids_delta"));
    set_all(&s->side[1], json_object_get(data, "asks_delta"));
    s->last = integer(data, "last_update_id");
    s->applied++;
}

static void update(tally_symbol *s, json_t *data)
{
    s->depth++;
    s->rows += json_array_size(json_object_get(data, "bids_delta")) +
               json_array_size(json_object_get(data, "asks_delta"));
    if (s->whole && integer(data, "first_update_id") != s->last + 1) {
        s->holes++;
        s->whole = false;
        json_array_clear(s->waiting);
    }
    if (s->whole)
        apply(s, data);
    else
        json_array_append(s->waiting, data);
}

static bool same(const tally_side *a, const tally_side *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        size_t j = 0;
        while (j < b->count && strcmp(a->level[i].price, b->level[j].price) != 0)
            j++;
        if (j == b->count || strcmp(a->level[i].quantity, b->level[j].quantity) != 0)
            return false;
    }
    return true;
}

static void take_snapshot(tally_symbol *s, uint64_t id)
{
    if (s->whole) { // compared, not applied
        if (id != s->last)
            return; // of another moment: says nothing about this one
        s->compared++;
        s->differ += !same(&s->side[0], &s->coming[0]) || !same(&s->side[1], &s->coming[1]);
        return;
    }
    for (int k = 0; k < 2; k++) {
        tally_side was = s->side[k];
        s->side[k] = s->coming[k];
        s->coming[k] = was;
        if (!s->snapshot_id)
            s->snapshot_levels[k] = s->side[k].count;
        s->rows += s->side[k].count;
    }
    bool first = true;
    for (size_t i = 0; i < json_array_size(s->waiting); i++) {
        const json_t *data = json_array_get(s->waiting, i);
        if (integer(data, "last_update_id") <= id) {
            s->stale++;
            continue;
        }
        if (first && !s->snapshot_id)
            s->bridges = integer(data, "first_update_id") <= id + 1;
        first = false;
        apply(s, data);
    }
    if (first)
        s->last = id;
    s->whole = true;
    if (!s->snapshot_id)
        s->snapshot_id = id;
    json_array_clear(s->waiting);
}

static void snapshot(tally_symbol *s, const json_t *data)
{
    uint64_t part = integer(data, "part"), parts = integer(data, "parts");
    cr_assert(part == s->parts_seen + 1, "part %llu after %llu", (unsigned long long)part,
              (unsigned long long)s->parts_seen);
    if (part == 1)
        s->coming[0].count = s->coming[1].count = 0;
    set_all(&s->coming[0], json_object_get(data, "bids"));
    set_all(&s->coming[1], json_object_get(data, "asks"));
    s->parts_seen = part;
    if (part < parts)
        return;
    s->parts_seen = 0;
    s->snapshots++;
    take_snapshot(s, integer(data, "last_update_id"));
}

static void trade(tally_symbol *s, const json_t *data)
{
    bool aggregate = json_is_true(json_object_get(data, "aggregate"));
    int64_t price = eight(text(data, "price")), quantity = eight(text(data, "qty"));
    if (aggregate)
        s->aggregates++;
    else
        s->trades++;
    s->quantity += quantity;
    s->notional += (__int128)price * quantity;
    if (!s->first_id)
        s->first_id = integer(data, "trade_id");
    s->last_id = integer(data, "trade_id");
    s->sells += strcmp(text(data, "side"), "sell") == 0;
    s->high = price > s->high ? price : s->high;
    s->low = price < s->low ? price : s->low;
}

static void feed(tally *t, tally_symbol *s, const char *event, const json_t *data)
{
    if (strcmp(event, "connected") == 0)
        t->connected++;
    else if (strcmp(event, "disconnected") == 0)
        t->disconnected++;
    const json_t *reason = json_object_get(data, "reason");
    if (reason)
        snprintf(t->last_reason, sizeof t->last_reason, "%s", json_string_value(reason));
    if (strcmp(event, "gap") == 0 && !s)
        t->gaps++;
    if (!s)
        return;
    s->gaps += strcmp(event, "gap") == 0;
    s->resyncs += strcmp(event, "resync") == 0;
    s->wholes += strcmp(event, "whole") == 0;
    s->degraded += strcmp(event, "degraded") == 0;
    if (json_object_get(data, "first_missing")) {
        s->gap_first = integer(data, "first_missing");
        s->gap_last = integer(data, "last_missing");
    }
}

static json_t *data_of(const bus_event *event)
{
    char *json = NULL;
    size_t len;
    test_ok(bus_pack_to_json(&json, &len, event->data));
    json_t *data = json_loads(json, 0, NULL);
    cr_assert(data != NULL);
    free(json);
    return data;
}

void tally_event(void *ctx, const char *subject, const bus_event *event)
{
    tally *t = ctx;
    char copy[256], *part[8] = {0}, *save;
    uint8_t packed[65536];
    bus_pack p = bus_pack_to(packed, sizeof packed);
    test_ok(bus_event_encode(&p, event)); // strict on every event
    cr_assert(!p.overflow);
    snprintf(copy, sizeof copy, "%s", subject);
    int parts = 0;
    for (char *at = strtok_r(copy, ".", &save); at && parts < 8; at = strtok_r(NULL, ".", &save))
        part[parts++] = at;
    cr_assert(parts >= 5 && strcmp(part[0], "act") == 0 && strcmp(part[1], "exchange") == 0);
    json_decref(t->last_data);
    json_t *data = t->last_data = data_of(event);
    tally_symbol *s = parts > 5 ? tally_of(t, part[parts - 1]) : NULL;
    t->events++;
    snprintf(t->last_id, sizeof t->last_id, "%.*s", BUS_VIEW_ARG(event->id));
    if (strcmp(part[3], "trade") == 0)
        trade(s, data);
    else if (strcmp(part[3], "quote") == 0) {
        s->quotes++;
        json_decref(s->last_quote);
        s->last_quote = json_incref(data);
    } else if (strcmp(part[3], "ohlcv") == 0)
        s->candles++;
    else if (strcmp(part[3], "instrument") == 0)
        t->instruments++;
    else if (strcmp(part[3], "feed") == 0)
        feed(t, s, part[4], data);
    else if (strcmp(part[4], "update") == 0)
        update(s, data);
    else
        snapshot(s, data);
}

// --- against golden values ---------------------------------------------------------------------------

static void decimal_text(__int128 v, int digits, char *out)
{
    char buf[64];
    int n = 0, dot = digits;
    while (digits && v % 10 == 0) { // without trailing zeros, as golden.json writes sums
        v /= 10;
        digits--;
    }
    dot = digits;
    do {
        buf[n++] = (char)('0' + (int)(v % 10));
        v /= 10;
        if (n == dot && dot)
            buf[n++] = '.';
    } while (v || n < dot + 2);
    if (buf[n - 1] == '0' && n > 1 && buf[n - 2] != '.' && dot == 0)
        n--;
    for (int i = 0; i < n; i++)
        out[i] = buf[n - 1 - i];
    out[n] = 0;
}

static void expect_decimal(const json_t *want, __int128 got, int digits, const char *what)
{
    char buf[64];
    if (!want)
        return;
    decimal_text(got, digits, buf);
    cr_expect_str_eq(buf, json_string_value(want), "%s", what);
}

static void expect_number(const json_t *from, const char *key, uint64_t got)
{
    const json_t *want = json_object_get(from, key);
    if (want)
        cr_expect(got == (uint64_t)json_integer_value(want), "%s: %llu, expected %lld", key,
                  (unsigned long long)got, (long long)json_integer_value(want));
}

static int bid_order(const void *a, const void *b)
{
    int64_t x = eight(((const tally_level *)a)->price), y = eight(((const tally_level *)b)->price);
    return x < y ? 1 : x > y ? -1 : 0;
}

static int ask_order(const void *a, const void *b)
{
    return bid_order(b, a);
}

static void expect_side(tally_side *side, int k, const json_t *best, const json_t *count)
{
    if (side->count)
        qsort(side->level, side->count, sizeof *side->level, k ? ask_order : bid_order);
    if (count)
        cr_expect(side->count == (size_t)json_integer_value(count), "%zu levels, expected %lld",
                  side->count, (long long)json_integer_value(count));
    for (size_t i = 0; i < json_array_size(best); i++) {
        const json_t *l = json_array_get(best, i);
        cr_assert(i < side->count);
        cr_expect_str_eq(side->level[i].price, json_string_value(json_array_get(l, 0)));
        cr_expect_str_eq(side->level[i].quantity, json_string_value(json_array_get(l, 1)));
    }
}

static void expect_channels(const tally_symbol *s, const json_t *channels)
{
    const char *key;
    json_t *want;
    json_object_foreach ((json_t *)channels, key, want) {
        uint64_t got = strncmp(key, "depth", 5) == 0    ? s->depth
                       : strcmp(key, "trade") == 0      ? s->trades
                       : strcmp(key, "aggTrade") == 0   ? s->aggregates
                       : strcmp(key, "bookTicker") == 0 ? s->quotes
                       : strncmp(key, "kline", 5) == 0  ? s->candles
                                                        : 0;
        cr_expect(got == (uint64_t)json_integer_value(want), "%s %s: %llu, expected %lld", s->name,
                  key, (unsigned long long)got, (long long)json_integer_value(want));
    }
}

static void expect_trades(const tally_symbol *s, const json_t *want)
{
    if (!want)
        return;
    expect_number(want, "count", s->trades + s->aggregates);
    expect_decimal(json_object_get(want, "sum_qty"), s->quantity, 8, "sum_qty");
    expect_decimal(json_object_get(want, "sum_notional"), s->notional, 16, "sum_notional");
    expect_decimal(json_object_get(want, "high"), s->high, 8, "high");
    expect_decimal(json_object_get(want, "low"), s->low, 8, "low");
    expect_number(want, "first_id", s->first_id);
    expect_number(want, "last_id", s->last_id);
    expect_number(want, "sell_aggressor", s->sells);
}

static void expect_quote(const tally_symbol *s, const json_t *want)
{
    if (!want)
        return;
    cr_expect(integer(s->last_quote, "update_id") ==
              (uint64_t)json_integer_value(json_object_get(want, "u")));
    cr_expect_str_eq(text(s->last_quote, "bid_price"), text(want, "b"));
    cr_expect_str_eq(text(s->last_quote, "bid_qty"), text(want, "B"));
    cr_expect_str_eq(text(s->last_quote, "ask_price"), text(want, "a"));
    cr_expect_str_eq(text(s->last_quote, "ask_qty"), text(want, "A"));
}

void tally_expect(tally *t, const json_t *symbols)
{
    const char *name;
    json_t *want;
    json_object_foreach ((json_t *)symbols, name, want) {
        tally_symbol *s = tally_of(t, name);
        expect_channels(s, json_object_get(want, "channels"));
        expect_number(want, "snapshot_lastUpdateId", s->snapshot_id);
        expect_number(want, "depth_stale_dropped", s->stale);
        expect_number(want, "depth_applied", s->applied);
        expect_number(want, "depth_gaps", s->holes);
        expect_number(want, "depth_gaps", s->gaps);
        expect_number(want, "syncs", s->wholes);
        expect_number(want, "final_u", s->last);
        expect_number(want, "depth_level_rows_incl_snapshot", s->rows);
        cr_expect(s->bridges);
        for (int k = 0; k < 2; k++)
            cr_expect(s->snapshot_levels[k] ==
                      (size_t)json_integer_value(
                          json_array_get(json_object_get(want, "snapshot_levels"), (size_t)k)));
        const json_t *book = json_object_get(want, "final_book");
        expect_side(&s->side[0], 0, json_object_get(book, "bids"),
                    json_object_get(book, "bid_levels"));
        expect_side(&s->side[1], 1, json_object_get(book, "asks"),
                    json_object_get(book, "ask_levels"));
        expect_trades(s, json_object_get(want, "trades"));
        expect_trades(s, json_object_get(want, "aggTrades"));
        expect_quote(s, json_object_get(want, "last_bookTicker"));
    }
}
