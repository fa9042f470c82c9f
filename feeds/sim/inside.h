// inside: what the parts of an exchange share: capture_feed.c, synth_feed.c, info.c, rest.c, admin.c.
// Nobody else's.
#ifndef FEEDS_SIM_INSIDE_H
#define FEEDS_SIM_INSIDE_H

#include "feeds/sim/capture.h"
#include "feeds/sim/exchange.h"
#include "feeds/sim/history.h"
#include "feeds/sim/ids.h"
#include "feeds/sim/play.h"
#include "feeds/sim/synth.h"

// One symbol of the exchange.
typedef struct {
    const char *name;
    sim_history *history;
    int price_digits, quantity_digits; // how its numbers are written
    int price_scale, quantity_scale;   // digits they need
    uint64_t snapshots_left;           // recorded ones still ahead
    bool unreadable;                   // a level of it did not fit; said once
} sim_instrument;

// A depth request that waits for a recorded snapshot.
typedef struct {
    void *cookie;
    int symbol_no;
    size_t limit;
} sim_waiter;

enum { SIM_WAITERS_MAX = 256 };

struct sim_exchange {
    sim_exchange_opts opts;
    int64_t speed_milli;
    sim_hub hub;
    sim_sendlog *log;
    sim_capture *capture; // NULL: synthetic
    sim_play play;        // of the capture
    sim_synth *synth;     // NULL: capture
    sim_ids ids;
    bool ids_failed; // said once
    struct {
        bus_mono anchor; // when the market's time was …
        int64_t anchor_ns;
        bool paused;
    } pace;       // of the synthetic market
    bus_mono now; // of this turn
    sim_text payload, micros;
    sim_instrument *instrument; // one per symbol of the topics
    size_t instrument_count;
    sim_text info; // exchangeInfo, whole
    sim_waiter waiter[SIM_WAITERS_MAX];
    size_t waiter_count;
    struct {
        uint64_t recorded, passed, served, own;
    } snapshots;
    sim_change *changes; // of one frame
    size_t change_count, change_cap;
    sim_book scratch;
    sim_answer_fn answer_fn;
    void *answer_ctx;
};

// --- capture_feed.c: recorded frames into books and to the hub
extern const sim_play_host sim_capture_feed_host;
void sim_capture_feed_depth(sim_exchange *x, int symbol_no, size_t limit, sim_text *out);
void sim_levels_render(const sim_book *book, sim_side side, size_t limit, int price_digits,
                       int quantity_digits, sim_text *out);

// --- synth_feed.c: the same of the synthetic market
bus_err sim_synth_feed_topics(sim_exchange *x);
bus_err sim_synth_feed_open(sim_exchange *x, bus_mono now); // after the instruments are there
bus_mono sim_synth_feed_turn(sim_exchange *x, bus_mono now);
sim_play_state sim_synth_feed_state(const sim_exchange *x);
void sim_synth_feed_pause(sim_exchange *x, bool on, bus_mono now);
void sim_synth_feed_depth(sim_exchange *x, int symbol_no, size_t limit, sim_text *out);
void sim_synth_feed_trades(sim_exchange *x, int symbol_no, size_t limit, sim_text *out);
void sim_synth_feed_klines(sim_exchange *x, int symbol_no, int interval, size_t limit,
                           sim_text *out);

// --- info.c
bus_err sim_info_load(sim_exchange *x);
bus_err sim_info_check(bus_view text); // of a file: a body to render from
// sim_info_render: the body with only the symbols named (JSON array text or one name); BUS_ENOTFOUND.
bus_err sim_info_render(const sim_exchange *x, bus_view symbol, bus_view symbols, sim_text *out);

// --- rest.c, admin.c: one request; status 404 when the path is not theirs
void sim_rest_ask(sim_exchange *x, const sim_ask *ask, sim_answer *answer);
void sim_admin_ask(sim_exchange *x, const sim_ask *ask, sim_answer *answer, bus_mono now);
bool sim_query_get(bus_view query, const char *key, bus_view *value);

#endif
