// health: what a daemon's probes said when they were asked last, for whoever tells it: the HTTP pages on the
// loop, the bus service on a thread of its own.
// Thread: any; the frame of the daemon writes. Source: schemas/specs/daemons.md, "Health and readiness".
#ifndef BUS_BASE_HEALTH_H
#define BUS_BASE_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/base/time.h"

enum { BUS_PROBES_MAX = 16, BUS_PROBE_WHY = 256 };

typedef struct {
    const char *name;
    bool ready;
    char why[BUS_PROBE_WHY]; // "" when ready
} bus_health_entry;

typedef struct {
    const char *daemon; // literal
    bool ready;
    bus_mono asked; // machine's clock: an old one means that the loop does not turn
    int64_t uptime_ms;
    bus_health_entry entry[BUS_PROBES_MAX];
    size_t count;
} bus_health;

void bus_health_put(const bus_health *health);
bool bus_health_get(bus_health *out); // false: nothing has been put; *out is untouched

#endif
