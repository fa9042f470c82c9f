#include "bus/base/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "bus/base/timers.h"

enum { NS_PER_S = 1000000000 };

// libevent waits for descriptors; the timers are ours (they follow bus_now_mono, which may be
// virtual) and end the wait through a timerfd, which is exact to the nanosecond where libevent's
// own timeouts are rounded up to milliseconds.
struct bus_loop {
    struct event_base *base;
    struct event *alarm_event;
    int alarm_fd;
    int64_t alarm_ns; // what the timerfd is set to; 0: not set
    bus_waker *clock_moved;
    bus_timers timers;
    bus_mono now;
    bool now_fresh; // sampled in this turn
    bool stopping;
};

struct bus_waker {
    bus_loop *loop;
    int fd;
    atomic_bool pending;
    struct event *event;
    bus_waker_fn fn;
    void *ctx;
};

struct bus_fd {
    bus_loop *loop;
    struct event *event;
    bus_fd_fn fn;
    void *ctx;
};

static void sample_now(bus_loop *loop)
{
    if (loop->now_fresh)
        return;
    loop->now = bus_now_mono();
    loop->now_fresh = true;
}

static void on_alarm(evutil_socket_t fd, short what, void *ctx)
{
    (void)what;
    bus_loop *loop = ctx;
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);
    (void)n;
    loop->alarm_ns = 0; // the timers run behind the descriptors, in bus_loop_run
    sample_now(loop);
}

static void on_clock_moved(void *ctx)
{
    (void)ctx; // the turn itself is the point
}

// Sets the timerfd to the next due timer. Under a virtual clock only what is due already counts:
// everything else waits for bus_clock_set.
static void set_alarm(bus_loop *loop)
{
    bus_timer *next = bus_timers_first(&loop->timers);
    int64_t at = next ? next->due.ns : 0;
    if (next && at <= bus_now_mono().ns)
        at = 1;
    else if (bus_clock_is_virtual())
        at = 0;
    if (at == loop->alarm_ns)
        return;
    struct itimerspec spec = {.it_value = {.tv_sec = at / NS_PER_S, .tv_nsec = at % NS_PER_S}};
    timerfd_settime(loop->alarm_fd, TFD_TIMER_ABSTIME, &spec, NULL);
    loop->alarm_ns = at;
}

bus_err bus_loop_open(bus_loop **out)
{
    bus_err err = BUS_OK;
    bus_loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return bus_fail(BUS_ENOMEM, "event loop");
    loop->alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (loop->alarm_fd < 0) {
        err = bus_fail(BUS_EIO, "timerfd: %s", strerror(errno));
        goto done;
    }
    loop->base = event_base_new();
    if (loop->base)
        loop->alarm_event =
            event_new(loop->base, loop->alarm_fd, EV_READ | EV_PERSIST, on_alarm, loop);
    if (!loop->alarm_event || event_add(loop->alarm_event, NULL) != 0) {
        err = bus_fail(BUS_ENOMEM, "event base");
        goto done;
    }
    err = bus_waker_open(&loop->clock_moved, loop, on_clock_moved, loop);
    if (err)
        goto done;
    bus_clock_on_change(bus_waker_wake, loop->clock_moved);
    loop->now = bus_now_mono();
    *out = loop;
    loop = NULL;
done:
    bus_loop_close(loop);
    return bus_note(err, "opening the event loop");
}

void bus_loop_close(bus_loop *loop)
{
    if (!loop)
        return;
    if (loop->clock_moved)
        bus_clock_off_change(bus_waker_wake, loop->clock_moved);
    bus_waker_close(loop->clock_moved);
    if (loop->alarm_event)
        event_free(loop->alarm_event);
    if (loop->base)
        event_base_free(loop->base);
    if (loop->alarm_fd >= 0)
        close(loop->alarm_fd);
    bus_timers_release(&loop->timers);
    free(loop);
}

bus_err bus_loop_run(bus_loop *loop)
{
    loop->stopping = false;
    while (!loop->stopping) {
        set_alarm(loop);
        loop->now_fresh = false;
        if (event_base_loop(loop->base, EVLOOP_ONCE) < 0)
            return bus_fail(BUS_EIO, "waiting for events: %s", strerror(errno));
        sample_now(loop);
        bus_timers_run(&loop->timers, loop->now);
    }
    return BUS_OK;
}

void bus_loop_stop(bus_loop *loop)
{
    loop->stopping = true;
}

struct event_base *bus_loop_base(bus_loop *loop)
{
    return loop->base;
}

// --- timers ------------------------------------------------------------------------------------------

bus_err bus_timer_open(bus_timer **out, bus_loop *loop, bus_timer_fn fn, void *ctx)
{
    bus_timer *timer = calloc(1, sizeof *timer);
    if (!timer || !bus_timers_reserve(&loop->timers)) {
        free(timer);
        return bus_fail(BUS_ENOMEM, "timer");
    }
    timer->owner = &loop->timers;
    timer->fn = fn;
    timer->ctx = ctx;
    *out = timer;
    return BUS_OK;
}

void bus_timer_start(bus_timer *timer, bus_span after, bus_span every)
{
    bus_mono due = bus_mono_add(bus_now_mono(), (bus_span){after.ns > 0 ? after.ns : 0});
    bus_timers_set(timer, due, every);
}

void bus_timer_close(bus_timer *timer)
{
    if (!timer)
        return;
    bus_timers_unset(timer);
    bus_timers_unreserve(timer->owner);
    free(timer);
}

// --- wakers ------------------------------------------------------------------------------------------

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
    (void)what;
    bus_waker *waker = ctx;
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);
    (void)n;
    // Cleared before the call: what is enqueued from here on gets a wake of its own.
    atomic_store(&waker->pending, false);
    sample_now(waker->loop);
    waker->fn(waker->ctx);
}

bus_err bus_waker_open(bus_waker **out, bus_loop *loop, bus_waker_fn fn, void *ctx)
{
    bus_err err = BUS_OK;
    bus_waker *waker = calloc(1, sizeof *waker);
    if (!waker)
        return bus_fail(BUS_ENOMEM, "waker");
    waker->loop = loop;
    waker->fn = fn;
    waker->ctx = ctx;
    waker->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (waker->fd < 0) {
        err = bus_fail(BUS_EIO, "eventfd: %s", strerror(errno));
        goto done;
    }
    waker->event = event_new(loop->base, waker->fd, EV_READ | EV_PERSIST, on_wake, waker);
    if (!waker->event || event_add(waker->event, NULL) != 0) {
        err = bus_fail(BUS_ENOMEM, "waker event");
        goto done;
    }
    *out = waker;
    waker = NULL;
done:
    bus_waker_close(waker);
    return err;
}

void bus_waker_wake(void *ctx)
{
    bus_waker *waker = ctx;
    if (atomic_exchange(&waker->pending, true))
        return;
    int saved = errno;
    uint64_t one = 1;
    ssize_t n = write(waker->fd, &one, sizeof one);
    (void)n; // cannot fail: the counter is 0 or the wake is pending already
    errno = saved;
}

void bus_waker_close(bus_waker *waker)
{
    if (!waker)
        return;
    if (waker->event)
        event_free(waker->event);
    if (waker->fd >= 0)
        close(waker->fd);
    free(waker);
}

// --- descriptors -------------------------------------------------------------------------------------

static void on_fd(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    bus_fd *watch = ctx;
    sample_now(watch->loop);
    watch->fn(watch->ctx, what & EV_READ, what & EV_WRITE);
}

static short interest(bool read, bool write)
{
    return (short)(EV_PERSIST | (read ? EV_READ : 0) | (write ? EV_WRITE : 0));
}

bus_err bus_fd_open(bus_fd **out, bus_loop *loop, int fd, bool read, bool write, bus_fd_fn fn,
                    void *ctx)
{
    bus_fd *watch = calloc(1, sizeof *watch);
    if (!watch)
        return bus_fail(BUS_ENOMEM, "descriptor watch");
    watch->loop = loop;
    watch->fn = fn;
    watch->ctx = ctx;
    watch->event = event_new(loop->base, fd, interest(read, write), on_fd, watch);
    if (!watch->event || ((read || write) && event_add(watch->event, NULL) != 0)) {
        bus_fd_close(watch);
        return bus_fail(BUS_EIO, "watching descriptor %d", fd);
    }
    *out = watch;
    return BUS_OK;
}

void bus_fd_want(bus_fd *watch, bool read, bool write)
{
    short now = interest(read, write);
    if (event_get_events(watch->event) == now)
        return;
    int fd = event_get_fd(watch->event);
    event_del(watch->event);
    event_assign(watch->event, watch->loop->base, fd, now, on_fd, watch);
    if (read || write)
        event_add(watch->event, NULL);
}

void bus_fd_close(bus_fd *watch)
{
    if (!watch)
        return;
    if (watch->event)
        event_free(watch->event);
    free(watch);
}
