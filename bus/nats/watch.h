// watch: a thread that waits for bytes on a socket whose owner sleeps elsewhere, and wakes it, once for each arming.
// Internal to bus/nats. Thread: the owner's; wake is called on the watch's own.
// Source: schemas/specs/recording.md, "Connections".
#ifndef BUS_NATS_WATCH_H
#define BUS_NATS_WATCH_H

#include "bus/base/err.h"
#include "bus/base/loop.h"
#include "bus/nats/link.h"

typedef struct bus_watch bus_watch;
bus_err bus_watch_open(bus_watch **out, bus_wake wake);
void bus_watch_close(bus_watch *watch); // no wake comes after it returned; NULL is fine
// bus_watch_arm: wake when there is something to read on the link's socket (it has one), or already is. The watch holds
// the link until it is armed with another one or with NULL: a socket's number is somebody else's once it is closed.
void bus_watch_arm(bus_watch *watch, bus_link *link);

#endif
