// What a participant of a replay is told: the replay's record, answers to its joins, events and watermarks of the lane, of
// any run, in any order and number, or any bytes; what it misses it reads from the recorded stream (played_stream.h).
// In a run events come in the stream's order, each once; what is proven never falls; no more is reported than was proven
// and finished, and that of the run it is in.
#include "bus/nats/participant_impl.h"
#include "played_stream.h"

enum { OPS_MAX = 300, RUNS = 3, FIRST_MAX = 8, DONE_BEFORE = 7 };

static bus_conn conn, flow;
static const char *const runs[RUNS] = {"run-a", "run-b", "run-c"};

static struct {
    bus_participant *part;
    char join_reply[128], watch[64], consumer[64];
    uint64_t delivered; // to the watch
    char run[BUS_RUNID_BUF];
    uint64_t last, proven, finished; // in this run
    bool wild;                       // a run may begin anywhere: somebody's bytes may have said so
} the;

// --- the other side -------------------------------------------------------------------------------------------

bus_err __wrap_bus_conn_open(bus_conn **out, const bus_conn_opts *opts);
bus_err __wrap_bus_conn_open(bus_conn **out, const bus_conn_opts *opts)
{
    (void)opts;
    *out = &flow;
    return BUS_OK;
}

void __wrap_bus_conn_close(bus_conn *c);
void __wrap_bus_conn_close(bus_conn *c)
{
    (void)c;
}

void __wrap_bus_conn_push(bus_conn *c);
void __wrap_bus_conn_push(bus_conn *c)
{
    (void)c;
}

int __wrap_bus_conn_fd(bus_conn *c);
int __wrap_bus_conn_fd(bus_conn *c)
{
    (void)c;
    return -1;
}

// The consumer of the watch; the recorded stream.
static bool on_request(const char *subject, bus_view payload, bus_msg **answer)
{
    static const char create[] = "$JS.API.CONSUMER.CREATE.KV_replays.";
    if (strcmp(subject, "$JS.API.STREAM.INFO.KV_replays") == 0)
        return *answer = in_words("{\"created\":\"1\",\"state\":{\"last_seq\":1}}"), true;
    if (strncmp(subject, create, sizeof create - 1) != 0)
        return stream_answer(subject, payload, answer);
    json_t *body = json_loadb(payload.ptr, payload.len, 0, NULL);
    const json_t *config = json_object_get(body, "config");
    const char *watch = json_string_value(json_object_get(config, "deliver_subject"));
    snprintf(the.consumer, sizeof the.consumer, "%s", subject + sizeof create - 1);
    snprintf(the.watch, sizeof the.watch, "%s", watch ? watch : "");
    the.delivered = 0;
    json_decref(body);
    *answer = in_words("{\"name\":\"c\",\"num_pending\":1}");
    return true;
}

static void look_at_report(const char *subject, bus_view payload)
{
    bus_view run, name;
    uint64_t seq;
    bool leave;
    demand(bus_done_subject_read(bus_view_of(subject), &run, &name) == BUS_OK);
    demand(bus_done_parse(payload, &seq, &leave) == BUS_OK);
    demand(bus_view_is(name, "p") && bus_view_is(run, bus_participant_run(the.part)));
    demand(the.wild || seq <= DONE_BEFORE ||
           (seq <= the.finished && seq <= bus_participant_watermark(the.part)));
}

static void on_published(const char *subject, const char *reply, bus_view payload)
{
    if (strncmp(subject, "replay.", 7) == 0)
        look_at_report(subject, payload);
    else if (strstr(subject, "Replay.Join"))
        snprintf(the.join_reply, sizeof the.join_reply, "%s", reply);
    else
        stream_published(subject, reply, payload);
}

// --- what comes -------------------------------------------------------------------------------------------------

static void answer_join(void)
{
    char text[512];
    uint8_t what = byte();
    bus_view reply = bus_view_of(the.join_reply), raw = {text, 0};
    if (!*the.join_reply)
        return;
    raw.len = (size_t)snprintf(text, sizeof text,
                               "{\"runid\":\"%s\",\"firstSeq\":\"%u\",\"windowEvents\":%u,"
                               "\"stream\":\"ACT\",\"baseSeq\":\"%u\"}",
                               runs[what % RUNS], byte() % FIRST_MAX, byte(), byte() % 64);
    if (what & 0x80) {
        raw = bytes_of(byte());
        the.wild = true;
    }
    deliver_to(sub_of(reply), reply, (bus_view){0},
               what & 0x40 ? BUS_VIEW("NATS/1.0\r\nNats-Service-Error-Code: 5\r\n"
                                      "Nats-Service-Error: no\r\n\r\n")
                           : (bus_view){0},
               raw);
}

static void show_record(void)
{
    static const char *const states[] = {"running",  "paused",  "finished",
                                         "finished", "stopped", "failed"};
    char text[512], place[192];
    uint8_t what = byte();
    bus_view raw = {text, 0};
    raw.len = (size_t)snprintf(
        text, sizeof text,
        "{\"runid\":\"%s\",\"stream\":\"ACT\",\"state\":\"%s\",\"first_seq\":%u,\"end_seq\":%u}",
        runs[what % RUNS], states[what / RUNS % 6], byte() % FIRST_MAX, byte() % 64);
    if (what & 0x80) {
        raw = bytes_of(byte());
        the.wild = true;
    }
    the.delivered++;
    snprintf(place, sizeof place,
             "$JS.ACK.KV_replays.%s.1.%" PRIu64 ".%" PRIu64 ".1700000000000000000.%d", the.consumer,
             the.delivered, the.delivered, what & 0x40 ? 1 : 0);
    deliver_to(sub_of(bus_view_of(the.watch)), BUS_VIEW("$KV.replays.mon"), bus_view_of(place),
               (bus_view){0}, raw);
}

static void show_event(uint8_t run)
{
    bus_lane_block block;
    bus_lane_stamp stamp = {byte() % 64, byte() % 64, byte() % 32};
    demand(bus_lane_block_init(&block, bus_view_of(runs[run % RUNS])) == BUS_OK);
    deliver_to(0, BUS_VIEW("hyp.mon.exchange.x.trade.tape.A"), (bus_view){0},
               bus_lane_block_of(&block, &stamp), BUS_VIEW("x"));
}

static void show_watermark(uint8_t run)
{
    uint8_t buf[2048], what = byte();
    bus_lane_block block;
    bus_watermark mark = {.seq = byte() % 64,
                          .sent = byte() % 32,
                          .end = what & 1,
                          .state = what & 2 ? BUS_VIEW("seek") : BUS_VIEW("finished"),
                          .part_count = what & 4 ? 0 : 1,
                          .part = {{BUS_VIEW("p"), byte() % 64, byte() % 32, byte() % 64}}};
    bus_lane_stamp stamp = {mark.seq, 0, mark.sent};
    bus_watermark_envelope envelope = {BUS_VIEW("mon"), bus_view_of(runs[run % RUNS]), 1, {1}, {1}};
    bus_pack p = bus_pack_to(buf, sizeof buf);
    demand(bus_lane_block_init(&block, bus_view_of(runs[run % RUNS])) == BUS_OK);
    demand(bus_watermark_encode(&p, &mark, &envelope) == BUS_OK);
    deliver_to(0, BUS_VIEW("hyp.mon.control.watermark"), (bus_view){0},
               bus_lane_block_of(&block, &stamp), (bus_view){(const char *)buf, p.len});
}

static void show_anything(void)
{
    bus_view headers = bytes_of(byte());
    deliver_to(byte() % 2,
               byte() & 1 ? BUS_VIEW("hyp.mon.control.watermark") : BUS_VIEW("hyp.mon.x"),
               (bus_view){0}, headers, bytes_of(byte()));
}

// --- the owner -----------------------------------------------------------------------------------------------------

static void take(void)
{
    bus_hyp_record record;
    bus_part_result result = bus_participant_next(the.part, (bus_span){0}, &record);
    if (result == BUS_PART_RUN || strcmp(the.run, bus_participant_run(the.part)) != 0) {
        snprintf(the.run, sizeof the.run, "%s", bus_participant_run(the.part));
        the.last = the.proven = the.finished = 0;
    }
    if (result == BUS_PART_RECORD) {
        demand(record.seq > the.last && record.subject.len > 8);
        demand(memcmp(record.subject.ptr, "hyp.mon.", 8) == 0);
        the.last = record.seq;
    }
    if (result == BUS_PART_ERROR)
        demand(*bus_err_text());
    uint64_t proven = bus_participant_watermark(the.part);
    demand(proven >= the.proven);
    the.proven = proven;
}

static void finish(uint8_t seq)
{
    if (seq > the.finished)
        the.finished = seq;
    bus_participant_done(the.part, seq);
}

static void step(uint8_t op)
{
    switch (op % 11) {
    case 0:
    case 1:
        take();
        break;
    case 2:
    case 3:
        show_event(op / 11);
        break;
    case 4:
        show_watermark(op / 11);
        break;
    case 5:
        show_record();
        break;
    case 6:
        answer_join();
        break;
    case 7:
        finish(byte() % 64);
        break;
    case 8:
        played.now_ns += (int64_t)(op / 11) * 100000000;
        break;
    case 9:
        played.epoch += op & 1;
        played.down = op & 2;
        break;
    default:
        show_anything();
        break;
    }
}

static void fill(void)
{
    memset(&stream, 0, sizeof stream);
    for (uint64_t seq = 1; stream.count < KEPT_MAX - 4; seq += 1 + seq % 3) {
        kept *k = &stream.msg[stream.count++];
        bus_pack p = bus_pack_to(k->payload, sizeof k->payload);
        *k = (kept){.seq = seq, .stored_ns = 1, .type = BUS_CONTENT_MSGPACK};
        snprintf(k->subject, sizeof k->subject, "act.exchange.x.trade.tape.A");
        bus_event e = {.id = BUS_VIEW("1"),
                       .source = BUS_VIEW("urn:x"),
                       .type = BUS_VIEW("t"),
                       .recordedtime = BUS_VIEW("2026-11-21T00:00:00.000000000Z")};
        demand(bus_event_encode(&p, &e) == BUS_OK);
        k->len = seq % 5 ? p.len : 3; // some are none
    }
    stream.shown = stream.count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || !play_open(data + 1, size - 1))
        return 0;
    memset(&the, 0, sizeof the);
    fill();
    play_answer = on_request;
    play_published = on_published;
    bus_participant_opts opts = {.selector = "mon",
                                 .name = "p",
                                 .resume_after = data[0] & 1 ? DONE_BEFORE : 0,
                                 .resume_run = data[0] & 1 ? runs[0] : NULL};
    demand(bus_participant_open(&the.part, &conn, &opts) == BUS_OK);
    for (int i = 0; i < OPS_MAX && input.left; i++)
        step(byte());
    take();
    if (data[0] & 2)
        bus_participant_abandon(the.part);
    else
        bus_participant_close(the.part);
    play_close();
    return 0;
}
