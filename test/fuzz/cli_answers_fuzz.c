// What `lane` prints of the broker's and the services' answers, whatever they say. First byte: the verb, and whether it
// prints JSON. Text for people holds nothing that a terminal would take for more than text; JSON is a value a line.
#include <jansson.h>

#include "cli/session.h"
#include "cli/verbs.h"
#include "played_bucket.h"
#include "played_stream.h"

typedef struct {
    const lane_verb *verbs;
    const char *name;
} asked;

static const asked verbs[] = {
    {lane_doctor_verbs, "doctor"},          {lane_services_verbs, "services ls"},
    {lane_services_verbs, "services info"}, {lane_connections_verbs, "connections"},
    {lane_workers_verbs, "workers ls"},     {lane_workers_verbs, "workers info"},
    {lane_streams_verbs, "streams ls"},     {lane_streams_verbs, "streams info"},
    {lane_scenario_verbs, "scenario ls"},   {lane_scenario_verbs, "scenario get"},
    {lane_replay_verbs, "replay ls"},       {lane_replay_verbs, "replay get"},
    {lane_replay_verbs, "replay watch"},    {lane_kv_verbs, "kv ls"},
    {lane_streams_verbs, "streams view"},   {lane_scenario_verbs, "scenario create"},
};
enum { VERBS = sizeof verbs / sizeof *verbs };

static uint64_t items;

// A call that is answered by a stream gets its items; all else what a bucket or an inbox gets.
static void deliver_more(void)
{
    char headers[128];
    if (strncmp(played.subject, "svc.", 4) != 0) {
        deliver_next();
        return;
    }
    if (!input.left)
        return;
    uint8_t how = byte();
    int len = snprintf(headers, sizeof headers, "NATS/1.0\r\nLane-Stream: %" PRIu64 "\r\n%s\r\n",
                       ++items, how & 1 ? "Lane-Stream-End: 0\r\n" : "");
    deliver(BUS_VIEW("_INBOX.x"), (bus_view){0}, (bus_view){headers, (size_t)len},
            bytes_of(how >> 1));
}

// The recorded messages that `streams view` shows: a subject and bytes each.
static void fill_stream(void)
{
    memset(&stream, 0, sizeof stream);
    while (stream.count < KEPT_MAX && input.left) {
        kept *k = &stream.msg[stream.count++];
        bus_view payload = bytes_of(byte());
        *k = (kept){.seq = stream.count, .type = "", .len = payload.len};
        snprintf(k->subject, sizeof k->subject, "act.exchange.binance.trade.tape.X");
        memcpy(k->payload, payload.ptr, payload.len);
    }
    stream.shown = stream.count;
    play_published = stream_published;
    play_answer = stream_answer;
}

static void look_at_text(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        demand(*at == '\n' || (*at >= ' ' && *at != 0x7f));
        demand(*at != 0xc2 || at[1] >= 0xa0); // controls above 0x7f
    }
}

static void look_at_json(const char *text)
{
    while (*text) {
        const char *end = strchr(text, '\n');
        demand(end != NULL);
        json_t *line =
            json_loadb(text, (size_t)(end - text), JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
        demand(line != NULL);
        json_decref(line);
        text = end + 1;
    }
}

static const lane_verb *verb_of(uint8_t first)
{
    const lane_verb *verb = verbs[first % VERBS].verbs;
    while (strcmp(verb->name, verbs[first % VERBS].name) != 0)
        verb++;
    return verb;
}

typedef struct {
    FILE *file;
    char *text;
    size_t len;
} printed;

static int run(const lane_verb *verb, bool json, FILE *out, FILE *err)
{
    static bus_conn conn;
    static char *words[] = {"--strategy", "sma", "ACT"};
    FILE *before[] = {stdout, stderr};
    lane_cli cli = {.conn = &conn, .timeout = BUS_SPAN_S(1), .json = json};
    bool create = strcmp(verb->name, "scenario create") == 0;
    int skip = create ? 0 : 2, count = create ? 3 : verb->args_min > 0;
    demand(lane_args_read(&cli.args, verb, count, words + skip) == BUS_OK);
    stdout = out;
    stderr = err;
    int code = verb->run(&cli);
    stdout = before[0];
    stderr = before[1];
    return code;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return setenv("HOME", "/nonexistent", 1) || setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    printed out[2] = {0}; // stdout, stderr
    if (size < 2 || !play_open(data + 1, size - 1))
        return 0;
    bool json = data[0] & 0x80;
    if (strcmp(verb_of(data[0] & 0x7f)->name, "streams view") == 0)
        fill_stream();
    else
        play_more = deliver_more;
    bucket.consumer[0] = '\0';
    items = 0;
    for (int i = 0; i < 2; i++)
        demand((out[i].file = open_memstream(&out[i].text, &out[i].len)) != NULL);
    int code = run(verb_of(data[0] & 0x7f), json, out[0].file, out[1].file);
    demand(code >= 0 && code <= 2);
    for (int i = 0; i < 2; i++)
        demand(fclose(out[i].file) == 0 && strlen(out[i].text) == out[i].len);
    demand(code == 0 || out[0].len || out[1].len);
    if (json)
        look_at_json(out[0].text);
    else
        look_at_text(out[0].text);
    look_at_text(out[1].text);
    free(out[0].text);
    free(out[1].text);
    play_close();
    return 0;
}
