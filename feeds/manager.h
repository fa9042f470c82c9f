// manager: the connection as others see it: its record in bucket `connections` and the service
// virtufin.websocketmanager.v1.WebSocketManager. Thread: main.
// Source: schemas/specs/feedd.md, "Lifecycle and service".
#ifndef FEEDS_MANAGER_H
#define FEEDS_MANAGER_H

#include "bus/base/loop.h"
#include "bus/nats/conn.h"
#include "feeds/feed.h"

typedef struct feed_manager feed_manager;

typedef struct {
    bus_conn *conn;
    bus_loop *loop;
    const char *connection_id, *instance_id, *url, *venue; // borrowed until close
} feed_manager_opts;

bus_err feed_manager_open(feed_manager **out, const feed_manager_opts *opts);
void feed_manager_close(feed_manager *m);          // NULL is fine
void feed_manager_watch(feed_manager *m, feed *f); // from now on it tells of this feed
bus_wake feed_manager_wake(feed_manager *m);       // for feed_settings.status_changed

#endif
