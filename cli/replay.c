// lane replay: replays, through their service. Source: schemas/specs/replay.md.
#include <ctype.h>
#include <string.h>
#include <unistd.h>

#include "bus/lane/lane.h"
#include "cli/call.h"
#include "cli/verbs.h"
#include "virtufin/api/v1/replay.pb-c.h"

#define SERVICE "virtufin.api.v1.Replay"
#define RPC(method_, request_)                                                                     \
    {                                                                                              \
        SERVICE, method_, &virtufin__api__v1__##request_##__descriptor,                            \
            &virtufin__api__v1__replay_info__descriptor                                            \
    }

// --- watching ----------------------------------------------------------------------------------------

static bool has_ended(const json_t *info)
{
    const char *state = lane_json_text(info, "state");
    return strcmp(state, "finished") == 0 || strcmp(state, "stopped") == 0 ||
           strcmp(state, "failed") == 0;
}

static double part_done(const json_t *info)
{
    uint64_t first = lane_json_u64(info, "firstSeq"), last = lane_json_u64(info, "lastSeq");
    uint64_t at = lane_json_u64(info, "position");
    if (last < first || at < first)
        return 0;
    return at < last ? ((double)(at - first) + 1) / ((double)(last - first) + 1) : 1;
}

static void print_bar(const json_t *info)
{
    enum { WIDTH = 30 };
    int full = (int)(part_done(info) * WIDTH);
    fputs("\r\033[K", stdout);
    lane_say(stdout, "%s [", lane_json_text(info, "selector"));
    for (int i = 0; i < WIDTH; i++)
        fputs(i < full ? "#" : "-", stdout);
    lane_say(stdout, "] %3.0f%%  %llu events  %.0f/s  %s %s", part_done(info) * 100,
             (unsigned long long)lane_json_u64(info, "sent"),
             json_number_value(json_object_get(info, "eventsPerS")), lane_json_text(info, "state"),
             lane_json_text(info, "slowest"));
}

// Whom play waits for: those that have not joined, else who is furthest behind.
static void print_waits(const json_t *info)
{
    size_t i;
    const json_t *name;
    json_array_foreach (json_object_get(info, "awaited"), i, name)
        lane_say(stdout, "%s%s", i ? ", " : ", waits for ", json_string_value(name));
    if (i == 0 && *lane_json_text(info, "slowest"))
        lane_say(stdout, ", waits for %s", lane_json_text(info, "slowest"));
}

// The position before the first event is the one before the range: for people, none.
static void print_line(const json_t *info)
{
    uint64_t at = lane_json_u64(info, "position"), first = lane_json_u64(info, "firstSeq");
    char position[24] = "none";
    if (at >= first)
        snprintf(position, sizeof position, "%llu", (unsigned long long)at);
    lane_say(stdout, "%s %s: %s of %llu..%llu, %llu events, %.0f/s",
             lane_json_text(info, "selector"), lane_json_text(info, "state"), position,
             (unsigned long long)first, (unsigned long long)lane_json_u64(info, "lastSeq"),
             (unsigned long long)lane_json_u64(info, "sent"),
             json_number_value(json_object_get(info, "eventsPerS")));
    if (lane_json_u64(info, "skipped"))
        printf(", %llu passed over", (unsigned long long)lane_json_u64(info, "skipped"));
    if (lane_json_u64(info, "missing"))
        printf(", %llu not stored any more", (unsigned long long)lane_json_u64(info, "missing"));
    if (!has_ended(info))
        print_waits(info);
    lane_say(stdout, "%s%s\n", *lane_json_text(info, "message") ? ": " : "",
             lane_json_text(info, "message"));
}

// What a line says, but for the rate.
static bool says_the_same(const json_t *info, const json_t *last)
{
    static const char *const said[] = {"state",   "position", "sent",
                                       "awaited", "slowest",  "message"};
    bool same = last != NULL;
    for (size_t i = 0; i < sizeof said / sizeof *said && same; i++) {
        const json_t *now = json_object_get(info, said[i]), *then = json_object_get(last, said[i]);
        same = now == then || json_equal(now, then);
    }
    return same;
}

static void show_progress(const lane_cli *cli, const json_t *info, const json_t *last)
{
    if (cli->json) {
        lane_json_line(json_deep_copy(info));
    } else if (isatty(STDOUT_FILENO)) {
        print_bar(info);
        if (has_ended(info)) {
            putchar('\n');
            print_line(info);
        }
    } else if (!says_the_same(info, last)) {
        print_line(info);
    }
    fflush(stdout);
}

// Follows the replay of a selector to its end, or to an interrupt. *last: its last state.
static bus_err follow(lane_cli *cli, const char *selector, json_t **last)
{
    ProtobufCMessage *request = NULL, *item = NULL;
    bus_stream_call *call = NULL;
    bool ended = false;
    int interval = isatty(STDOUT_FILENO) ? 100 : 1000;
    bus_err err =
        lane_json_proto(&request, &virtufin__api__v1__watch_replay_request__descriptor,
                        json_pack("{s:s,s:i}", "selector", selector, "interval_ms", interval));
    if (!err)
        err = bus_stream_call_open(&call, cli->conn, SERVICE, "Watch", request,
                                   &virtufin__api__v1__replay_info__descriptor, (bus_wake){0});
    while (!err && !ended && !lane_interrupted()) {
        err = bus_stream_call_next(call, BUS_SPAN_MS(200), &item, &ended);
        if (!item)
            continue;
        json_t *info = lane_proto_json(item);
        protobuf_c_message_free_unpacked(item, NULL);
        item = NULL;
        if (!info)
            continue;
        show_progress(cli, info, *last);
        json_decref(*last);
        *last = info;
        if (has_ended(info))
            break;
    }
    bus_stream_call_close(call);
    if (request)
        protobuf_c_message_free_unpacked(request, NULL);
    return err;
}

static int follow_to_end(lane_cli *cli, const char *selector)
{
    json_t *last = NULL;
    bus_err err = lane_connect(cli);
    if (!err)
        err = follow(cli, selector, &last);
    int code = err ? lane_fail(cli, err) : 0;
    if (!err && last && has_ended(last) && strcmp(lane_json_text(last, "state"), "finished") != 0) {
        const char *why = lane_json_text(last, "message");
        lane_say(stderr, "lane %s: the replay on '%s' %s at sequence %llu%s%s\n",
                 cli->args.verb->name, selector, lane_json_text(last, "state"),
                 (unsigned long long)lane_json_u64(last, "position"), *why ? ": " : "", why);
        code = 1;
    }
    json_decref(last);
    return code;
}

static const double MAX_EXACT = 9007199254740992; // 2^53

// What a call answers. For people without what says nothing: a code of no error, digits nobody measures.
static int show_info(const lane_cli *cli, json_t *info)
{
    const json_t *rate = json_object_get(info, "eventsPerS");
    double n = json_number_value(rate);
    if (!cli->json && json_is_number(rate) && n >= 0 && n < MAX_EXACT) // else: as it came
        json_object_set_new(info, "eventsPerS", json_integer((json_int_t)(n + 0.5)));
    if (!cli->json && lane_json_u64(info, "error") == 0)
        json_object_del(info, "error");
    lane_object(cli, info);
    return 0;
}

// What the service does not take was typed.
static bus_err call(lane_cli *cli, const lane_rpc *rpc, json_t *request, json_t **info)
{
    bus_err err = lane_call(cli, rpc, request, info);
    return err == BUS_EINVAL ? BUS_EUSAGE : err;
}

static int call_and_show(lane_cli *cli, const lane_rpc *rpc, json_t *request)
{
    json_t *info = NULL;
    bus_err err = call(cli, rpc, request, &info);
    return err ? lane_fail(cli, err) : show_info(cli, info);
}

// --- starting ----------------------------------------------------------------------------------------

// A range's end is a sequence, or a time. `what` names it to who typed it.
static bus_err set_point(json_t *request, const char *what, const char *value, const char *seq,
                         const char *time)
{
    uint64_t number;
    int64_t ns;
    if (value && bus_view_u64(bus_view_of(value), &number))
        json_object_set_new(request, seq, json_string(value));
    else if (value && bus_time_parse(bus_view_of(value), &ns))
        return bus_fail(BUS_EUSAGE, "%s '%s' is neither a sequence nor a time (RFC 3339)", what,
                        value);
    else if (value)
        json_object_set_new(request, time, json_string(value));
    return BUS_OK;
}

// "max", or a factor with an x that is not 0; the service knows its range.
static bus_err check_speed(const char *value)
{
    const char *digit = value;
    bool point = false, some = false;
    if (strcmp(value, "max") == 0)
        return BUS_OK;
    for (; isdigit((unsigned char)*digit) || (*digit == '.' && !point); digit++) {
        point |= *digit == '.';
        some |= *digit > '0';
    }
    return some && strcmp(digit, "x") == 0
               ? BUS_OK
               : bus_fail(BUS_EUSAGE, "speed '%s' is neither max nor a factor such as 1x, 0.5x",
                          value);
}

static bus_err check_selector(const char *value)
{
    return bus_lane_check_selector(bus_view_of(value), "selector") ? BUS_EUSAGE : BUS_OK;
}

static bus_err start_request(const lane_cli *cli, json_t **out)
{
    const char *scenario, *stream = lane_arg(cli, 0);
    json_t *scenarios = json_array();
    for (int at = 0; (scenario = lane_args_next(&cli->args, "scenario", &at));)
        json_array_append_new(scenarios, json_string(scenario));
    bus_span join = {0};
    json_t *request =
        json_pack("{s:s,s:s,s:o,s:s,s:b}", "stream", stream ? stream : "ACT", "selector",
                  lane_opt(cli, "selector", ""), "scenarios", scenarios, "speed",
                  lane_opt(cli, "speed", "max"), "paused", lane_has(cli, "paused"));
    *out = request;
    bus_err err = lane_opt_span(cli, "join-timeout", "0", &join);
    json_object_set_new(request, "join_timeout_ms", json_integer(join.ns / 1000000));
    if (!err)
        err = check_selector(lane_opt(cli, "selector", ""));
    if (!err)
        err = check_speed(lane_opt(cli, "speed", "max"));
    if (!err)
        err = set_point(request, "--from", lane_opt(cli, "from", NULL), "from_seq", "from_time");
    if (!err)
        err = set_point(request, "--to", lane_opt(cli, "to", NULL), "to_seq", "to_time");
    return err;
}

static int run_start(lane_cli *cli)
{
    static const lane_rpc rpc = RPC("Start", start_replay_request);
    const char *selector = lane_opt(cli, "selector", NULL);
    json_t *reply = NULL, *request;
    if (!selector)
        return lane_fail(cli, bus_fail(BUS_EUSAGE, "--selector is missing: hyp.<selector>.…"));
    bus_err err = start_request(cli, &request);
    if (err) {
        json_decref(request);
        return lane_fail(cli, err);
    }
    err = call(cli, &rpc, request, &reply);
    if (err)
        return lane_fail(cli, err);
    if (lane_has(cli, "wait")) {
        json_decref(reply);
        return follow_to_end(cli, selector);
    }
    return show_info(cli, reply);
}

// --- the rest ----------------------------------------------------------------------------------------

static json_t *selector_request(const lane_cli *cli)
{
    return json_pack("{s:s}", "selector", lane_arg(cli, 0));
}

static int run_pause(lane_cli *cli)
{
    static const lane_rpc rpc = RPC("Pause", pause_replay_request);
    return call_and_show(cli, &rpc, selector_request(cli));
}

static int run_resume(lane_cli *cli)
{
    static const lane_rpc rpc = RPC("Resume", resume_replay_request);
    return call_and_show(cli, &rpc, selector_request(cli));
}

static int run_step(lane_cli *cli)
{
    static const lane_rpc rpc = RPC("Step", step_replay_request);
    const char *count = lane_arg(cli, 1);
    uint64_t number;
    if (count && !bus_view_u64(bus_view_of(count), &number))
        return lane_fail(cli, bus_fail(BUS_EUSAGE, "'%s' is not a whole number of events", count));
    json_t *request = selector_request(cli);
    json_object_set_new(request, "count", json_string(count ? count : "1"));
    return call_and_show(cli, &rpc, request);
}

static int run_seek(lane_cli *cli)
{
    static const lane_rpc rpc = RPC("Seek", seek_replay_request);
    json_t *request = selector_request(cli);
    bus_err err = set_point(request, "target", lane_arg(cli, 1), "seq", "time");
    if (err) {
        json_decref(request);
        return lane_fail(cli, err);
    }
    return call_and_show(cli, &rpc, request);
}

static int run_speed(lane_cli *cli)
{
    static const lane_rpc rpc = RPC("SetSpeed", set_replay_speed_request);
    bus_err err = check_speed(lane_arg(cli, 1));
    if (err)
        return lane_fail(cli, err);
    json_t *request = selector_request(cli);
    json_object_set_new(request, "speed", json_string(lane_arg(cli, 1)));
    return call_and_show(cli, &rpc, request);
}

static int run_stop(lane_cli *cli)
{
    static const lane_rpc rpc = RPC("Stop", stop_replay_request);
    return call_and_show(cli, &rpc, selector_request(cli));
}

static int run_get(lane_cli *cli)
{
    static const lane_rpc rpc = RPC("Get", get_replay_request);
    return call_and_show(cli, &rpc, selector_request(cli));
}

static int run_ls(lane_cli *cli)
{
    static const lane_rpc rpc = {SERVICE, "List",
                                 &virtufin__api__v1__list_replays_request__descriptor,
                                 &virtufin__api__v1__list_replays_reply__descriptor};
    static const lane_column columns[] = {
        {"SELECTOR", "selector"}, {"STATE", "state"},
        {"STREAM", "stream"},     {"SPEED", "speed"},
        {"FIRST", "firstSeq"},    {"LAST", "lastSeq"},
        {"AT", "position"},       {"SENT", "sent"},
        {"RUN", "runid"},         {0},
    };
    json_t *reply = NULL;
    bus_err err = lane_call(cli, &rpc, json_object(), &reply);
    if (err)
        return lane_fail(cli, err);
    json_t *rows = json_object_get(reply, "replays");
    lane_rows(cli, columns, rows ? json_incref(rows) : json_array());
    json_decref(reply);
    return 0;
}

static int run_watch(lane_cli *cli)
{
    return follow_to_end(cli, lane_arg(cli, 0));
}

static const lane_option start_options[] = {
    {"selector", 0, "S", "the hypothetical market: hyp.S.exchange.…; required"},
    {"scenario", 0, "ID", "play begins when its runtime has joined; may be repeated"},
    {"speed", 0, "SPEED", "max, or a factor: 1x, 10x, 0.1x (default: max)"},
    {"from", 0, "SEQ|TIME", "first sequence or recorded time (default: where LIVE began)"},
    {"to", 0, "SEQ|TIME", "last one (default: the last recorded now)"},
    {"paused", 0, NULL, "begin paused, to step through it"},
    {"join-timeout", 0, "SPAN", "how long to wait for the scenarios (default: 10s)"},
    {"wait", 'w', NULL, "stay to the end and show progress"},
    {0},
};

const lane_verb lane_replay_verbs[] = {
    {"replay start", "[STREAM]", 0, 1, "send a recorded stream again on hyp.<selector>",
     start_options, run_start},
    {"replay pause", "SELECTOR", 1, 1, "hold it where it is", NULL, run_pause},
    {"replay resume", "SELECTOR", 1, 1, "let it go on", NULL, run_resume},
    {"replay step", "SELECTOR [N]", 1, 2, "send the next N recorded events of a paused one", NULL,
     run_step},
    {"replay seek", "SELECTOR SEQ|TIME", 2, 2, "go to a sequence or a recorded time: a new run",
     NULL, run_seek},
    {"replay speed", "SELECTOR SPEED", 2, 2, "max, or a factor with an x", NULL, run_speed},
    {"replay stop", "SELECTOR", 1, 1, "end it", NULL, run_stop},
    {"replay get", "SELECTOR", 1, 1, "the running one, else the last", NULL, run_get},
    {"replay ls", "", 0, 0, "the replays of all selectors", NULL, run_ls},
    {"replay watch", "SELECTOR", 1, 1, "follow it to its end", NULL, run_watch},
    {0},
};
