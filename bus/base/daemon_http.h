// daemon_http: the pages of a daemon: /health, /health/live, /metrics. Part of daemon.h.
// Thread: the loop's. Source: schemas/specs/daemons.md, "Health and readiness".
#ifndef BUS_BASE_DAEMON_HTTP_H
#define BUS_BASE_DAEMON_HTTP_H

#include "bus/base/daemon.h"
#include "bus/base/health.h"

typedef struct {
    const char *address; // "127.0.0.1:7411", "[::1]:0"
    bus_loop *loop;
    void (*health)(void *ctx, bus_health *out); // asks the probes, on the loop
    void (*refresh)(void *ctx);                 // before the metrics are written
    void *ctx;
} bus_daemon_http_opts;

typedef struct bus_daemon_http bus_daemon_http;
// Errors: BUS_EINVAL for the address; BUS_EIO naming address and port, e.g. when it is in use.
bus_err bus_daemon_http_open(bus_daemon_http **out, const bus_daemon_http_opts *opts);
void bus_daemon_http_close(bus_daemon_http *http);
const char *bus_daemon_http_bound(const bus_daemon_http *http); // "127.0.0.1:40123"

#endif
