// lifecycle: the connection's states as events on websocketmanager.connectionstatus.
// Thread: the venue's. Source: schemas/specs/feed-events.md, "Connection record and lifecycle".
#ifndef FEEDS_LIFECYCLE_H
#define FEEDS_LIFECYCLE_H

#include "feeds/outbox.h"

typedef struct {
    const char *connection_id, *url, *instance_id;
    int64_t epoch_ms; // start of this process
    uint64_t n;
} feed_lifecycle;

// state: connecting connected reconnecting disconnected error.
//   attempt  told when state is reconnecting
//   error    type and message, told when state is error; else NULL
void feed_lifecycle_tell(feed_lifecycle *l, feed_outbox *outbox, const char *state,
                         uint32_t attempt, const char *error_type, const char *error_message);

#endif
