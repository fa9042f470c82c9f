// watches: streaming calls that follow a KV bucket: each call gets the entries as they are, then changes, as
// fast as its credit allows. What a caller has no credit for waits in its own watch.
// Thread: the keeper's. Source: schemas/specs/services.md.
#ifndef STORE_WATCHES_H
#define STORE_WATCHES_H

#include "bus/nats/kv.h"
#include "bus/nats/service.h"

// Sends one entry (NULL: everything current has been sent) to a call.
typedef bus_call_result (*store_watch_send)(void *ctx, bus_call *call, const bus_kv_entry *entry);

typedef struct store_watch store_watch;
typedef struct {
    bus_conn *conn;
    const char *bucket;
    bus_wake wake;
    store_watch_send send;
    void *ctx;
    store_watch *first;
    size_t count;
} store_watches;

enum { STORE_WATCHES_MAX = 256 };

bus_err store_watches_add(store_watches *watches, bus_call *call, const char *pattern);
void store_watches_poll(store_watches *watches);    // bounded
void store_watches_release(store_watches *watches); // ends every call

#endif
