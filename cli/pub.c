// lane pub: one event onto a lane or a topic. Source: schemas/specs/cli.md, "lane pub".
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/event/identity.h"
#include "bus/lane/lane.h"
#include "bus/nats/registry.h"
#include "cli/session.h"
#include "cli/streams.h"
#include "cli/verbs.h"

enum { NAME_CAP = 256 };

typedef struct {
    bus_event event;
    char id[BUS_UUID_TEXT], time[BUS_TIME_TEXT], type[NAME_CAP], source[NAME_CAP];
    char *input;  // a whole event that was read
    uint8_t *buf; // data, then the encoded event
    bus_scratch scratch;
} draft;

static void name_by_lane(draft *d, bus_view subject)
{
    bus_lane lane;
    if (!bus_lane_is_lane(subject) || bus_lane_parse(&lane, subject)) {
        snprintf(d->type, NAME_CAP, "com.virtufin.lane.pub");
        snprintf(d->source, NAME_CAP, "urn:com.virtufin.lane");
    } else if (lane.kind == BUS_LANE_SC) {
        snprintf(d->type, NAME_CAP, "com.virtufin.%.*s.%.*s.%.*s", BUS_VIEW_ARG(lane.domain),
                 BUS_VIEW_ARG(lane.entity), BUS_VIEW_ARG(lane.event));
        snprintf(d->source, NAME_CAP, "urn:com.virtufin.%.*s", BUS_VIEW_ARG(lane.domain));
        d->event.scenarioid = lane.scenario;
    } else {
        snprintf(d->type, NAME_CAP, "com.virtufin.exchange.%.*s.%.*s.%.*s",
                 BUS_VIEW_ARG(lane.venue), BUS_VIEW_ARG(lane.entity), BUS_VIEW_ARG(lane.event));
        snprintf(d->source, NAME_CAP, "urn:com.virtufin.exchange.%.*s", BUS_VIEW_ARG(lane.venue));
        d->event.exchange = lane.venue;
        d->event.marketlane = lane.kind == BUS_LANE_ACT ? BUS_VIEW("act") : BUS_VIEW("hyp");
        d->event.marketselector = lane.selector;
        d->event.recordedtime = bus_view_of(d->time);
    }
}

static bus_view or_else(const lane_cli *cli, const char *option, const char *otherwise)
{
    return bus_view_of(lane_opt(cli, option, otherwise));
}

// What has an option of its own, or is said by DATA, is no extension.
static bus_err check_extension(bus_view name)
{
    static const char *const own[] = {"id", "type", "source", "subject", "time", NULL};
    for (int i = 0; own[i]; i++)
        if (bus_view_is(name, own[i]))
            return bus_fail(BUS_EUSAGE, "'%s' is no extension: --%s sets it", own[i], own[i]);
    if (bus_view_is(name, "datacontenttype"))
        return bus_fail(BUS_EUSAGE, "'datacontenttype' is no extension: DATA is JSON");
    return BUS_OK;
}

static bus_err set_extensions(const lane_cli *cli, bus_event *event, bus_pack *p)
{
    const char *pair;
    for (int at = 0; (pair = lane_args_next(&cli->args, "ext", &at));) {
        const char *equals = strchr(pair, '=');
        if (!equals || event->extra_count == BUS_EVENT_EXTRA_MAX)
            return bus_fail(BUS_EUSAGE, "--ext '%s' is not name=value, or one too many", pair);
        bus_view name = {pair, (size_t)(equals - pair)};
        bus_err err = check_extension(name);
        if (err)
            return err;
        bus_view *known = bus_event_attribute(event, name);
        size_t from = p->len;
        if (known) {
            *known = bus_view_of(equals + 1);
            continue;
        }
        bus_pack_str(p, bus_view_of(equals + 1));
        event->extra[event->extra_count++] =
            (bus_event_extra){name, {(const char *)p->buf + from, p->len - from}};
    }
    return BUS_OK;
}

static bus_err compose(const lane_cli *cli, draft *d, bus_pack *p)
{
    const char *data = lane_arg(cli, 1);
    bus_err err = bus_identity_run(d->id);
    bus_time_format(bus_now_wall().ns, d->time);
    name_by_lane(d, bus_view_of(lane_arg(cli, 0)));
    d->event.id = or_else(cli, "id", d->id);
    d->event.type = or_else(cli, "type", d->type);
    d->event.source = or_else(cli, "source", d->source);
    d->event.time = or_else(cli, "time", d->time);
    d->event.subject = or_else(cli, "subject", "");
    if (!err)
        err = set_extensions(cli, &d->event, p);
    if (!err && data) {
        size_t from = p->len;
        err = bus_pack_from_json(p, bus_view_of(data)) ? bus_note(BUS_EUSAGE, "DATA") : BUS_OK;
        d->event.data = (bus_view){(const char *)p->buf + from, p->len - from};
        d->event.datacontenttype = BUS_VIEW("application/json");
    }
    return err;
}

static bus_err read_whole(draft *d, const char *path)
{
    size_t cap = 2 * bus_event_size_max();
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    d->input = malloc(cap);
    if (!file || !d->input) {
        if (file && file != stdin)
            fclose(file);
        return bus_fail(BUS_ENOTFOUND, "--event '%s' cannot be read", path);
    }
    size_t len = fread(d->input, 1, cap, file);
    if (file != stdin)
        fclose(file);
    bus_err err =
        bus_event_decode(&d->event, (bus_view){0}, (bus_view){d->input, len}, &d->scratch);
    return err ? bus_note(err, "--event '%s'", path) : BUS_OK;
}

// --- sending -----------------------------------------------------------------------------------------

// Subjects of which the broker or a daemon makes something at once: a slip there is no event but a command.
static bus_err check_reserved(const lane_cli *cli, const char *subject)
{
    static const struct {
        const char *prefix, *what;
    } reserved[] = {
        {"$JS.",
         "commands to the broker's JetStream: `lane streams` looks, stored makes and removes"},
        {"$KV.", "the keys of buckets: lane kv put|del"},
        {"$SRV.", "questions to services: lane services"},
        {"$", "the broker's own"},
        {"_INBOX.", "answers that somebody waits for"},
        {"svc.", "calls of services: lane scenario, lane replay, lane workers make them"},
        {"replay.", "reports of who takes part in a replay: lane sub --join"},
    };
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved && !lane_has(cli, "force"); i++)
        if (strncmp(subject, reserved[i].prefix, strlen(reserved[i].prefix)) == 0)
            return bus_fail(
                BUS_EUSAGE,
                "subject '%s' is no lane or topic; on '%s…' go %s (--force does it anyway)",
                subject, reserved[i].prefix, reserved[i].what);
    return BUS_OK;
}

// The publisher's duty: the lane's grammar, and a scenario that is registered and active.
static bus_err check_gate(lane_cli *cli, const char *subject)
{
    bus_registry *registry = NULL;
    bus_err err = bus_subject_check(bus_view_of(subject), false);
    if (err || !bus_lane_is_lane(bus_view_of(subject)))
        return err;
    err = bus_registry_open(&registry, cli->conn, &(bus_registry_opts){.elevated = true});
    bus_registry_answer answer = BUS_REGISTRY_UNKNOWN;
    for (int tries = 0; tries < 100 && !err; tries++) {
        bus_registry_poll(registry);
        answer = bus_registry_allow(registry, bus_view_of(subject));
        if (answer != BUS_REGISTRY_UNKNOWN)
            break;
        err = bus_conn_denied(cli->conn, "$JS.API.STREAM.INFO.KV_scenarios", 0);
        usleep(20000);
    }
    if (!err)
        err = bus_registry_err(answer); // with the words of the last answer
    bus_registry_close(registry);
    return err;
}

static bus_err send_recorded(lane_cli *cli, const char *subject, const draft *d, bus_view payload,
                             json_t **answer)
{
    char dedup[BUS_DEDUP_TEXT];
    bus_msg *reply = NULL;
    bus_err err =
        bus_identity_dedup(dedup, sizeof dedup, d->event.runid, d->event.source, d->event.id, NULL);
    bus_header_pair headers[] = {{"Content-Type", BUS_CONTENT_MSGPACK}, {"Nats-Msg-Id", dedup}};
    if (!err)
        err = bus_request(cli->conn, subject, headers, 2, payload, cli->timeout, &reply);
    if (err)
        return err;
    bus_view text = bus_msg_payload(reply);
    json_t *ack = lane_json_parse(text);
    bus_msg_release(reply);
    const char *said =
        json_string_value(json_object_get(json_object_get(ack, "error"), "description"));
    if (!ack || said) {
        err = bus_fail(BUS_ESTATE, "subject '%s' was not stored: %s", subject,
                       said ? said : "the answer is no acknowledgement");
        json_decref(ack);
        return err;
    }
    *answer = json_pack("{s:s,s:O?,s:O?,s:b}", "subject", subject, "stream",
                        json_object_get(ack, "stream"), "seq", json_object_get(ack, "seq"),
                        "duplicate", json_is_true(json_object_get(ack, "duplicate")));
    json_decref(ack);
    return BUS_OK;
}

static bus_err send_event(lane_cli *cli, const char *subject, const draft *d, bus_view payload,
                          json_t **answer)
{
    char stream[LANE_RECORDING_CAP];
    bus_err err = lane_stream_recording(cli, subject, stream);
    if (!err && stream[0])
        return send_recorded(cli, subject, d, payload, answer);
    bus_header_pair header = {"Content-Type", BUS_CONTENT_MSGPACK};
    uint64_t denials = bus_conn_denials(cli->conn);
    if (!err)
        err = bus_publish(cli->conn, subject, NULL, &header, 1, payload);
    if (!err)
        err = bus_conn_flush(cli->conn, cli->timeout);
    if (!err)
        err = bus_conn_denied(cli->conn, subject, denials);
    if (!err)
        *answer = json_pack("{s:s,s:s}", "subject", subject, "stream", "");
    return err;
}

static bus_err publish(lane_cli *cli, draft *d, json_t **answer)
{
    const char *subject = lane_arg(cli, 0), *whole = lane_opt(cli, "event", NULL);
    size_t cap = 4 * bus_event_size_max();
    bus_err err = check_reserved(cli, subject);
    if (err)
        return err;
    d->buf = malloc(cap);
    if (!d->buf)
        return bus_fail(BUS_ENOMEM, "event buffer");
    bus_pack p = bus_pack_to(d->buf, cap);
    err = whole ? read_whole(d, whole) : compose(cli, d, &p);
    size_t from = p.len;
    if (!err)
        err = bus_event_encode(&p, &d->event);
    if (!err)
        err = lane_connect(cli);
    if (!err)
        err = check_gate(cli, subject);
    if (!err)
        err = send_event(cli, subject, d, (bus_view){(const char *)d->buf + from, p.len - from},
                         answer);
    return err;
}

static int run_pub(lane_cli *cli)
{
    draft d = {0};
    json_t *answer = NULL;
    bus_err err = publish(cli, &d, &answer);
    bus_scratch_release(&d.scratch);
    free(d.input);
    free(d.buf);
    if (err)
        return lane_fail(cli, err);
    lane_object(cli, answer);
    return 0;
}

static const lane_option options[] = {
    {"event", 0, "FILE", "a whole event in any form instead (-: stdin)"},
    {"type", 0, "TYPE", "default: what the lane says"},
    {"source", 0, "URI", "default: what the lane says"},
    {"id", 0, "ID", "default: a fresh UUID"},
    {"subject", 0, "TEXT", "what the event is about: order/17"},
    {"time", 0, "TIME", "RFC 3339 (default: now)"},
    {"ext", 0, "NAME=VALUE", "an extension; may be repeated"},
    {"force", 0, NULL, "also on subjects that are no lane or topic: $JS, $KV, _INBOX, svc, …"},
    {0},
};

const lane_verb lane_pub_verbs[] = {
    {"pub", "SUBJECT [DATA]", 1, 2, "publish an event; DATA is JSON", options, run_pub},
    {0},
};
