#include "feeds/venues/binance/binance.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARAMS_PER_MESSAGE = 200 };

static const char *const channels[] = {"trade",       "aggTrade", "bookTicker", "depth",
                                       "depth@100ms", "kline_",   NULL};
static const char *const channels_preset[] = {"trade", "bookTicker", "depth@100ms", "kline_1m",
                                              NULL};
static const char *const intervals[] = {"1s", "1m", "3m",  "5m", "15m", "30m", "1h", "2h", "4h",
                                        "6h", "8h", "12h", "1d", "3d",  "1w",  "1M", NULL};

static uint32_t hash(bus_view name)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)name.ptr[i]) * 16777619u;
    return h ^ h >> 15;
}

binance_symbol *feed_binance_symbol(binance *b, bus_view name)
{
    binance_symbol *last = &b->symbol[b->symbol_last];
    if (bus_view_is(name, last->name))
        return last;
    for (uint32_t at = hash(name) & (b->slots - 1); b->slot[at]; at = (at + 1) & (b->slots - 1)) {
        binance_symbol *symbol = &b->symbol[b->slot[at] - 1];
        if (bus_view_is(name, symbol->name)) {
            b->symbol_last = b->slot[at] - 1;
            return symbol;
        }
    }
    return NULL;
}

bus_err feed_binance_unknown(bus_view name)
{
    return bus_fail(BUS_ENOTFOUND, "binance frame, key 's': nobody subscribed to symbol '%.*s'",
                    (int)(name.len > 64 ? 64 : name.len), name.ptr);
}

bool feed_binance_bytes_add(binance_bytes *to, const void *bytes, size_t len)
{
    if (to->cap - to->len < len) {
        size_t cap = to->cap ? to->cap : 4096;
        while (cap - to->len < len)
            cap *= 2;
        char *grown = realloc(to->bytes, cap);
        if (!grown)
            return false;
        to->bytes = grown;
        to->cap = cap;
    }
    if (len)
        memcpy(to->bytes + to->len, bytes, len);
    to->len += len;
    return true;
}

// --- opening -----------------------------------------------------------------------------------------

static const char *known_channel(const char *name)
{
    if (strncmp(name, "kline_", 6) == 0) {
        for (int i = 0; intervals[i]; i++)
            if (strcmp(name + 6, intervals[i]) == 0)
                return intervals[i];
        return NULL;
    }
    for (int i = 0; channels[i]; i++)
        if (strcmp(channels[i], name) == 0)
            return name;
    return NULL;
}

static bus_err channel_open(feed_channel *channel, const char *entity, const char *event,
                            const char *id_channel, const char *interval, const char *symbol)
{
    const char *ids[2] = {interval ? interval : symbol, symbol};
    channel->on = true;
    channel->name = id_channel;
    return feed_topic_make(&channel->topic, feed_binance.name, entity, event, ids, interval ? 2 : 1,
                           symbol, id_channel);
}

static bus_err symbol_channel(binance_symbol *symbol, const char *channel)
{
    if (strcmp(channel, "trade") == 0)
        return channel_open(&symbol->trade, "trade", "tape", "trade", NULL, symbol->name);
    if (strcmp(channel, "aggTrade") == 0)
        return channel_open(&symbol->agg_trade, "trade", "tape", "aggTrade", NULL, symbol->name);
    if (strcmp(channel, "bookTicker") == 0)
        return channel_open(&symbol->book_ticker, "quote", "update", "bookTicker", NULL,
                            symbol->name);
    if (strncmp(channel, "depth", 5) == 0)
        return channel_open(&symbol->depth, "orderbook", "update", "depth", NULL, symbol->name);
    return channel_open(&symbol->kline[symbol->klines++], "ohlcv", "candle", channel, channel + 6,
                        symbol->name);
}

static bus_err symbol_open(binance *b, binance_symbol *symbol, const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len >= BINANCE_SYMBOL_MAX)
        return bus_fail(BUS_EINVAL, "symbol '%s': 1 to %d characters are expected", name,
                        BINANCE_SYMBOL_MAX - 1);
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)name[i]))
            return bus_fail(BUS_EINVAL, "symbol '%s': only letters and digits are expected", name);
        symbol->name[i] = (char)toupper((unsigned char)name[i]);
        symbol->lower[i] = (char)tolower((unsigned char)name[i]);
    }
    bus_err err = BUS_OK;
    for (uint32_t i = 0; i < b->channels && !err; i++)
        err = symbol_channel(symbol, b->channel[i]);
    const char *id = symbol->name;
    if (!err)
        err = feed_topic_make(&symbol->snapshot, feed_binance.name, "orderbook", "snapshot", &id, 1,
                              symbol->name, NULL);
    if (!err)
        err = feed_topic_make(&symbol->instrument, feed_binance.name, "instrument", "info", NULL, 0,
                              symbol->name, NULL);
    feed_book_init(&symbol->sync.book);
    return err;
}

static bus_err symbols_open(binance *b, const feed_opts *opts)
{
    for (uint32_t i = 0; i < opts->symbol_count; i++) {
        binance_symbol *symbol = &b->symbol[i];
        bus_err err = symbol_open(b, symbol, opts->symbols[i]);
        if (err)
            return err;
        b->symbols = i + 1;
        uint32_t at = hash(bus_view_of(symbol->name)) & (b->slots - 1);
        for (; b->slot[at]; at = (at + 1) & (b->slots - 1))
            if (strcmp(b->symbol[b->slot[at] - 1].name, symbol->name) == 0)
                return bus_fail(BUS_EINVAL, "symbol '%s' is named twice", symbol->name);
        b->slot[at] = i + 1;
    }
    return BUS_OK;
}

static bus_err channels_open(binance *b, const feed_opts *opts)
{
    for (uint32_t i = 0; i < opts->channel_count; i++) {
        const char *name = opts->channels[i];
        if (!known_channel(name))
            return bus_fail(BUS_EINVAL,
                            "channel '%s': trade, aggTrade, bookTicker, depth, depth@100ms or "
                            "kline_<interval> is expected",
                            name);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(b->channel[j], name) == 0 ||
                (strncmp(name, "depth", 5) == 0 && strncmp(b->channel[j], "depth", 5) == 0))
                return bus_fail(BUS_EINVAL, "channel '%s' is named twice", name);
        snprintf(b->channel[i], sizeof b->channel[i], "%s", name);
        b->channels = i + 1;
    }
    return BUS_OK;
}

static void binance_close(feed_session *session)
{
    binance *b = (binance *)session;
    if (!b)
        return;
    for (uint32_t i = 0; b->symbol && i < b->symbols; i++) {
        feed_binance_sync_release(&b->symbol[i].sync);
        free(b->symbol[i].instrument_last.bytes);
    }
    feed_level_list_release(&b->levels);
    feed_book_release(&b->other);
    free(b->symbol);
    free(b->slot);
    free(b->channel);
    free(b);
}

static bus_err check_counts(const feed_opts *opts)
{
    uint64_t streams = (uint64_t)opts->symbol_count * opts->channel_count;
    if (streams == 0)
        return bus_fail(BUS_EINVAL, "at least one symbol and one channel are expected");
    if (streams > feed_binance.streams_max)
        return bus_fail(BUS_ELIMIT,
                        "%u symbols with %u channels: one connection carries %u streams",
                        opts->symbol_count, opts->channel_count, feed_binance.streams_max);
    return BUS_OK;
}

static bus_err binance_open(feed_session **out, const feed_opts *opts)
{
    bus_err err = check_counts(opts);
    if (err)
        return bus_note(err, "venue binance");
    binance *b = calloc(1, sizeof *b);
    if (!b)
        return bus_fail(BUS_ENOMEM, "venue binance");
    feed_session_init(&b->base, &feed_binance, opts);
    feed_book_init(&b->other);
    b->snapshot_every = opts->snapshot_every.ns ? opts->snapshot_every : BUS_SPAN_S(60);
    b->snapshot_limit = opts->snapshot_limit ? opts->snapshot_limit : 5000;
    for (b->slots = 16; b->slots < opts->symbol_count * 2; b->slots *= 2)
        ;
    b->symbol = calloc(opts->symbol_count, sizeof *b->symbol);
    b->slot = calloc(b->slots, sizeof *b->slot);
    b->channel = calloc(opts->channel_count, sizeof *b->channel);
    if (!b->symbol || !b->slot || !b->channel)
        err = bus_fail(BUS_ENOMEM, "%u symbols", opts->symbol_count);
    if (!err)
        err = channels_open(b, opts);
    if (!err)
        err = symbols_open(b, opts);
    if (err) {
        binance_close(&b->base);
        return bus_note(err, "venue binance");
    }
    b->base.streams = feed_binance_streams(b);
    *out = &b->base;
    return BUS_OK;
}

// --- the connection ----------------------------------------------------------------------------------

static const char *binance_path(const feed_session *session)
{
    (void)session;
    return "/stream";
}

static uint32_t listed(const binance *b)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < b->symbols; i++)
        count += !b->symbol[i].unlisted;
    return count;
}

// Its streams are not subscribed, because the venue knows others but not it.
static bool left_out(const binance *b, const binance_symbol *symbol)
{
    return symbol->unlisted && listed(b) > 0; // a connection without streams would be none
}

uint32_t feed_binance_streams(const binance *b)
{
    uint32_t symbols = listed(b);
    return (symbols ? symbols : b->symbols) * b->channels;
}

// Streams [from, end) of those to subscribe, as JSON texts with commas between; returns the length.
static size_t stream_names(const binance *b, uint32_t from, uint32_t end, char *buf, size_t cap)
{
    size_t len = 0;
    uint32_t at = 0;
    for (uint32_t i = 0; i < b->symbols && at < end; i++) {
        if (left_out(b, &b->symbol[i]))
            continue;
        for (uint32_t c = 0; c < b->channels; c++, at++)
            if (at >= from && at < end && len < cap)
                len += (size_t)snprintf(buf + len, cap - len, "%s\"%s@%s\"", at > from ? "," : "",
                                        b->symbol[i].lower, b->channel[c]);
    }
    return len;
}

static size_t binance_subscribe(const feed_session *session, uint32_t step, char *buf, size_t cap)
{
    const binance *b = (const binance *)session;
    uint32_t streams = feed_binance_streams(b), from = step * PARAMS_PER_MESSAGE;
    if (from >= streams)
        return 0;
    uint32_t end = from + PARAMS_PER_MESSAGE < streams ? from + PARAMS_PER_MESSAGE : streams;
    size_t len = (size_t)snprintf(buf, cap, "{\"method\":\"SUBSCRIBE\",\"params\":[");
    if (len < cap)
        len += stream_names(b, from, end, buf + len, cap - len);
    if (len < cap)
        len += (size_t)snprintf(buf + len, cap - len, "],\"id\":%u}", step + 1);
    return len < cap ? len : 0;
}

static void channels_interrupt(binance_symbol *symbol, const char *why)
{
    feed_channel *all[] = {&symbol->trade, &symbol->agg_trade, &symbol->book_ticker,
                           &symbol->depth};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->has_last)
            all[i]->interruption = why;
}

static void describe_anew(binance *b, const feed_now *now)
{
    b->round.again = b->instruments.asked || b->round.at > 0;
    b->instruments.wanted = true;
    b->instruments.due = now->mono;
    for (uint32_t i = 0; i < b->symbols; i++)
        b->symbol[i].instrument_last.len = 0; // publish it anew
}

static void binance_again(feed_session *session, const feed_now *now)
{
    binance *b = (binance *)session;
    describe_anew(b, now);
    for (uint32_t i = 0; i < b->symbols; i++)
        b->symbol[i].sync.next_snapshot = now->mono;
}

static void binance_up(feed_session *session, bool rotation, const feed_now *now)
{
    binance *b = (binance *)session;
    (void)rotation; // a book in step stays so: its state tells
    describe_anew(b, now);
    for (uint32_t i = 0; i < b->symbols; i++) {
        binance_symbol *symbol = &b->symbol[i];
        if (symbol->depth.on && symbol->sync.state == BINANCE_OFF && !left_out(b, symbol))
            feed_binance_sync_start(b, symbol, symbol->sync.joined_before ? "disconnected" : NULL,
                                    now);
    }
    session->venue->tick(session, now);
}

static void binance_down(feed_session *session, const feed_now *now)
{
    binance *b = (binance *)session;
    (void)now;
    for (uint32_t i = 0; i < b->symbols; i++) {
        channels_interrupt(&b->symbol[i], "disconnected");
        feed_binance_sync_stop(&b->symbol[i]);
    }
}

static void binance_tick(feed_session *session, const feed_now *now)
{
    binance *b = (binance *)session;
    if (b->instruments.wanted && !b->instruments.asked && b->instruments.due.ns <= now->mono.ns)
        feed_binance_ask_instruments(b);
    for (uint32_t i = 0; i < b->symbols; i++)
        if (b->symbol[i].depth.on)
            feed_binance_sync_tick(b, &b->symbol[i], now);
}

// --- after a restart ---------------------------------------------------------------------------------

static bool next_part(bus_view *rest, bus_view *part)
{
    const char *dot = rest->len ? memchr(rest->ptr, '.', rest->len) : NULL;
    *part = (bus_view){rest->ptr, dot ? (size_t)(dot - rest->ptr) : rest->len};
    if (dot)
        *rest = (bus_view){dot + 1, rest->len - part->len - 1};
    else
        *rest = (bus_view){rest->ptr + rest->len, 0};
    return part->len > 0;
}

static feed_channel *channel_named(binance_symbol *symbol, bus_view name)
{
    feed_channel *all[] = {&symbol->trade, &symbol->agg_trade, &symbol->book_ticker,
                           &symbol->depth};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->on && bus_view_is(name, all[i]->name))
            return all[i];
    for (uint32_t i = 0; i < symbol->klines; i++)
        if (bus_view_is(name, symbol->kline[i].name))
            return &symbol->kline[i];
    return NULL;
}

static void binance_seen(feed_session *session, bus_view id)
{
    binance *b = (binance *)session;
    bus_view rest = id, channel_name, name, a_text, b_text;
    uint64_t a, second = 0;
    if (!next_part(&rest, &channel_name) || !next_part(&rest, &name) ||
        !next_part(&rest, &a_text) || !bus_view_u64(a_text, &a))
        return;
    if (next_part(&rest, &b_text) && !bus_view_u64(b_text, &second))
        return;
    binance_symbol *symbol = feed_binance_symbol(b, name);
    feed_channel *channel = symbol ? channel_named(symbol, channel_name) : NULL;
    if (!channel || (channel->has_last &&
                     (channel->last > a || (channel->last == a && channel->last_b >= second))))
        return;
    channel->has_last = true;
    channel->last = a;
    channel->last_b = second;
    channel->interruption = "restart";
}

// Subjects of one symbol, at most four plus its candles.
static bool symbol_recall(const binance_symbol *symbol, uint32_t i, const char **subject,
                          bool *several)
{
    const feed_channel *all[4 + BINANCE_KLINES_MAX];
    uint32_t count = 0;
    *several = symbol->trade.on && symbol->agg_trade.on && i == 0;
    if (symbol->trade.on || symbol->agg_trade.on) // one subject
        all[count++] = symbol->trade.on ? &symbol->trade : &symbol->agg_trade;
    if (symbol->book_ticker.on)
        all[count++] = &symbol->book_ticker;
    if (symbol->depth.on)
        all[count++] = &symbol->depth;
    for (uint32_t k = 0; k < symbol->klines; k++)
        all[count++] = &symbol->kline[k];
    if (i >= count)
        return false;
    *subject = all[i]->topic.subject;
    return true;
}

static bool binance_recall(const feed_session *session, uint32_t i, const char **subject,
                           bool *several)
{
    const binance *b = (const binance *)session;
    uint32_t per_symbol = b->channels;
    for (uint32_t c = 0; c < b->channels; c++) // trade and aggTrade share one
        if (strcmp(b->channel[c], "aggTrade") == 0 && b->symbol[0].trade.on)
            per_symbol--;
    uint32_t which = i / per_symbol;
    return which < b->symbols && symbol_recall(&b->symbol[which], i % per_symbol, subject, several);
}

const feed_venue feed_binance = {
    .name = "binance",
    .channels = channels,
    .channels_preset = channels_preset,
    .streams_max = 1024,
    .messages_per_second = 5,
    .life_max = {24ll * 3600 * 1000000000},
    .open = binance_open,
    .close = binance_close,
    .path = binance_path,
    .subscribe = binance_subscribe,
    .up = binance_up,
    .down = binance_down,
    .control = feed_binance_control,
    .frame = feed_binance_frame,
    .response = feed_binance_response,
    .tick = binance_tick,
    .again = binance_again,
    .seen = binance_seen,
    .recall = binance_recall,
};
