// lane export: a scenario's events, or a stream's, as JSON lines. Source: schemas/specs/cli.md, "lane export".
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/nats/stream.h"
#include "cli/progress.h"
#include "cli/verbs.h"

enum { NO_EXPORT = 2 }; // as with diff, whose sides exports are

typedef struct {
    char stream[64];
    const char *scenario; // NULL: a stream
    const char *filter[1];
    uint64_t from, to;
} source;

static bus_err read_source(lane_cli *cli, source *s)
{
    const char *stream = lane_opt(cli, "stream", NULL);
    s->scenario = lane_arg(cli, 0);
    s->filter[0] = lane_opt(cli, "filter", NULL);
    if (!s->scenario == !stream)
        return bus_fail(BUS_EUSAGE, "a scenario or --stream NAME is expected, one of the two");
    bus_err err = lane_opt_u64(cli, "from", 1, &s->from);
    if (!err)
        err = lane_opt_u64(cli, "to", UINT64_MAX, &s->to);
    if (!err && s->scenario)
        return lane_stream_of(s->stream, s->scenario);
    if (!err)
        snprintf(s->stream, sizeof s->stream, "%s", stream);
    return err;
}

static bus_err print_head(lane_cli *cli, const source *s, const bus_seq_range *range)
{
    json_t *workers = NULL;
    bus_err err = BUS_OK;
    if (s->scenario)
        err = lane_progress_read(cli, s->scenario, &workers);
    if (err)
        return err;
    lane_json_line(json_pack("{s:i,s:s,s:s,s:I,s:I,s:o}", "lane_export", 1, "stream", s->stream,
                             "scenario", s->scenario ? s->scenario : "", "first_seq",
                             (json_int_t)range->first, "last_seq", (json_int_t)range->last,
                             "workers", workers ? workers : json_array()));
    return BUS_OK;
}

static bus_err print_events(bus_reader *reader, uint64_t last)
{
    bus_scratch scratch = {0};
    bus_err err = BUS_OK;
    while (!err && bus_reader_seq(reader) < last) {
        bus_record record;
        bus_seq_range gap;
        bus_reader_result result = bus_reader_next(reader, BUS_SPAN_S(5), &record, &gap);
        if (result == BUS_READER_RECORD && record.seq > last)
            break;
        if (result == BUS_READER_RECORD)
            lane_event_line(record.seq, record.subject, record.msg, record.payload, &scratch);
        if (ferror(stdout))
            err = lane_flush();
        else if (result == BUS_READER_GAP)
            fprintf(stderr, "lane export: sequences %llu to %llu are not stored any more\n",
                    (unsigned long long)gap.first, (unsigned long long)gap.last);
        else if (result == BUS_READER_CAUGHT_UP)
            break;
        else if (result == BUS_READER_ERROR)
            err = BUS_EUNAVAILABLE;
        else if (result != BUS_READER_RECORD)
            err = bus_fail(BUS_ETIMEOUT, "no answer for 5 s after sequence %llu",
                           (unsigned long long)bus_reader_seq(reader));
        if (!err && lane_interrupted())
            err = bus_fail(BUS_ECANCELLED, "interrupted");
    }
    bus_scratch_release(&scratch);
    return err;
}

static bus_err export_source(lane_cli *cli, source *s)
{
    bus_seq_range range;
    bus_reader *reader = NULL;
    bus_err err = s->scenario ? lane_scenario_range(cli, s->scenario, s->stream, &range)
                              : bus_stream_range(cli->conn, s->stream, &range);
    if (!err)
        err = print_head(cli, s, &range);
    if (err || range.last < range.first)
        return err;
    err = bus_reader_open(
        &reader, cli->conn,
        &(bus_reader_opts){.stream = s->stream,
                           .filters = s->filter,
                           .filter_count = s->filter[0] ? 1 : 0,
                           .from_seq = s->from > range.first ? s->from : range.first});
    if (!err)
        err = print_events(reader, s->to < range.last ? s->to : range.last);
    bus_reader_close(reader);
    return err;
}

// The file (for a symbolic link, that which it leads to) is written beside its name and gets it when it is whole. What is no plain file (a pipe, a
// device) is written as it stands.
typedef struct {
    const char *path; // NULL: stdout
    char real[PATH_MAX], part[PATH_MAX];
} output;

static bus_err open_output(output *out, const char *path)
{
    struct stat there;
    *out = (output){.path = path};
    if (!path)
        return BUS_OK;
    bool nothing = stat(path, &there) != 0;
    if (lstat(path, &there) == 0 && S_ISLNK(there.st_mode)) { // the file it leads to is meant
        out->path = path = realpath(path, out->real);
        if (!path)
            return bus_fail(BUS_EINVAL, "the symbolic link leads nowhere: %s", strerror(errno));
        nothing = stat(path, &there) != 0;
    }
    if (nothing || S_ISREG(there.st_mode)) {
        if (snprintf(out->part, sizeof out->part, "%s.part", path) >= (int)sizeof out->part)
            return bus_fail(BUS_EINVAL, "'%.60s…': the path is too long", path);
    }
    const char *written = *out->part ? out->part : path;
    return freopen(written, "w", stdout) ? BUS_OK
                                         : bus_fail(BUS_EIO, "'%s': %s", written, strerror(errno));
}

static bus_err close_output(const output *out, bus_err err)
{
    if (!out->path || !*out->part)
        return err == BUS_EIO && out->path ? bus_note(err, "'%s' is not complete", out->path) : err;
    if (!err && rename(out->part, out->path))
        err = bus_fail(BUS_EIO, "%s", strerror(errno));
    if (err)
        unlink(out->part);
    return err ? bus_note(err, "'%s' is not written", out->path) : BUS_OK;
}

static int run_export(lane_cli *cli)
{
    source s = {.scenario = NULL};
    output out;
    bus_err err = read_source(cli, &s);
    if (!err)
        err = lane_connect(cli);
    if (!err && !(err = open_output(&out, lane_opt(cli, "output", NULL)))) {
        err = export_source(cli, &s);
        if (!err)
            err = lane_flush();
        err = close_output(&out, err);
    }
    if (err) {
        lane_fail(cli, err);
        return NO_EXPORT;
    }
    return 0;
}

static const lane_option options[] = {
    {"output", 'o', "FILE", "default: stdout"},
    {"stream", 0, "NAME", "a stream instead of a scenario"},
    {"from", 0, "SEQ", "first sequence"},
    {"to", 0, "SEQ", "last sequence"},
    {"filter", 0, "SUBJECT", "only these subjects; wildcards allowed"},
    {0},
};

const lane_verb lane_export_verbs[] = {
    {"export", "[SCENARIO]", 0, 1, "events of a scenario or a stream as a file", options,
     run_export},
    {0},
};
