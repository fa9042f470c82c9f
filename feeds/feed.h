// feed: the venue thread: lease, recall, connections, adapter, outbox. Started by the daemon, or by a
// test. Thread: open, stop and close belong to the one that opened it; the rest runs by itself.
// Source: schemas/specs/feedd.md.
#ifndef FEEDS_FEED_H
#define FEEDS_FEED_H

#include "bus/nats/conn.h"
#include "feeds/status.h"
#include "feeds/venues/session.h"

typedef struct feed feed;

typedef struct {
    const feed_venue *venue;
    const char *ws_url, *rest_url, *ca_file;
    const char *const *symbols;
    uint32_t symbol_count;
    const char *const *channels;
    uint32_t channel_count;
    bus_span snapshot_every, duplicates_after;
    uint32_t snapshot_limit;
    bus_span stale_after, dead_after, connect_timeout, rest_timeout;
    bus_span reconnect_min, reconnect_max;
    uint32_t reconnect_attempts; // 0: never give up
    bus_span rotate_after, rotate_overlap;
    size_t queue_bytes;
    bus_span lease_span;
    bus_conn *conn;          // for lease and recall; outlives the feed
    bus_conn_opts publisher; // its own connections
    const char *connection_id, *instance_id;
    bus_wake status_changed;
} feed_settings;

// feed_open checks the settings and starts the thread. Strings are borrowed until feed_close.
bus_err feed_open(feed **out, const feed_settings *settings);
// feed_stop: stop intake, publish what there is, give the lease back; `done` is woken when it is so.
void feed_stop(feed *f, bus_wake done);
void feed_close(feed *f); // waits for the thread; NULL is fine
void feed_status_of(feed *f, feed_status_view *out);

#endif
