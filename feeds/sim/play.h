// play: paces a capture: when it begins, when each frame is due, where it waits.
//
//   waiting ── subscriptions stand, or start_after ──> playing ⇄ holding ──> ended
//
// Pure: given `now` and a host to ask and to tell. Thread: the exchange's.
// Source: schemas/specs/simexd.md, "Capture play".
#ifndef FEEDS_SIM_PLAY_H
#define FEEDS_SIM_PLAY_H

#include "bus/base/time.h"
#include "feeds/sim/capture.h"

typedef enum { SIM_WAITING, SIM_PLAYING, SIM_HOLDING, SIM_ENDED } sim_play_state;

typedef struct {
    bool (*standing)(void *ctx);                          // is everything subscribed?
    bool (*depth_wanted)(void *ctx, const char *symbol);  // is depth of it subscribed?
    bool (*request_waits)(void *ctx, const char *symbol); // has a depth request come?
    bool (*room)(void *ctx);                              // may one more frame be queued? (max)
    void (*frame)(void *ctx, const sim_record *record, bus_mono now);
    void (*snapshot)(void *ctx, const sim_record *record); // answers those that wait
    void (*hold_timeout)(void *ctx, const sim_record *record);
    void (*ended)(void *ctx);
} sim_play_host;

typedef struct {
    int64_t speed_milli;  // thousandths: 1000 is 1x; 0 is max
    bus_span start_after; // ns < 0: never
    bus_span hold_timeout;
} sim_play_opts;

typedef struct {
    sim_play_opts opts;
    sim_capture *capture;
    const sim_play_host *host;
    void *ctx;
    sim_play_state state;
    bool paused, started;
    bus_mono opened;
    sim_record record; // the next one
    bool has_record;
    int64_t high_ns;   // highest receive time so far
    bus_mono anchor;   // when …
    int64_t anchor_ns; // … a record of this receive time was due
    bus_mono held_since, paused_at;
} sim_play;

enum { SIM_PLAY_TURN_FRAMES = 256 }; // frames a turn at most

void sim_play_init(sim_play *play, const sim_play_opts *opts, sim_capture *capture,
                   const sim_play_host *host, void *ctx, bus_mono now);
// sim_play_turn plays what is due; returns when to come again (sooner after any request).
bus_mono sim_play_turn(sim_play *play, bus_mono now);
bus_err sim_play_start(sim_play *play); // BUS_ESTATE unless waiting
void sim_play_pause(sim_play *play, bool on, bus_mono now);
// sim_speed_parse reads "1x", "0.5x", "max" into thousandths.
bus_err sim_speed_parse(bus_view text, int64_t *speed_milli);

#endif
