// watch: a thread that waits for bytes on a socket whose owner sleeps elsewhere, and wakes it, once for each arming.
// Internal to bus/nats. Thread: the owner's; wake is called on the watch's own.
// Source: schemas/specs/recording.md, "Connections".
#ifndef BUS_NATS_WATCH_H
#define BUS_NATS_WATCH_H

#include "bus/base/err.h"
#include "bus/base/loop.h"

typedef struct bus_watch bus_watch;
bus_err bus_watch_open(bus_watch **out, bus_wake wake);
void bus_watch_close(bus_watch *watch); // no wake comes after it returned; NULL is fine
// bus_watch_arm: wake when there is something to read on fd, or already is. fd is borrowed until the watch is
// armed with another one, or with -1.
void bus_watch_arm(bus_watch *watch, int fd);

#endif
