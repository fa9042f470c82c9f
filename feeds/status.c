#include "feeds/status.h"

#include <string.h>

void feed_status_init(feed_status *s, bus_wake changed)
{
    memset(s, 0, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    s->now.kind = FEED_STATUS_CONNECTING;
    s->changed = changed;
}

void feed_status_release(feed_status *s)
{
    pthread_mutex_destroy(&s->lock);
}

void feed_status_get(feed_status *s, feed_status_view *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->now;
    pthread_mutex_unlock(&s->lock);
}

static bool same(const feed_status_view *a, const feed_status_view *b)
{
    return a->kind == b->kind && a->leased == b->leased && a->recalled == b->recalled &&
           a->attempt == b->attempt && a->streams == b->streams && a->created.ns == b->created.ns &&
           strcmp(a->why, b->why) == 0;
}

void feed_status_set(feed_status *s, const feed_status_view *view)
{
    pthread_mutex_lock(&s->lock);
    bool changed = !same(&s->now, view);
    s->now = *view;
    pthread_mutex_unlock(&s->lock);
    if (changed && s->changed.fn)
        s->changed.fn(s->changed.ctx);
}
