// client: one WebSocket connection as the exchange sees it: its subscriptions and its queue of messages.
// The socket is somebody else's: he takes messages from the queue and tells what came in.
// Memory: the queue is bounded by the hub. Thread: the exchange's.
// Source: schemas/specs/simexd.md, "Venue endpoints: WebSocket".
#ifndef FEEDS_SIM_CLIENT_H
#define FEEDS_SIM_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/base/time.h"
#include "feeds/sim/topic.h"

enum { SIM_MESSAGE_PRE = 16 }; // free bytes the WebSocket layer needs in front (LWS_PRE)

// One message on its way to any number of connections.
typedef struct {
    uint32_t refs;
    bool binary;
    size_t len;
    unsigned char space[SIM_MESSAGE_PRE];
    unsigned char bytes[];
} sim_message;

sim_message *sim_message_make(bus_view a, bus_view b, bus_view c); // one reference; NULL: no memory
void sim_message_drop(sim_message *message);                       // takes NULL

typedef struct {
    char name[SIM_STREAM_MAX]; // as subscribed; "" when the place is free
    int topic;                 // -1: nothing feeds it
    uint64_t order;            // of subscription
} sim_subscription;

typedef struct sim_client {
    uint64_t id;
    void *conn; // the socket's owner
    char path[64];
    bool combined, micros;
    sim_subscription *subs;
    uint32_t sub_count, sub_cap; // places, and how many of them are used
    uint32_t sub_used;
    uint64_t sub_order;
    sim_message **queue; // ring
    size_t head, queued, queue_cap, queued_bytes;
    uint64_t sent_frames;
    bool silent;           // half open: nothing goes out or comes in
    bus_mono silent_until; // then it is reset
    bool closing, reset;   // to be closed at close_at with close_code, or reset
    bus_mono close_at;     // not before
    int close_code;
    char close_reason[64];
    bus_mono opened, pinged, ponged, window;
    bool ping_due;
    int window_messages;
    struct sim_client *next;
} sim_client;

void sim_client_release(sim_client *client); // queue and subscriptions; not the struct
bool sim_client_queue(sim_client *client,
                      sim_message *message);      // takes a reference; false: no memory
sim_message *sim_client_next(sim_client *client); // NULL: empty; caller drops it
sim_subscription *sim_client_find(const sim_client *client, bus_view name);

#endif
