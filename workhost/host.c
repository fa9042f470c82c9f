#include "workhost/host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/base/log.h"
#include "bus/base/metrics.h"
#include "workhost/cell.h"
#include "workhost/manager.h"
#include "workhost/planner.h"
#include "workhost/runtime/progress.h"

enum { TURN_MS = 50, MEASURE_MS = 250 };

static bus_metric runtimes_metric =
    BUS_METRIC(BUS_METRIC_GAUGE, "runtimes", "Runtimes that are online");
static bus_metric workers_metric = BUS_METRIC(BUS_METRIC_GAUGE, "workers", "Workers known");

// --- cells -------------------------------------------------------------------------------------------

static work_cell *cell_of(work_host_daemon *h, const char *scenario, bool make)
{
    work_cell *cell = NULL;
    for (size_t i = 0; i < h->cell_count; i++) {
        if (strcmp(work_cell_scenario(h->cells[i]), scenario) == 0)
            return h->cells[i];
    }
    if (!make)
        return NULL;
    if (h->cell_count == WORK_CELLS_MAX) {
        bus_error("scenario %s gets no runtime: there are %d", scenario, WORK_CELLS_MAX);
        return NULL;
    }
    if (work_cell_open(&cell, h, scenario) == BUS_OK)
        h->cells[h->cell_count++] = cell;
    return cell;
}

// LIVE's record is stored's to mend. Until it has done so, the last right one counts: nothing that runs
// for it ends because a key was deleted or overwritten. False: there has never been a right one.
static bool take_live(work_host_daemon *h, bus_scenario_status *status, bus_view *json)
{
    bool right = *status == BUS_SCENARIO_ACTIVE && work_plan_is_live(*json);
    if (right) {
        free(h->live);
        h->live = strndup(json->ptr, json->len);
    } else if (!h->live_lost) {
        // Before there ever was one a start may be in progress: stored makes the bucket, then the record.
        bool begins = !h->live && *status == BUS_SCENARIO_NONE;
        bus_log(begins ? BUS_LOG_INFO : BUS_LOG_WARN, "the record of scenario 'LIVE' is %s: %s",
                *status == BUS_SCENARIO_NONE ? "missing" : "not its own",
                h->live ? "what runs for it goes on" : "waiting for stored to seed it");
    }
    h->live_lost = !right;
    *json = bus_view_of(h->live);
    *status = BUS_SCENARIO_ACTIVE;
    return h->live != NULL;
}

static void want_for_scenario(void *ctx, bus_view id, bus_scenario_status status, bus_view json)
{
    work_host_daemon *h = ctx;
    char scenario[WORK_NAME_MAX + 1], *plan = NULL;
    if (!bus_view_copy(id, scenario, sizeof scenario))
        return;
    if (strcmp(scenario, "LIVE") == 0 && (!h->has_live || !take_live(h, &status, &json)))
        return;
    if (status == BUS_SCENARIO_ACTIVE &&
        work_plan_make(&plan, &h->roster, &h->settings->daemon, id, json))
        bus_warn("%s", bus_err_text());
    work_cell *cell = cell_of(h, scenario, plan != NULL);
    if (cell)
        work_cell_want(cell, plan, status == BUS_SCENARIO_DELETED);
    else
        free(plan);
}

// A scenario that is not in the registry any more was deleted.
static void unwant_missing(work_host_daemon *h)
{
    for (size_t i = 0; i < h->cell_count; i++) {
        bus_view json;
        bus_view id = bus_view_of(work_cell_scenario(h->cells[i]));
        if (bus_registry_status(h->registry, id, &json) == BUS_SCENARIO_NONE &&
            !bus_view_is(id, "LIVE"))
            work_cell_want(h->cells[i], NULL, true);
    }
}

void work_host_reconcile(work_host_daemon *h)
{
    if (!h->loaded || h->stopping || !bus_registry_current(h->registry))
        return;
    bus_registry_each(h->registry, want_for_scenario, h);
    bus_view live = BUS_VIEW("LIVE"), none = {0};
    if (h->has_live && bus_registry_status(h->registry, live, NULL) == BUS_SCENARIO_NONE)
        want_for_scenario(h, live, BUS_SCENARIO_NONE, none);
    unwant_missing(h);
}

// Whether a runtime with the worker was started for this; one that runs anyhow leaves nothing to recover.
static bool is_recovered(const work_host_daemon *h, const bool *started, const char *worker)
{
    bool any = false;
    for (size_t i = 0; i < h->cell_count; i++)
        any = any || (started[i] && work_cell_has(h->cells[i], worker));
    return any;
}

uint32_t work_host_recover(work_host_daemon *h)
{
    bool started[WORK_CELLS_MAX] = {false};
    uint32_t count = 0;
    work_host_reconcile(h);
    for (size_t i = 0; i < h->cell_count; i++)
        started[i] = work_cell_recover(h->cells[i]);
    for (size_t i = 0; i < h->roster.count; i++) {
        const work_record *r = h->roster.records[i];
        count += r->running && is_recovered(h, started, r->name);
    }
    return count;
}

static void turn_cells(work_host_daemon *h)
{
    bus_mono now = bus_now_mono();
    bool settled = h->loaded && bus_registry_current(h->registry);
    int64_t online = 0;
    bool measure = now.ns >= h->measure_next.ns;
    if (measure)
        h->measure_next = bus_mono_add(now, BUS_SPAN_MS(MEASURE_MS));
    for (size_t i = h->cell_count; i-- > 0;) {
        work_cell_turn(h->cells[i], now);
        settled = settled && work_cell_settled(h->cells[i]);
        online += work_cell_tell(h->cells[i]).state == WORK_CELL_ONLINE;
        if (measure)
            work_cell_measure(h->cells[i]);
        if (work_cell_idle(h->cells[i])) {
            work_cell_close(h->cells[i]);
            h->cells[i] = h->cells[--h->cell_count];
        }
    }
    h->recovered = h->recovered || settled;
    bus_metric_set(&runtimes_metric, online);
    bus_metric_set(&workers_metric, (int64_t)h->roster.count);
}

// --- loading -----------------------------------------------------------------------------------------

static void tell_registered(work_host_daemon *h)
{
    for (size_t i = 0; i < h->roster.count; i++) {
        const work_record *r = h->roster.records[i];
        work_status(h, r, "", "registered", NULL, NULL);
        if (*r->error)
            work_status(h, r, "", "failed", "code", r->error);
    }
}

static void load(work_host_daemon *h)
{
    bus_kv_def bucket = {
        .bucket = WORK_BUCKET, .description = "workers and how far each is", .history = 4};
    uint64_t fence;
    if (h->loaded || bus_conn_state_of(h->conn) != BUS_CONN_UP || !bus_lease_poll(h->lease, &fence))
        return;
    bus_err err = bus_kv_ensure(h->conn, &bucket);
    if (!err)
        err = work_roster_load(&h->roster, h->conn);
    if (err) {
        // not there yet: whoever makes it comes later, which readiness says
        if (err != BUS_ENOTFOUND && strcmp(h->load_error, bus_err_text()) != 0)
            bus_warn("%s; trying again", bus_err_text());
        snprintf(h->load_error, sizeof h->load_error, "%s", bus_err_text());
        return;
    }
    h->fence = fence;
    h->loaded = true;
    if (!h->epoch_ms) // the clock stood at 0 at the start; no two lives share the ids of their events
        h->epoch_ms = bus_now_wall().ns / 1000000;
    bus_info("%zu worker%s known", h->roster.count, h->roster.count == 1 ? "" : "s");
    tell_registered(h);
    work_host_reconcile(h);
}

bool work_host_may_act(const work_host_daemon *h)
{
    return bus_lease_held(h->lease);
}

bus_err work_host_ready(const work_host_daemon *h)
{
    char text[256];
    uint64_t fence;
    bool held = bus_lease_poll(h->lease, &fence);
    if (!held && fence)
        return bus_fail(BUS_EUNAVAILABLE, "the lease was not renewed in time; renewing it");
    if (!held && *bus_lease_why(h->lease, text, sizeof text))
        return bus_fail(BUS_EUNAVAILABLE, "no lease yet: %s", text);
    if (!held && *bus_lease_holder(h->lease, text, sizeof text))
        return bus_fail(BUS_EUNAVAILABLE, "another workhostd is at work (%s)", text);
    if (!held)
        return bus_fail(BUS_EUNAVAILABLE, "taking the lease");
    return h->loaded ? BUS_OK : bus_fail(BUS_EUNAVAILABLE, "the workers are not loaded yet");
}

// Whoever lost the lease must not go on: the next holder starts the same runtimes. One that only lapsed
// goes on with the same runtimes under the same fence.
static void check_lease(work_host_daemon *h)
{
    uint64_t fence;
    bus_lease_poll(h->lease, &fence);
    if (!h->loaded || fence == h->fence)
        return;
    bus_error("the lease is lost: all runtimes end");
    while (h->cell_count)
        work_cell_close(h->cells[--h->cell_count]);
    h->loaded = h->recovered = false;
}

// --- turning -----------------------------------------------------------------------------------------

static void on_ack(void *ctx, const bus_ack *ack)
{
    work_host_daemon *h = ctx;
    for (size_t i = 0; ack->tag && i < h->cell_count; i++) {
        if (work_cell_letter_acked(h->cells[i], ack))
            return;
    }
    if (ack->err)
        bus_warn("a lifecycle event is refused: %s", ack->text);
}

static void finish_stop(work_host_daemon *h)
{
    for (size_t i = 0; i < h->cell_count; i++) {
        if (work_cell_tell(h->cells[i]).pid)
            return;
    }
    bus_publisher_wait(h->publisher, BUS_SPAN_MS(200)); // "stopped" of each worker
    bus_daemon_stopped(h->daemon);
}

static void turn(work_host_daemon *h)
{
    check_lease(h);
    load(h);
    if (bus_registry_poll(h->registry))
        work_host_reconcile(h);
    bus_publisher_poll(h->publisher);
    bus_service_poll(h->service);
    work_manager_poll(h);
    turn_cells(h);
    if (h->stopping)
        finish_stop(h);
}

static void on_wake(void *ctx)
{
    turn(ctx);
}

static void on_timer(void *ctx, bus_mono now)
{
    (void)now;
    turn(ctx);
}

// --- probes ------------------------------------------------------------------------------------------

static bool broker_ready(void *ctx, char *why, size_t cap)
{
    work_host_daemon *h = ctx;
    if (bus_conn_state_of(h->conn) == BUS_CONN_UP)
        return true;
    bus_conn_why(h->conn, why, cap);
    return false;
}

static bool workers_ready(void *ctx, char *why, size_t cap)
{
    work_host_daemon *h = ctx;
    if (work_host_ready(h) == BUS_OK)
        return true;
    snprintf(why, cap, "%s",
             *h->load_error && bus_lease_held(h->lease) ? h->load_error : bus_err_text());
    return false;
}

static bool runtimes_ready(void *ctx, char *why, size_t cap)
{
    work_host_daemon *h = ctx;
    if (h->live_lost) {
        snprintf(why, cap,
                 "the record of scenario 'LIVE' is missing or not its own: stored seeds it");
        return false;
    }
    for (size_t i = 0; i < h->cell_count; i++) {
        work_cell_info info = work_cell_tell(h->cells[i]);
        if (info.waits) {
            snprintf(why, cap, "the runtime of scenario '%s' waits: %s",
                     work_cell_scenario(h->cells[i]), info.error);
            return false;
        }
    }
    if (h->recovered)
        return true;
    if (!bus_registry_current(h->registry))
        snprintf(why, cap, "the scenario registry has not been read yet");
    for (size_t i = 0; i < h->cell_count; i++) {
        if (!work_cell_settled(h->cells[i]))
            snprintf(why, cap, "the runtime of scenario '%s' is not online yet",
                     work_cell_scenario(h->cells[i]));
    }
    return false;
}

// --- life --------------------------------------------------------------------------------------------

static void choose_folders(work_host_daemon *h)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char exe[512];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    for (int up = 0; up < 2; up++) { // <build>/bin/workhostd -> <build>
        char *slash = strrchr(exe, '/');
        if (slash)
            *slash = '\0';
    }
    if (*h->settings->builtin_dir)
        snprintf(h->builtin_dir, sizeof h->builtin_dir, "%s", h->settings->builtin_dir);
    else
        snprintf(h->builtin_dir, sizeof h->builtin_dir, "%s/workers", exe);
    if (*h->settings->code_dir)
        snprintf(h->code_dir, sizeof h->code_dir, "%s", h->settings->code_dir);
    else if (state && *state == '/')
        snprintf(h->code_dir, sizeof h->code_dir, "%s/tradelane/code", state);
    else if (home && *home == '/')
        snprintf(h->code_dir, sizeof h->code_dir, "%s/.local/state/tradelane/code", home);
    else
        snprintf(h->code_dir, sizeof h->code_dir, "/var/tmp/tradelane-%d/code", (int)getuid());
}

static bus_err open_bus(work_host_daemon *h)
{
    const bus_daemon_settings *d = &h->settings->daemon;
    bus_wake wake = bus_waker_as_wake(h->waker);
    bus_conn_opts conn = bus_conn_opts_of(d, "workhostd", h->side, BUS_PROFILE_LATENCY);
    bus_publisher_opts publisher = {.conn = conn, .wake = wake, .on_ack = on_ack, .on_ack_ctx = h};
    bus_registry_opts registry = {.elevated = h->has_live, .wake = wake};
    bus_lease_opts lease = {.bucket = "leases",
                            .key = "workhostd",
                            .holder = h->replica,
                            .span = h->settings->lease,
                            .wake = wake};
    conn.wake = wake;
    bus_err err;
    if ((err = bus_conn_open(&h->conn, &conn)) ||
        (err = bus_clock_feed_open(&h->clock, h->conn, bus_daemon_loop(h->daemon), d->clock)) ||
        (err = bus_lease_open(&h->lease, h->conn, &lease)) ||
        (err = bus_registry_open(&h->registry, h->conn, &registry)) ||
        (err = bus_publisher_open(&h->publisher, &publisher)))
        return err;
    return work_manager_open(h, wake);
}

// Said at once, not when the lease has come: the folder may still be made, so it is no reason to end.
static void check_workers_dir(const char *path)
{
    struct stat there;
    if (!*path)
        return;
    if (stat(path, &there))
        bus_warn("workers_dir '%s': %s", path, strerror(errno));
    else if (!S_ISDIR(there.st_mode))
        bus_warn("workers_dir '%s' is no folder", path);
}

bus_err work_host_start(bus_daemon *daemon, void *settings, void **state)
{
    char name[64] = "";
    work_host_daemon *h = calloc(1, sizeof *h);
    if (!h)
        return bus_fail(BUS_ENOMEM, "workhostd");
    *state = h;
    h->daemon = daemon;
    h->settings = settings;
    h->has_live = strcmp(h->settings->side, "research") != 0;
    h->side = h->has_live ? BUS_SIDE_LIVE : BUS_SIDE_RESEARCH;
    h->epoch_ms = bus_now_wall().ns / 1000000;
    gethostname(name, sizeof name - 1);
    snprintf(h->replica, sizeof h->replica, "%s.%d.%lld", name, (int)getpid(),
             (long long)h->epoch_ms);
    choose_folders(h);
    check_workers_dir(h->settings->workers_dir);
    h->roster.workers_dir = h->settings->workers_dir;
    h->roster.builtin_dir = h->builtin_dir;
    h->roster.code_dir = h->code_dir;
    bus_metrics_add(&runtimes_metric);
    bus_metrics_add(&workers_metric);
    bus_err err = bus_waker_open(&h->waker, bus_daemon_loop(daemon), on_wake, h);
    if (!err)
        err = bus_timer_open(&h->timer, bus_daemon_loop(daemon), on_timer, h);
    if (!err)
        err = open_bus(h);
    if (err)
        return err;
    bus_timer_start(h->timer, BUS_SPAN_MS(TURN_MS), BUS_SPAN_MS(TURN_MS));
    bus_daemon_probe(daemon, (bus_probe){"broker", broker_ready, h});
    bus_daemon_probe(daemon, (bus_probe){"workers", workers_ready, h});
    bus_daemon_probe(daemon, (bus_probe){"runtimes", runtimes_ready, h});
    return BUS_OK;
}

void work_host_stop(bus_daemon *daemon, void *state)
{
    work_host_daemon *h = state;
    (void)daemon;
    h->stopping = true;
    for (size_t i = 0; i < h->cell_count; i++)
        work_cell_want(h->cells[i], NULL, false);
    turn(h);
}

void work_host_release(void *state)
{
    work_host_daemon *h = state;
    while (h->cell_count)
        work_cell_close(h->cells[--h->cell_count]);
    work_manager_close(h);
    if (h->publisher)
        bus_publisher_close(h->publisher);
    if (h->registry)
        bus_registry_close(h->registry);
    if (h->lease)
        bus_lease_close(h->lease);
    bus_clock_feed_close(h->clock);
    if (h->conn)
        bus_conn_close(h->conn);
    work_roster_release(&h->roster);
    free(h->live);
    bus_timer_close(h->timer);
    bus_waker_close(h->waker);
    free(h);
}
