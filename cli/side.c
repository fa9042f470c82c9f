#include "cli/side.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/progress.h"

struct lane_side {
    lane_cli *cli;
    char *name;
    char stream[64];
    json_t *workers; // as lane_progress_read gives them
    char *run;       // "" when runs have no names
    bool last_run;   // the run is the one that `workers` tells about
    FILE *file;      // or
    bus_reader *reader;
    uint64_t reader_last; // of the stream when it was opened
    bool empty;
    char *line;
    size_t line_cap;
    uint8_t *packed; // a line of the file, packed
    bus_scratch scratch;
    lane_decision decision;
};

static bool is_file(const char *name)
{
    struct stat st;
    return strchr(name, '/') || strstr(name, ".jsonl") ||
           (stat(name, &st) == 0 && S_ISREG(st.st_mode));
}

static void decision_clear(lane_decision *d)
{
    free(d->causationseq);
    free(d->type);
    free(d->subject);
    free(d->data);
    free(d->causationid);
    *d = (lane_decision){0};
}

void lane_side_close(lane_side *side)
{
    if (!side)
        return;
    if (side->file)
        fclose(side->file);
    bus_reader_close(side->reader);
    decision_clear(&side->decision);
    bus_scratch_release(&side->scratch);
    json_decref(side->workers);
    free(side->packed);
    free(side->line);
    free(side->run);
    free(side->name);
    free(side);
}

static const char *worker_text(const json_t *worker, const char *field)
{
    const char *text = json_string_value(json_object_get(worker, field));
    return text ? text : "";
}

// --- files -------------------------------------------------------------------------------------------

static bus_err open_file(lane_side *side)
{
    side->file = fopen(side->name, "r");
    if (!side->file)
        return bus_fail(errno == ENOENT ? BUS_ENOTFOUND : BUS_EIO, "'%s': %s", side->name,
                        strerror(errno));
    json_error_t error;
    json_t *head = NULL;
    if (getline(&side->line, &side->line_cap, side->file) > 0)
        head = json_loads(side->line, 0, &error);
    else if (!feof(side->file))
        return bus_fail(errno == ENOMEM ? BUS_ENOMEM : BUS_EIO, "'%s': reading: %s", side->name,
                        strerror(errno));
    if (json_integer_value(json_object_get(head, "lane_export")) != 1) {
        json_decref(head);
        return bus_fail(BUS_EINVAL, "'%s' line 1: not a file that `lane export` wrote", side->name);
    }
    json_t *workers = json_object_get(head, "workers");
    side->workers = workers ? json_incref(workers) : json_array();
    json_decref(head);
    return BUS_OK;
}

// The event within a line: as packed bytes, then as the JSON that the codec reads.
static bus_err decode_line(lane_side *side, size_t len, bus_event *event, bus_view *subject,
                           uint64_t *seq)
{
    size_t cap = 3 * len + 64;
    free(side->packed);
    side->packed = malloc(cap);
    if (!side->packed)
        return bus_fail(BUS_ENOMEM, "line of %zu bytes", len);
    bus_pack p = bus_pack_to(side->packed, cap);
    bus_err err = bus_pack_from_json(&p, (bus_view){side->line, len});
    bus_view map = {(const char *)side->packed, p.len}, packed = {0};
    bus_cursor at;
    int64_t number = 0;
    if (err)
        return err;
    bus_map_int(map, "seq", &number);
    *seq = (uint64_t)number;
    if (!bus_map_str(map, "subject", subject) || !bus_map_find(map, "event", &at) ||
        !bus_cursor_skip(&at, &packed))
        return bus_fail(BUS_ENOTFOUND, "no event");
    char *text;
    size_t text_len;
    err = bus_pack_to_json(&text, &text_len, packed);
    if (err)
        return err;
    err = bus_event_decode_json(event, (bus_view){text, text_len}, &side->scratch);
    free(text);
    return err;
}

// Lines that are no events are passed over: a scenario's stream may hold such, and no decision is one.
static bus_err next_line(lane_side *side, bus_event *event, bus_view *subject, uint64_t *seq,
                         bool *end)
{
    ssize_t len;
    while ((len = getline(&side->line, &side->line_cap, side->file)) > 0) {
        bus_err err = decode_line(side, (size_t)len, event, subject, seq);
        if (err == BUS_OK)
            return BUS_OK;
        if (err != BUS_ENOTFOUND)
            return bus_note(err, "'%s'", side->name);
    }
    if (!feof(side->file)) // what could not be read is not the end
        return bus_fail(errno == ENOMEM ? BUS_ENOMEM : BUS_EIO, "'%s': reading: %s", side->name,
                        strerror(errno));
    *end = true;
    return BUS_OK;
}

// --- streams -------------------------------------------------------------------------------------------

static bus_err open_stream(lane_side *side)
{
    bus_seq_range range;
    bus_err err = lane_connect(side->cli);
    if (!err)
        err = lane_scenario_range(side->cli, side->name, side->stream, &range);
    if (!err)
        err = lane_progress_read(side->cli, side->name, &side->workers);
    if (err)
        return err;
    side->reader_last = range.last;
    side->empty = range.last < range.first;
    if (side->empty)
        return BUS_OK;
    return bus_reader_open(&side->reader, side->cli->conn,
                           &(bus_reader_opts){.stream = side->stream, .from_seq = range.first});
}

static bus_err next_record(lane_side *side, bus_event *event, bus_view *subject, uint64_t *seq,
                           bool *end)
{
    bus_record record;
    bus_seq_range gap;
    *end = side->empty;
    while (!*end) {
        if (bus_reader_seq(side->reader) >= side->reader_last)
            break;
        bus_reader_result result = bus_reader_next(side->reader, BUS_SPAN_S(5), &record, &gap);
        if (result == BUS_READER_CAUGHT_UP)
            break;
        if (result == BUS_READER_ERROR)
            return BUS_EUNAVAILABLE;
        if (result == BUS_READER_NOTHING)
            return bus_fail(BUS_ETIMEOUT, "stream '%s' did not answer for 5 s", side->stream);
        if (result != BUS_READER_RECORD ||
            bus_msg_event(record.msg, event, &side->scratch) != BUS_OK)
            continue;
        *subject = record.subject;
        *seq = record.seq;
        return BUS_OK;
    }
    *end = true;
    return BUS_OK;
}

// --- both ----------------------------------------------------------------------------------------------

static char *copy_view(bus_view v)
{
    return strndup(v.ptr ? v.ptr : "", v.len);
}

// "sc.bt1.strategy.…" -> "sc.strategy.…"
static char *without_scenario(bus_view subject)
{
    const char *dot = subject.len > 3 ? memchr(subject.ptr + 3, '.', subject.len - 3) : NULL;
    if (!dot || memcmp(subject.ptr, "sc.", 3) != 0)
        return copy_view(subject);
    size_t rest = subject.len - (size_t)(dot - subject.ptr);
    char *text = malloc(rest + 3);
    if (text) {
        memcpy(text, "sc", 2);
        memcpy(text + 2, dot, rest);
        text[2 + rest] = '\0';
    }
    return text;
}

static bus_err make_decision(lane_decision *d, const bus_event *event, bus_view subject)
{
    bus_err err = BUS_OK;
    d->causationseq = copy_view(event->causationseq);
    d->type = copy_view(event->type);
    d->causationid = copy_view(event->causationid);
    d->subject = without_scenario(subject);
    if (event->data.len)
        err = bus_pack_to_json(&d->data, NULL, event->data);
    else
        d->data = strdup("");
    if (!err && !(d->causationseq && d->type && d->causationid && d->subject && d->data))
        err = bus_fail(BUS_ENOMEM, "event");
    return err;
}

bus_err lane_side_next(lane_side *side, uint64_t start, uint64_t done, lane_decision *out,
                       bool *end)
{
    decision_clear(&side->decision);
    *end = false;
    for (;;) {
        bus_event event;
        bus_view subject;
        uint64_t seq = 0, stream_seq = 0;
        bus_err err = side->file ? next_line(side, &event, &subject, &stream_seq, end)
                                 : next_record(side, &event, &subject, &stream_seq, end);
        if (err || *end)
            return err;
        if (!bus_view_u64(event.causationseq, &seq) || seq < start || seq > done)
            continue;
        if (side->run[0] && !bus_view_is(event.runid, side->run))
            continue;
        side->decision.seq = seq;
        side->decision.stream_seq = stream_seq;
        err = make_decision(&side->decision, &event, subject);
        *out = side->decision;
        return err;
    }
}

// The run that is looked at: the one named, else that of the workers' progress.
static bus_err choose_run(lane_side *side, const char *run)
{
    const char *last = worker_text(json_array_get(side->workers, 0), "runid");
    // LIVE has sessions, not runs: a run that is named is the other side's.
    bool named = run && last[0];
    side->run = strdup(named ? run : last);
    side->last_run = !named || strcmp(run, last) == 0;
    return side->run ? BUS_OK : bus_fail(BUS_ENOMEM, "run id");
}

bus_err lane_side_open(lane_side **out, lane_cli *cli, const char *name, const char *run)
{
    lane_side *side = calloc(1, sizeof *side);
    if (!side)
        return bus_fail(BUS_ENOMEM, "side of a diff");
    side->cli = cli;
    side->name = strdup(name);
    bus_err err = !side->name     ? bus_fail(BUS_ENOMEM, "side of a diff")
                  : is_file(name) ? open_file(side)
                                  : open_stream(side);
    if (!err)
        err = choose_run(side, run);
    if (err) {
        lane_side_close(side);
        return err;
    }
    *out = side;
    return BUS_OK;
}

// A run that is over has left no progress: its range is what its events say.
static bus_err range_of_events(lane_side *side, uint64_t *start, uint64_t *done)
{
    lane_side *scan = NULL;
    lane_decision d;
    bool end = false;
    bus_err err = lane_side_open(&scan, side->cli, side->name, side->run);
    *start = UINT64_MAX;
    *done = 0;
    while (!err && !end) {
        err = lane_side_next(scan, 0, UINT64_MAX, &d, &end);
        if (!err && !end) {
            *start = d.seq < *start ? d.seq : *start;
            *done = d.seq > *done ? d.seq : *done;
        }
    }
    lane_side_close(scan);
    if (!err && *done < *start)
        err = bus_fail(BUS_ENOTFOUND, "'%s' holds no events of run '%s'", side->name, side->run);
    return err;
}

static const json_t *unfinished(const lane_side *side)
{
    size_t i;
    json_t *worker;
    if (!side->last_run || !side->run[0])
        return NULL;
    json_array_foreach (side->workers, i, worker) {
        if (json_is_false(json_object_get(worker, "end")))
            return worker;
    }
    return NULL;
}

bus_err lane_side_ended(lane_side *side, bus_span span)
{
    bus_mono until = bus_mono_add(bus_now_mono(), span);
    bus_err err = BUS_OK;
    const json_t *worker;
    while (!err && (worker = unfinished(side)) != NULL) {
        if (side->file || bus_now_mono().ns > until.ns)
            return bus_fail(
                BUS_EUNAVAILABLE,
                "worker '%s' of %s has not ended its run: it is done with %llu so far",
                worker_text(worker, "worker"), side->name,
                (unsigned long long)json_integer_value(json_object_get(worker, "done_seq")));
        usleep(50 * 1000);
        json_decref(side->workers);
        side->workers = NULL;
        err = lane_progress_read(side->cli, side->name, &side->workers);
        if (!err && strcmp(worker_text(json_array_get(side->workers, 0), "runid"), side->run) != 0)
            err = bus_fail(BUS_EUNAVAILABLE, "%s began another run meanwhile", side->name);
    }
    return err;
}

bus_err lane_side_range(lane_side *side, uint64_t *start, uint64_t *done)
{
    size_t i;
    json_t *worker;
    if (!side->last_run)
        return range_of_events(side, start, done);
    if (json_array_size(side->workers) == 0)
        return bus_fail(BUS_ENOTFOUND, "no worker of '%s' has recorded its progress", side->name);
    *start = 0;
    *done = UINT64_MAX;
    json_array_foreach (side->workers, i, worker) {
        uint64_t from = (uint64_t)json_integer_value(json_object_get(worker, "start_seq"));
        uint64_t to = (uint64_t)json_integer_value(json_object_get(worker, "done_seq"));
        *start = from > *start ? from : *start;
        *done = to < *done ? to : *done;
    }
    return BUS_OK;
}
