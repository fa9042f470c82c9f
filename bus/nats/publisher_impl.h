// publisher_impl: what the publisher and its two paths share: plain.c (message ids, an answer each) and ingest.c
// (batches, without ids). Internal to bus/nats. Thread: the owner's. Source: schemas/specs/recording.md, "Writing".
#ifndef BUS_NATS_PUBLISHER_IMPL_H
#define BUS_NATS_PUBLISHER_IMPL_H

#include "bus/lane/lane.h"
#include "bus/nats/batch.h"
#include "bus/nats/outlet.h"
#include "bus/nats/publisher.h"
#include "bus/nats/tail.h"

enum { BUS_PUBLISHER_WHY = 256, BUS_INGEST_NAME = 48 };

typedef enum {
    BUS_ROUTE_NONE, // not known yet: no link, or the stream's description is awaited
    BUS_ROUTE_PLAIN,
    BUS_ROUTE_INGEST,
} bus_route;

struct bus_publisher {
    bus_outlet outlet;
    bus_window window;
    bus_span ack_timeout, duplicates;
    bus_wake wake;
    bus_ack_fn on_ack;
    bool (*confirm)(void *ctx);
    void *on_ack_ctx;
    bool confirmed; // for this link
    bool delivering;
    uint64_t denials;            // what the broker had refused when the link came up
    char why[BUS_PUBLISHER_WHY]; // the broker's last "not now"; "" after a good answer

    bus_route route, last_route; // last_route: of what the window holds; NONE before the first
    char owned_stream[72], owned[BUS_SUBJECT_BUF]; // "": somebody else may write there too
    bus_mono asked, ask_at; // for the stream's description; asked 0: no question is open
    bool draining;          // a better path may be there: nothing new is sent until all is answered
    uint64_t questions;

    bus_tail *tail; // being read: nothing is sent meanwhile
    // plain: where messages went: for reading the tail after an outage longer than ids are remembered
    char stream[72];      // of the acknowledgements; "" before the first
    bool several_streams; // then there is no one tail to read
    uint64_t last_seq;    // the highest acknowledged
    // ingest
    bus_batch batch;
    char end_subject[BUS_SUBJECT_BUF];
    char name[BUS_INGEST_NAME]; // of the batch
    size_t name_len;
};

// Each path: send what is due; take an answer (tail: its subject behind the inbox); the link was lost or replaced.
void bus_plain_send(bus_publisher *pub);
void bus_plain_answer(bus_publisher *pub, bus_view tail, const bus_msg *msg);
void bus_plain_doubt(bus_publisher *pub);
// bus_plain_begin: the window comes from the other path; what was tried there is looked for in the stream.
void bus_plain_begin(bus_publisher *pub);

void bus_ingest_send(bus_publisher *pub);
void bus_ingest_answer(bus_publisher *pub, bus_view tail, const bus_msg *msg);
void bus_ingest_doubt(bus_publisher *pub);
void bus_ingest_was_read(bus_publisher *pub); // the tail, and it is still there

// For both.
bool bus_publisher_refuse_large(bus_publisher *pub, const bus_frame *m, uint64_t number,
                                size_t headers_len); // false: it is not
void bus_publisher_declined(bus_publisher *pub, const char *words);
void bus_publisher_reroute(bus_publisher *pub); // the path is not open any more: ask again

#endif
