// publishing: what the tests of both paths of a publisher share: numbered messages, their acknowledgements, and what
// the stream holds of them. Thread: the test's.
#ifndef TEST_BUS_NATS_PUBLISHING_H
#define TEST_BUS_NATS_PUBLISHING_H

#include "bus/nats/publisher.h"
#include "support.h"

typedef struct {
    uint64_t acked, refused, duplicates, last_tag, last_seq;
    bool disorder;  // tags are not 1, 2, 3 …, or sequences that are told do not rise
    bool made_anew; // the stream was: sequences may fall
    char words[256], refused_subject[64], refused_id[64];
    size_t refused_len;
} acks;
extern acks seen;
void note_ack(void *ctx, const bus_ack *ack);

extern const char publishing_subject[];
bus_publisher *given_publisher(const test_broker *broker, bus_span ack_timeout);
// Message n is "<n>" with the id urn:test#<n> and the tag n.
bus_publish_result send_one(bus_publisher *pub, uint64_t n);
// Sends [first, last], polling while the window is full; `every` messages `fault` is called.
void send_range(bus_publisher *pub, uint64_t first, uint64_t last, uint64_t every,
                void (*fault)(void));
// The stream ACT holds 1 … count, each once, in order: and nothing else, or on the subject.
void expect_stream(bus_conn *conn, uint64_t count);
void expect_ours(bus_conn *conn, uint64_t count);

#endif
