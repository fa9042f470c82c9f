// lane streams: what is recorded.
#include "cli/streams.h"

#include <stdio.h>
#include <string.h>

#include "bus/lane/lane.h"
#include "cli/verbs.h"

typedef struct {
    const char *subject;
    char *stream;
} search;

static void match_stream(void *ctx, const bus_stream_info *info)
{
    search *s = ctx;
    char list[sizeof info->subjects], *rest = list;
    snprintf(list, sizeof list, "%s", info->subjects);
    for (char *one; (one = strsep(&rest, ", "));)
        if (one[0] && bus_subject_match(bus_view_of(one), bus_view_of(s->subject)))
            snprintf(s->stream, LANE_RECORDING_CAP, "%s", info->name);
}

bus_err lane_stream_recording(const lane_cli *cli, const char *subject,
                              char out[LANE_RECORDING_CAP])
{
    search s = {.subject = subject, .stream = out};
    out[0] = '\0';
    return bus_stream_list(cli->conn, match_stream, &s);
}

static json_t *info_json(const bus_stream_info *info)
{
    return json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:i,s:o,s:o}", "name", info->name, "subjects",
                     info->subjects, "messages", (json_int_t)info->messages, "bytes",
                     (json_int_t)info->bytes, "first_seq", (json_int_t)info->first_seq, "last_seq",
                     (json_int_t)info->last_seq, "consumers", (int)info->consumers, "created",
                     lane_json_time(info->created.ns), "last_time",
                     info->messages ? lane_json_time(info->last_time.ns) : json_null());
}

typedef struct {
    json_t *rows;
    bool all;
} listing;

// The streams that buckets are made of are `lane kv ls`.
static void add_stream(void *ctx, const bus_stream_info *info)
{
    listing *list = ctx;
    if (list->all || strncmp(info->name, "KV_", 3) != 0)
        json_array_append_new(list->rows, info_json(info));
}

static int run_ls(lane_cli *cli)
{
    static const lane_column columns[] = {
        {"STREAM", "name"},       {"SUBJECTS", "subjects"},
        {"MESSAGES", "messages"}, {"BYTES", "bytes"},
        {"FIRST", "first_seq"},   {"LAST", "last_seq"},
        {"NEWEST", "last_time"},  {0},
    };
    listing list = {json_array(), lane_has(cli, "all")};
    bus_err err = lane_connect(cli);
    if (!err)
        err = bus_stream_list(cli->conn, add_stream, &list);
    if (err) {
        json_decref(list.rows);
        return lane_fail(cli, err);
    }
    lane_rows(cli, columns, list.rows);
    return 0;
}

static int run_info(lane_cli *cli)
{
    bus_stream_info info;
    bus_err err = lane_connect(cli);
    if (!err)
        err = bus_stream_info_get(cli->conn, lane_arg(cli, 0), &info);
    if (err)
        return lane_fail(cli, err);
    lane_object(cli, info_json(&info));
    return 0;
}

// --- view ------------------------------------------------------------------------------------------

typedef struct {
    uint64_t from, count;
    bool follow;
    const char *filter[1];
} view_opts;

static bus_err read_view_opts(const lane_cli *cli, view_opts *out)
{
    bus_err err = lane_opt_u64(cli, "from", 1, &out->from);
    if (!err)
        err = lane_opt_u64(cli, "count", UINT64_MAX, &out->count);
    out->follow = lane_has(cli, "follow");
    out->filter[0] = lane_opt(cli, "filter", NULL);
    return err;
}

static void print_gap(const lane_cli *cli, bus_seq_range gap)
{
    if (cli->json)
        lane_json_line(json_pack("{s:[I,I]}", "gone", (json_int_t)gap.first, (json_int_t)gap.last));
    else
        printf("(sequences %llu to %llu are not stored any more)\n", (unsigned long long)gap.first,
               (unsigned long long)gap.last);
}

static bus_err view(lane_cli *cli, bus_reader *reader, const view_opts *opts, uint64_t *shown)
{
    bus_scratch scratch = {0};
    bus_err err = BUS_OK;
    while (*shown < opts->count && !err && !lane_interrupted()) {
        bus_record record;
        bus_seq_range gap;
        bus_reader_result result = bus_reader_next(reader, BUS_SPAN_MS(200), &record, &gap);
        if (result == BUS_READER_RECORD) {
            (cli->json ? lane_event_line : lane_event_people)(record.seq, record.subject,
                                                              record.msg, record.payload, &scratch);
            ++*shown;
        } else if (result == BUS_READER_GAP) {
            print_gap(cli, gap);
        } else if (result == BUS_READER_ERROR) {
            err = BUS_EUNAVAILABLE;
        } else if (result == BUS_READER_CAUGHT_UP) {
            if (!opts->follow)
                break;
            err = lane_flush();
        }
        if (!err && ferror(stdout))
            err = lane_flush();
    }
    bus_scratch_release(&scratch);
    return err;
}

// A view that shows nothing says why, beside the output.
static void say_nothing(const lane_cli *cli, const view_opts *opts, const bus_seq_range *range)
{
    const char *name = lane_arg(cli, 0);
    fputs("lane streams view: ", stderr);
    if (range->last < range->first || range->last == 0)
        fprintf(stderr, "stream '%s' is empty\n", name);
    else if (opts->from > range->last)
        fprintf(stderr, "stream '%s' ends at sequence %llu: there is nothing from %llu on\n", name,
                (unsigned long long)range->last, (unsigned long long)opts->from);
    else
        fprintf(stderr, "stream '%s' holds nothing on '%s' from sequence %llu on\n", name,
                opts->filter[0] ? opts->filter[0] : ">", (unsigned long long)opts->from);
}

static int run_view(lane_cli *cli)
{
    view_opts opts;
    bus_seq_range range = {0};
    bus_reader *reader = NULL;
    uint64_t shown = 0;
    bus_err err = read_view_opts(cli, &opts);
    if (!err)
        err = lane_connect(cli);
    if (!err)
        err = bus_stream_range(cli->conn, lane_arg(cli, 0), &range);
    if (!err)
        err = bus_reader_open(&reader, cli->conn,
                              &(bus_reader_opts){.stream = lane_arg(cli, 0),
                                                 .filters = opts.filter,
                                                 .filter_count = opts.filter[0] ? 1 : 0,
                                                 .from_seq = opts.from});
    if (!err)
        err = view(cli, reader, &opts, &shown);
    if (!err && shown == 0 && opts.count && !opts.follow)
        say_nothing(cli, &opts, &range);
    bus_reader_close(reader);
    return err ? lane_fail(cli, err) : 0;
}

static const lane_option ls_options[] = {{"all", 'a', NULL, "those of buckets too"}, {0}};
static const lane_option view_options[] = {
    {"from", 0, "SEQ", "first sequence (default: 1)"},
    {"count", 'n', "N", "at most N events"},
    {"filter", 0, "SUBJECT", "only these subjects; wildcards allowed"},
    {"follow", 'f', NULL, "go on with what is recorded later"},
    {0},
};

const lane_verb lane_streams_verbs[] = {
    {"streams ls", "", 0, 0, "recorded streams", ls_options, run_ls},
    {"streams info", "NAME", 1, 1, "one stream", NULL, run_info},
    {"streams view", "NAME", 1, 1, "events of a stream, in its order", view_options, run_view},
    {0},
};
