// Depth frames and the venue's rule for keeping a book: see "Book of one symbol" in the specification;
// the states there are binance_state here (OFF: no connection yet).
#include <stdlib.h>
#include <string.h>

#include "feeds/venues/binance/binance.h"
#include "feeds/venues/snapshot.h"

// A depth frame taken apart; its levels are in binance.levels, bids first.
typedef struct {
    bus_view symbol;
    uint64_t sent_ms, first, last;
    uint32_t bids;
    unsigned seen; // one bit a key
} depth_frame;

enum { KEY_E = 1, KEY_S = 2, KEY_FIRST = 4, KEY_LAST = 8, KEY_B = 16, KEY_A = 32, KEY_ALL = 63 };

static bool depth_key(binance *b, feed_scan *s, char key, depth_frame *f)
{
    unsigned bit = 0;
    bool fine = true;
    switch (key) {
    case 'E':
        bit = KEY_E;
        fine = feed_scan_u64(s, &f->sent_ms) &&
               (f->sent_ms <= INT64_MAX / 1000000 ||
                feed_scan_fail(s, "key 'E': milliseconds since 1970 are expected"));
        break;
    case 's':
        bit = KEY_S;
        fine = feed_scan_string(s, &f->symbol);
        break;
    case 'U':
        bit = KEY_FIRST;
        fine = feed_scan_u64(s, &f->first);
        break;
    case 'u':
        bit = KEY_LAST;
        fine = feed_scan_u64(s, &f->last);
        break;
    case 'b':
        bit = KEY_B;
        if (f->seen & KEY_A)
            return feed_scan_fail(s, "key 'b' is expected before 'a'");
        fine = feed_scan_levels(s, &b->levels);
        f->bids = b->levels.count;
        break;
    case 'a':
        bit = KEY_A;
        fine = feed_scan_levels(s, &b->levels);
        break;
    default:
        return feed_scan_skip(s);
    }
    if (f->seen & bit)
        return feed_scan_fail(s, "a key comes twice");
    f->seen |= bit;
    return fine;
}

static bus_err depth_read(binance *b, bus_view text, depth_frame *f)
{
    feed_scan s = feed_scan_of(text);
    bus_view key;
    bool first = true;
    *f = (depth_frame){0};
    b->levels.count = 0;
    feed_scan_char(&s, '{');
    while (feed_scan_key(&s, &key, &first))
        if (key.len == 1 ? !depth_key(b, &s, key.ptr[0], f) : !feed_scan_skip(&s))
            break;
    feed_scan_end(&s);
    if (s.rule)
        return feed_scan_error(&s, "binance depthUpdate frame");
    if (f->seen != KEY_ALL)
        return bus_fail(BUS_EINVAL, "binance depthUpdate frame: keys E s U u b a are expected");
    if (f->last < f->first)
        return bus_fail(BUS_EINVAL, "binance depthUpdate frame: u is below U");
    return BUS_OK;
}

// --- the buffer of frames that wait for a snapshot ---------------------------------------------------

typedef struct {
    uint64_t first, last, len; // the frame's text follows
} kept;

static void buffer_clear(binance_sync *sync)
{
    sync->buffer.len = 0;
    sync->buffered_last = 0;
}

static void buffer_add(binance *b, binance_symbol *symbol, const depth_frame *f, bus_view text,
                       const feed_now *now)
{
    binance_sync *sync = &symbol->sync;
    kept head = {f->first, f->last, text.len};
    if (sync->buffer.len && f->first != sync->buffered_last + 1)
        buffer_clear(sync); // a hole: what came before it can never join
    if (sync->buffer.len + sizeof head + text.len > BINANCE_BUFFER_MAX) {
        buffer_clear(sync);
        sync->state = BINANCE_OFF;
        feed_binance_sync_start(b, symbol, "buffer_full", now);
    }
    size_t mark = sync->buffer.len;
    if (!feed_binance_bytes_add(&sync->buffer, &head, sizeof head) ||
        !feed_binance_bytes_add(&sync->buffer, text.ptr, text.len)) {
        sync->buffer.len = mark; // out of memory: as if the frame had been lost
        return;
    }
    sync->buffered_last = f->last;
}

// --- the book ----------------------------------------------------------------------------------------

static bus_err apply(binance *b, feed_book *book, uint32_t bids)
{
    const feed_level *level = b->levels.item;
    bus_err err = feed_book_set(book, FEED_BID, level, bids);
    return err ? err : feed_book_set(book, FEED_ASK, level + bids, b->levels.count - bids);
}

// Best level last into the book: each then goes to the end of its side.
static bus_err load(binance *b, feed_book *book, uint32_t bids)
{
    const feed_level *level = b->levels.item;
    bus_err err = BUS_OK;
    feed_book_clear(book);
    for (uint32_t i = b->levels.count; i-- > 0 && !err;)
        err = feed_book_set(book, i < bids ? FEED_BID : FEED_ASK, &level[i], 1);
    feed_book_mark(book);
    return err;
}

static void ask_again(binance_symbol *symbol, const feed_now *now)
{
    binance_want *want = &symbol->sync.want;
    want->wanted = true;
    if (want->due.ns < now->mono.ns)
        want->due = now->mono;
}

static void lose(binance *b, binance_symbol *symbol, const char *reason, const feed_now *now)
{
    feed_session_resync(&b->base, symbol->name, reason, symbol->sync.last, now);
    buffer_clear(&symbol->sync);
    symbol->sync.held.len = 0;
    symbol->sync.state = BINANCE_BUFFERING;
    ask_again(symbol, now);
}

void feed_binance_sync_start(binance *b, binance_symbol *symbol, const char *reason,
                             const feed_now *now)
{
    if (reason)
        feed_session_resync(&b->base, symbol->name, reason, symbol->sync.last, now);
    symbol->sync.held.len = 0;
    symbol->sync.state = BINANCE_BUFFERING;
    ask_again(symbol, now);
}

void feed_binance_sync_stop(binance_symbol *symbol)
{
    binance_sync *sync = &symbol->sync;
    buffer_clear(sync);
    sync->held.len = 0;
    sync->state = BINANCE_OFF;
    sync->want = (binance_want){.asked = sync->want.asked};
}

void feed_binance_sync_release(binance_sync *sync)
{
    feed_book_release(&sync->book);
    free(sync->buffer.bytes);
    free(sync->held.bytes);
    memset(sync, 0, sizeof *sync);
}

static const kept *kept_at(const binance_sync *sync, size_t at, kept *head, bus_view *text)
{
    if (at >= sync->buffer.len)
        return NULL;
    memcpy(head, sync->buffer.bytes + at, sizeof *head);
    *text = (bus_view){sync->buffer.bytes + at + sizeof *head, head->len};
    return head;
}

// Applies the buffered frames after the snapshot's id. They follow each other: buffer_add saw to it.
static bus_err apply_buffer(binance *b, binance_sync *sync, size_t at)
{
    kept head;
    bus_view text;
    depth_frame f;
    bus_err err = BUS_OK;
    for (; !err && kept_at(sync, at, &head, &text); at += sizeof head + head.len) {
        err = depth_read(b, text, &f);
        if (!err)
            err = apply(b, &sync->book, f.bids);
        if (!err)
            sync->last = f.last;
    }
    return err;
}

static bus_err join(binance *b, binance_symbol *symbol, size_t from, bus_view body,
                    const feed_now *now)
{
    binance_sync *sync = &symbol->sync;
    uint64_t id;
    uint32_t bids;
    bus_err err = feed_binance_snapshot_read(b, body, &id, &bids);
    if (!err)
        err = load(b, &sync->book, bids);
    if (err)
        return err;
    feed_snapshot_list list = {&b->levels, bids};
    feed_snapshot_source source = feed_snapshot_of_list(&list);
    err = feed_snapshot_emit(&b->base.emit, &symbol->snapshot, symbol->name, &source, id, "venue",
                             now);
    if (err)
        return err;
    b->base.stats.snapshots++;
    sync->last = id;
    err = apply_buffer(b, sync, from);
    if (err)
        return err;
    sync->state = BINANCE_WHOLE;
    sync->joined_before = true;
    sync->next_snapshot = bus_mono_add(now->mono, b->snapshot_every);
    buffer_clear(sync);
    sync->held.len = 0;
    feed_session_whole(&b->base, symbol->name, id, sync->last, now);
    return BUS_OK;
}

// The held (or just received) snapshot against the buffer: joined, held on, or too old.
static bus_err try_join(binance *b, binance_symbol *symbol, const feed_now *now)
{
    binance_sync *sync = &symbol->sync;
    size_t at = 0;
    kept head;
    bus_view text;
    while (kept_at(sync, at, &head, &text) && head.last <= sync->held_id)
        at += sizeof head + head.len;
    if (!kept_at(sync, at, &head, &text)) {
        buffer_clear(sync);
        sync->state = BINANCE_HELD;
        return BUS_OK;
    }
    if (head.first > sync->held_id + 1) {
        sync->held.len = 0;
        sync->state = BINANCE_BUFFERING;
        ask_again(symbol, now);
        if (sync->want.due.ns <= now->mono.ns) // an old answer may be cached: not in a tight circle
            sync->want.due = bus_mono_add(now->mono, BUS_SPAN_MS(250));
        return BUS_OK;
    }
    return join(b, symbol, at, (bus_view){sync->held.bytes, sync->held.len}, now);
}

// What came from the venue for this book cannot be used: say so and begin again.
static bus_err spoiled(binance *b, binance_symbol *symbol, bus_err err, const feed_now *now)
{
    lose(b, symbol, "malformed", now);
    symbol->sync.want.due = bus_mono_add(now->mono, BUS_SPAN_S(1));
    return bus_note(err, "binance book of %s", symbol->name);
}

static void compare(binance *b, binance_symbol *symbol, uint64_t id, uint32_t bids,
                    const feed_now *now)
{
    feed_book_difference first;
    if (id != symbol->sync.last || load(b, &b->other, bids))
        return;
    uint32_t levels = feed_book_compare(&symbol->sync.book, &b->other, &first);
    if (levels == 0 || levels == UINT32_MAX)
        return;
    feed_difference d = {.symbol = symbol->name,
                         .side = first.side == FEED_BID ? "bid" : "ask",
                         .price = first.a.price,
                         .expected = first.b.quantity,
                         .got = first.a.quantity,
                         .last_update_id = id,
                         .levels = levels};
    feed_session_difference(&b->base, &d, now);
}

bus_err feed_binance_sync_snapshot(binance *b, binance_symbol *symbol, bus_view body,
                                   const feed_now *now)
{
    binance_sync *sync = &symbol->sync;
    uint64_t id;
    uint32_t bids;
    bus_err err = feed_binance_snapshot_read(b, body, &id, &bids);
    if (err)
        return err;
    if (sync->state == BINANCE_OFF)
        return BUS_OK; // the connection went meanwhile
    if (sync->state == BINANCE_WHOLE) {
        compare(b, symbol, id, bids, now);
        return BUS_OK;
    }
    sync->held.len = 0;
    if (!feed_binance_bytes_add(&sync->held, body.ptr, body.len))
        return bus_fail(BUS_ENOMEM, "snapshot of %zu bytes", body.len);
    sync->held_id = id;
    err = try_join(b, symbol, now);
    return err ? spoiled(b, symbol, err, now) : BUS_OK;
}

void feed_binance_sync_tick(binance *b, binance_symbol *symbol, const feed_now *now)
{
    binance_sync *sync = &symbol->sync;
    if (sync->want.wanted && !sync->want.asked && sync->want.due.ns <= now->mono.ns)
        feed_binance_ask_depth(b, symbol);
    if (sync->state != BINANCE_WHOLE || sync->next_snapshot.ns > now->mono.ns)
        return;
    feed_snapshot_source source = feed_snapshot_of_book(&sync->book);
    sync->next_snapshot = bus_mono_add(now->mono, b->snapshot_every);
    if (feed_snapshot_emit(&b->base.emit, &symbol->snapshot, symbol->name, &source, sync->last,
                           "book", now))
        b->base.stats.errors++;
    else
        b->base.stats.snapshots++;
}

// --- one frame ---------------------------------------------------------------------------------------

static void pack_levels(bus_pack *p, const char *key, const feed_level *level, uint32_t count)
{
    bus_pack_key(p, key);
    bus_pack_array(p, count);
    for (uint32_t i = 0; i < count; i++) {
        bus_pack_array(p, 2);
        bus_pack_str(p, level[i].price.text);
        bus_pack_str(p, level[i].quantity.text);
    }
}

static bus_err publish(binance *b, binance_symbol *symbol, const depth_frame *f,
                       const feed_now *now)
{
    bus_pack *p = feed_emit_data(&b->base.emit, 6);
    feed_put_text(p, "symbol", symbol->name);
    pack_levels(p, "bids_delta", b->levels.item, f->bids);
    pack_levels(p, "asks_delta", b->levels.item + f->bids, b->levels.count - f->bids);
    feed_put_uint(p, "first_update_id", f->first);
    feed_put_uint(p, "last_update_id", f->last);
    feed_put_uint(p, "event_time", f->sent_ms);
    return feed_emit_seq(&b->base.emit, &symbol->depth.topic, f->last, false, 0,
                         (int64_t)f->sent_ms * 1000000, now);
}

// The state machine's part of a frame that was published.
static bus_err advance(binance *b, binance_symbol *symbol, const depth_frame *f, bus_view text,
                       const feed_now *now)
{
    binance_sync *sync = &symbol->sync;
    if (sync->state == BINANCE_WHOLE) {
        bus_err err = apply(b, &sync->book, f->bids);
        if (err)
            return spoiled(b, symbol, err, now);
        sync->last = f->last;
        return BUS_OK;
    }
    if (sync->state == BINANCE_OFF)
        return BUS_OK; // left out: no snapshot will come
    buffer_add(b, symbol, f, text, now);
    if (sync->state != BINANCE_HELD)
        return BUS_OK;
    bus_err err = try_join(b, symbol, now);
    return err ? spoiled(b, symbol, err, now) : BUS_OK;
}

feed_frame_result feed_binance_depth(binance *b, bus_view data, const feed_now *now)
{
    depth_frame f;
    if (depth_read(b, data, &f))
        return feed_binance_failed(b);
    binance_symbol *symbol = feed_binance_symbol(b, f.symbol);
    if (!symbol || !symbol->depth.on) {
        b->base.stats.errors++;
        if (!symbol)
            feed_binance_unknown(f.symbol);
        else
            bus_fail(BUS_ENOTFOUND, "binance depthUpdate frame: nobody subscribed to it for %s",
                     symbol->name);
        return FEED_FRAME_ERROR;
    }
    if (!feed_channel_fresh(&b->base, &symbol->depth, symbol->name, f.first, f.last, false, now))
        return FEED_FRAME_DUPLICATE;
    if (symbol->sync.state == BINANCE_WHOLE && f.first != symbol->sync.last + 1)
        lose(b, symbol, f.first > symbol->sync.last + 1 ? "gap" : "overlap", now);
    if (publish(b, symbol, &f, now)) // too large for an event: as lost, the next one shows the hole
        return feed_binance_failed(b);
    feed_channel_took(&b->base, &symbol->depth, f.last, now);
    b->base.stats.events++;
    if (advance(b, symbol, &f, data, now))
        b->base.stats.errors++; // the resync says it; the frame itself is published
    return FEED_FRAME_EVENT;
}
