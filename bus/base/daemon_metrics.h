// daemon_metrics: the metrics that every daemon has: readiness, process, log. Part of daemon.h.
// Thread: the loop's. Source: schemas/specs/daemons.md, "Metrics".
#ifndef BUS_BASE_DAEMON_METRICS_H
#define BUS_BASE_DAEMON_METRICS_H

#include "bus/base/health.h"

void bus_daemon_metrics_add(const char *program);
// bus_daemon_metrics_refresh brings them up to date: with every look at the probes, for who asks over the bus, and
// before they are shown.
void bus_daemon_metrics_refresh(const bus_health *health);

#endif
