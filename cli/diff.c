// lane diff: did two scenarios decide the same? Source: schemas/specs/cli.md, "lane diff".
#include <string.h>

#include "bus/lane/lane.h"
#include "cli/session.h"
#include "cli/side.h"
#include "cli/verbs.h"

enum {
    NO_ANSWER = 2, // 1 says "different", so whatever failed must not
    END_MS = 5000, // a replay is over a little before its last participant has written so
};

typedef struct {
    lane_side *side[2];
    uint64_t start, done; // both sides have finished what lies between
    uint64_t compared;
} comparison;

static json_t *decision_json(const lane_decision *d)
{
    json_t *data = json_loads(d->data, JSON_DECODE_ANY, NULL);
    return json_pack("{s:s,s:s,s:s,s:o,s:s,s:I}", "causationseq", d->causationseq, "type", d->type,
                     "subject", d->subject, "data", data ? data : json_string(d->data),
                     "causationid", d->causationid, "stream_seq", (json_int_t)d->stream_seq);
}

static bool same(const lane_decision *a, const lane_decision *b)
{
    return a->seq == b->seq && strcmp(a->type, b->type) == 0 &&
           strcmp(a->subject, b->subject) == 0 && strcmp(a->data, b->data) == 0 &&
           strcmp(a->causationid, b->causationid) == 0;
}

static void print_side(const lane_cli *cli, int i, const lane_decision *d, bool end)
{
    if (end)
        printf("  %s: nothing more\n", lane_arg(cli, i));
    else
        lane_say(stdout, "  %s: sequence %s  %s  %s  %s  (cause %s)\n", lane_arg(cli, i),
                 d->causationseq, d->type, d->subject, d->data, d->causationid);
}

static void report_difference(const lane_cli *cli, const comparison *c, const lane_decision d[2],
                              const bool end[2])
{
    uint64_t seq = end[0] || (!end[1] && d[1].seq < d[0].seq) ? d[1].seq : d[0].seq;
    if (cli->json) {
        lane_json_line(json_pack("{s:b,s:I,s:I,s:o,s:o,s:I,s:I}", "equal", 0, "at",
                                 (json_int_t)c->compared, "seq", (json_int_t)seq, "a",
                                 end[0] ? json_null() : decision_json(&d[0]), "b",
                                 end[1] ? json_null() : decision_json(&d[1]), "first_seq",
                                 (json_int_t)c->start, "last_seq", (json_int_t)c->done));
        return;
    }
    printf("different at sequence %llu, after %llu equal events:\n", (unsigned long long)seq,
           (unsigned long long)c->compared);
    print_side(cli, 0, &d[0], end[0]);
    print_side(cli, 1, &d[1], end[1]);
}

static void report_equality(const lane_cli *cli, const comparison *c)
{
    if (cli->json)
        lane_json_line(json_pack("{s:b,s:I,s:I,s:I}", "equal", 1, "events", (json_int_t)c->compared,
                                 "first_seq", (json_int_t)c->start, "last_seq",
                                 (json_int_t)c->done));
    else
        printf("equal: %llu events, caused by sequences %llu to %llu\n",
               (unsigned long long)c->compared, (unsigned long long)c->start,
               (unsigned long long)c->done);
}

// The next decision on the subjects that are asked for; *end when there is none.
static bus_err next_of(const lane_cli *cli, comparison *c, int i, lane_decision *out, bool *end)
{
    const char *only = lane_opt(cli, "only", NULL);
    bus_err err;
    do
        err = lane_side_next(c->side[i], c->start, c->done, out, end);
    while (!err && !*end && only && strncmp(out->subject, "sc.", 3) == 0 &&
           !bus_subject_match(bus_view_of(only), bus_view_of(out->subject + 3)));
    return err;
}

static bus_err compare(lane_cli *cli, comparison *c, bool *equal)
{
    for (;;) {
        lane_decision d[2] = {{0}, {0}};
        bool end[2];
        for (int i = 0; i < 2; i++) {
            bus_err err = next_of(cli, c, i, &d[i], &end[i]);
            if (err)
                return err;
        }
        *equal = end[0] && end[1];
        // A typing error must not say "equal".
        if (*equal && c->compared == 0 && lane_has(cli, "only"))
            return bus_fail(BUS_ENOTFOUND, "nothing to compare: neither side has an event on '%s'",
                            lane_opt(cli, "only", ""));
        if (*equal) {
            report_equality(cli, c);
            return BUS_OK;
        }
        if (end[0] || end[1] || !same(&d[0], &d[1])) {
            report_difference(cli, c, d, end);
            return BUS_OK;
        }
        c->compared++;
    }
}

// What is equal so far says nothing of the rest.
static bus_err both_ended(lane_cli *cli, comparison *c)
{
    bus_err err = BUS_OK;
    for (int i = 0; i < 2 && !err && !lane_args_has(&cli->args, "partial"); i++) {
        err = lane_side_ended(c->side[i], BUS_SPAN_MS(END_MS));
        if (err)
            bus_note(err, "nothing to compare yet (--partial compares what is there)");
    }
    return err;
}

// The range both have finished.
static bus_err common_range(lane_cli *cli, comparison *c)
{
    uint64_t start[2], done[2];
    for (int i = 0; i < 2; i++) {
        bus_err err = lane_side_range(c->side[i], &start[i], &done[i]);
        if (err)
            return err;
    }
    c->start = start[0] > start[1] ? start[0] : start[1];
    c->done = done[0] < done[1] ? done[0] : done[1];
    if (c->done >= c->start)
        return BUS_OK;
    return bus_fail(BUS_ERANGE,
                    "nothing to compare: %s has finished sequences %llu to %llu, %s %llu to %llu",
                    lane_arg(cli, 0), (unsigned long long)start[0], (unsigned long long)done[0],
                    lane_arg(cli, 1), (unsigned long long)start[1], (unsigned long long)done[1]);
}

static bus_err open_sides(lane_cli *cli, comparison *c)
{
    int at = 0;
    const char *first = lane_args_next(&cli->args, "run", &at);
    const char *second = first ? lane_args_next(&cli->args, "run", &at) : NULL;
    const char *only = lane_opt(cli, "only", NULL);
    bus_err err = only ? bus_subject_check(bus_view_of(only), true) : BUS_OK;
    if (err)
        return bus_note(err, "--only");
    err = lane_side_open(&c->side[0], cli, lane_arg(cli, 0), first);
    if (!err)
        err = lane_side_open(&c->side[1], cli, lane_arg(cli, 1), second ? second : first);
    return err;
}

static int run_diff(lane_cli *cli)
{
    comparison c = {0};
    bool equal = false;
    bus_err err = open_sides(cli, &c);
    if (!err)
        err = both_ended(cli, &c);
    if (!err)
        err = common_range(cli, &c);
    if (!err)
        err = compare(cli, &c, &equal);
    lane_side_close(c.side[0]);
    lane_side_close(c.side[1]);
    if (err) {
        lane_fail(cli, err);
        return NO_ANSWER;
    }
    return equal ? 0 : 1;
}

static const lane_option options[] = {
    {"run", 0, "RUNID", "this run instead of the last; twice: of A and of B"},
    {"only", 0, "SUBJECT",
     "events of these subjects, written without sc.<scenario>.; wildcards allowed"},
    {"partial", 0, NULL, "compare what there is of a run that has not ended"},
    {0},
};

const lane_verb lane_diff_verbs[] = {
    {"diff", "A B", 2, 2, "did two scenarios, or exported files, decide the same?", options,
     run_diff},
    {0},
};
