#include "workhost/runtime/runtime.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bus/base/kill_point.h"
#include "bus/base/secrets.h"
#include "bus/nats/counters.h"
#include "workhost/runtime/runtime_impl.h"

enum {
    TICK_MS = 25,
    STOP_MS = 3000,
    COMPLAIN_EVERY_MS = 5000,
    TROUBLE_OVER_MS = 6000, // without a complaint; a reader in trouble has one every 5 s at least
    PASSED_TOLD = 20,
};

static volatile sig_atomic_t stop_asked;

static void on_stop(int signal_number)
{
    (void)signal_number;
    stop_asked = 1;
}

void work_runtime_leave(runtime *r, int exit_code)
{
    if (!r->leaving)
        r->exit_code = exit_code;
    r->leaving = true;
}

bool work_runtime_going(const runtime *r)
{
    return !r->leaving && !stop_asked;
}

void work_runtime_rest(int ms)
{
    struct timespec span = {.tv_nsec = ms * 1000000L};
    nanosleep(&span, NULL);
}

static bool passed(bus_mono now, bus_mono since, int64_t ms)
{
    return since.ns == 0 || bus_mono_since(now, since).ns >= BUS_SPAN_MS(ms).ns;
}

void work_runtime_complain(runtime *r, const char *what, const char *why)
{
    bus_mono now = bus_machine_mono();
    if (passed(now, r->trouble_at, TROUBLE_OVER_MS))
        r->trouble_from = now;
    r->trouble_at = now;
    if (!passed(now, r->complained_at, COMPLAIN_EVERY_MS))
        return;
    r->complained_at = now;
    bus_warn("%s: %s", what, why);
    if (passed(now, r->trouble_from, COMPLAIN_EVERY_MS))
        work_runtime_tell_waits(r, what, why);
}

// --- keeping -----------------------------------------------------------------------------------------

bool work_runtime_store(runtime *r, uint32_t i, bus_mono now, bool last)
{
    work_actor *a = &r->actors[i];
    uint64_t done = work_outbox_done(r->outbox, i, a->position);
    if (r->ended && !a->progress.end && done >= work_feed_reached(r->feed) && done == a->position) {
        a->progress.end = true;
        a->dirty = a->at_once = true;
    }
    if (r->last_input.seq && !r->plan.hyp)
        a->progress.seen = r->last_input;
    work_actor_snapshot(a, now, last);
    a->at_once = a->at_once || last;
    bus_err err = work_actor_store(a, r->conn, done, now);
    if (err == BUS_ECONFLICT || err == BUS_ENOTFOUND) {
        bus_error("%s: somebody else keeps this record now", bus_err_text());
        work_runtime_leave(r, WORK_EXIT_AGAIN);
    } else if (err) {
        work_runtime_complain(r, "progress is not stored", bus_err_text());
    }
    return !err;
}

// --- one input ---------------------------------------------------------------------------------------

static bool send_outputs(runtime *r, const work_cause *cause, const work_result *results,
                         uint32_t count)
{
    char why[200];
    for (uint32_t n = 0; n < count; n++) {
        work_outbox_result sent;
        while ((sent = work_outbox_send(r->outbox, cause, &results[n], n + 1)) ==
               WORK_OUTBOX_HOLD) {
            work_outbox_poll(r->outbox);
            work_runtime_complain(r, "outputs are held",
                                  work_outbox_why(r->outbox, why, sizeof why));
            if (r->went_back || !work_runtime_going(r))
                return false;
            work_runtime_rest(1);
        }
        if (sent == WORK_OUTBOX_BAD) {
            work_runtime_tell_retry(r, cause->index, cause->seq, bus_err_text());
            return false;
        }
        bus_kill_point("worker.output");
    }
    return true;
}

static int64_t recorded_time(const bus_event *event)
{
    int64_t ns = 0;
    if (event->recordedtime.len)
        bus_time_parse(event->recordedtime, &ns);
    return ns;
}

static void call_actor(runtime *r, uint32_t index, const work_feed_record *record,
                       const bus_event *event)
{
    work_actor *a = &r->actors[index];
    const work_result *results = NULL;
    uint32_t count = 0;
    work_input input = {record->seq, record->topic, event};
    int64_t recorded = recorded_time(event);
    if (recorded > a->now_ns)
        a->now_ns = recorded;
    if (!r->plan.hyp && recorded)
        bus_histogram_observe(&r->mark->lag, bus_now_wall().ns - recorded);
    atomic_store(&r->mark->seq, record->seq);
    atomic_store(&r->mark->since, bus_machine_mono().ns);
    atomic_store(&r->mark->busy, index + 1);
    bus_err err = work_instance_process(a->self, &input, a->now_ns, &results, &count);
    atomic_store(&r->mark->busy, 0);
    a->tainted = true; // until the outputs are on their way
    if (err) {
        work_runtime_tell_retry(r, index, record->seq, bus_err_text());
        return;
    }
    work_cause cause = {a, index, record->seq, record->topic, event};
    if (record->seq > a->progress.done_seq && !send_outputs(r, &cause, results, count))
        return;
    a->tainted = false;
    a->position = record->seq;
    if (r->plan.hyp)
        bus_kill_point("worker.replay");
}

static void pass_over(runtime *r, const work_feed_record *record)
{
    uint64_t count = atomic_fetch_add(&r->mark->passed_over, 1) + 1;
    bus_mono now = bus_machine_mono();
    if (r->passed_at.ns &&
        bus_mono_since(now, r->passed_at).ns < BUS_SPAN_MS(COMPLAIN_EVERY_MS).ns &&
        count > PASSED_TOLD)
        return;
    r->passed_at = now;
    bus_warn("sequence %llu, '%.*s', is no event and is passed over (%llu so far): %s",
             (unsigned long long)record->seq, BUS_VIEW_ARG(record->topic),
             (unsigned long long)count, bus_err_text());
}

static void take_record(runtime *r, const work_feed_record *record)
{
    bus_event event;
    bus_err err = record->msg ? bus_msg_event(record->msg, &event, &r->scratch)
                              : bus_event_decode_msgpack(&event, record->payload);
    if (err)
        pass_over(r, record);
    for (uint32_t i = 0; i < r->count && work_runtime_going(r); i++) {
        work_actor *a = &r->actors[i];
        if (record->seq <= a->position)
            continue;
        if (err || !work_actor_wants(a, record->topic) ||
            work_progress_skips(&a->progress, record->seq))
            a->position = record->seq;
        else
            call_actor(r, i, record, &event);
    }
    atomic_fetch_add(&r->mark->processed, 1);
}

static void reach(runtime *r, uint64_t seq)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (seq > r->actors[i].position)
            r->actors[i].position = seq;
    }
}

// --- telling and storing -----------------------------------------------------------------------------

static void tell_done(runtime *r)
{
    uint64_t lowest = UINT64_MAX;
    for (uint32_t i = 0; i < r->count; i++) {
        uint64_t done = work_outbox_done(r->outbox, i, r->actors[i].position);
        lowest = done < lowest ? done : lowest;
    }
    work_feed_done(r->feed, lowest);
}

static void check_refused(runtime *r)
{
    uint32_t index;
    uint64_t seq;
    if (work_outbox_refused(r->outbox, &index, &seq))
        work_runtime_tell_retry(r, index, seq, "the broker refuses an output of it for good");
}

static void tick(runtime *r)
{
    bus_mono now = bus_machine_mono();
    if (bus_mono_since(now, r->ticked_at).ns < BUS_SPAN_MS(TICK_MS).ns)
        return;
    r->ticked_at = now;
    if (passed(now, r->trouble_at, TROUBLE_OVER_MS))
        work_runtime_tell_goes(r);
    if (!work_runtime_confirm_input(r))
        return; // nor is progress stored
    work_outbox_poll(r->outbox);
    atomic_store(&r->mark->position, work_runtime_position(r));
    bus_histogram_copy(&r->mark->waits, bus_counters_waits());
    check_refused(r);
    for (uint32_t i = 0; i < r->count && !r->leaving; i++)
        work_runtime_store(r, i, now, false);
    tell_done(r);
    if (work_runtime_host_gone())
        _exit(WORK_EXIT_OK); // no saving: whoever comes next takes what is stored
}

// A library's thread: ends the wait for the next input.
static void on_acks(void *ctx)
{
    runtime *r = ctx;
    if (atomic_exchange(&r->acked, true))
        return;
    pthread_mutex_lock(&r->ring);
    if (r->sleeper)
        work_feed_nudge(r->sleeper);
    pthread_mutex_unlock(&r->ring);
}

bus_wake work_runtime_wake(runtime *r)
{
    return (bus_wake){on_acks, r};
}

// A replay at full speed has acknowledgements all the time: there they are gathered for a moment.
static void look_at_acks(runtime *r, bool idle)
{
    bus_mono now = bus_machine_mono();
    if (!idle && (!atomic_load(&r->acked) || (r->plan.hyp && !passed(now, r->acks_at, 1))))
        return;
    r->acks_at = now;
    atomic_store(&r->acked, false); // before: what comes from now on rings again
    work_outbox_poll(r->outbox);
}

static void take_turn(runtime *r)
{
    work_feed_record record;
    bus_seq_range gap;
    work_feed_result result = work_feed_next(r->feed, BUS_SPAN_MS(TICK_MS), &record, &gap);
    if (!work_runtime_confirm_input(r))
        return; // another record may stand in its place
    switch (result) {
    case WORK_FEED_RECORD:
        if (!r->plan.hyp)
            r->last_input = (bus_mark){record.seq, record.stored};
        take_record(r, &record);
        break;
    case WORK_FEED_RUN:
        work_runtime_begin_run(r);
        break;
    case WORK_FEED_END:
        r->ended = true;
        reach(r, work_feed_reached(r->feed));
        break;
    case WORK_FEED_WATERMARK:
        reach(r, work_feed_reached(r->feed));
        break;
    case WORK_FEED_GAP:
        work_runtime_skip_gap(r, gap);
        break;
    case WORK_FEED_IDLE:
        break;
    case WORK_FEED_ANEW: // what is there now, and what of it was fed, is found out by beginning
        bus_error("feed: %s", bus_err_text());
        work_runtime_leave(r, WORK_EXIT_AGAIN);
        break;
    case WORK_FEED_ERROR:
        work_runtime_complain(r, "feed", bus_err_text());
        if (r->plan.hyp)
            work_runtime_leave(r, WORK_EXIT_AGAIN);
        else
            work_runtime_rest(20);
        break;
    }
    look_at_acks(r, result == WORK_FEED_IDLE);
}

// Finishes what was begun: outputs acknowledged, progress and state stored.
static void finish(runtime *r)
{
    bus_mono begin = bus_machine_mono();
    while (work_outbox_pending(r->outbox) &&
           bus_mono_since(bus_machine_mono(), begin).ns < BUS_SPAN_MS(STOP_MS).ns) {
        work_outbox_poll(r->outbox);
        work_runtime_rest(1);
    }
    bus_mono now = bus_machine_mono();
    for (uint32_t i = 0; i < r->count; i++) {
        if (work_runtime_store(r, i, now, true) && r->actors[i].saved_pending)
            work_runtime_store(r, i, now, true); // one more: a state taken before was in the way
    }
    tell_done(r);
}

// --- all of it ---------------------------------------------------------------------------------------

static bus_err map_mark(runtime *r)
{
    void *page = mmap(NULL, WORK_MARK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, WORK_FD_MARK, 0);
    if (page == MAP_FAILED)
        return bus_fail(BUS_EIO, "mapping the shared page: %s", strerror(errno));
    r->mark = page;
    r->mark->magic = WORK_MARK_MAGIC;
    return BUS_OK;
}

static void init_log(const runtime *r, const char *scenario)
{
    static char program[64];
    bus_log_level level = BUS_LOG_INFO;
    snprintf(program, sizeof program, "workhostd[%s]", scenario);
    bus_log_level_parse(r->plan.log_level, &level);
    bus_log_init(program, level,
                 strcmp(r->plan.log_format, "json") == 0 ? BUS_LOG_JSON : BUS_LOG_TEXT);
}

static bus_err open_actors(runtime *r)
{
    for (uint32_t i = 0; i < r->plan.worker_count; i++) {
        r->count++;
        if (work_actor_open(&r->actors[i], &r->plan, &r->plan.workers[i])) {
            work_runtime_tell_failed(r, r->plan.workers[i].name);
            return BUS_EINVAL;
        }
    }
    return BUS_OK;
}

// Before any thread is started. A runtime that is started late begins where its host's clock stands.
static void set_clock(const runtime *r)
{
    if (bus_clock_is_fed(r->plan.clock))
        bus_clock_virtual((bus_wall){r->mark->clock});
}

static bus_err connect_bus(runtime *r)
{
    bus_conn_opts opts = r->plan.conn;
    char why[300];
    opts.name = "workhostd-runtime";
    opts.side = r->plan.hyp ? BUS_SIDE_RESEARCH : BUS_SIDE_LIVE;
    bus_err err = bus_conn_open(&r->conn, &opts);
    if (!err)
        err = bus_clock_feed_open(&r->clock, r->conn, NULL, r->plan.clock);
    while (!err && work_runtime_going(r) && bus_conn_wait(r->conn, BUS_SPAN_MS(100)))
        work_runtime_complain(r, "waiting for the broker", bus_conn_why(r->conn, why, sizeof why));
    return err;
}

// What the plan brings: the host's secrets, when it has any.
static bool has_secret(const bus_conn_opts *conn)
{
    return *conn->password || *conn->token || *conn->creds;
}

static bus_err open_all(runtime *r, const char *scenario)
{
    bus_err err;
    if ((err = work_runtime_read_plan(r)))
        return err;
    bus_secrets_protect(has_secret(&r->plan.conn));
    init_log(r, scenario);
    if ((err = map_mark(r)))
        return err;
    set_clock(r);
    if ((err = open_actors(r)) || (err = connect_bus(r)))
        return err;
    err = work_outbox_open(&r->outbox, r->conn, &r->plan, work_runtime_confirm, r,
                           work_runtime_wake(r));
    if (!err)
        work_runtime_await_registry(r);
    if (!err && work_runtime_going(r))
        work_runtime_recall(r);
    if (!err && work_runtime_going(r))
        work_runtime_begin(r);
    if (!err && work_runtime_going(r))
        work_runtime_store_beginnings(r);
    if (!err && work_runtime_going(r))
        err = work_runtime_open_feed(r);
    return err;
}

static void close_all(runtime *r)
{
    // Whoever ends is started again, if not for this plan: a replay waits for it. One that failed for good does not.
    work_runtime_close_feed(r, r->exit_code == WORK_EXIT_FAILED);
    work_outbox_close(r->outbox);
    for (uint32_t i = 0; i < r->count; i++)
        work_actor_close(&r->actors[i]);
    bus_clock_feed_close(r->clock);
    if (r->conn)
        bus_conn_close(r->conn);
    bus_scratch_release(&r->scratch);
    work_plan_release(&r->plan);
}

int work_runtime_main(const char *scenario)
{
    static runtime r; // large
    struct sigaction stop = {.sa_handler = on_stop};
    sigaction(SIGTERM, &stop, NULL);
    signal(SIGINT, SIG_IGN); // Ctrl-C reaches the whole group; the host ends us in order
    signal(SIGPIPE, SIG_IGN);
    bus_kill_arm();
    bus_err err = open_all(&r, scenario);
    if (err && !r.leaving) {
        bus_error("%s", bus_err_text());
        work_runtime_leave(&r, WORK_EXIT_AGAIN);
    }
    if (r.feed)
        work_runtime_tell_online(&r);
    while (r.feed && work_runtime_going(&r)) {
        bus_clock_feed_poll(r.clock);
        take_turn(&r);
        tick(&r);
        if (r.went_back && work_runtime_going(&r))
            work_runtime_begin_anew(&r);
    }
    if (r.feed && r.exit_code == WORK_EXIT_OK)
        finish(&r);
    close_all(&r);
    return r.exit_code;
}
