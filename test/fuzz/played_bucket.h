// Entries of buckets and answers to questions on the played bus, as the input says: what a watch or an inbox is given when
// it has nothing left to read.
#ifndef TEST_FUZZ_PLAYED_BUCKET_H
#define TEST_FUZZ_PLAYED_BUCKET_H

#include <inttypes.h>

#include "played_bus.h"

static struct {
    char consumer[64]; // of the watch that reads a bucket just now
    uint64_t deliveries;
} bucket;

// An entry of the bucket that is read, or an answer to $SRV.STATS: a byte, a length, and the bytes.
static inline void deliver_next(void)
{
    static const char create[] = "$JS.API.CONSUMER.CREATE.";
    static const char *const keys[] = {"$KV.workers.sc.bt1.sma", "$KV.connections.binance.1",
                                       "$KV.workers.sc.bt1.sma.state", "$KV.x"};
    char reply[160];
    if (!input.left)
        return;
    uint8_t how = byte();
    bus_view payload = bytes_of(byte() | (size_t)(byte() & 3) << 8);
    const char *name = strrchr(played.subject, '.');
    if (strncmp(played.subject, create, sizeof create - 1) != 0) {
        if (how & 7)
            deliver(BUS_VIEW("_INBOX.x"), (bus_view){0}, (bus_view){0}, payload);
        return;
    }
    if (strcmp(bucket.consumer, name + 1) != 0) {
        snprintf(bucket.consumer, sizeof bucket.consumer, "%s", name + 1);
        bucket.deliveries = 0;
    }
    bucket.deliveries++;
    snprintf(reply, sizeof reply,
             "$JS.ACK.KV_b.%s.1.%" PRIu64 ".%" PRIu64 ".1700000000000000000.%d", bucket.consumer,
             bucket.deliveries, bucket.deliveries, how & 1);
    deliver(bus_view_of(keys[how >> 1 & 3]), bus_view_of(reply), (bus_view){0}, payload);
}

#endif
