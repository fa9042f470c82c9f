// lane sub: events as they come; with --join as a participant of a replay.
#include <string.h>

#include "bus/lane/lane.h"
#include "bus/nats/participant.h"
#include "cli/session.h"
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
    return out->seen < out->count && !lane_interrupted();
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

// --- a plain subscriber --------------------------------------------------------------------------------

static void drain(output *out, bus_sub *sub, bus_span timeout)
{
    bus_msg *msg;
    while (wanted_more(out) && (msg = bus_sub_next(sub, timeout))) {
        show(out, 0, bus_msg_subject(msg), msg, bus_msg_payload(msg));
        bus_msg_release(msg);
        timeout = (bus_span){0};
    }
}

static bus_err watch(output *out)
{
    lane_cli *cli = out->cli;
    bus_sub *subs[SUBS_MAX] = {0};
    bus_err err = BUS_OK;
    int count = 0;
    uint64_t lost = 0;
    for (; count < cli->args.args && !err; count++) {
        err = bus_subject_check(bus_view_of(lane_arg(cli, count)), true);
        if (!err)
            err = bus_sub_open(&subs[count], cli->conn,
                               &(bus_sub_opts){.subject = lane_arg(cli, count)});
    }
    if (!err)
        err = bus_conn_flush(cli->conn, cli->timeout);
    while (!err && wanted_more(out)) {
        for (int i = 0; i < count; i++)
            drain(out, subs[i], count == 1 ? BUS_SPAN_MS(100) : BUS_SPAN_MS(10));
        fflush(stdout);
    }
    for (int i = 0; i < count; i++) {
        lost += subs[i] ? bus_sub_lost(subs[i]) : 0;
        bus_sub_close(subs[i]);
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
            fprintf(stderr, "(run %s)\n", bus_participant_run(part));
        break;
    case BUS_PART_WATERMARK:
        fflush(stdout); // what was reported done has left this process
        bus_participant_done(part, bus_participant_watermark(part));
        break;
    case BUS_PART_END:
        bus_participant_done(part, bus_participant_watermark(part));
        return false;
    case BUS_PART_ERROR:
        *err = BUS_EDATALOSS;
        return false;
    case BUS_PART_NOTHING:
        fflush(stdout);
        break;
    }
    return true;
}

static bus_err join(output *out)
{
    lane_cli *cli = out->cli;
    char selector[BUS_LANE_NAME_MAX + 1];
    bus_participant *part = NULL;
    uint64_t last = 0;
    bus_err err = selector_of(cli, selector, sizeof selector);
    if (!err)
        err = bus_participant_open(&part, cli->conn,
                                   &(bus_participant_opts){.selector = selector,
                                                           .name = lane_opt(cli, "join", ""),
                                                           .filters = cli->args.arg,
                                                           .filter_count = (size_t)cli->args.args});
    while (!err && wanted_more(out) && take_part(out, part, &last, &err))
        ;
    bus_participant_close(part);
    return err;
}

static int run_sub(lane_cli *cli)
{
    output out = {.cli = cli, .raw = lane_has(cli, "raw")};
    bus_err err = lane_opt_u64(cli, "count", UINT64_MAX, &out.count);
    if (!err)
        err = lane_connect(cli);
    if (!err)
        err = lane_has(cli, "join") ? join(&out) : watch(&out);
    bus_scratch_release(&out.scratch);
    return err ? lane_fail(cli, err) : 0;
}

static const lane_option options[] = {
    {"count", 'n', "N", "end after N events"},
    {"join", 0, "NAME", "take part in the replay under this name: nothing is lost"},
    {"raw", 0, NULL, "payloads as they are, nothing between them"},
    {0},
};

const lane_verb lane_sub_verbs[] = {
    {"sub", "SUBJECT…", 1, LANE_ARGS_MAX, "events as they come, on any lane", options, run_sub},
    {0},
};
