// relay: how a stream of LIVE gets into RESEARCH, where they are two accounts: by way of two accounts in which nobody is a
// user, each step a mirror of the one before it. nats-conf/live-research.conf has the same names.
// Thread: any. Source: schemas/specs/access.md, "The way out".
#ifndef STORE_RELAY_H
#define STORE_RELAY_H

#include "bus/nats/stream.h"

// The first two are made through LIVE's connection, the last through RESEARCH's.
typedef enum { STORE_RELAY_FIRST, STORE_RELAY_SECOND, STORE_RELAY_RESEARCH } store_relay_step;

typedef struct {
    bus_stream_def def; // points into the two below
    char name[80], origin[80], deliver[80];
} store_relay;

// store_relay_make fills in the mirror of that step of LIVE's stream `live`, with the same bounds; borrows its texts.
void store_relay_make(store_relay *out, const bus_stream_def *live, store_relay_step step);

#endif
