#include "bus/base/timers.h"

#include <stdlib.h>

bool bus_timers_reserve(bus_timers *timers)
{
    if (timers->reserved == timers->cap) {
        size_t cap = timers->cap ? timers->cap * 2 : 16;
        bus_timer **grown = realloc(timers->heap, cap * sizeof *grown);
        if (!grown)
            return false;
        timers->heap = grown;
        timers->cap = cap;
    }
    timers->reserved++;
    return true;
}

void bus_timers_unreserve(bus_timers *timers)
{
    timers->reserved--;
}

static bool earlier(const bus_timer *a, const bus_timer *b)
{
    return a->due.ns != b->due.ns ? a->due.ns < b->due.ns : a->start < b->start;
}

static void place(bus_timers *timers, bus_timer *timer, size_t index)
{
    timers->heap[index] = timer;
    timer->at = index + 1;
}

static void sift_up(bus_timers *timers, bus_timer *timer, size_t i)
{
    for (; i > 0 && earlier(timer, timers->heap[(i - 1) / 2]); i = (i - 1) / 2)
        place(timers, timers->heap[(i - 1) / 2], i);
    place(timers, timer, i);
}

static void sift_down(bus_timers *timers, bus_timer *timer, size_t i)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < timers->count && earlier(timers->heap[child + 1], timers->heap[child]))
            child++;
        if (child >= timers->count || !earlier(timers->heap[child], timer))
            break;
        place(timers, timers->heap[child], i);
        i = child;
    }
    place(timers, timer, i);
}

void bus_timers_set(bus_timer *timer, bus_mono due, bus_span every)
{
    bus_timers *timers = timer->owner;
    bus_timers_unset(timer);
    timer->due = due;
    timer->every = every;
    timer->start = ++timers->started;
    sift_up(timers, timer, timers->count++);
}

void bus_timers_unset(bus_timer *timer)
{
    bus_timers *timers = timer->owner;
    if (!timer->at)
        return;
    size_t hole = timer->at - 1;
    timer->at = 0;
    bus_timer *last = timers->heap[--timers->count];
    if (hole == timers->count)
        return;
    if (hole > 0 && earlier(last, timers->heap[(hole - 1) / 2]))
        sift_up(timers, last, hole);
    else
        sift_down(timers, last, hole);
}

bus_timer *bus_timers_first(const bus_timers *timers)
{
    return timers->count ? timers->heap[0] : NULL;
}

void bus_timers_run(bus_timers *timers, bus_mono now)
{
    // Whatever is started from here on is due at `now` or later and has a higher number, so it
    // sorts behind all that were due before.
    uint64_t limit = timers->started;
    for (bus_timer *t = bus_timers_first(timers); t && t->due.ns <= now.ns && t->start <= limit;
         t = bus_timers_first(timers)) {
        if (t->every.ns > 0) { // keep to the grid, however late we are
            int64_t missed = (now.ns - t->due.ns) / t->every.ns;
            bus_timers_set(t, (bus_mono){t->due.ns + (missed + 1) * t->every.ns}, t->every);
        } else {
            bus_timers_unset(t);
        }
        t->fn(t->ctx, now); // may close t
    }
}

void bus_timers_release(bus_timers *timers)
{
    free(timers->heap);
    timers->heap = NULL;
}
