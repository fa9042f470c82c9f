#include "bus/nats/watch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct bus_watch {
    bus_wake wake;
    pthread_t thread;
    int epoll, end;
    int fd;              // the owner's: what is watched; -1: nothing
    _Atomic bool firing; // armed and not fired yet
};

static void *run(void *ctx)
{
    bus_watch *w = ctx;
    for (;;) {
        struct epoll_event e;
        if (epoll_wait(w->epoll, &e, 1, -1) <= 0)
            continue;
        if (e.data.fd == w->end)
            return NULL;
        atomic_store(&w->firing, false);
        w->wake.fn(w->wake.ctx);
    }
}

bus_err bus_watch_open(bus_watch **out, bus_wake wake)
{
    bus_watch *w = calloc(1, sizeof *w);
    if (!w)
        return bus_fail(BUS_ENOMEM, "watch of a socket");
    w->wake = wake;
    w->fd = -1;
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->end = eventfd(0, EFD_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = w->end};
    if (w->epoll < 0 || w->end < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->end, &e) ||
        pthread_create(&w->thread, NULL, run, w)) {
        close(w->epoll);
        close(w->end);
        free(w);
        return bus_fail(BUS_EIO, "watch of a socket");
    }
    *out = w;
    return BUS_OK;
}

void bus_watch_close(bus_watch *w)
{
    if (!w)
        return;
    uint64_t one = 1;
    if (write(w->end, &one, sizeof one) == sizeof one)
        pthread_join(w->thread, NULL);
    close(w->epoll);
    close(w->end);
    free(w);
}

void bus_watch_arm(bus_watch *w, int fd)
{
    if (fd == w->fd && (fd < 0 || atomic_load(&w->firing)))
        return;
    struct epoll_event e = {.events = EPOLLIN | EPOLLONESHOT | EPOLLRDHUP, .data.fd = fd};
    if (fd != w->fd && w->fd >= 0)
        epoll_ctl(w->epoll, EPOLL_CTL_DEL, w->fd, NULL);
    if (fd >= 0) {
        atomic_store(&w->firing, true);
        // The same number may stand for another socket since: then it is not known here any more.
        if (epoll_ctl(w->epoll, EPOLL_CTL_MOD, fd, &e))
            epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &e);
    }
    w->fd = fd;
}
