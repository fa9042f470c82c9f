// fault: what is to go wrong, said on command, and which frame each fault takes.
// A frame is taken by at most one fault: the oldest that matches. Thread: the exchange's.
// Source: schemas/specs/simexd.md, "Faults".
#ifndef FEEDS_SIM_FAULT_H
#define FEEDS_SIM_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/base/err.h"
#include "bus/base/time.h"
#include "bus/base/view.h"
#include "feeds/sim/frame.h"
#include "feeds/sim/text.h"

typedef enum {
    SIM_FAULT_DROP,
    SIM_FAULT_DUPLICATE,
    SIM_FAULT_REORDER,
    SIM_FAULT_TRUNCATE,
    SIM_FAULT_GARBAGE,
    SIM_FAULT_STALL,
    SIM_FAULT_SLOW,
    SIM_FAULT_HALF_OPEN, // this one and the next two act on connections
    SIM_FAULT_CLOSE,
    SIM_FAULT_SHUTDOWN,
} sim_fault_kind;

typedef enum { SIM_FAULT_ARMED, SIM_FAULT_ACTIVE, SIM_FAULT_DONE } sim_fault_state;

// One frame that a fault keeps back; owned by the fault.
typedef struct sim_held {
    struct sim_held *next;
    int topic;
    int64_t recorded_ns, first_id, last_id;
    size_t len, micros_len;
    char bytes[]; // payload, then the payload in microseconds
} sim_held;

typedef struct sim_fault {
    int id;
    sim_fault_kind kind;
    char symbol[SIM_SYMBOL_MAX], channel[SIM_CHANNEL_MAX]; // "": any
    int64_t count, for_ms, after_frames, code, delay_ms;
    uint64_t seed; // moves with every byte made up
    sim_fault_state state;
    int64_t hits;
    bus_mono until, next_release; // ACTIVE stall, slow
    sim_held *held, *held_last;
    size_t held_count;
} sim_fault;

enum { SIM_FAULTS_MAX = 1024, SIM_HELD_MAX = 65536 };

typedef struct {
    sim_fault *fault[SIM_FAULTS_MAX];
    size_t count;
    size_t open; // not done: the hot path asks only this
    uint64_t seed;
} sim_faults;

void sim_faults_release(sim_faults *faults);
const char *sim_fault_name(sim_fault_kind kind);
// sim_fault_from_json reads the body of POST /sim/v1/fault, sim_fault_from_text a --fault value. The
// fault is armed in the list. Errors name the field and the rule.
bus_err sim_fault_from_json(sim_faults *faults, bus_view body, sim_fault **out);
bus_err sim_fault_from_text(sim_faults *faults, bus_view text, sim_fault **out);
bool sim_fault_is_for_connections(const sim_fault *fault);
// sim_fault_matches: would it take a frame (or a connection subscribed to) of this symbol and channel?
bool sim_fault_matches(const sim_fault *fault, const char *symbol, const char *channel);
// sim_faults_take: the fault that takes this frame, or NULL. Counts down after_frames of those that match;
// counts the hit; a fault whose frames are used up becomes DONE (reorder, stall and slow do that later).
sim_fault *sim_faults_take(sim_faults *faults, const char *symbol, const char *channel,
                           bus_mono now);
// sim_fault_done ends a fault that has no frame held any more.
void sim_fault_done(sim_faults *faults, sim_fault *fault);
uint64_t sim_fault_random(sim_fault *fault);
void sim_faults_render(const sim_faults *faults, sim_text *out); // GET /sim/v1/fault

#endif
