// daemon: the frame around every daemon: settings, log, signals, health and metrics over HTTP, readiness,
// an orderly end. main() is `return bus_daemon_main(&spec, argc, argv);`.
// Thread: main. Source: schemas/specs/daemons.md.
#ifndef BUS_BASE_DAEMON_H
#define BUS_BASE_DAEMON_H

#include "bus/base/config.h"
#include "bus/base/err.h"
#include "bus/base/loop.h"

typedef struct bus_daemon bus_daemon;

// Settings every daemon has: the FIRST member of its own settings struct. The frame adds their rows.
typedef struct {
    const char *log_level;  // debug | info | warn | error
    const char *log_format; // text | json
    const char *http; // address:port of /health, /health/live, /metrics; port 0: any; "": none
    // The rest is NULL in a daemon that is no bus client.
    const char *clock;      // "machine", or "bus:<subject>": a virtual clock fed over the bus
    const char *nats_url;   // nats://host:port[,…]
    const char *nats_creds; // credentials file, or ""
    const char *nats_user;
    const char *nats_password; // secret
    const char *nats_token;    // secret
    const char *nats_ca;       // CA file: TLS with verification, or ""
} bus_daemon_settings;

typedef struct {
    const char *name;                                    // probe name, e.g. "broker", "streams"
    bool (*ready)(void *ctx, char *why, size_t why_cap); // fills why when not ready
    void *ctx;
} bus_probe;

typedef struct {
    bus_config_spec config;  // the daemon's own rows
    const char *http_preset; // default of --http, e.g. "127.0.0.1:7411"
    size_t settings_size;    // whole struct; bus_daemon_settings is its first member
    bool no_bus; // no bus client: it has no setting of the broker, and its clock is the machine's
    // start: build everything; the loop is not running yet. An error ends the program (exit 1).
    // A missing peer is not an error: start, be not ready, retry.
    bus_err (*start)(bus_daemon *daemon, void *settings, void **state);
    // stop: called once on SIGTERM/SIGINT, on the loop: stop intake, drain, flush; then call
    // bus_daemon_stopped. After 5 s, or on a second signal, the process ends anyway (exit 1).
    void (*stop)(bus_daemon *daemon, void *state);
    void (*release)(void *state); // after the loop ended; may be NULL
} bus_daemon_spec;

int bus_daemon_main(const bus_daemon_spec *spec, int argc, char **argv); // exit code 0, 1 or 2
bus_loop *bus_daemon_loop(bus_daemon *daemon);
void bus_daemon_probe(bus_daemon *daemon, bus_probe probe); // readiness: all must be ready
void bus_daemon_stopped(bus_daemon *daemon);                // the loop may end, exit 0
void bus_daemon_fatal(bus_daemon *daemon, bus_err err);     // ends with exit 1, logs the text

#endif
