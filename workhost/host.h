// host: all of workhostd that is not an RPC: connection, lease, roster, one cell a scenario, lifecycle events.
// Thread: the loop's. Source: schemas/specs/workers.md.
#ifndef WORKHOST_HOST_H
#define WORKHOST_HOST_H

#include "bus/base/daemon.h"
#include "bus/nats/clock.h"
#include "bus/nats/lease.h"
#include "bus/nats/publisher.h"
#include "bus/nats/registry.h"
#include "bus/nats/service.h"
#include "workhost/roster.h"

typedef struct {
    bus_daemon_settings daemon; // first
    const char *side;           // "all", or of two accounts: "live", "research"
    const char *workers_dir, *builtin_dir, *code_dir;
    bus_span call_limit, lease;
    bus_config_list allowed_code_hosts;
} work_settings;

enum { WORK_CELLS_MAX = 1024 };

typedef struct work_cell work_cell;
typedef struct work_waiting work_waiting; // manager.c
typedef struct work_host_daemon {
    bus_daemon *daemon;
    const work_settings *settings;
    bus_side side; // of the connection
    bool has_live; // scenario LIVE is run here
    char builtin_dir[512], code_dir[512], replica[96];
    bus_conn *conn;
    bus_clock_feed *clock;
    bus_lease *lease;
    uint64_t fence; // of the session that loaded the roster and started the runtimes
    bus_registry *registry;
    bus_publisher *publisher; // lifecycle events and dead letters
    bus_service *service;
    work_waiting *waiting; // calls whose code is being fetched
    bus_waker *waker;
    bus_timer *timer;
    work_roster roster;
    char *live;     // the last right record of scenario LIVE, or NULL
    bool live_lost; // what the registry has of it now is none
    bool loaded;    // the roster is
    bool recovered; // every runtime wanted at first has told how it is
    bool stopping;
    work_cell *cells[WORK_CELLS_MAX];
    size_t cell_count;
    bus_mono measure_next;
    int64_t epoch_ms;
    uint64_t event_count, tag_count;
    char load_error[300];
} work_host_daemon;

bus_err work_host_start(bus_daemon *daemon, void *settings, void **state);
void work_host_stop(bus_daemon *daemon, void *state);
void work_host_release(void *state);
// work_host_reconcile brings the runtimes to what registry and roster say. Call after changing either.
void work_host_reconcile(work_host_daemon *host);
// work_host_recover starts at once what should run and does not. Returns of how many workers.
uint32_t work_host_recover(work_host_daemon *host);
// Whether anything new may be begun: the lease is held. While it is lapsed runtimes are only supervised.
bool work_host_may_act(const work_host_daemon *host);
// Whether requests may be answered: the lease is ours and the roster is loaded. BUS_EUNAVAILABLE.
bus_err work_host_ready(const work_host_daemon *host);

// --- lifecycle events (status.c) ---------------------------------------------------------------------
void work_status(work_host_daemon *host, const work_record *record, const char *scenario,
                 const char *state, const char *error_type, const char *error);

#endif
