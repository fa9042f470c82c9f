#include "bus/nats/participant.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bus/nats/conn_impl.h"
#include "bus/nats/participant_impl.h"
#include "bus/nats/readdress.h"
#include "bus/nats/stream.h"

enum {
    PENDING_MAX = 1 << 18, // far beyond any window: what is dropped is read back, but costs
    LOOK_MS = 1,
    TURN_MS = 20,             // how long one wait may last: reports and leases go on meanwhile
    READ_WINDOW = 4 << 20,    // bytes held of what is read back
    MESSAGES_PER_TURN = 1024, // not for us; then the reports have their turn
};

// --- life --------------------------------------------------------------------------------------------

static void on_wake(void *ctx)
{
    bus_participant *part = ctx;
    uint64_t one = 1;
    if (!atomic_exchange(&part->woken, true) && write(part->bell, &one, sizeof one) < 0)
        return; // the counter is full: then it is readable all the same
    if (part->wake.fn)
        part->wake.fn(part->wake.ctx);
}

// The lane has a connection of its own, so that its messages go from the socket to the owner without a thread,
// a lock or a copy in between.
static bus_err open_flow(bus_participant *part)
{
    bus_conn_opts opts = part->conn->opts.opts;
    opts.profile = BUS_PROFILE_OWNER;
    opts.wake = (bus_wake){on_wake, part};
    bus_err err = bus_conn_open(&part->flow, &opts);
    if (!err && part->wake.fn)
        err = bus_watch_open(&part->flow_watch, part->wake);
    return err;
}

static bus_err listen(bus_participant *part)
{
    char lane[BUS_SUBJECT_BUF], answers[80];
    bus_wake wake = {on_wake, part};
    snprintf(lane, sizeof lane, "hyp.%s.>", part->selector);
    snprintf(part->inbox, sizeof part->inbox, "_INBOX.%016" PRIx64 "%016" PRIx64,
             bus_machine_random(), bus_machine_random());
    snprintf(answers, sizeof answers, "%s.*", part->inbox);
    // One subscription for events and watermarks, standing before any join: so their order holds.
    bus_sub_opts opts = {.subject = lane, .pending_max = PENDING_MAX};
    bus_err err = open_flow(part);
    if (!err)
        err = bus_sub_open(&part->lane, part->flow, &opts);
    opts = (bus_sub_opts){.subject = answers, .wake = wake};
    if (!err)
        err = bus_sub_open(&part->answers, part->conn, &opts);
    if (!err)
        err = bus_kv_watch_open(&part->watch, part->conn, "replays", part->selector, wake);
    return err;
}

static bus_err copy_names(bus_participant *part, const bus_participant_opts *opts)
{
    bus_view run = bus_view_of(opts->resume_run);
    bus_err err = bus_lane_check_selector(bus_view_of(opts->selector), "selector");
    if (!err)
        err = bus_participant_name_check(bus_view_of(opts->name));
    if (err)
        return err;
    bus_view_copy(bus_view_of(opts->selector), part->selector, sizeof part->selector);
    bus_view_copy(bus_view_of(opts->name), part->name, sizeof part->name);
    if (!bus_view_copy(run, part->resume_run, sizeof part->resume_run))
        return bus_fail(BUS_EINVAL, "run '%.*s' is too long", BUS_VIEW_ARG(run));
    part->resume_after = opts->resume_after;
    part->wake = opts->wake;
    return BUS_OK;
}

bus_err bus_participant_open(bus_participant **out, bus_conn *conn,
                             const bus_participant_opts *opts)
{
    bus_participant *part = calloc(1, sizeof *part);
    if (!part)
        return bus_fail(BUS_ENOMEM, "participant '%s'", opts->name);
    part->conn = conn;
    part->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    part->packed = malloc(BUS_READDRESS_BUF);
    bus_err err = part->packed ? copy_names(part, opts) : bus_fail(BUS_ENOMEM, "buffer");
    if (!err && part->bell < 0)
        err = bus_fail(BUS_EIO, "eventfd: %s", strerror(errno));
    if (!err)
        err = bus_part_filters(part, opts);
    if (!err)
        err = listen(part);
    if (err) {
        bus_participant_close(part);
        return bus_note(err, "participant '%s' of replay '%s'", opts->name, opts->selector);
    }
    bus_part_watch(part); // any run that is new after this call began while we waited
    *out = part;
    return BUS_OK;
}

void bus_participant_close(bus_participant *part)
{
    if (part && part->proof)
        bus_part_leave(part);
    bus_participant_abandon(part);
}

void bus_participant_abandon(bus_participant *part)
{
    if (!part)
        return;
    bus_part_drop(part);
    bus_msg_release(part->given);
    bus_kv_watch_close(part->watch);
    bus_sub_close(part->answers);
    bus_watch_close(part->flow_watch);
    bus_sub_close(part->lane);
    bus_conn_close(part->flow);
    bus_proof_close(part->proof);
    bus_scratch_release(&part->scratch);
    if (part->bell >= 0)
        close(part->bell);
    free(part->filters_json);
    free(part->packed);
    free(part);
}

// --- reading back what was missed --------------------------------------------------------------------

void bus_part_drop(bus_participant *part)
{
    bus_reader_close(part->reader);
    part->reader = NULL;
    bus_msg_release(part->held);
    part->held = NULL;
}

static bus_part_result stuck(bus_participant *part)
{
    bus_part_drop(part);
    bus_part_leave(part);
    part->state = PART_STUCK;
    return BUS_PART_ERROR;
}

static bus_err begin_read(bus_participant *part, uint64_t first, uint64_t last)
{
    const char *filters[] = {part->source_filter};
    bus_seq_range range;
    bus_err err = bus_stream_range(part->conn, part->stream, &range);
    if (!err && range.first > first)
        err = bus_fail(BUS_EDATALOSS,
                       "run '%s': events from %" PRIu64
                       " were missed, and stream '%s' begins at %" PRIu64 " by now",
                       part->run, first, part->stream, range.first);
    if (err)
        return err;
    bus_reader_opts opts = {
        .stream = part->stream,
        .filters = filters,
        .filter_count = 1,
        .from_seq = first,
        .window_bytes_max = READ_WINDOW,
        .wake = {on_wake, part},
    };
    part->read_first = first;
    part->read_last = last;
    return bus_reader_open(&part->reader, part->conn, &opts);
}

// A hole that cannot be read now (the broker is away) is found again with the same message.
static bus_part_result start_read(bus_participant *part, uint64_t first, uint64_t last,
                                  bus_msg *shown)
{
    bus_err err = begin_read(part, first, last);
    part->held = shown;
    if (err == BUS_EDATALOSS || err == BUS_ENOTFOUND)
        return stuck(part);
    part->blocked = err != BUS_OK;
    return BUS_PART_NOTHING;
}

static void end_read(bus_participant *part)
{
    bus_reader_close(part->reader);
    part->reader = NULL;
    bus_proof_read_to(part->proof, part->read_last);
}

static bus_part_result take_read(bus_participant *part, const bus_record *record,
                                 bus_hyp_record *out)
{
    bus_readdress_to to = {bus_view_of(part->selector), bus_view_of(part->run), bus_now_wall(),
                           NULL};
    bus_pack p = bus_pack_to(part->packed, BUS_READDRESS_BUF);
    if (record->seq > part->read_last) {
        end_read(part);
        return BUS_PART_NOTHING;
    }
    // What a replay passes over is no event of the run here either: the same function says so.
    if (bus_readdress_record(&p, part->subject, record, &to, &part->scratch, NULL))
        return BUS_PART_NOTHING;
    bus_view subject = bus_view_of(part->subject);
    if (bus_proof_read(part->proof, record->seq, subject) == BUS_PROOF_DELIVER) {
        part->read_back++;
        *out = (bus_hyp_record){record->seq, subject, {(const char *)part->packed, p.len}, NULL};
        if (record->seq == part->read_last)
            end_read(part);
        return BUS_PART_RECORD;
    }
    if (record->seq == part->read_last)
        end_read(part);
    return BUS_PART_NOTHING;
}

// *idle: there is nothing to read at the moment.
static bus_part_result step_read(bus_participant *part, bus_hyp_record *out, bool *idle)
{
    bus_record record;
    bus_seq_range gap;
    switch (bus_reader_next(part->reader, (bus_span){0}, &record, &gap)) {
    case BUS_READER_RECORD:
        return take_read(part, &record, out);
    case BUS_READER_CAUGHT_UP:
        // Everything up to read_last had been stored before the replay sent it: so it has been read.
        end_read(part);
        return BUS_PART_NOTHING;
    case BUS_READER_GAP:
        return BUS_PART_NOTHING; // deleted records: whether the run had them the next count tells
    case BUS_READER_NOTHING:
    case BUS_READER_ERROR:
        break;
    }
    *idle = true;
    return BUS_PART_NOTHING;
}

// --- the lane ----------------------------------------------------------------------------------------

static bus_part_result proven(bus_participant *part, bool end)
{
    uint64_t mark = bus_proof_proven(part->proof);
    if (part->state == PART_OVER)
        return BUS_PART_NOTHING;
    if (end) {
        part->tell_end = true;
        part->state = PART_OVER;
    } else if (mark == part->told_mark) {
        return BUS_PART_NOTHING; // a repetition
    }
    part->told_mark = mark;
    return BUS_PART_WATERMARK;
}

static bus_part_result lost(bus_participant *part)
{
    const bus_watermark_part *own = bus_watermark_find(&part->mark, bus_view_of(part->name));
    bus_fail(BUS_EDATALOSS,
             "run '%s': %" PRIu64 " events up to %" PRIu64 " were sent to '%s', and stream '%s' no "
             "longer holds them all",
             part->run, own ? own->count : 0, part->mark.seq, part->name, part->stream);
    return stuck(part);
}

static bus_part_result show_watermark(bus_participant *part, bus_msg *msg, bus_view run)
{
    uint64_t first = 0, last = 0;
    bus_part_result result = BUS_PART_NOTHING;
    if (bus_watermark_decode(&part->mark, bus_msg_payload(msg))) {
        bus_msg_release(msg); // somebody else's message on our lane
        return BUS_PART_NOTHING;
    }
    switch (bus_proof_watermark(part->proof, run, &part->mark, &first, &last)) {
    case BUS_PROOF_HOLE:
        return start_read(part, first, last, msg);
    case BUS_PROOF_PROVEN:
        result = proven(part, part->mark.end && !bus_view_is(part->mark.state, "seek") &&
                                  !bus_view_is(part->mark.state, "failed"));
        break;
    case BUS_PROOF_ABSENT:
        bus_part_join(part);
        break;
    case BUS_PROOF_LOST:
        result = lost(part);
        break;
    default:
        break;
    }
    bus_msg_release(msg);
    return result;
}

static bus_part_result show_event(bus_participant *part, bus_msg *msg, bus_view run,
                                  const bus_lane_stamp *stamp, bus_hyp_record *out)
{
    uint64_t first = 0, last = 0;
    bus_view subject = bus_msg_subject(msg);
    switch (bus_proof_event(part->proof, run, stamp, subject, &first, &last)) {
    case BUS_PROOF_HOLE:
        return start_read(part, first, last, msg);
    case BUS_PROOF_DELIVER:
        part->given = msg;
        *out = (bus_hyp_record){stamp->seq, subject, bus_msg_payload(msg), msg};
        return BUS_PART_RECORD;
    default:
        bus_msg_release(msg);
        return BUS_PART_NOTHING;
    }
}

static bus_part_result show(bus_participant *part, bus_msg *msg, bus_hyp_record *out)
{
    bus_lane_stamp stamp;
    bus_view run;
    if (!bus_lane_headers_read(msg, &stamp, &run) || !bus_view_is(run, part->run)) {
        bus_msg_release(msg);
        return BUS_PART_NOTHING;
    }
    if (bus_watermark_is(bus_msg_subject(msg)))
        return show_watermark(part, msg, run);
    return show_event(part, msg, run, &stamp, out);
}

// The lane is empty and the record says that the run is over: what its last watermark would have said.
static bus_part_result end_by_record(bus_participant *part)
{
    uint64_t first = 0, last = 0;
    const replay_record *record = &part->record;
    if (!part->record_known || !record->ended || strcmp(record->runid, part->run) != 0)
        return BUS_PART_NOTHING;
    if (strcmp(record->state, "failed") == 0) {
        bus_fail(BUS_ESTATE, "replay '%s' failed: %s", part->selector, record->error);
        return stuck(part);
    }
    if (bus_proof_end(part->proof, record->end_seq, &first, &last) == BUS_PROOF_HOLE)
        return start_read(part, first, last, NULL);
    return proven(part, true);
}

static bus_part_result step_lane(bus_participant *part, bus_hyp_record *out, bool *idle)
{
    bus_msg *msg = part->held;
    part->held = NULL;
    if (!msg)
        msg = bus_sub_next(part->lane, (bus_span){0});
    if (msg)
        return show(part, msg, out);
    *idle = true;
    return part->state == PART_PLAYING ? end_by_record(part) : BUS_PART_NOTHING;
}

static bus_part_result step(bus_participant *part, bus_hyp_record *out, bool *idle)
{
    if (part->tell_run) {
        part->tell_run = false;
        return BUS_PART_RUN;
    }
    if (part->tell_end) {
        part->tell_end = false;
        return BUS_PART_END;
    }
    if (part->reader)
        return step_read(part, out, idle);
    switch (part->state) {
    case PART_JOINING: // what comes now is shown after the answer
        *idle = true;
        return BUS_PART_NOTHING;
    case PART_PLAYING:
    case PART_OVER:
        return step_lane(part, out, idle);
    case PART_IDLE:
    case PART_STUCK:
        break;
    }
    bus_msg *msg = bus_sub_next(part->lane, (bus_span){0});
    bus_msg_release(msg);
    *idle = msg == NULL;
    return BUS_PART_NOTHING;
}

// --- the owner's call --------------------------------------------------------------------------------

static void lower(bus_participant *part)
{
    uint64_t count;
    if (read(part->bell, &count, sizeof count) > 0 || atomic_load(&part->woken))
        atomic_store(&part->woken, false);
}

// For something on the lane or elsewhere.
static void wait_for_wake(bus_participant *part, int64_t left_ns)
{
    int fd = bus_conn_fd(part->flow);
    int64_t most = fd < 0 ? LOOK_MS : TURN_MS; // without a socket of ours nobody tells of the lane
    int64_t ns = left_ns < BUS_SPAN_MS(most).ns ? left_ns : BUS_SPAN_MS(most).ns;
    struct timespec span = {.tv_nsec = ns};
    struct pollfd on[2] = {{.fd = part->bell, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    if (ppoll(on, fd < 0 ? 1 : 2, &span, NULL) > 0 && on[0].revents)
        lower(part);
}

static void keep_up(bus_participant *part)
{
    bus_part_watch(part);
    bus_part_answers(part);
    bus_part_report(part, bus_machine_mono());
}

// Something to do at once came of the record or of an answer.
static bool keep_up_and_look(bus_participant *part)
{
    part_state before = part->state;
    keep_up(part);
    return part->tell_run || (part->state != before && part->state != PART_JOINING);
}

// Most calls find the next event of the lane waiting: those look at nothing else, but now and then.
bus_part_result bus_participant_next(bus_participant *part, bus_span timeout, bus_hyp_record *out)
{
    bus_mono until = bus_mono_add(bus_machine_mono(), timeout);
    bus_msg_release(part->given);
    part->given = NULL;
    for (uint32_t steps = 1;; steps++) {
        bool idle = false;
        if (part->turn++ % MESSAGES_PER_TURN == 0)
            keep_up(part);
        bus_part_result result = step(part, out, &idle);
        if (result == BUS_PART_WATERMARK)
            bus_part_report(part, bus_machine_mono());
        if (result != BUS_PART_NOTHING)
            return result;
        if (!idle && !part->blocked && steps % MESSAGES_PER_TURN != 0)
            continue;
        idle |= part->blocked;
        part->blocked = false;
        if (keep_up_and_look(part))
            continue;
        int64_t left = bus_mono_since(until, bus_machine_mono()).ns;
        if (left <= 0 || (idle && atomic_exchange(&part->nudged, false))) {
            if (idle && part->flow_watch)
                bus_watch_arm(part->flow_watch, bus_owner_link(part->flow));
            if (!idle && part->wake.fn)
                part->wake.fn(part->wake.ctx); // there is more, but the owner has its turn
            return BUS_PART_NOTHING;
        }
        if (idle)
            wait_for_wake(part, left);
    }
}

void bus_participant_nudge(bus_participant *part)
{
    atomic_store(&part->nudged, true);
    on_wake(part);
}

void bus_participant_done(bus_participant *part, uint64_t seq)
{
    bus_mono now = bus_machine_mono();
    bus_proof_done(part->proof, seq, now);
    bus_part_report(part, now);
}

uint64_t bus_participant_watermark(const bus_participant *part)
{
    return bus_proof_proven(part->proof);
}

const char *bus_participant_run(const bus_participant *part)
{
    return part->run;
}

uint64_t bus_participant_read_back(const bus_participant *part)
{
    return part->read_back;
}
