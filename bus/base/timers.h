// timers: a heap of timers by due time, then by order of starting. The loop's own; see loop.h.
// Room for every open timer is reserved when it is opened, so starting one cannot fail.
// Thread: the loop's. Source: schemas/specs/daemons.md, "Loop".
#ifndef BUS_BASE_TIMERS_H
#define BUS_BASE_TIMERS_H

#include "bus/base/loop.h"

typedef struct {
    struct bus_timer **heap;
    size_t count, cap, reserved;
    uint64_t started; // sequence of the last start
} bus_timers;

struct bus_timer {
    bus_timers *owner;
    bus_mono due;
    bus_span every; // 0: once
    uint64_t start; // sequence of its start
    size_t at;      // 1-based place in the heap; 0: not running
    bus_timer_fn fn;
    void *ctx;
};

bool bus_timers_reserve(bus_timers *timers);
void bus_timers_unreserve(bus_timers *timers);
void bus_timers_set(bus_timer *timer, bus_mono due, bus_span every);
void bus_timers_unset(bus_timer *timer);
bus_timer *bus_timers_first(const bus_timers *timers); // NULL: none runs
// Runs what is due at `now`, each timer at most once. Callbacks may start, stop and close any timer.
void bus_timers_run(bus_timers *timers, bus_mono now);
void bus_timers_release(bus_timers *timers);

#endif
