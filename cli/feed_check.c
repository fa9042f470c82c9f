// lane feed check: a capture through the real socket, adapter and broker, in a world of its own, and what
// came out of it. Source: schemas/specs/cli.md, "lane feed check".
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/lane/lane.h"
#include "bus/nats/reader.h"
#include "bus/nats/stream.h"
#include "cli/book_check.h"
#include "cli/check_print.h"
#include "cli/session.h"
#include "cli/verbs.h"

enum { LIST_CAP = 32 * 1024, STILL_MS = 1500, SHORT_STILL_MS = 20000 };

typedef struct {
    lane_cli *cli;
    lane_world *world;
    lane_figures *figures;
    char symbols[LIST_CAP], channels[1024];
    lane_book_check books;
    uint64_t unreadable;
    json_t *played; // simexd's status when play had ended
} check;

// --- what is in the capture: asked of simexd, which waits for exactly those streams ---------------------

static bool listed(const char *list, const char *word, size_t len)
{
    for (const char *at = list; (at = strstr(at, word)); at += len)
        if ((at == list || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
            return true;
    return false;
}

static bus_err add_word(char *list, size_t cap, const char *word)
{
    size_t at = strlen(list), len = strlen(word);
    if (listed(list, word, len))
        return BUS_OK;
    if (at + len + 2 > cap)
        return bus_fail(BUS_ELIMIT, "the capture holds too many streams");
    snprintf(list + at, cap - at, "%s%s", at ? "," : "", word);
    return BUS_OK;
}

static bus_err find_streams(check *c)
{
    json_t *status, *one;
    size_t i;
    bus_err err = lane_world_ask(c->world, "/sim/v1/status", &status);
    if (err)
        return err;
    json_array_foreach (json_object_get(status, "waiting_for"), i, one) {
        char symbol[80];
        const char *stream = json_string_value(one), *at = strchr(stream, '@');
        if (!at || (size_t)(at - stream) >= sizeof symbol)
            continue;
        snprintf(symbol, sizeof symbol, "%.*s", (int)(at - stream), stream);
        for (char *s = symbol; *s; s++)
            *s = *s >= 'a' && *s <= 'z' ? (char)(*s - 'a' + 'A') : *s;
        // "depth" alone and at 100 ms are one channel in play
        err = add_word(c->symbols, sizeof c->symbols, symbol);
        if (!err)
            err = add_word(c->channels, sizeof c->channels,
                           strcmp(at, "@depth") == 0 ? "depth@100ms" : at + 1);
        if (err)
            break;
    }
    json_decref(status);
    if (!err && !c->symbols[0])
        err = bus_fail(BUS_EINVAL, "the capture holds no market frames");
    return err;
}

// --- play ----------------------------------------------------------------------------------------------

static void show_progress(const json_t *status, bool done)
{
    uint64_t at = lane_json_u64(status, "frames_played"),
             of = lane_json_u64(status, "frames_total");
    double part = of ? (double)at / (double)of : 0;
    if (!isatty(STDERR_FILENO)) {
        fprintf(stderr, "played %llu of %llu frames\n", (unsigned long long)at,
                (unsigned long long)of);
        return;
    }
    fputs("\r\033[K[", stderr);
    for (int i = 0; i < 30; i++)
        fputc(i < (int)(part * 30) ? '#' : '-', stderr);
    fprintf(stderr, "] %llu of %llu frames%s", (unsigned long long)at, (unsigned long long)of,
            done ? "\n" : "");
}

static bus_err wait_for_end(check *c, bus_mono deadline)
{
    bool ended = false;
    for (int turn = 0; !ended; turn++) {
        json_t *status;
        bus_err err = lane_world_check(c->world);
        if (!err)
            err = lane_world_ask(c->world, "/sim/v1/status", &status);
        if (err)
            return err;
        const char *state = json_string_value(json_object_get(status, "state"));
        ended = state && strcmp(state, "ended") == 0;
        if (turn % 10 == 0 || ended)
            show_progress(status, ended);
        json_decref(c->played);
        c->played = status;
        if (lane_interrupted())
            return bus_fail(BUS_ECANCELLED, "interrupted");
        if (bus_now_mono().ns > deadline.ns)
            return bus_fail(BUS_ETIMEOUT, "play did not end within --limit: simexd is '%s'",
                            state ? state : "");
        if (!ended)
            usleep(200000);
    }
    return BUS_OK;
}

// Each frame sent becomes an event, so less than that is not all; what comes beside the frames (snapshots,
// resyncs) is there when the stream has then stood still for a while. A stream that is short and stands
// much longer will not get more: the figures then say what is missing.
static bus_err wait_until_recorded(check *c, bus_seq_range *range)
{
    uint64_t last = 0, sent = lane_json_u64(c->played, "frames_played");
    for (int still_ms = 0; still_ms < (last < sent ? SHORT_STILL_MS : STILL_MS);) {
        bus_err err = lane_world_check(c->world);
        if (!err)
            err = bus_stream_range(c->cli->conn, "ACT", range);
        if (err)
            return err;
        still_ms = range->last == last ? still_ms + 100 : 0;
        last = range->last;
        if (lane_interrupted())
            return bus_fail(BUS_ECANCELLED, "interrupted");
        usleep(100000);
    }
    return BUS_OK;
}

// --- reading what was recorded -------------------------------------------------------------------------

static void take_record(check *c, const bus_record *record, bus_scratch *scratch)
{
    bus_lane lane;
    bus_event event;
    bus_err err = bus_lane_parse(&lane, record->subject);
    if (!err)
        err = bus_msg_event(record->msg, &event, scratch);
    if (!err)
        err = lane_figures_take(c->figures, &lane, &event);
    if (!err)
        return;
    c->unreadable++;
    lane_say(stderr, "sequence %llu: %s\n", (unsigned long long)record->seq, bus_err_text());
}

static bus_err read_lane(check *c, const bus_seq_range *range)
{
    bus_reader *reader = NULL;
    bus_scratch scratch = {0};
    bus_err err = bus_reader_open(&reader, c->cli->conn,
                                  &(bus_reader_opts){.stream = "ACT", .from_seq = range->first});
    while (!err && !c->books.err && bus_reader_seq(reader) < range->last) {
        bus_record record;
        bus_seq_range gap;
        bus_reader_result result = bus_reader_next(reader, BUS_SPAN_S(5), &record, &gap);
        if (result == BUS_READER_RECORD)
            take_record(c, &record, &scratch);
        else if (result == BUS_READER_ERROR)
            err = BUS_EUNAVAILABLE;
        else
            err = bus_fail(BUS_EDATALOSS, "ACT is not whole after sequence %llu",
                           (unsigned long long)bus_reader_seq(reader));
    }
    bus_reader_close(reader);
    bus_scratch_release(&scratch);
    if (!err && c->books.err)
        err = bus_fail(c->books.err, "%s", c->books.text);
    return err;
}

// --- the report ----------------------------------------------------------------------------------------

// Frames that simexd sent and that are not on the lane: what gap events and duplicates account for.
static json_t *sent_json(const check *c)
{
    json_t *out = json_object(), *info;
    const char *symbol;
    json_object_foreach (json_object_get(c->played, "symbols"), symbol, info)
        json_object_set(out, symbol, json_object_get(info, "channels"));
    return out;
}

static uint64_t frames_sent(const check *c)
{
    uint64_t total = 0;
    const char *symbol, *channel;
    json_t *info, *count;
    json_object_foreach (json_object_get(c->played, "symbols"), symbol, info)
        json_object_foreach (json_object_get(info, "channels"), channel, count)
            if (strcmp(channel, "snapshot") != 0)
                total += (uint64_t)json_integer_value(count);
    return total;
}

static bool report(check *c)
{
    json_t *out = lane_figures_json(c->figures);
    uint64_t frames = lane_json_u64(out, "frames"), sent = frames_sent(c);
    bool ok = c->books.differences == 0 && c->unreadable == 0 && frames == sent &&
              lane_figures_faults(c->figures) == 0;
    json_object_set_new(out, "venue", json_string("binance"));
    json_object_set_new(out, "sent", sent_json(c));
    json_object_set_new(out, "frames_sent", json_integer((json_int_t)sent));
    json_object_set_new(out, "unreadable", json_integer((json_int_t)c->unreadable));
    json_object_set_new(out, "book_checks",
                        json_pack("{s:I,s:I,s:I}", "compared", (json_int_t)c->books.compared,
                                  "differences", (json_int_t)c->books.differences, "seed",
                                  (json_int_t)c->books.seed));
    json_object_set_new(out, "ok", json_boolean(ok));
    if (c->cli->json)
        lane_json_line(out);
    else
        lane_check_print(out);
    return ok;
}

// --- the verb ------------------------------------------------------------------------------------------

static bus_err build_world(check *c, const char *captures)
{
    bus_err err =
        lane_world_open(&c->world, lane_opt(c->cli, "nats-server", NULL), lane_has(c->cli, "keep"));
    c->books.world = c->world;
    if (!err)
        err = lane_world_broker(c->world);
    if (!err)
        err = lane_world_stored(c->world);
    if (!err)
        err = lane_world_simexd(c->world, captures, lane_opt(c->cli, "speed", "max"));
    if (!err)
        err = find_streams(c);
    if (!err)
        err = lane_world_feedd(c->world, c->symbols, c->channels);
    return err;
}

static bus_err connect_to_world(check *c)
{
    bus_conn_opts opts = {.url = lane_world_nats_url(c->world),
                          .name = "lane",
                          .side = BUS_SIDE_LIVE,
                          .profile = BUS_PROFILE_BULK};
    bus_err err = bus_conn_open(&c->cli->conn, &opts);
    return err ? err : bus_conn_wait(c->cli->conn, c->cli->timeout);
}

static bus_err run_check(check *c, const char *captures, bus_span limit)
{
    bus_seq_range range = {0};
    bus_mono deadline = bus_mono_add(bus_now_mono(), limit);
    bus_err err = build_world(c, captures);
    if (!err)
        err = connect_to_world(c);
    if (!err)
        err = wait_for_end(c, deadline);
    if (!err)
        err = wait_until_recorded(c, &range);
    if (!err)
        err = lane_book_check_draw(&c->books, c->played, 20);
    if (!err)
        err = lane_figures_open(&c->figures, lane_book_check_update, &c->books);
    if (!err)
        err = read_lane(c, &range);
    if (!err)
        lane_figures_each(c->figures, lane_book_check_end, &c->books);
    if (!err && c->books.err)
        err = bus_fail(c->books.err, "%s", c->books.text);
    return err;
}

// --capture may be repeated; simexd takes a list.
static bus_err capture_list(const lane_cli *cli, char *list, size_t cap)
{
    const char *one;
    list[0] = '\0';
    for (int at = 0; (one = lane_args_next(&cli->args, "capture", &at));) {
        if (access(one, R_OK) != 0)
            return bus_fail(BUS_ENOTFOUND, "capture '%s' cannot be read", one);
        bus_err err = add_word(list, cap, one);
        if (err)
            return err;
    }
    return list[0] ? BUS_OK : bus_fail(BUS_EUSAGE, "--capture FILE is missing");
}

static int run_feed_check(lane_cli *cli)
{
    char captures[LIST_CAP];
    check *c = calloc(1, sizeof *c);
    bus_span limit;
    bool ok = false;
    if (!c)
        return lane_fail(cli, bus_fail(BUS_ENOMEM, "a check"));
    c->cli = cli;
    bus_err err = strcmp(lane_arg(cli, 0), "binance") == 0
                      ? lane_opt_span(cli, "limit", "10m", &limit)
                      : bus_fail(BUS_EUSAGE, "venue '%s' is not 'binance'", lane_arg(cli, 0));
    if (!err)
        err = lane_opt_u64(cli, "seed", (uint64_t)bus_now_wall().ns % 1000000, &c->books.seed);
    if (!err)
        err = capture_list(cli, captures, sizeof captures);
    if (!err)
        err = run_check(c, captures, limit);
    if (!err)
        ok = report(c);
    int code = err ? lane_fail(cli, err) : ok ? 0 : 1;
    if (c->world && lane_has(cli, "keep"))
        fprintf(stderr, "kept: %s\n", lane_world_folder(c->world));
    lane_figures_close(c->figures);
    bus_conn_close(cli->conn);
    cli->conn = NULL;
    lane_world_close(c->world);
    json_decref(c->played);
    free(c);
    return code;
}

static const lane_option options[] = {
    {"capture", 0, "FILE", "hftbacktest collector or cryptofeed capture; may be repeated"},
    {"speed", 0, "SPEED", "of play: max, or a factor with an x (default: max)"},
    {"seed", 0, "N", "of the update ids at which books are compared (default: by the clock)"},
    {"limit", 0, "SPAN", "longest time play may take (default: 10m)"},
    {"nats-server", 0, "PROGRAM", "the broker ($TL_NATS_SERVER, else found)"},
    {"timeout", 0, "SPAN", "how long to wait for its own broker (default: $TRADELANE_TIMEOUT, 5s)"},
    {"keep", 0, NULL, "leave the folder with the logs and the send log"},
    {0},
};

const lane_verb lane_feed_verbs[] = {
    {"feed check", "VENUE", 1, 1, "a capture through socket, adapter and broker, with figures",
     options, run_feed_check},
    {0},
};
