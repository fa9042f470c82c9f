// binance: the adapter of Binance spot. What its files share; outside, only feed_binance is used.
//   binance.c   the ops table: opening, subscribing, life of the connection
//   frame.c     frames: wrapped or raw, small ones by tokens, into events
//   depth.c     depth frames and the book of one symbol: the venue's rule
//   rest.c      answers of the REST interface; depth snapshots
//   instruments.c  instruments, and the symbols that the venue does not know
// Source: schemas/specs/binance-spot.md.
#ifndef FEEDS_VENUES_BINANCE_BINANCE_H
#define FEEDS_VENUES_BINANCE_BINANCE_H

#include "feeds/venues/book.h"
#include "feeds/venues/scan.h"
#include "feeds/venues/session.h"

extern const feed_venue feed_binance;

enum {
    BINANCE_SYMBOL_MAX = 32,
    BINANCE_KLINES_MAX = 16,
    BINANCE_BUFFER_MAX = 8 << 20, // bytes of depth frames a symbol waits with
};

typedef enum { BINANCE_OFF, BINANCE_BUFFERING, BINANCE_HELD, BINANCE_WHOLE } binance_state;

// A growing run of bytes; keeps its memory.
typedef struct {
    char *bytes;
    size_t len, cap;
} binance_bytes;

// A request that is asked again until it succeeds.
typedef struct {
    bool wanted, asked; // asked: sent, not answered
    bool failing;       // told as degraded
    bus_mono due;
    bus_span back_off;
} binance_want;

typedef struct {
    binance_state state;
    feed_book book;
    uint64_t last;        // last applied update id
    binance_bytes buffer; // frames: {uint64 first, uint64 last, uint64 length, text}
    uint64_t buffered_last;
    binance_bytes held; // the snapshot's body
    uint64_t held_id;
    binance_want want;
    bus_mono next_snapshot;
    bool joined_before; // some time since open
} binance_sync;

typedef struct {
    char name[BINANCE_SYMBOL_MAX];  // upper case
    char lower[BINANCE_SYMBOL_MAX]; // as streams are named
    feed_channel trade, agg_trade, book_ticker, depth;
    feed_channel kline[BINANCE_KLINES_MAX];
    uint32_t klines;
    feed_topic snapshot;
    feed_topic instrument;
    binance_bytes instrument_last; // packed data, to see a change
    binance_sync sync;
    bool unlisted; // the venue does not know it: its streams are left out
    bool answered; // the answer at hand has it
} binance_symbol;

// A round of requests for the instruments of all symbols.
typedef struct {
    uint32_t at, count; // the request that is out asks for symbols [at, at + count)
    uint32_t limit;     // ask for so many at once; 0: as many as there is room for
    bool again;         // a connection came up meanwhile: then another round
} binance_round;

typedef struct {
    feed_session base; // first
    binance_symbol *symbol;
    uint32_t symbols, symbol_last; // symbol_last: of the frame before, looked at first
    uint32_t *slot;                // open hash of names: index + 1
    uint32_t slots;                // power of two
    char (*channel)[32];
    uint32_t channels;
    bus_span snapshot_every;
    uint32_t snapshot_limit;
    binance_want instruments;
    binance_round round;
    feed_level_list levels; // of the frame at hand
    feed_book other;        // a snapshot to compare with
} binance;

binance_symbol *feed_binance_symbol(binance *b, bus_view name); // NULL: not subscribed
bus_err feed_binance_unknown(bus_view name);                    // the error for that
uint32_t feed_binance_streams(const binance *b);                // to subscribe
bool feed_binance_bytes_add(binance_bytes *to, const void *bytes, size_t len);

static inline feed_frame_result feed_binance_failed(binance *b) // with bus_err_text
{
    b->base.stats.errors++;
    return FEED_FRAME_ERROR;
}

// frame.c
feed_frame_result feed_binance_control(bus_view text);
feed_frame_result feed_binance_frame(feed_session *session, bus_view text, const feed_now *now);

// small.c
feed_frame_result feed_binance_small(binance *b, bus_view text, const feed_now *now);

// depth.c
feed_frame_result feed_binance_depth(binance *b, bus_view data, const feed_now *now);
void feed_binance_sync_start(binance *b, binance_symbol *symbol, const char *reason,
                             const feed_now *now);   // reason NULL: the first time
void feed_binance_sync_stop(binance_symbol *symbol); // the connection is gone
bus_err feed_binance_sync_snapshot(binance *b, binance_symbol *symbol, bus_view body,
                                   const feed_now *now);
void feed_binance_sync_tick(binance *b, binance_symbol *symbol, const feed_now *now);
void feed_binance_sync_release(binance_sync *sync);

// rest.c
bus_err feed_binance_response(feed_session *session, const feed_request *request, int status,
                              bus_view body, const feed_now *now);
void feed_binance_ask_depth(binance *b, binance_symbol *symbol); // now
// feed_binance_again_later: the request failed as bus_err_text says; the first time it is told.
void feed_binance_again_later(binance *b, binance_want *want, const char *symbol,
                              const char *reason, const feed_now *now);
bus_err feed_binance_check_status(int status, bus_view body);
// A snapshot's body: levels into b->levels, bids first.
bus_err feed_binance_snapshot_read(binance *b, bus_view body, uint64_t *id, uint32_t *bids);

// instruments.c
void feed_binance_ask_instruments(binance *b); // now
bus_err feed_binance_instruments_answer(binance *b, int status, bus_view body, const feed_now *now);

#endif
