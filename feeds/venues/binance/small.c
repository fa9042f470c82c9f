// Small frames: trades, best prices, candles. Their fields have names of one letter, so a table takes them apart.
#include <string.h>

#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS // without it jsmn walks back over all tokens at every closing bracket
#include <jsmn.h>

#include "feeds/venues/binance/binance.h"

enum { TOKENS_MAX = 96 };

// --- fields of a small frame: single letters ---------------------------------------------------------

typedef enum { ABSENT, STRING, PRIMITIVE, OBJECT, ARRAY } field_kind;

typedef struct {
    const char *what;  // "trade"
    const char *start; // of the frame, for places in errors
    uint8_t kind[128];
    uint16_t token[128];
    bus_view value[128];
} fields;

static bus_err field_fail(const fields *f, char key, const char *rule)
{
    if (f->kind[(int)key] == ABSENT)
        return bus_fail(BUS_EINVAL, "binance %s frame: key '%c' is missing: %s", f->what, key,
                        rule);
    bus_view v = f->value[(int)key];
    return bus_fail(BUS_EINVAL, "binance %s frame, byte %zu, key '%c': %s, got '%.*s'", f->what,
                    (size_t)(v.ptr - f->start), key, rule, (int)(v.len > 48 ? 48 : v.len), v.ptr);
}

static bus_err field_u64(const fields *f, char key, uint64_t *out)
{
    if (f->kind[(int)key] != PRIMITIVE || !bus_view_u64(f->value[(int)key], out) ||
        *out > INT64_MAX)
        return field_fail(f, key, "an unsigned integer below 2^63 is expected");
    return BUS_OK;
}

// A first trade id of -1 says that there was no trade.
static bus_err field_i64(const fields *f, char key, int64_t *out)
{
    uint64_t v;
    if (f->kind[(int)key] == PRIMITIVE && bus_view_is(f->value[(int)key], "-1")) {
        *out = -1;
        return BUS_OK;
    }
    bus_err err = field_u64(f, key, &v);
    if (!err)
        *out = (int64_t)v;
    return err;
}

static bus_err field_ms(const fields *f, char key, uint64_t *out)
{
    bus_err err = field_u64(f, key, out);
    if (!err && *out > INT64_MAX / 1000000)
        return field_fail(f, key, "milliseconds since 1970 are expected");
    return err;
}

static bus_err field_decimal(const fields *f, char key, bus_view *out)
{
    feed_decimal n;
    if (f->kind[(int)key] != STRING || !feed_decimal_parse(f->value[(int)key], &n))
        return field_fail(f, key, "a decimal in a string is expected");
    *out = n.text;
    return BUS_OK;
}

static bus_err field_bool(const fields *f, char key, bool *out)
{
    bus_view v = f->kind[(int)key] == PRIMITIVE ? f->value[(int)key] : (bus_view){0};
    *out = bus_view_is(v, "true");
    if (!*out && !bus_view_is(v, "false"))
        return field_fail(f, key, "true or false is expected");
    return BUS_OK;
}

static bus_err field_text(const fields *f, char key, bus_view *out)
{
    if (f->kind[(int)key] != STRING)
        return field_fail(f, key, "a string is expected");
    *out = f->value[(int)key];
    return BUS_OK;
}

static field_kind kind_of(const jsmntok_t *token)
{
    switch (token->type) {
    case JSMN_STRING:
        return STRING;
    case JSMN_PRIMITIVE:
        return PRIMITIVE;
    case JSMN_OBJECT:
        return OBJECT;
    default:
        return ARRAY;
    }
}

// The members of the object at tokens[at] whose keys are one letter.
static void fields_of(fields *f, const char *text, const jsmntok_t *tokens, int count, int at)
{
    f->start = text;
    memset(f->kind, ABSENT, sizeof f->kind);
    for (int i = at + 1; i + 1 < count && tokens[i].start < tokens[at].end; i++) {
        const jsmntok_t *key = &tokens[i], *value = &tokens[i + 1];
        if (key->parent != at || key->type != JSMN_STRING || key->size != 1)
            continue;
        unsigned char letter = (unsigned char)text[key->start];
        if (key->end - key->start != 1 || letter > 127)
            continue;
        f->kind[letter] = (uint8_t)kind_of(value);
        f->token[letter] = (uint16_t)(i + 1);
        f->value[letter] = (bus_view){text + value->start, (size_t)(value->end - value->start)};
    }
}

static bus_err tokens_of(bus_view text, jsmntok_t tokens[TOKENS_MAX], int *count)
{
    jsmn_parser parser;
    jsmn_init(&parser);
    *count = jsmn_parse(&parser, text.ptr, text.len, tokens, TOKENS_MAX);
    if (*count == JSMN_ERROR_NOMEM)
        return bus_fail(BUS_ELIMIT, "binance frame, byte %u of %zu: more than %d values",
                        parser.pos, text.len, TOKENS_MAX);
    if (*count < 1 || tokens[0].type != JSMN_OBJECT)
        return bus_fail(BUS_EINVAL, "binance frame, byte %u of %zu: a JSON object is expected",
                        parser.pos, text.len);
    for (int i = 1; i < *count; i++)
        if (tokens[i].parent < 0)
            return bus_fail(BUS_EINVAL, "binance frame, byte %d of %zu: text after the object",
                            tokens[i].start, text.len);
    return BUS_OK;
}

// --- the events --------------------------------------------------------------------------------------

static bus_err symbol_of(binance *b, const fields *f, binance_symbol **out)
{
    bus_view name;
    bus_err err = field_text(f, 's', &name);
    if (err)
        return err;
    *out = feed_binance_symbol(b, name);
    return *out ? BUS_OK : feed_binance_unknown(name);
}

static bus_err off(const fields *f, const binance_symbol *symbol)
{
    return bus_fail(BUS_ENOTFOUND, "binance %s frame: nobody subscribed to this channel of %s",
                    f->what, symbol->name);
}

static feed_frame_result took(binance *b, feed_channel *channel, uint64_t id, const feed_now *now)
{
    feed_channel_took(&b->base, channel, id, now);
    b->base.stats.events++;
    return FEED_FRAME_EVENT;
}

typedef struct {
    uint64_t id, first, last, traded_ms, sent_ms;
    bus_view price, quantity;
    bool buyer_made, aggregate;
} trade_frame;

static bus_err trade_read(const fields *f, trade_frame *t)
{
    bus_err err = field_u64(f, t->aggregate ? 'a' : 't', &t->id);
    if (!err)
        err = field_decimal(f, 'p', &t->price);
    if (!err)
        err = field_decimal(f, 'q', &t->quantity);
    if (!err)
        err = field_ms(f, 'T', &t->traded_ms);
    if (!err)
        err = field_ms(f, 'E', &t->sent_ms);
    if (!err)
        err = field_bool(f, 'm', &t->buyer_made);
    if (!err && t->aggregate)
        err = field_u64(f, 'f', &t->first);
    if (!err && t->aggregate)
        err = field_u64(f, 'l', &t->last);
    return err;
}

static void trade_pack(bus_pack *p, const char *symbol, const trade_frame *t)
{
    feed_put_text(p, "symbol", symbol);
    feed_put_uint(p, "trade_id", t->id);
    feed_put_view(p, "price", t->price);
    feed_put_view(p, "qty", t->quantity);
    feed_put_text(p, "side", t->buyer_made ? "sell" : "buy");
    feed_put_uint(p, "trade_time", t->traded_ms);
    feed_put_uint(p, "event_time", t->sent_ms);
    if (!t->aggregate)
        return;
    bus_pack_key(p, "aggregate");
    bus_pack_bool(p, true);
    feed_put_uint(p, "first_trade_id", t->first);
    feed_put_uint(p, "last_trade_id", t->last);
}

static feed_frame_result trade(binance *b, const fields *f, bool aggregate, const feed_now *now)
{
    binance_symbol *symbol;
    trade_frame t = {.aggregate = aggregate};
    bus_err err = symbol_of(b, f, &symbol);
    if (!err)
        err = trade_read(f, &t);
    if (err)
        return feed_binance_failed(b);
    feed_channel *channel = aggregate ? &symbol->agg_trade : &symbol->trade;
    if (!channel->on) {
        off(f, symbol);
        return feed_binance_failed(b);
    }
    if (!feed_channel_fresh(&b->base, channel, symbol->name, t.id, t.id, false, now))
        return FEED_FRAME_DUPLICATE;
    trade_pack(feed_emit_data(&b->base.emit, aggregate ? 10 : 7), symbol->name, &t);
    if (feed_emit_seq(&b->base.emit, &channel->topic, t.id, false, 0,
                      (int64_t)t.traded_ms * 1000000, now))
        return feed_binance_failed(b);
    return took(b, channel, t.id, now);
}

static feed_frame_result quote(binance *b, const fields *f, const feed_now *now)
{
    binance_symbol *symbol;
    uint64_t id;
    bus_view bid, bid_quantity, ask, ask_quantity;
    bus_err err = symbol_of(b, f, &symbol);
    if (!err)
        err = field_u64(f, 'u', &id);
    if (!err)
        err = field_decimal(f, 'b', &bid);
    if (!err)
        err = field_decimal(f, 'B', &bid_quantity);
    if (!err)
        err = field_decimal(f, 'a', &ask);
    if (!err)
        err = field_decimal(f, 'A', &ask_quantity);
    if (err)
        return feed_binance_failed(b);
    feed_channel *channel = &symbol->book_ticker;
    if (!channel->on) {
        off(f, symbol);
        return feed_binance_failed(b);
    }
    if (!feed_channel_fresh(&b->base, channel, symbol->name, id, id, true, now))
        return FEED_FRAME_DUPLICATE;
    bus_pack *p = feed_emit_data(&b->base.emit, 6);
    feed_put_text(p, "symbol", symbol->name);
    feed_put_view(p, "bid_price", bid);
    feed_put_view(p, "bid_qty", bid_quantity);
    feed_put_view(p, "ask_price", ask);
    feed_put_view(p, "ask_qty", ask_quantity);
    feed_put_uint(p, "update_id", id);
    if (feed_emit_seq(&b->base.emit, &channel->topic, id, false, 0, 0, now))
        return feed_binance_failed(b);
    return took(b, channel, id, now);
}

typedef struct {
    uint64_t open_ms, close_ms, sent_ms, trades;
    int64_t first, last;
    bus_view interval, number[8]; // open high low close volume quote taker taker quote
    bool closed;
} candle_frame;

static const char candle_keys[] = "ohlcvqVQ";
static const char *const candle_names[] = {"open",
                                           "high",
                                           "low",
                                           "close",
                                           "volume",
                                           "quote_volume",
                                           "taker_buy_volume",
                                           "taker_buy_quote_volume"};

static bus_err candle_read(const fields *k, candle_frame *c)
{
    bus_err err = field_ms(k, 't', &c->open_ms);
    if (!err)
        err = field_ms(k, 'T', &c->close_ms);
    if (!err)
        err = field_text(k, 'i', &c->interval);
    if (!err)
        err = field_i64(k, 'f', &c->first);
    if (!err)
        err = field_i64(k, 'L', &c->last);
    if (!err)
        err = field_u64(k, 'n', &c->trades);
    if (!err)
        err = field_bool(k, 'x', &c->closed);
    for (int i = 0; i < 8 && !err; i++)
        err = field_decimal(k, candle_keys[i], &c->number[i]);
    return err;
}

static void candle_pack(bus_pack *p, const char *symbol, const candle_frame *c)
{
    feed_put_text(p, "symbol", symbol);
    feed_put_view(p, "interval", c->interval);
    for (int i = 0; i < 8; i++)
        feed_put_view(p, candle_names[i], c->number[i]);
    feed_put_uint(p, "trades", c->trades);
    bus_pack_key(p, "first_trade_id");
    bus_pack_int(p, c->first);
    bus_pack_key(p, "last_trade_id");
    bus_pack_int(p, c->last);
    feed_put_uint(p, "open_time", c->open_ms);
    feed_put_uint(p, "candle_close_time", c->close_ms);
    feed_put_uint(p, "event_time", c->sent_ms);
    bus_pack_key(p, "closed");
    bus_pack_bool(p, c->closed);
}

static feed_channel *candle_channel(binance_symbol *symbol, bus_view interval)
{
    for (uint32_t i = 0; i < symbol->klines; i++)
        if (bus_view_is(interval, symbol->kline[i].name + strlen("kline_")))
            return &symbol->kline[i];
    return NULL;
}

static feed_frame_result candle(binance *b, const fields *f, const jsmntok_t *tokens, int count,
                                const feed_now *now)
{
    binance_symbol *symbol;
    candle_frame c;
    fields k = {0};
    bus_err err = symbol_of(b, f, &symbol);
    if (!err)
        err = field_ms(f, 'E', &c.sent_ms);
    if (!err && f->kind['k'] != OBJECT)
        err = field_fail(f, 'k', "an object is expected");
    if (!err) {
        k.what = f->what;
        fields_of(&k, f->start, tokens, count, f->token['k']);
        err = candle_read(&k, &c);
    }
    if (err)
        return feed_binance_failed(b);
    feed_channel *channel = candle_channel(symbol, c.interval);
    if (!channel) {
        off(f, symbol);
        return feed_binance_failed(b);
    }
    if (channel->has_last && (c.open_ms < channel->last ||
                              (c.open_ms == channel->last && c.sent_ms <= channel->last_b))) {
        bool again = c.open_ms == channel->last && c.sent_ms == channel->last_b;
        feed_channel_known(&b->base, channel, symbol->name, c.open_ms, again, now);
        return FEED_FRAME_DUPLICATE;
    }
    candle_pack(feed_emit_data(&b->base.emit, 17), symbol->name, &c);
    if (feed_emit_seq(&b->base.emit, &channel->topic, c.open_ms, true, c.sent_ms,
                      (int64_t)c.sent_ms * 1000000, now))
        return feed_binance_failed(b);
    channel->last_b = c.sent_ms;
    return took(b, channel, c.open_ms, now);
}

feed_frame_result feed_binance_small(binance *b, bus_view text, const feed_now *now)
{
    jsmntok_t tokens[TOKENS_MAX];
    int count;
    fields f; // not cleared as a whole: 2 KiB
    if (tokens_of(text, tokens, &count))
        return feed_binance_failed(b);
    f.what = "bookTicker";
    fields_of(&f, text.ptr, tokens, count, 0);
    if (f.kind['e'] == ABSENT)
        return quote(b, &f, now);
    bus_view e = f.value['e'];
    if (bus_view_is(e, "trade")) {
        f.what = "trade";
        return trade(b, &f, false, now);
    }
    if (bus_view_is(e, "aggTrade")) {
        f.what = "aggTrade";
        return trade(b, &f, true, now);
    }
    if (bus_view_is(e, "kline")) {
        f.what = "kline";
        return candle(b, &f, tokens, count, now);
    }
    if (bus_view_is(e, "bookTicker"))
        return quote(b, &f, now);
    if (bus_view_is(e, "serverShutdown"))
        return FEED_FRAME_SHUTDOWN;
    bus_fail(BUS_EUNSUPPORTED, "binance frame, key 'e': event '%.*s' is not known",
             (int)(e.len > 48 ? 48 : e.len), e.ptr);
    return feed_binance_failed(b);
}
