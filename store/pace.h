// pace: when is an event due? The arithmetic of a replay's speed, without a clock.
// Pure. Thread: the owner's. Source: schemas/specs/replay.md, "States" (Pace).
#ifndef STORE_PACE_H
#define STORE_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/base/err.h"
#include "bus/base/time.h"
#include "bus/base/view.h"

// A speed in millionths: 1x is 1,000,000; 0 is max (no pacing).
typedef struct {
    int64_t millionths;
} store_speed;

enum { STORE_SPEED_TEXT = 24 };
// "max", or a factor with an x, 0.01x..10000x; "" is max. Errors name the text and the rule.
bus_err store_speed_parse(bus_view text, store_speed *out);
void store_speed_format(store_speed speed, char buf[STORE_SPEED_TEXT]); // "10x", "0.1x", "max"

typedef struct {
    store_speed speed;
    bool anchored; // r0 and t0 are set
    bus_recorded_time
        r0;      // of the first event after the last start, resume, seek or change of speed
    bus_mono t0; // when that one was due
} store_pace;

void store_pace_set(store_pace *pace, store_speed speed); // forgets the anchor
void store_pace_restart(store_pace *pace);                // the next event is due at once
// store_pace_due: the instant at which an event is due; the first one asked for anchors the pace at `now`.
bus_mono store_pace_due(store_pace *pace, bus_recorded_time recorded, bus_mono now);

#endif
