// status: what the venue thread is doing, for the other threads: probes, the service, the record.
// Any thread; a copy under a lock. Source: schemas/specs/feedd.md, "Lifecycle and service".
#ifndef FEEDS_STATUS_H
#define FEEDS_STATUS_H

#include <pthread.h>
#include <stdbool.h>

#include "bus/base/loop.h"

// Numbers of virtufin.websocketmanager.v1.ConnectionStatus.
typedef enum {
    FEED_STATUS_CONNECTING = 1,
    FEED_STATUS_CONNECTED = 2,
    FEED_STATUS_DISCONNECTED = 3,
    FEED_STATUS_ERROR = 4
} feed_status_kind;

typedef struct {
    feed_status_kind kind;
    bool leased, recalled;
    uint32_t attempt, streams;
    bus_wall created;
    char why[256]; // what is waited for; "" when connected
} feed_status_view;

typedef struct {
    pthread_mutex_t lock;
    feed_status_view now;
    bus_wake changed;
} feed_status;

void feed_status_init(feed_status *s, bus_wake changed);
void feed_status_release(feed_status *s);
void feed_status_get(feed_status *s, feed_status_view *out);
// feed_status_set wakes the other side when something is different.
void feed_status_set(feed_status *s, const feed_status_view *view);

#endif
