// counters: what every client of the broker measures of itself, over all its connections and publishers.
// Registered by the first connection of a process, and by its first publisher. Thread: any.
// Source: schemas/specs/daemons.md, "Metrics".
#ifndef BUS_NATS_COUNTERS_H
#define BUS_NATS_COUNTERS_H

#include "bus/base/metrics.h"
#include "bus/base/time.h"

void bus_counters_register(void);            // as often as you like
void bus_counters_register_publisher(void);  // those of resending and waiting; likewise
void bus_counters_up(void);                  // a connection stands
void bus_counters_down(bool lost);           // it does not any more; lost: nobody here wanted that
void bus_counters_resent(uint32_t messages); // what was sent is in doubt and goes out again
// bus_counters_acknowledged: a message of a publisher was acknowledged so long after it was sent first.
void bus_counters_acknowledged(bus_span waited);
// bus_counters_waits: the figures of all that were.
const bus_histogram *bus_counters_waits(void);

#endif
