// loop: the one event loop of a daemon's main thread, on libevent: timers, wakers, file descriptors.
// Everything but bus_waker_wake belongs to the thread that runs the loop. Timers follow
// bus_now_mono, so they obey a virtual clock. Source: schemas/specs/daemons.md, "Loop".
#ifndef BUS_BASE_LOOP_H
#define BUS_BASE_LOOP_H

#include <stdbool.h>

#include "bus/base/err.h"
#include "bus/base/time.h"

typedef struct bus_loop bus_loop;
typedef struct bus_timer bus_timer;
typedef struct bus_waker bus_waker;
typedef struct bus_fd bus_fd;

bus_err bus_loop_open(bus_loop **out);
void bus_loop_close(bus_loop *loop);
bus_err bus_loop_run(bus_loop *loop); // until bus_loop_stop
void bus_loop_stop(bus_loop *loop);
struct event_base *bus_loop_base(bus_loop *loop); // for evhttp; nobody else

typedef void (*bus_timer_fn)(void *ctx, bus_mono now);
bus_err bus_timer_open(bus_timer **out, bus_loop *loop, bus_timer_fn fn, void *ctx);
void bus_timer_start(bus_timer *timer, bus_span after, bus_span every); // every 0: once
void bus_timer_close(bus_timer *timer);

// A waker carries "there is something to do" from any thread to the loop. Wakes that come before the
// loop gets there are one call. bus_waker_wake is async-signal-safe and never blocks.
typedef void (*bus_waker_fn)(void *ctx);
bus_err bus_waker_open(bus_waker **out, bus_loop *loop, bus_waker_fn fn, void *ctx);
void bus_waker_wake(void *waker); // bus_waker *, void so that it fits bus_wake.fn
void bus_waker_close(bus_waker *waker);

// bus_wake: how an object tells its owner to come and poll it. fn is called on a thread of the
// library, must not block, and may be NULL (the owner polls by itself).
typedef struct {
    void (*fn)(void *ctx);
    void *ctx;
} bus_wake;
static inline bus_wake bus_waker_as_wake(bus_waker *waker)
{
    return (bus_wake){bus_waker_wake, waker};
}

typedef void (*bus_fd_fn)(void *ctx, bool readable, bool writable);
bus_err bus_fd_open(bus_fd **out, bus_loop *loop, int fd, bool read, bool write, bus_fd_fn fn,
                    void *ctx);
void bus_fd_want(bus_fd *watch, bool read, bool write); // what to wait for from now on
void bus_fd_close(bus_fd *watch);                       // does not close the descriptor

#endif
