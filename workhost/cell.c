#include "workhost/cell.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "bus/base/log.h"
#include "bus/lane/lane.h"
#include "bus/nats/stream.h"
#include "workhost/cell_metrics.h"
#include "workhost/child.h"
#include "workhost/runtime/plan.h"
#include "workhost/runtime/progress.h"

enum {
    RETRIES = 3,    // of a call that failed
    DEATHS_MAX = 3, // on one input
    RETRY_MS = 200, // doubling
    BACKOFF_MS_MAX = 10000,
    SETTLED_MS = 10000, // running so long without trouble: the back-off begins anew
    STOP_MS_MAX = 4000,
    TROUBLES_MAX = 64,
};

// What went wrong with one input of one worker.
typedef struct {
    char worker[WORK_NAME_MAX + 1];
    uint64_t seq;
    int failures, deaths;
} trouble;

typedef struct {
    char worker[WORK_NAME_MAX + 1];
    char reason[300];
    uint64_t seq, tag;
    int deliveries;
    bool sent, acked;
} letter;

struct work_cell {
    work_host_daemon *host;
    char scenario[WORK_NAME_MAX + 1];
    work_cell_state state;
    char *wanted, *running; // plans; running also names the workers of the last start
    work_plan plan;         // of `running`
    work_child *child;
    bus_mono start_at, started_at, stop_by;
    int backoff_ms;
    bool settled, overrun, told_retry;
    bool waits; // it is online and cannot go on: `error` says why
    char retry_worker[WORK_NAME_MAX + 1];
    uint64_t retry_seq;
    trouble troubles[TROUBLES_MAX];
    int trouble_count;
    letter letter;
    char error[300];
    uint64_t restarts;
    work_cell_metrics metrics;
};

bus_err work_cell_open(work_cell **out, work_host_daemon *host, const char *scenario)
{
    work_cell *c = calloc(1, sizeof *c);
    if (!c)
        return bus_fail(BUS_ENOMEM, "runtime of scenario '%s'", scenario);
    c->host = host;
    c->backoff_ms = RETRY_MS;
    snprintf(c->scenario, sizeof c->scenario, "%s", scenario);
    work_cell_metrics_add(&c->metrics, c->scenario);
    *out = c;
    return BUS_OK;
}

void work_cell_close(work_cell *c)
{
    if (!c)
        return;
    work_cell_metrics_remove(&c->metrics);
    work_child_free(c->child);
    work_plan_release(&c->plan);
    free(c->wanted);
    free(c->running);
    free(c);
}

const char *work_cell_scenario(const work_cell *c)
{
    return c->scenario;
}

static bool runs(const work_cell *c, const char *worker)
{
    for (uint32_t i = 0; i < c->plan.worker_count; i++)
        if (strcmp(c->plan.workers[i].name, worker) == 0)
            return true;
    return false;
}

// Tells of each worker of the runtime; `only` NULL: all.
static void tell(work_cell *c, const char *only, const char *state, const char *type,
                 const char *error)
{
    for (uint32_t i = 0; i < c->plan.worker_count; i++) {
        const char *name = c->plan.workers[i].name;
        work_record *record = work_roster_find(&c->host->roster, name);
        if (record && (!only || strcmp(only, name) == 0))
            work_status(c->host, record, c->scenario, state, type, error);
    }
}

static void wait_for(work_cell *c, int ms)
{
    c->state = WORK_CELL_WAITING;
    c->start_at = bus_mono_add(bus_now_mono(), BUS_SPAN_MS(ms));
}

// --- what a runtime says -----------------------------------------------------------------------------

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

// Long words are cut, but no character is: they go into events.
static void keep_error(work_cell *c, const char *words)
{
    size_t len = strlen(words);
    if (len >= sizeof c->error)
        for (len = sizeof c->error - 1; len && ((unsigned char)words[len] & 0xc0) == 0x80;)
            len--;
    memcpy(c->error, words, len);
    c->error[len] = '\0';
}

static void on_online(work_cell *c)
{
    if (c->state == WORK_CELL_STARTING)
        c->state = WORK_CELL_ONLINE;
    c->settled = true;
    c->waits = false;
    c->error[0] = '\0';
    tell(c, NULL, "online", NULL, NULL);
}

static void on_message(void *ctx, const json_t *message)
{
    work_cell *c = ctx;
    const char *state = text(message, "state");
    bool waited = c->waits;
    if (strcmp(state, "online") == 0 || strcmp(state, "goes") == 0) {
        on_online(c);
        return;
    }
    keep_error(c, text(message, "error"));
    c->waits = strcmp(state, "waits") == 0;
    if (c->waits) {
        if (!waited)
            tell(c, NULL, "degraded", "waits", c->error);
        return;
    }
    // Workers' code may write there too: an input of a worker that is none could never be set aside.
    if (!runs(c, text(message, "worker")))
        return;
    snprintf(c->retry_worker, sizeof c->retry_worker, "%s", text(message, "worker"));
    if (strcmp(state, "retry") == 0) {
        c->told_retry = true;
        c->retry_seq = (uint64_t)json_integer_value(json_object_get(message, "seq"));
    }
}

// --- trouble -----------------------------------------------------------------------------------------

static trouble *trouble_of(work_cell *c, const char *worker, uint64_t seq)
{
    for (int i = 0; i < c->trouble_count; i++) {
        if (c->troubles[i].seq == seq && strcmp(c->troubles[i].worker, worker) == 0)
            return &c->troubles[i];
    }
    if (c->trouble_count == TROUBLES_MAX) { // forget the oldest: it has not come back for long
        memmove(&c->troubles[0], &c->troubles[1], (TROUBLES_MAX - 1) * sizeof c->troubles[0]);
        c->trouble_count--;
    }
    trouble *t = &c->troubles[c->trouble_count++];
    *t = (trouble){.seq = seq};
    snprintf(t->worker, sizeof t->worker, "%s", worker);
    return t;
}

static void begin_letter(work_cell *c, const trouble *t, const char *reason)
{
    c->letter = (letter){.seq = t->seq, .deliveries = t->failures + t->deaths};
    snprintf(c->letter.worker, sizeof c->letter.worker, "%s", t->worker);
    snprintf(c->letter.reason, sizeof c->letter.reason, "%s", reason);
    c->state = WORK_CELL_LETTER;
    bus_metric_inc(&c->metrics.letters, 1);
    bus_error("scenario %s: input %llu of worker %s becomes a dead letter after %d deliveries: %s",
              c->scenario, (unsigned long long)t->seq, t->worker, c->letter.deliveries, reason);
}

// A call failed (count up to RETRIES + 1) or the process died in it (up to DEATHS_MAX).
static void note_trouble(work_cell *c, trouble *t, const char *reason)
{
    int tries = t->failures + t->deaths;
    tell(c, t->worker, "degraded", t->deaths ? "crash" : "failure", reason);
    if (t->failures > RETRIES || t->deaths >= DEATHS_MAX)
        begin_letter(c, t, reason);
    else
        wait_for(c, RETRY_MS << (tries > 5 ? 5 : tries - 1));
}

static void describe_end(const work_cell *c, int status, char *buf, size_t cap)
{
    if (c->overrun)
        snprintf(buf, cap, "a call took longer than %lld ms",
                 (long long)(c->host->settings->call_limit.ns / 1000000));
    else if (WIFSIGNALED(status))
        snprintf(buf, cap, "killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(buf, cap, "ended with exit code %d", WEXITSTATUS(status));
}

static void after_death(work_cell *c, int status, uint32_t busy, uint64_t seq)
{
    char why[200];
    bus_metric_inc(&c->metrics.deaths, 1);
    describe_end(c, status, why, sizeof why);
    if (busy && busy <= c->plan.worker_count) {
        trouble *t = trouble_of(c, c->plan.workers[busy - 1].name, seq);
        t->deaths++;
        bus_error("scenario %s: runtime %s in worker %s at input %llu (death %d)", c->scenario, why,
                  t->worker, (unsigned long long)seq, t->deaths);
        snprintf(c->error, sizeof c->error, "%s", why);
        note_trouble(c, t, why);
        return;
    }
    if (bus_mono_since(bus_now_mono(), c->started_at).ns > BUS_SPAN_MS(SETTLED_MS).ns)
        c->backoff_ms = RETRY_MS;
    bus_error("scenario %s: runtime %s; starting again in %d ms", c->scenario, why, c->backoff_ms);
    snprintf(c->error, sizeof c->error, "%s", why);
    tell(c, NULL, "degraded", "crash", why);
    wait_for(c, c->backoff_ms);
    c->backoff_ms = c->backoff_ms * 2 < BACKOFF_MS_MAX ? c->backoff_ms * 2 : BACKOFF_MS_MAX;
}

static void on_exit_of(void *ctx, int status)
{
    work_cell *c = ctx;
    const work_mark *mark = work_child_mark(c->child);
    uint32_t busy = atomic_load(&mark->busy);
    uint64_t seq = atomic_load(&mark->seq);
    bool asked = c->state == WORK_CELL_STOPPING;
    work_child_free(c->child);
    c->child = NULL;
    if (asked) {
        c->state = WORK_CELL_IDLE;
        tell(c, NULL, "stopped", NULL, NULL);
    } else if (c->told_retry) {
        trouble *t = trouble_of(c, c->retry_worker, c->retry_seq);
        t->failures++;
        bus_metric_inc(&c->metrics.failures, 1);
        note_trouble(c, t, c->error);
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == WORK_EXIT_FAILED) {
        c->state = WORK_CELL_FAILED;
        c->settled = true;
        tell(c, *c->retry_worker ? c->retry_worker : NULL, "failed", "load", c->error);
    } else {
        after_death(c, status, busy, seq);
    }
    work_cell_turn(c, bus_now_mono());
}

// --- starting and stopping ---------------------------------------------------------------------------

static void start(work_cell *c)
{
    free(c->running);
    work_plan_release(&c->plan);
    c->running = strdup(c->wanted);
    if (!c->running || work_plan_parse(&c->plan, c->running, strlen(c->running))) {
        wait_for(c, BACKOFF_MS_MAX);
        return;
    }
    work_child_opts opts = {.loop = bus_daemon_loop(c->host->daemon),
                            .scenario = c->scenario,
                            .plan = c->running,
                            .on_message = on_message,
                            .on_exit = on_exit_of,
                            .ctx = c};
    c->told_retry = c->overrun = c->waits = false;
    c->retry_worker[0] = '\0';
    c->started_at = bus_now_mono();
    c->restarts++;
    if (work_child_start(&c->child, &opts)) {
        bus_error("%s", bus_err_text());
        snprintf(c->error, sizeof c->error, "%s", bus_err_text());
        wait_for(c, BACKOFF_MS_MAX);
        return;
    }
    c->state = WORK_CELL_STARTING;
    tell(c, NULL, "starting", NULL, NULL);
}

static void stop(work_cell *c, bool kill)
{
    if (!c->child) {
        if (c->state != WORK_CELL_LETTER)
            c->state = WORK_CELL_IDLE;
        return;
    }
    if (c->state != WORK_CELL_STOPPING)
        tell(c, NULL, "stopping", NULL, NULL);
    c->state = WORK_CELL_STOPPING;
    c->stop_by = bus_mono_add(bus_machine_mono(), BUS_SPAN_MS(STOP_MS_MAX));
    work_child_signal(c->child, kill ? SIGKILL : SIGTERM);
}

void work_cell_want(work_cell *c, char *plan, bool kill)
{
    bool same = plan && c->wanted && strcmp(plan, c->wanted) == 0;
    if (same) {
        free(plan);
        return;
    }
    bool had = c->wanted != NULL;
    free(c->wanted);
    c->wanted = plan;
    if (!plan && !had)
        return;
    c->settled = c->settled && !plan;
    bool runs_it = plan && c->running && strcmp(plan, c->running) == 0 && c->child;
    if (!runs_it || c->state == WORK_CELL_STOPPING)
        stop(c, kill);
    if (c->state == WORK_CELL_FAILED)
        c->state = WORK_CELL_IDLE;
}

// --- dead letters ------------------------------------------------------------------------------------

static bus_err send_letter(work_cell *c, work_progress *progress)
{
    letter *l = &c->letter;
    bus_record record = {0};
    bus_msg *owner = NULL;
    bus_view type = BUS_VIEW(BUS_CONTENT_MSGPACK);
    char subject[160], id[160], seq[24], deliveries[16], from[BUS_SUBJECT_BUF] = "", kind[128];
    const char *stream = *progress->stream ? progress->stream : "ACT";
    bus_err err = bus_stream_get(c->host->conn, stream, l->seq, &record, &owner);
    if (err && err != BUS_ENOTFOUND)
        return err;
    if (owner)
        bus_msg_header(owner, "Content-Type", &type);
    bus_view_copy(type, kind, sizeof kind);
    bus_view_copy(record.subject, from, sizeof from);
    snprintf(subject, sizeof subject, "dlq.%s.%s", stream, l->worker);
    snprintf(id, sizeof id, "%s.%s.%s.%llu", c->scenario, l->worker, stream,
             (unsigned long long)l->seq);
    snprintf(seq, sizeof seq, "%llu", (unsigned long long)l->seq);
    snprintf(deliveries, sizeof deliveries, "%d", l->deliveries);
    for (char *p = l->reason; *p; p++) // a header's value is one line
        *p = (unsigned char)*p < 0x20 ? ' ' : *p;
    bus_header_pair headers[] = {
        {"Content-Type", kind},    {"Dlq-Stream", stream},         {"Dlq-Sequence", seq},
        {"Dlq-Subject", from},     {"Dlq-Consumer", l->worker},    {"Dlq-Scenario", c->scenario},
        {"Dlq-Reason", l->reason}, {"Dlq-Deliveries", deliveries},
    };
    l->tag = ++c->host->tag_count;
    bus_publish_result sent =
        bus_publisher_send(c->host->publisher, subject, id, headers,
                           sizeof headers / sizeof *headers, record.payload, l->tag);
    bus_msg_release(owner);
    if (sent == BUS_PUBLISH_FULL)
        return bus_fail(BUS_EUNAVAILABLE, "the window is full");
    l->sent = sent == BUS_PUBLISH_SENT;
    return l->sent ? BUS_OK : BUS_EINVAL;
}

bool work_cell_letter_acked(work_cell *c, const bus_ack *ack)
{
    if (c->state != WORK_CELL_LETTER || !c->letter.sent || c->letter.tag != ack->tag)
        return false;
    c->letter.sent = false;
    c->letter.acked = ack->err == BUS_OK;
    if (ack->err)
        bus_error("a dead letter of scenario %s is refused: %s", c->scenario, ack->text);
    return true;
}

// First the letter is stored, then the sequence is skipped, and only then anything runs again.
static void turn_letter(work_cell *c)
{
    letter *l = &c->letter;
    work_progress progress;
    if (l->sent || bus_conn_state_of(c->host->conn) != BUS_CONN_UP || !work_host_may_act(c->host))
        return;
    bus_err err = work_progress_read(c->host->conn, c->scenario, l->worker, &progress);
    if (err == BUS_ENOTFOUND) { // the scenario was deleted meanwhile
        c->state = WORK_CELL_IDLE;
        return;
    }
    if (!err && !l->acked)
        err = send_letter(c, &progress);
    else if (!err && !(err = work_progress_skip(&progress, l->seq)))
        err = work_progress_write(c->host->conn, &progress);
    if (err)
        bus_warn("dead letter of scenario %s: %s; trying again", c->scenario, bus_err_text());
    else if (l->acked)
        c->state = WORK_CELL_IDLE;
}

// --- turning -----------------------------------------------------------------------------------------

static void check_overrun(work_cell *c)
{
    const work_mark *mark = work_child_mark(c->child);
    if (!atomic_load(&mark->busy) || c->overrun)
        return;
    int64_t in_call_ns = bus_machine_mono().ns - atomic_load(&mark->since);
    if (in_call_ns <= c->host->settings->call_limit.ns || !atomic_load(&mark->busy))
        return;
    c->overrun = true;
    work_child_signal(c->child, SIGKILL);
}

void work_cell_turn(work_cell *c, bus_mono now)
{
    if (c->child)
        check_overrun(c);
    if (c->state == WORK_CELL_STOPPING && c->child && bus_machine_mono().ns > c->stop_by.ns)
        work_child_signal(c->child, SIGKILL);
    if (c->state == WORK_CELL_LETTER)
        turn_letter(c);
    if (c->state == WORK_CELL_WAITING && now.ns >= c->start_at.ns)
        c->state = WORK_CELL_IDLE;
    bool may_start = !c->host->stopping && work_host_may_act(c->host);
    if (c->state == WORK_CELL_IDLE && c->wanted && may_start)
        start(c);
}

// A dead letter being written comes first: until it is stored the input may not be passed over.
bool work_cell_recover(work_cell *c)
{
    bool down =
        c->state == WORK_CELL_IDLE || c->state == WORK_CELL_WAITING || c->state == WORK_CELL_FAILED;
    if (!down || c->child || !c->wanted || c->host->stopping)
        return false;
    start(c);
    return c->child != NULL;
}

bool work_cell_idle(const work_cell *c)
{
    return !c->child && !c->wanted && c->state != WORK_CELL_LETTER;
}

bool work_cell_settled(const work_cell *c)
{
    return c->settled || !c->wanted;
}

work_cell_info work_cell_tell(const work_cell *c)
{
    static const char *const names[] = {
        [WORK_CELL_IDLE] = "stopped",     [WORK_CELL_STARTING] = "starting",
        [WORK_CELL_ONLINE] = "online",    [WORK_CELL_STOPPING] = "stopping",
        [WORK_CELL_WAITING] = "degraded", [WORK_CELL_LETTER] = "degraded",
        [WORK_CELL_FAILED] = "failed",
    };
    bool waits = c->waits && c->state == WORK_CELL_ONLINE;
    return (work_cell_info){.state = c->state,
                            .state_name = waits ? "degraded" : names[c->state],
                            .waits = waits,
                            .error = c->error,
                            .pid = c->child ? work_child_pid(c->child) : 0,
                            .restarts = c->restarts ? c->restarts - 1 : 0};
}

void work_cell_measure(work_cell *c)
{
    work_cell_info info = work_cell_tell(c);
    work_cell_metrics_take(&c->metrics, c->child ? work_child_mark(c->child) : NULL,
                           info.state == WORK_CELL_ONLINE && !info.waits, info.restarts);
}

bool work_cell_has(const work_cell *c, const char *worker)
{
    return (c->wanted || c->child) && runs(c, worker);
}
