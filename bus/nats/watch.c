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
    bus_link *link;      // whose socket is watched; NULL: none
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
    bus_link_unref(w->link);
    close(w->epoll);
    close(w->end);
    free(w);
}

void bus_watch_arm(bus_watch *w, bus_link *link)
{
    if (link == w->link && (!link || atomic_load(&w->firing)))
        return;
    struct epoll_event e = {.events = EPOLLIN | EPOLLONESHOT | EPOLLRDHUP};
    int how = EPOLL_CTL_MOD;
    if (link != w->link) {
        if (w->link)
            epoll_ctl(w->epoll, EPOLL_CTL_DEL, w->link->fd, NULL);
        bus_link_unref(w->link);
        if (link)
            bus_link_ref(link);
        w->link = link;
        how = EPOLL_CTL_ADD;
    }
    if (!link)
        return;
    e.data.fd = link->fd;
    atomic_store(&w->firing, true);
    epoll_ctl(w->epoll, how, link->fd, &e);
}
