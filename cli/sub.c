// lane sub: events as they come, or from where they are recorded; with --join as a participant of a replay.
// Source: schemas/specs/cli.md, "lane sub".
#include <string.h>

#include "bus/lane/lane.h"
#include "bus/nats/kv.h"
#include "bus/nats/participant.h"
#include "cli/session.h"
#include "cli/streams.h"
#include "cli/verbs.h"

enum { SUBS_MAX = LANE_ARGS_MAX };

typedef struct {
    lane_cli *cli;
    uint64_t count, seen;
    bool raw;
    bus_scratch scratch;
} output;

static bool wanted_more(const output *out)
{
    return out->seen < out->count && !lane_interrupted() && !ferror(stdout);
}

static void show(output *out, uint64_t seq, bus_view subject, const bus_msg *msg, bus_view payload)
{
    if (out->raw)
        fwrite(payload.ptr ? payload.ptr : "", 1, payload.len, stdout);
    else if (out->cli->json)
        lane_event_line(seq, subject, msg, payload, &out->scratch);
    else
        lane_event_people(seq, subject, msg, payload, &out->scratch);
    out->seen++;
}

// --- where a subject comes from: the bus as it goes by, or the stream that records it ------------------

typedef struct {
    bus_sub *sub;       // live, or
    bus_reader *reader; // recorded first, then live: a stream is both
} source;

static bus_err open_recorded(source *out, const lane_cli *cli, const char *subject,
                             const char *from)
{
    char stream[LANE_RECORDING_CAP];
    bus_reader_opts opts = {.filters = &subject, .filter_count = 1, .from_seq = 1};
    bus_err err = lane_stream_recording(cli, subject, stream);
    if (!err && !stream[0])
        err = bus_fail(BUS_ENOTFOUND, "no one stream records '%s': --from new", subject);
    if (!err && strcmp(from, "start") != 0 && !bus_view_u64(bus_view_of(from), &opts.from_seq)) {
        opts.from_seq = 0;
        err = bus_time_parse(bus_view_of(from), &opts.from_time.ns);
        if (err)
            err =
                bus_note(BUS_EUSAGE, "--from '%s' is none of start, new, a sequence, a time", from);
    }
    opts.stream = stream;
    return err ? err : bus_reader_open(&out->reader, cli->conn, &opts);
}

// A scenario on a hypothetical market has decided when its replay is over: its record is what one wants to
// see. Everything else is watched as it comes.
static const char *preset_from(const lane_cli *cli, const char *subject)
{
    char id[BUS_LANE_NAME_MAX + 1];
    const char *dot = strncmp(subject, "sc.", 3) == 0 ? strchr(subject + 3, '.') : NULL;
    bus_kv_entry entry = {0};
    bool hyp = false;
    if (!dot ||
        !bus_view_copy((bus_view){subject + 3, (size_t)(dot - subject - 3)}, id, sizeof id) ||
        bus_lane_check_scenario(bus_view_of(id)) || bus_kv_get(cli->conn, "scenarios", id, &entry))
        return "new";
    json_t *record = lane_json_parse(entry.value);
    const char *lane =
        json_string_value(json_object_get(json_object_get(record, "market"), "lane"));
    hyp = lane && strcmp(lane, "hyp") == 0;
    json_decref(record);
    bus_kv_entry_release(&entry);
    return hyp ? "start" : "new";
}

static bus_err open_source(source *out, const lane_cli *cli, const char *subject)
{
    bus_err err = bus_subject_check(bus_view_of(subject), true);
    if (err)
        return err;
    const char *from = lane_opt(cli, "from", NULL);
    if (!from)
        from = preset_from(cli, subject);
    if (strcmp(from, "new") != 0)
        return open_recorded(out, cli, subject, from);
    return bus_sub_open(&out->sub, cli->conn, &(bus_sub_opts){.subject = subject});
}

static void drain_live(output *out, bus_sub *sub, bus_span timeout)
{
    bus_msg *msg;
    while (wanted_more(out) && (msg = bus_sub_next(sub, timeout))) {
        show(out, 0, bus_msg_subject(msg), msg, bus_msg_payload(msg));
        bus_msg_release(msg);
        timeout = (bus_span){0};
    }
}

static bus_err drain_recorded(output *out, bus_reader *reader, bus_span timeout)
{
    while (wanted_more(out)) {
        bus_record record;
        bus_seq_range gap;
        bus_reader_result result = bus_reader_next(reader, timeout, &record, &gap);
        if (result == BUS_READER_RECORD)
            show(out, record.seq, record.subject, record.msg, record.payload);
        else if (result == BUS_READER_GAP)
            fprintf(stderr, "lane sub: sequences %llu to %llu are not stored any more\n",
                    (unsigned long long)gap.first, (unsigned long long)gap.last);
        else
            return result == BUS_READER_ERROR ? BUS_EUNAVAILABLE : BUS_OK;
    }
    return BUS_OK;
}

static bus_err drain(output *out, const source *sources, int count)
{
    bus_span timeout = count == 1 ? BUS_SPAN_MS(100) : BUS_SPAN_MS(10);
    for (int i = 0; i < count; i++) {
        bus_err err = sources[i].sub ? bus_sub_denied(sources[i].sub) : BUS_OK;
        if (sources[i].sub)
            drain_live(out, sources[i].sub, timeout);
        else
            err = drain_recorded(out, sources[i].reader, timeout);
        if (err)
            return err;
    }
    return lane_flush();
}

static bus_err watch(output *out)
{
    lane_cli *cli = out->cli;
    source sources[SUBS_MAX] = {{0}};
    bus_err err = BUS_OK;
    int count = 0;
    uint64_t lost = 0;
    for (; count < cli->args.args && !err; count++)
        err = open_source(&sources[count], cli, lane_arg(cli, count));
    if (!err)
        err = bus_conn_flush(cli->conn, cli->timeout);
    while (!err && wanted_more(out))
        err = drain(out, sources, count);
    for (int i = 0; i < count; i++) {
        lost += sources[i].sub ? bus_sub_lost(sources[i].sub) : 0;
        bus_sub_close(sources[i].sub);
        bus_reader_close(sources[i].reader);
    }
    if (lost)
        fprintf(stderr, "lane sub: %llu messages were lost: this reader was too slow\n",
                (unsigned long long)lost);
    return err;
}

// --- a participant ---------------------------------------------------------------------------------------

static bus_err selector_of(const lane_cli *cli, char *out, size_t cap)
{
    out[0] = '\0';
    for (int i = 0; i < cli->args.args; i++) {
        const char *subject = lane_arg(cli, i), *dot;
        if (strncmp(subject, "hyp.", 4) != 0 || !(dot = strchr(subject + 4, '.')))
            return bus_fail(BUS_EUSAGE, "--join needs subjects on hyp.<selector>, got '%s'",
                            subject);
        bus_view selector = {subject + 4, (size_t)(dot - subject - 4)};
        bus_err err = bus_lane_check_selector(selector, "selector");
        if (err)
            return err;
        if (out[0] && !bus_view_is(selector, out))
            return bus_fail(BUS_EUSAGE, "--join needs subjects of one selector, got '%s' too",
                            subject);
        bus_view_copy(selector, out, cap);
    }
    return BUS_OK;
}

// True while the replay goes on.
static bool take_part(output *out, bus_participant *part, uint64_t *last, bus_err *err)
{
    bus_hyp_record record;
    switch (bus_participant_next(part, BUS_SPAN_MS(200), &record)) {
    case BUS_PART_RECORD:
        show(out, record.seq, record.subject, record.msg, record.payload);
        *last = record.seq;
        break;
    case BUS_PART_RUN:
        if (!out->cli->json)
            lane_say(stderr, "(run %s)\n", bus_participant_run(part));
        break;
    case BUS_PART_WATERMARK:
        *err = lane_flush(); // what is reported done has left this process
        if (*err)
            return false;
        bus_participant_done(part, bus_participant_watermark(part));
        break;
    case BUS_PART_END:
        *err = lane_flush();
        if (!*err)
            bus_participant_done(part, bus_participant_watermark(part));
        return false;
    case BUS_PART_ERROR:
        *err = BUS_EDATALOSS;
        return false;
    case BUS_PART_NOTHING:
        *err = lane_flush();
        return !*err;
    }
    return true;
}

// A participant waits for its replay, however long: so it says what it waits for, or that it would in vain.
static bus_err say_waiting(const lane_cli *cli, const char *selector)
{
    bus_kv_entry entry = {0};
    bus_err err = bus_kv_get(cli->conn, "replays", selector, &entry);
    json_t *record = err ? NULL : lane_json_parse(entry.value);
    const char *state = json_string_value(json_object_get(record, "state"));
    bool running = err == BUS_EPERM ||
                   (state && (strcmp(state, "starting") == 0 || strcmp(state, "running") == 0 ||
                              strcmp(state, "paused") == 0));
    if (!running)
        fprintf(stderr,
                "lane sub: no replay runs on '%s'%s%s; waiting for one "
                "(lane replay start --selector %s)\n",
                selector, state ? ", the last one is " : "", state ? state : "", selector);
    json_decref(record);
    bus_kv_entry_release(&entry);
    return err == BUS_EPERM ? err : BUS_OK;
}

static bus_err join(output *out, const char *selector)
{
    lane_cli *cli = out->cli;
    bus_participant *part = NULL;
    uint64_t last = 0;
    bus_participant_opts opts = {.selector = selector,
                                 .name = lane_opt(cli, "join", ""),
                                 .filters = cli->args.arg,
                                 .filter_count = (size_t)cli->args.args};
    bus_err err = bus_participant_open(&part, cli->conn, &opts);
    if (!err)
        err = say_waiting(cli, selector);
    while (!err && wanted_more(out) && take_part(out, part, &last, &err))
        ;
    bus_participant_close(part);
    return err;
}

static int run_sub(lane_cli *cli)
{
    output out = {.cli = cli, .raw = lane_has(cli, "raw")};
    char selector[BUS_LANE_NAME_MAX + 1];
    bool joins = lane_has(cli, "join");
    bus_err err = lane_opt_u64(cli, "count", UINT64_MAX, &out.count);
    if (!err && joins)
        err = selector_of(cli, selector, sizeof selector);
    if (!err)
        err = lane_connect(cli);
    if (!err)
        err = joins ? join(&out, selector) : watch(&out);
    bus_scratch_release(&out.scratch);
    return err ? lane_fail(cli, err) : 0;
}

static const lane_option options[] = {
    {"count", 'n', "N", "end after N events"},
    {"from", 0, "WHERE", "start, new, a sequence or a time of the stream that records it"},
    {"join", 0, "NAME", "take part in the replay under this name: nothing is lost"},
    {"raw", 0, NULL, "payloads as they are, nothing between them"},
    {0},
};

const lane_verb lane_sub_verbs[] = {
    {"sub", "SUBJECT…", 1, LANE_ARGS_MAX, "events as they come, on any lane", options, run_sub},
    {0},
};
