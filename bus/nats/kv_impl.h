// kv_impl: what kv and kv_watch share. Internal to bus/nats.
#ifndef BUS_NATS_KV_IMPL_H
#define BUS_NATS_KV_IMPL_H

#include "bus/nats/kv.h"

enum { BUS_KV_SUBJECT = BUS_KV_KEY_MAX + 80 };

// bus_kv_subject_of: "$KV.<bucket>.<key>". pattern: wildcards are allowed, NULL means all.
bus_err bus_kv_subject_of(char buf[BUS_KV_SUBJECT], const char *bucket, const char *key,
                          bool pattern);
// bus_kv_entry_of fills the entry from a stored message, whose owner it becomes (also when it fails).
bus_err bus_kv_entry_of(bus_kv_entry *out, const char *bucket, bus_msg *msg, bus_view subject,
                        uint64_t revision, bus_wall time);

#endif
