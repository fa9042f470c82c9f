#include "workhost/runtime/runtime.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bus/base/log.h"
#include "workhost/runtime/actor.h"
#include "workhost/runtime/feed.h"
#include "workhost/runtime/mark.h"
#include "workhost/runtime/outbox.h"
#include "workhost/runtime/plan.h"

enum { TICK_MS = 25, STOP_MS = 3000, PLAN_BYTES_MAX = 4 << 20, COMPLAIN_EVERY_MS = 5000 };

typedef struct {
    work_plan plan;
    work_mark *mark;
    bus_conn *conn;
    work_outbox *outbox;
    work_feed *feed;
    work_actor actors[WORK_PLAN_WORKERS_MAX];
    uint32_t count;
    bus_scratch scratch;
    bool online, ended;
    bus_mono ticked_at, complained_at;
    int exit_code; // set when the loop is to end
    bool leaving;
} runtime;

static volatile sig_atomic_t stop_asked;

static void on_stop(int signal_number)
{
    (void)signal_number;
    stop_asked = 1;
}

static void leave(runtime *r, int exit_code)
{
    if (!r->leaving)
        r->exit_code = exit_code;
    r->leaving = true;
}

static bool going(const runtime *r)
{
    return !r->leaving && !stop_asked;
}

static void rest(int ms)
{
    struct timespec span = {.tv_nsec = ms * 1000000L};
    nanosleep(&span, NULL);
}

// A condition that may last is said once in a while, not in every turn.
static void complain(runtime *r, const char *what, const char *why)
{
    bus_mono now = bus_machine_mono();
    if (r->complained_at.ns &&
        bus_mono_since(now, r->complained_at).ns < BUS_SPAN_MS(COMPLAIN_EVERY_MS).ns)
        return;
    r->complained_at = now;
    bus_warn("%s: %s", what, why);
}

// --- words to the host -------------------------------------------------------------------------------

static void tell_host(json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    if (text) {
        char line[2048];
        int n = snprintf(line, sizeof line, "%s\n", text);
        if (n > 0 && (size_t)n < sizeof line &&
            send(WORK_FD_HOST, line, (size_t)n, MSG_NOSIGNAL) < 0)
            bus_debug("the host is gone: %s", strerror(errno));
    }
    free(text);
    json_decref(message);
}

static void tell_failed(runtime *r, const char *worker)
{
    bus_error("worker %s cannot run: %s", worker, bus_err_text());
    tell_host(
        json_pack("{s:s,s:s,s:s}", "state", "failed", "worker", worker, "error", bus_err_text()));
    leave(r, WORK_EXIT_FAILED);
}

static void tell_retry(runtime *r, uint32_t index, uint64_t seq, const char *why)
{
    const char *worker = r->actors[index].spec->name;
    bus_warn("worker %s failed on input %llu: %s", worker, (unsigned long long)seq, why);
    tell_host(json_pack("{s:s,s:s,s:I,s:s}", "state", "retry", "worker", worker, "seq",
                        (json_int_t)seq, "error", why));
    leave(r, WORK_EXIT_RETRY);
}

// --- keeping -----------------------------------------------------------------------------------------

static bool store_actor(runtime *r, uint32_t i, bus_mono now, bool last)
{
    work_actor *a = &r->actors[i];
    uint64_t done = work_outbox_done(r->outbox, i, a->position);
    if (r->ended && !a->progress.end && done >= work_feed_reached(r->feed) && done == a->position) {
        a->progress.end = true;
        a->dirty = a->at_once = true;
    }
    work_actor_snapshot(a, now, last);
    a->at_once = a->at_once || last;
    bus_err err = work_actor_store(a, r->conn, done, now);
    if (err == BUS_ECONFLICT || err == BUS_ENOTFOUND) {
        bus_error("%s: somebody else keeps this record now", bus_err_text());
        leave(r, WORK_EXIT_AGAIN);
    } else if (err) {
        complain(r, "progress is not stored", bus_err_text());
    }
    return !err;
}

// --- beginning ---------------------------------------------------------------------------------------

static bus_err read_plan(runtime *r)
{
    size_t len = 0, cap = 65536;
    char *text = malloc(cap);
    while (text && !memchr(text, '\n', len)) {
        if (len == cap) {
            cap *= 2;
            char *grown = cap <= PLAN_BYTES_MAX ? realloc(text, cap) : NULL;
            if (!grown)
                break;
            text = grown;
        }
        ssize_t n = read(WORK_FD_HOST, text + len, cap - len);
        if (n < 0 && errno == EINTR && !stop_asked)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    const char *end = text ? memchr(text, '\n', len) : NULL;
    bus_err err = end ? work_plan_parse(&r->plan, text, (size_t)(end - text))
                      : bus_fail(BUS_EIO, "the host closed before the plan was there");
    free(text);
    return err;
}

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
            tell_failed(r, r->plan.workers[i].name);
            return BUS_EINVAL;
        }
    }
    return BUS_OK;
}

// Repeats a request of the bus until it is answered, for one that fails because the broker is away.
static bool retry_later(runtime *r, bus_err err, const char *what)
{
    if (!err || !going(r))
        return false;
    complain(r, what, bus_err_text());
    rest(100);
    return going(r);
}

static void recall_actors(runtime *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        bus_err err;
        do
            err = work_actor_recall(&r->actors[i], r->conn);
        while (retry_later(r, err, "reading progress"));
    }
}

static uint64_t last_output(runtime *r)
{
    uint64_t seq = 0;
    bus_err err;
    do
        err = work_outbox_last_seq(r->outbox, &seq);
    while (retry_later(r, err, "asking for the scenario's stream"));
    return seq;
}

static bus_seq_range act_range(runtime *r)
{
    bus_seq_range range = {0};
    bus_err err;
    do {
        range = (bus_seq_range){0};
        err = bus_stream_range(r->conn, "ACT", &range);
    } while (err != BUS_ENOTFOUND && retry_later(r, err, "asking for ACT"));
    return err ? (bus_seq_range){1, 0} : range;
}

static void report_reset(runtime *r, const work_actor *a, bus_seq_range lost)
{
    char packed[256];
    bus_pack p = bus_pack_to(packed, sizeof packed);
    bus_warn("inputs %llu..%llu of worker %s are not stored any more: session %s begins at %llu",
             (unsigned long long)lost.first, (unsigned long long)lost.last, a->spec->name,
             a->progress.session, (unsigned long long)a->progress.start_seq);
    bus_pack_map(&p, 5);
    bus_pack_key(&p, "worker");
    bus_pack_key(&p, a->spec->name);
    bus_pack_key(&p, "session");
    bus_pack_key(&p, a->progress.session);
    bus_pack_key(&p, "first_missing");
    bus_pack_uint(&p, lost.first);
    bus_pack_key(&p, "last_missing");
    bus_pack_uint(&p, lost.last);
    bus_pack_key(&p, "start_seq");
    bus_pack_uint(&p, a->progress.start_seq);
    while (work_outbox_control(r->outbox, a, "state_reset", a->progress.start_seq,
                               (bus_view){packed, p.len}) == WORK_OUTBOX_HOLD &&
           going(r)) {
        work_outbox_poll(r->outbox);
        rest(1);
    }
}

// Every actor's place: sessions on the act lane, the run of the last time on hyp. Then what the
// scenario's stream holds behind the last known output.
static void begin_actors(runtime *r)
{
    uint64_t out_seq = last_output(r), known_from = out_seq;
    bus_seq_range act = r->plan.hyp ? (bus_seq_range){0} : act_range(r);
    for (uint32_t i = 0; i < r->count && going(r); i++) {
        work_actor *a = &r->actors[i];
        bus_seq_range lost = {0};
        bus_err err = r->plan.hyp ? work_actor_resume_run(a)
                                  : work_actor_begin_session(a, act, out_seq, &lost);
        if (err) {
            tell_failed(r, a->spec->name);
            return;
        }
        if (lost.last)
            report_reset(r, a, lost);
        if (a->progress.out_seq < known_from)
            known_from = a->progress.out_seq;
    }
    bus_err err;
    do
        err = work_outbox_recall(r->outbox, known_from);
    while (retry_later(r, err, "reading stored outputs"));
}

// Where each session begins is stored before anything is fed, so that a death in the very first call
// cannot make the next start begin elsewhere.
static void store_beginnings(runtime *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        bool stored;
        do
            stored = !r->actors[i].dirty || store_actor(r, i, bus_machine_mono(), false);
        while (!stored && retry_later(r, BUS_EUNAVAILABLE, "storing progress"));
    }
}

static uint64_t lowest_position(const runtime *r)
{
    uint64_t lowest = UINT64_MAX;
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->actors[i].position < lowest)
            lowest = r->actors[i].position;
    }
    return lowest;
}

// The run that all actors can go on with; "" when they differ.
static const char *common_run(const runtime *r)
{
    for (uint32_t i = 1; i < r->count; i++) {
        if (strcmp(r->actors[i].progress.runid, r->actors[0].progress.runid) != 0)
            return "";
    }
    return r->actors[0].progress.runid;
}

static bus_err open_feed(runtime *r)
{
    const char *filters[WORK_PLAN_WORKERS_MAX * WORK_INPUTS_MAX];
    size_t count = 0;
    char name[80];
    for (uint32_t i = 0; i < r->count; i++) {
        for (uint32_t k = 0; k < r->actors[i].spec->input_count; k++)
            filters[count++] = r->actors[i].filter[k];
    }
    snprintf(name, sizeof name, "scenario-%s", r->plan.scenario);
    uint64_t position = lowest_position(r);
    const char *run = common_run(r);
    work_feed_opts opts = {.hyp = r->plan.hyp,
                           .filters = filters,
                           .filter_count = count,
                           .from_seq = position + 1,
                           .selector = r->plan.selector,
                           .name = name,
                           .run = run,
                           .after_seq = *run ? position : 0};
    return work_feed_open(&r->feed, r->conn, &opts);
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
            complain(r, "outputs are held", work_outbox_why(r->outbox, why, sizeof why));
            if (!going(r))
                return false;
            rest(1);
        }
        if (sent == WORK_OUTBOX_BAD) {
            tell_retry(r, cause->index, cause->seq, bus_err_text());
            return false;
        }
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
    atomic_store(&r->mark->seq, record->seq);
    atomic_store(&r->mark->since, bus_machine_mono().ns);
    atomic_store(&r->mark->busy, index + 1);
    bus_err err = work_instance_process(a->self, &input, a->now_ns, &results, &count);
    atomic_store(&r->mark->busy, 0);
    a->tainted = true; // until the outputs are on their way
    if (err) {
        tell_retry(r, index, record->seq, bus_err_text());
        return;
    }
    work_cause cause = {a, index, record->seq, event};
    if (record->seq > a->progress.done_seq && !send_outputs(r, &cause, results, count))
        return;
    a->tainted = false;
    a->position = record->seq;
}

static void take_record(runtime *r, const work_feed_record *record)
{
    bus_event event;
    bus_err err = record->msg ? bus_msg_event(record->msg, &event, &r->scratch)
                              : bus_event_decode_msgpack(&event, record->payload);
    if (err)
        complain(r, "an input that is no event is passed over", bus_err_text());
    for (uint32_t i = 0; i < r->count && going(r); i++) {
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

// --- runs, marks, gaps -------------------------------------------------------------------------------

static void drain(runtime *r)
{
    while (work_outbox_pending(r->outbox) && going(r)) {
        work_outbox_poll(r->outbox);
        rest(1);
    }
}

// The run's source and first sequence, as the replay's record tells them.
static bus_err ask_run(runtime *r, const char *run, char *stream, size_t cap, uint64_t *first_seq)
{
    bus_kv_entry entry = {0};
    bus_err err = bus_kv_get(r->conn, "replays", r->plan.selector, &entry);
    if (err)
        return err;
    json_t *root = json_loadb(entry.value.ptr, entry.value.len, 0, NULL);
    bus_kv_entry_release(&entry);
    const char *runid = json_string_value(json_object_get(root, "runid"));
    const char *source = json_string_value(json_object_get(root, "stream"));
    *first_seq = (uint64_t)json_integer_value(json_object_get(root, "first_seq"));
    snprintf(stream, cap, "%s", source ? source : "");
    if (!runid || strcmp(runid, run) != 0 || !source || !*first_seq)
        err = bus_fail(BUS_ESTATE, "replays/%s does not tell of run %s", r->plan.selector, run);
    json_decref(root);
    return err;
}

static void begin_run(runtime *r)
{
    const char *run = work_feed_run(r->feed);
    char stream[40] = "";
    uint64_t first_seq = 0;
    bool same = true;
    for (uint32_t i = 0; i < r->count; i++)
        same = same && strcmp(r->actors[i].progress.runid, run) == 0;
    r->ended = false;
    if (same)
        return;
    drain(r);
    bus_err err;
    do
        err = ask_run(r, run, stream, sizeof stream, &first_seq);
    while (retry_later(r, err, "reading the replay's record") &&
           strcmp(run, work_feed_run(r->feed)) == 0);
    uint64_t out_seq = last_output(r);
    if (!going(r))
        return;
    bus_info("run %s begins at %llu", run, (unsigned long long)first_seq);
    for (uint32_t i = 0; i < r->count; i++) {
        if (work_actor_begin_run(&r->actors[i], run, stream, first_seq, out_seq)) {
            tell_failed(r, r->actors[i].spec->name);
            return;
        }
    }
}

static void reach(runtime *r, uint64_t seq)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (seq > r->actors[i].position)
            r->actors[i].position = seq;
    }
}

static void skip_gap(runtime *r, bus_seq_range gap)
{
    uint64_t out_seq = last_output(r);
    for (uint32_t i = 0; i < r->count && going(r); i++) {
        work_actor *a = &r->actors[i];
        if (gap.last <= a->position)
            continue;
        if (work_actor_reset(a, gap.last + 1, out_seq)) {
            tell_failed(r, a->spec->name);
            return;
        }
        report_reset(r, a, gap);
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
        tell_retry(r, index, seq, "the broker refuses an output of it for good");
}

static bool host_is_gone(void)
{
    struct pollfd fd = {.fd = WORK_FD_HOST, .events = POLLRDHUP};
    return poll(&fd, 1, 0) > 0 && (fd.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static void tick(runtime *r)
{
    bus_mono now = bus_machine_mono();
    if (bus_mono_since(now, r->ticked_at).ns < BUS_SPAN_MS(TICK_MS).ns)
        return;
    r->ticked_at = now;
    work_outbox_poll(r->outbox);
    check_refused(r);
    for (uint32_t i = 0; i < r->count && !r->leaving; i++)
        store_actor(r, i, now, false);
    tell_done(r);
    if (host_is_gone())
        _exit(WORK_EXIT_OK); // no saving: whoever comes next takes what is stored
}

static void tell_online(runtime *r)
{
    if (r->online)
        return;
    r->online = true;
    bus_info("online: %u worker%s, from input %llu", r->count, r->count == 1 ? "" : "s",
             (unsigned long long)lowest_position(r) + 1);
    tell_host(json_pack("{s:s}", "state", "online"));
}

static void take_turn(runtime *r)
{
    work_feed_record record;
    bus_seq_range gap;
    // Acknowledgements in the air are looked at soon; otherwise the next input is what ends the wait.
    bus_span wait = BUS_SPAN_MS(work_outbox_pending(r->outbox) ? 2 : TICK_MS);
    switch (work_feed_next(r->feed, wait, &record, &gap)) {
    case WORK_FEED_RECORD:
        take_record(r, &record);
        break;
    case WORK_FEED_RUN:
        begin_run(r);
        break;
    case WORK_FEED_END:
        r->ended = true;
        reach(r, work_feed_reached(r->feed));
        break;
    case WORK_FEED_WATERMARK:
        reach(r, work_feed_reached(r->feed));
        break;
    case WORK_FEED_GAP:
        skip_gap(r, gap);
        break;
    case WORK_FEED_IDLE:
        work_outbox_poll(r->outbox);
        break;
    case WORK_FEED_ERROR:
        complain(r, "feed", bus_err_text());
        if (r->plan.hyp)
            leave(r, WORK_EXIT_AGAIN);
        else
            rest(20);
        break;
    }
}

// Finishes what was begun: outputs acknowledged, progress and state stored.
static void finish(runtime *r)
{
    bus_mono begin = bus_machine_mono();
    while (work_outbox_pending(r->outbox) &&
           bus_mono_since(bus_machine_mono(), begin).ns < BUS_SPAN_MS(STOP_MS).ns) {
        work_outbox_poll(r->outbox);
        rest(1);
    }
    bus_mono now = bus_machine_mono();
    for (uint32_t i = 0; i < r->count; i++) {
        if (store_actor(r, i, now, true) && r->actors[i].saved_pending)
            store_actor(r, i, now, true); // one more: a state taken before was in the way
    }
    tell_done(r);
}

// --- all of it ---------------------------------------------------------------------------------------

static bus_err connect_bus(runtime *r)
{
    bus_conn_opts opts = r->plan.conn;
    char why[300];
    opts.name = "workhostd-runtime";
    opts.side = r->plan.hyp ? BUS_SIDE_RESEARCH : BUS_SIDE_LIVE;
    bus_err err = bus_conn_open(&r->conn, &opts);
    while (!err && going(r) && bus_conn_wait(r->conn, BUS_SPAN_MS(100)))
        complain(r, "waiting for the broker", bus_conn_why(r->conn, why, sizeof why));
    return err;
}

static bus_err open_all(runtime *r, const char *scenario)
{
    bus_err err;
    if ((err = read_plan(r)))
        return err;
    init_log(r, scenario);
    if ((err = map_mark(r)) || (err = open_actors(r)) || (err = connect_bus(r)))
        return err;
    err = work_outbox_open(&r->outbox, r->conn, &r->plan);
    if (!err && going(r))
        recall_actors(r);
    if (!err && going(r))
        begin_actors(r);
    if (!err && going(r))
        store_beginnings(r);
    if (!err && going(r))
        err = open_feed(r);
    return err;
}

static void close_all(runtime *r)
{
    work_feed_close(r->feed);
    work_outbox_close(r->outbox);
    for (uint32_t i = 0; i < r->count; i++)
        work_actor_close(&r->actors[i]);
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
    bus_err err = open_all(&r, scenario);
    if (err && !r.leaving) {
        bus_error("%s", bus_err_text());
        leave(&r, WORK_EXIT_AGAIN);
    }
    if (r.feed)
        tell_online(&r);
    while (r.feed && going(&r)) {
        take_turn(&r);
        tick(&r);
    }
    if (r.feed && r.exit_code == WORK_EXIT_OK)
        finish(&r);
    close_all(&r);
    return r.exit_code;
}
