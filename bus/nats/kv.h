// kv: JetStream key-value buckets with ETags. An ETag is the revision as a decimal string.
// Keys: [A-Za-z0-9_=/.-]{1,512}, no leading, trailing or double dot; other bytes are escaped first
// (bus_token_escape with '=').
// Requests are made by hand, not by the library's KV: see recording.md for what that avoids.
// Thread: any for the verbs; a watch belongs to its owner. Source: schemas/specs/recording.md, "Buckets".
#ifndef BUS_NATS_KV_H
#define BUS_NATS_KV_H

#include "bus/nats/conn.h"

enum { BUS_KV_KEY_MAX = 512 };

typedef struct {
    const char *bucket; // [A-Za-z0-9_-]{1,64}
    const char *description;
    int history;  // 1..64; 0: 1
    bus_span ttl; // bucket-wide; 0: none
    int replicas; // 0: 1
} bus_kv_def;

// Buckets are made by raw JSON when absent; one that is there stays as it is. BUS_ENOTFOUND: not there, and the broker
// does not let this user make it, so somebody else will.
bus_err bus_kv_ensure(bus_conn *conn, const bus_kv_def *def);

typedef struct {
    bus_view key, value; // point into the entry; NUL-terminated
    uint64_t revision;
    bus_wall time;
    bool deleted; // DEL, PURGE or a TTL marker
    void *owner;
} bus_kv_entry;
void bus_kv_entry_release(bus_kv_entry *entry); // one that is all zero is fine

bus_err bus_kv_get(bus_conn *conn, const char *bucket, const char *key,
                   bus_kv_entry *out); // BUS_ENOTFOUND
// revision may be NULL in all of these.
bus_err bus_kv_put(bus_conn *conn, const char *bucket, const char *key, bus_view value,
                   uint64_t *revision);
bus_err bus_kv_create(bus_conn *conn, const char *bucket, const char *key, bus_view value,
                      uint64_t *revision); // BUS_EEXISTS
// expected: the revision it must still have. BUS_ECONFLICT names both.
bus_err bus_kv_update(bus_conn *conn, const char *bucket, const char *key, bus_view value,
                      uint64_t expected, uint64_t *revision);
bus_err bus_kv_delete(bus_conn *conn, const char *bucket, const char *key,
                      uint64_t expected); // 0: whatever it is
bus_err
bus_kv_etag_parse(const char *etag,
                  uint64_t *revision); // BUS_EINVAL: "a decimal revision is expected, got '…'"

// bus_kv_each: the live entries now, in revision order. key_pattern: as in subjects ("*", ">"), NULL: all.
typedef void (*bus_kv_fn)(void *ctx, const bus_kv_entry *entry);
bus_err bus_kv_each(bus_conn *conn, const char *bucket, const char *key_pattern, bus_kv_fn fn,
                    void *ctx);
bus_err bus_kv_buckets(bus_conn *conn,
                       void (*fn)(void *ctx, const char *bucket, uint64_t values, uint64_t bytes),
                       void *ctx);

// A watch: the current entries first (deleted ones too: look at `deleted`), then changes, in revision
// order. It survives reconnects, and a bucket that is made later or made anew: then current entries are
// told again and CURRENT follows once more. A key may be told twice with the same revision.
// `wake` comes when there is something to take; call it once a second besides, since what must be done
// after a loss is done there.
typedef struct bus_kv_watch bus_kv_watch;
typedef enum {
    BUS_KV_ENTRY,
    BUS_KV_CURRENT, // after the initial set
    BUS_KV_NOTHING,
} bus_kv_result;
bus_err bus_kv_watch_open(bus_kv_watch **out, bus_conn *conn, const char *bucket,
                          const char *key_pattern, bus_wake wake);
bus_kv_result bus_kv_watch_next(bus_kv_watch *watch, bus_span timeout,
                                bus_kv_entry *out); // caller releases out
void bus_kv_watch_close(bus_kv_watch *watch);

#endif
