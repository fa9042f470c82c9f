// denied: the subjects that the broker said no to on one connection. It says so only after the fact, and to nobody in
// particular; whoever has asked looks here whether it was him, instead of waiting until his time is over.
// Internal to bus/nats. Thread: any. Source: schemas/specs/recording.md, "Connections".
#ifndef BUS_NATS_DENIED_H
#define BUS_NATS_DENIED_H

#include "bus/base/loop.h"
#include "bus/base/view.h"
#include "bus/lane/lane.h"
#include "bus/nats/wait.h"

enum { BUS_DENIED_MAX = 64 }; // the last ones are remembered

typedef struct {
    bus_gate gate;  // guards what follows
    uint64_t count; // how often it said no
    uint64_t since; // the count when the present link came up
    char subject[BUS_DENIED_MAX][BUS_SUBJECT_BUF];
    bus_wake wake; // it said no once more; called by a thread of the library, or the owner's
} bus_denied;

void bus_denied_init(bus_denied *denied, bus_wake wake);
void bus_denied_release(bus_denied *denied);
void bus_denied_anew(
    bus_denied *denied); // another link: what was refused on the last one says nothing
// bus_denied_note takes the words of an error of the broker's. False: it said the same on this link before, so it need
// not be told again; words about something else are passed over and are true.
bool bus_denied_note(bus_denied *denied, bus_view words);
uint64_t bus_denied_count(bus_denied *denied);
// bus_denied_wait: until it has said no on this link; false: not within `timeout`.
bool bus_denied_wait(bus_denied *denied, bus_span timeout);
// bus_denied_has: was the subject refused on this link, as one of those after the first `after`?
bool bus_denied_has(bus_denied *denied, const char *subject, uint64_t after);

#endif
