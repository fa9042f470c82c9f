// replay_tool: writes a recorded market, and takes part in a replay comparing each event with the stored one.
//   replay_tool write URL FIRST COUNT
//   replay_tool check URL SELECTOR NAME [--slow-us N] [--die-after N] [--plain]
//   replay_tool follow URL SELECTOR NAME [--slow-us N]
// check ends with the run's end and prints one line of JSON; exit 1 when anything differed or was lost.
// --die-after N: stops reporting after N events but lives on (a participant that hangs).
// --plain: only watches; a loss is counted, not an error.
// follow does the same through bus/nats/participant.h, which reads back what it missed; it may start before
// the replay, and starts over at each new run.
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bus/nats/participant.h"
#include "bus/nats/reader.h"
#include "bus/nats/watermark.h"
#include "compare.h"
#include "market.h"

typedef struct {
    const char *url, *selector, *name;
    long slow_us, die_after;
    bool plain;

    bus_conn *conn;
    bus_sub *sub;
    bus_reader *reader;
    bus_record stored;
    char runid[64];
    bool have_stored;
    uint64_t events, wrong, lost, first_seq, last_seq, last_count, marks, digest, proven;
    char first_wrong[256];
    bool ended;
    char end_state[32];
} check;

static int give_up(const char *what)
{
    fprintf(stderr, "replay_tool: %s: %s\n", what, bus_err_text());
    return 1;
}

static bool join(check *c)
{
    char request[512];
    bus_header_pair json = {"Content-Type", "application/json"};
    bus_msg *reply = NULL;
    bus_view fault;
    int len = snprintf(request, sizeof request, "{\"replay\":\"%s\",\"participant\":\"%s\"}",
                       c->selector, c->name);
    for (int tries = 0; tries < 200; tries++) { // until the replay is there
        bus_err err = bus_request(c->conn, "svc.virtufin.api.v1.Replay.Join", &json, 1,
                                  (bus_view){request, (size_t)len}, BUS_SPAN_S(5), &reply);
        if (!err && !bus_msg_header(reply, "Nats-Service-Error", &fault))
            break;
        if (!err) {
            bus_fail(BUS_ENOTFOUND, "%.*s", BUS_VIEW_ARG(fault));
            bus_msg_release(reply);
            reply = NULL;
        }
        struct timespec t = {.tv_nsec = 50000000};
        nanosleep(&t, NULL);
    }
    if (!reply)
        return false;
    bus_view payload = bus_msg_payload(reply);
    json_t *answer = json_loadb(payload.ptr, payload.len, 0, NULL);
    const char *runid = json_string_value(json_object_get(answer, "runid"));
    snprintf(c->runid, sizeof c->runid, "%s", runid ? runid : "");
    json_decref(answer);
    bus_msg_release(reply);
    return *c->runid != 0;
}

// The stored record of a sequence; false when it is not there.
static bool find_stored(check *c, uint64_t seq)
{
    while (!c->have_stored || c->stored.seq < seq) {
        bus_seq_range gap;
        bus_reader_result result = bus_reader_next(c->reader, BUS_SPAN_S(10), &c->stored, &gap);
        c->have_stored = result == BUS_READER_RECORD;
        if (result == BUS_READER_CAUGHT_UP || result == BUS_READER_NOTHING)
            return false;
    }
    return c->stored.seq == seq;
}

static void take_event(check *c, const bus_msg *msg, const bus_lane_stamp *stamp)
{
    const char *why = "no such sequence in the stream";
    compare_run run = {bus_view_of(c->selector), bus_view_of(c->runid)};
    if (stamp->count != c->last_count + 1)
        c->lost += stamp->count - c->last_count - 1;
    c->last_count = stamp->count;
    bool same = find_stored(c, stamp->seq) &&
                compare_event(c->stored.subject, c->stored.payload, bus_msg_subject(msg),
                              bus_msg_payload(msg), &run, &c->digest, &why);
    if (!same && c->wrong++ == 0)
        snprintf(c->first_wrong, sizeof c->first_wrong, "sequence %" PRIu64 ": %s", stamp->seq,
                 why);
    if (c->events++ == 0)
        c->first_seq = stamp->seq;
    c->last_seq = stamp->seq;
    if (c->slow_us) {
        struct timespec t = {.tv_nsec = c->slow_us * 1000};
        nanosleep(&t, NULL);
    }
}

static void report(check *c, uint64_t seq)
{
    char subject[BUS_SUBJECT_BUF], payload[64];
    if (c->die_after && c->events >= (uint64_t)c->die_after)
        return;
    int len = bus_done_format(payload, seq, false);
    if (bus_done_subject(subject, bus_view_of(c->runid), bus_view_of(c->name)) == BUS_OK)
        bus_publish(c->conn, subject, NULL, NULL, 0, (bus_view){payload, (size_t)len});
}

static void take_watermark(check *c, const bus_msg *msg)
{
    bus_watermark mark;
    if (bus_watermark_decode(&mark, bus_msg_payload(msg))) {
        c->wrong++;
        return;
    }
    c->marks++;
    if (mark.end) {
        c->ended = !bus_view_is(mark.state, "seek");
        bus_view_copy(mark.state, c->end_state, sizeof c->end_state);
    }
    const bus_watermark_part *mine = bus_watermark_find(&mark, bus_view_of(c->name));
    if (c->plain || !mine)
        return;
    if (mine->base == 0 && mine->count != c->events)
        c->lost++; // events are before their watermark on one subscription
    else
        report(c, mark.seq);
}

static void take(check *c, bus_msg *msg)
{
    bus_lane_stamp stamp;
    bus_view run;
    bool ours = bus_lane_headers_read(msg, &stamp, &run);
    if (ours && c->plain && !*c->runid)
        bus_view_copy(run, c->runid, sizeof c->runid);
    if (ours && bus_view_is(run, c->runid)) {
        if (bus_watermark_is(bus_msg_subject(msg)))
            take_watermark(c, msg);
        else
            take_event(c, msg, &stamp);
    }
    bus_msg_release(msg);
}

static bool open_check(check *c)
{
    char subject[BUS_SUBJECT_BUF];
    snprintf(subject, sizeof subject, "hyp.%s.>", c->selector);
    c->conn = market_connect(c->url);
    bus_sub_opts all = {.subject = subject, .pending_max = 1 << 18};
    if (!c->conn || bus_sub_open(&c->sub, c->conn, &all))
        return false;
    bus_reader_opts reader = {.stream = "ACT", .from_seq = 1};
    if (bus_reader_open(&c->reader, c->conn, &reader))
        return false;
    return c->plain || join(c);
}

static int run_check(check *c)
{
    c->digest = UINT64_C(0xcbf29ce484222325);
    if (!open_check(c))
        return give_up("joining");
    fprintf(stderr, "joined run %s\n", c->runid);
    int silent_s = 0;
    while (!c->ended && silent_s < 60) {
        bus_msg *msg = bus_sub_next(c->sub, BUS_SPAN_S(1));
        silent_s = msg ? 0 : silent_s + 1;
        if (msg)
            take(c, msg);
    }
    printf("{\"runid\":\"%s\",\"events\":%" PRIu64 ",\"wrong\":%" PRIu64 ",\"lost\":%" PRIu64
           ",\"first_seq\":%" PRIu64 ",\"last_seq\":%" PRIu64 ",\"watermarks\":%" PRIu64
           ",\"digest\":\"%016" PRIx64 "\",\"end\":\"%s\",\"first_wrong\":\"%s\"}\n",
           c->runid, c->events, c->wrong, c->lost + bus_sub_lost(c->sub), c->first_seq, c->last_seq,
           c->marks, c->digest, c->end_state, c->first_wrong);
    bool good = c->ended && c->wrong == 0 && (c->plain || c->lost == 0);
    bus_reader_close(c->reader);
    bus_sub_close(c->sub);
    bus_conn_close(c->conn);
    return good ? 0 : 1;
}

// --- by the product's own participant ---------------------------------------------------------------------

static void begin_run(check *c, const char *runid)
{
    snprintf(c->runid, sizeof c->runid, "%s", runid);
    c->events = c->wrong = c->marks = c->first_seq = c->last_seq = 0;
    c->digest = UINT64_C(0xcbf29ce484222325);
    bus_reader_close(c->reader);
    c->have_stored = false;
    bus_reader_opts reader = {.stream = "ACT", .from_seq = 1};
    if (bus_reader_open(&c->reader, c->conn, &reader))
        exit(give_up("reading ACT"));
    fprintf(stderr, "joined run %s\n", c->runid);
}

static void take_record(check *c, const bus_hyp_record *record)
{
    const char *why = "no such sequence in the stream";
    compare_run run = {bus_view_of(c->selector), bus_view_of(c->runid)};
    bool same = record->seq > c->last_seq && find_stored(c, record->seq) &&
                compare_event(c->stored.subject, c->stored.payload, record->subject,
                              record->payload, &run, &c->digest, &why);
    if (!same && c->wrong++ == 0)
        snprintf(c->first_wrong, sizeof c->first_wrong, "sequence %" PRIu64 ": %s", record->seq,
                 record->seq > c->last_seq ? why : "out of order");
    if (c->events++ == 0)
        c->first_seq = record->seq;
    c->last_seq = record->seq;
    if (c->slow_us)
        nanosleep(&(struct timespec){.tv_nsec = c->slow_us * 1000}, NULL);
}

static int run_follow(check *c)
{
    bus_participant *part = NULL;
    bus_participant_opts opts = {.selector = c->selector, .name = c->name};
    c->conn = market_connect(c->url);
    if (!c->conn || bus_participant_open(&part, c->conn, &opts))
        return give_up("taking part");
    bus_hyp_record record;
    int silent_s = 0;
    bool failed = false;
    while (!c->ended && !failed && silent_s < 90) {
        bus_part_result result = bus_participant_next(part, BUS_SPAN_S(1), &record);
        silent_s = result == BUS_PART_NOTHING ? silent_s + 1 : 0;
        if (result == BUS_PART_RUN)
            begin_run(c, bus_participant_run(part));
        else if (result == BUS_PART_RECORD)
            take_record(c, &record);
        else if (result == BUS_PART_WATERMARK || result == BUS_PART_END)
            bus_participant_done(part, bus_participant_watermark(part));
        c->marks += result == BUS_PART_WATERMARK;
        c->ended = result == BUS_PART_END;
        failed = result == BUS_PART_ERROR;
    }
    printf("{\"runid\":\"%s\",\"events\":%" PRIu64 ",\"wrong\":%" PRIu64 ",\"first_seq\":%" PRIu64
           ",\"last_seq\":%" PRIu64 ",\"read_back\":%" PRIu64 ",\"digest\":\"%016" PRIx64
           "\",\"first_wrong\":\"%s\",\"error\":\"%s\"}\n",
           c->runid, c->events, c->wrong, c->first_seq, c->last_seq,
           bus_participant_read_back(part), c->digest, c->first_wrong,
           failed     ? bus_err_text()
           : c->ended ? ""
                      : "nothing for 90 s");
    bus_participant_close(part);
    bus_reader_close(c->reader);
    bus_conn_close(c->conn);
    return c->ended && c->wrong == 0 ? 0 : 1;
}

static int main_check(int argc, char **argv)
{
    check c = {.url = argv[2], .selector = argv[3], .name = argv[4]};
    for (int i = 5; i < argc; i++) {
        if (strcmp(argv[i], "--plain") == 0)
            c.plain = true;
        else if (strcmp(argv[i], "--slow-us") == 0 && i + 1 < argc)
            c.slow_us = atol(argv[++i]);
        else if (strcmp(argv[i], "--die-after") == 0 && i + 1 < argc)
            c.die_after = atol(argv[++i]);
        else
            return 2;
    }
    return strcmp(argv[1], "follow") == 0 ? run_follow(&c) : run_check(&c);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "write") == 0)
        return market_write(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10))
                   ? 0
                   : give_up("writing");
    if (argc >= 5 && (strcmp(argv[1], "check") == 0 || strcmp(argv[1], "follow") == 0))
        return main_check(argc, argv);
    fprintf(stderr,
            "usage: replay_tool write URL FIRST COUNT | check|follow URL SELECTOR NAME …\n");
    return 2;
}
