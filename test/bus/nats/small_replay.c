#include "small_replay.h"

#include <inttypes.h>
#include <stdio.h>

#include "bus/nats/kv.h"
#include "bus/nats/readdress.h"
#include "bus/nats/stream.h"
#include "test/support/test.h"
#include "virtufin/api/v1/replay.pb-c.h"

small_replay replay;

// --- the recorded stream -----------------------------------------------------------------------------

enum { SYMBOLS = 3 };
static const char *const symbols[SYMBOLS] = {"AAA", "BBB", "CCC"};

static void record_event(int n, int symbol)
{
    uint8_t buf[1024];
    char id[32], subject[128], time[BUS_TIME_TEXT];
    bus_pack p = bus_pack_to(buf, sizeof buf);
    snprintf(id, sizeof id, "trade.%s.%d", symbols[symbol], n);
    snprintf(subject, sizeof subject, "act.exchange.sim.trade.tape.%s", symbols[symbol]);
    bus_time_format(1700000000000000000 + n * 1000000, time);
    bus_event event = {
        .id = bus_view_of(id),
        .source = BUS_VIEW("urn:com.virtufin.exchange.sim"),
        .type = BUS_VIEW("com.virtufin.exchange.sim.trade.tape"),
        .time = bus_view_of(time),
        .recordedtime = bus_view_of(time),
        .marketlane = BUS_VIEW("act"),
        .clocktype = BUS_VIEW("wall"),
        .walltime = bus_view_of(time),
        .data = BUS_VIEW("\x81\xa1p\xa3"
                         "1.5"),
    };
    test_ok(bus_event_encode(&p, &event));
    bus_header_pair h = {"Content-Type", BUS_CONTENT_MSGPACK};
    bus_msg *ack = NULL;
    test_ok(bus_request(replay.conn, subject, &h, 1, (bus_view){(const char *)buf, p.len},
                        BUS_SPAN_S(5), &ack));
    bus_msg_release(ack);
}

static bus_conn *given_a_connection(const char *name)
{
    bus_conn *out = NULL;
    bus_conn_opts opts = {.url = replay.broker.url, .name = name};
    test_ok(bus_conn_open(&out, &opts));
    test_ok(bus_conn_wait(out, BUS_SPAN_S(10)));
    return out;
}

void given_a_recorded_stream(int events)
{
    static const char *const subjects[] = {"act.>", NULL};
    test_broker_start(&replay.broker, NULL);
    replay.conn = given_a_connection("participant");
    replay.own = given_a_connection("replay");
    bus_stream_def def = {.name = "ACT", .subjects = subjects, .allow_direct = true};
    test_ok(bus_stream_ensure(replay.conn, &def, NULL));
    test_ok(bus_kv_ensure(replay.conn, &(bus_kv_def){.bucket = "replays"}));
    for (int i = 1; i <= events; i++)
        record_event(i, i % SYMBOLS);
    // something in it that is no event: a replay passes it over, and so must whoever reads back
    bus_msg *ack = NULL;
    test_ok(bus_request(replay.conn, "act.exchange.sim.trade.tape.AAA", NULL, 0, BUS_VIEW("junk"),
                        BUS_SPAN_S(5), &ack));
    bus_msg_release(ack);
}

// --- the replay --------------------------------------------------------------------------------------

void replay_write_record(const char *state, uint64_t end_seq)
{
    char text[512];
    snprintf(replay.state, sizeof replay.state, "%s", state);
    snprintf(text, sizeof text,
             "{\"runid\":\"%s\",\"replay\":\"r\",\"selector\":\"" REPLAY_SELECTOR
             "\",\"stream\":\"ACT\","
             "\"first_seq\":%" PRIu64 ",\"last_seq\":%" PRIu64
             ",\"state\":\"%s\",\"end_seq\":%" PRIu64 ",\"error\":\"as told\"}",
             replay.run, replay.first_seq, replay.last_seq, state, end_seq);
    test_ok(bus_kv_put(replay.own, "replays", REPLAY_SELECTOR, bus_view_of(text), NULL));
}

static void on_join(void *ctx, bus_call *call, const ProtobufCMessage *message)
{
    (void)ctx;
    const Virtufin__Api__V1__JoinReplayRequest *request = (const void *)message;
    Virtufin__Api__V1__JoinReplayReply reply = VIRTUFIN__API__V1__JOIN_REPLAY_REPLY__INIT;
    bus_view filters[BUS_CREDIT_FILTERS_MAX];
    for (size_t i = 0; i < request->n_filters; i++)
        filters[i] = bus_view_of(request->filters[i]);
    uint64_t done = strcmp(request->runid, replay.run) == 0 ? request->done_seq : 0;
    bus_err err = bus_credit_join(replay.credit, bus_view_of(request->participant), filters,
                                  request->n_filters, done, bus_now_mono(), &reply.base_seq);
    if (err) {
        bus_call_failed(call, err);
        return;
    }
    reply.runid = replay.run;
    reply.selector = (char *)REPLAY_SELECTOR;
    reply.stream = (char *)"ACT";
    reply.first_seq = replay.first_seq;
    reply.last_seq = replay.last_seq;
    reply.window_events = replay.window_events;
    bus_call_reply(call, &reply.base);
}

static const bus_method methods[] = {
    {"Join", &virtufin__api__v1__join_replay_request__descriptor,
     &virtufin__api__v1__join_replay_reply__descriptor, false, on_join},
    {NULL, NULL, NULL, false, NULL},
};

void replay_begin_run(uint64_t first, const char *state)
{
    bus_reader_close(replay.reader);
    bus_credit_close(replay.credit);
    replay.reader = NULL;
    replay.credit = NULL;
    bus_identity_run(replay.run);
    replay.first_seq = first;
    replay.at_end = false;
    bus_credit_opts credit = {.selector = REPLAY_SELECTOR,
                              .first_seq = first,
                              .window_events = replay.window_events,
                              .lease = BUS_SPAN_S(2)};
    test_ok(bus_credit_open(&replay.credit, &credit));
    bus_reader_opts opts = {.stream = "ACT", .from_seq = first};
    test_ok(bus_reader_open(&replay.reader, replay.own, &opts));
    replay_write_record(state, 0);
}

void given_a_replay(uint32_t window_events)
{
    bus_seq_range range;
    test_ok(bus_stream_range(replay.own, "ACT", &range));
    replay.last_seq = range.last;
    replay.window_events = window_events;
    bus_service_spec spec = {.daemon = "stored",
                             .service = "virtufin.api.v1.Replay",
                             .methods = methods,
                             .descriptors = (const uint8_t *)""};
    test_ok(bus_service_open(&replay.service, replay.own, &spec, 1));
    test_ok(bus_sub_open(&replay.done, replay.own, &(bus_sub_opts){.subject = "replay.*.done.*"}));
    replay_begin_run(1, "starting");
}

static void send_mark(void)
{
    static bus_watermark mark;
    uint8_t buf[BUS_WATERMARK_BYTES_MAX];
    char subject[BUS_SUBJECT_BUF];
    bus_lane_stamp stamp;
    bus_lane_block h;
    bus_pack p = bus_pack_to(buf, sizeof buf);
    bus_credit_watermark(replay.credit, bus_now_mono(), &mark, &stamp);
    mark.end = replay.at_end;
    mark.state = bus_view_of(replay.at_end ? "finished" : replay.state);
    bus_watermark_envelope envelope = {
        BUS_VIEW(REPLAY_SELECTOR), bus_view_of(replay.run), ++replay.marks, {0}, bus_now_wall()};
    test_ok(bus_watermark_encode(&p, &mark, &envelope));
    bus_watermark_subject(subject, BUS_VIEW(REPLAY_SELECTOR));
    test_ok(bus_lane_block_init(&h, bus_view_of(replay.run)));
    if (!replay.lose_marks)
        bus_publish_block(replay.own, bus_view_of(subject), (bus_view){0},
                          bus_lane_block_of(&h, &stamp), (bus_view){(const char *)buf, p.len});
}

static void take_done(void)
{
    bus_msg *msg;
    while ((msg = bus_sub_next(replay.done, (bus_span){0}))) {
        bus_view run, name;
        uint64_t seq = 0;
        bool leave = false;
        test_ok(bus_done_subject_read(bus_msg_subject(msg), &run, &name));
        test_ok(bus_done_parse(bus_msg_payload(msg), &seq, &leave));
        if (bus_view_is(run, replay.run) && leave)
            bus_credit_leave(replay.credit, name);
        else if (bus_view_is(run, replay.run))
            bus_credit_done(replay.credit, name, seq, bus_now_mono());
        bus_msg_release(msg);
    }
}

static bool send_next(void)
{
    static bus_record record;
    static bool have;
    static char run[BUS_UUID_TEXT];
    static uint8_t buf[BUS_READDRESS_BUF];
    static bus_scratch scratch;
    char subject[BUS_SUBJECT_BUF];
    bus_seq_range gap;
    if (strcmp(run, replay.run) != 0)
        have = false;
    snprintf(run, sizeof run, "%s", replay.run);
    if (!have)
        have = bus_reader_next(replay.reader, BUS_SPAN_MS(1), &record, &gap) == BUS_READER_RECORD;
    if (!have)
        return false;
    bus_pack p = bus_pack_to(buf, sizeof buf);
    bus_readdress_to to = {BUS_VIEW(REPLAY_SELECTOR), bus_view_of(replay.run), bus_now_wall(),
                           NULL};
    bus_lane_stamp stamp;
    bus_lane_block h;
    if (bus_readdress_record(&p, subject, &record, &to, &scratch, NULL) == BUS_OK) {
        if (!bus_credit_may_send(replay.credit, p.len))
            return false;
        test_ok(bus_credit_send(replay.credit, record.seq, bus_view_of(subject), p.len, &stamp));
        test_ok(bus_lane_block_init(&h, bus_view_of(replay.run)));
        if (record.seq < replay.lose_from || record.seq > replay.lose_to)
            bus_publish_block(replay.own, bus_view_of(subject), (bus_view){0},
                              bus_lane_block_of(&h, &stamp), (bus_view){(const char *)buf, p.len});
    } else {
        bus_credit_reach(replay.credit, record.seq);
    }
    have = false;
    return true;
}

void replay_pump(int events)
{
    bus_service_poll(replay.service);
    take_done();
    bus_credit_lapse(replay.credit, bus_now_mono(), NULL, NULL);
    for (int i = 0; i < events && bus_credit_position(replay.credit) < replay.last_seq; i++) {
        if (!send_next())
            break;
        if (bus_credit_watermark_due(replay.credit, bus_now_mono()))
            send_mark();
    }
    if (bus_credit_position(replay.credit) >= replay.last_seq && !replay.at_end) {
        replay.at_end = true;
        bus_credit_stopped(replay.credit);
    }
    if (bus_credit_watermark_due(replay.credit, bus_now_mono()))
        send_mark();
}

void replay_play_up_to(uint64_t events)
{
    for (int i = 0; i < 20000 && bus_credit_sent(replay.credit) < events; i++)
        replay_pump(8);
    cr_assert(bus_credit_sent(replay.credit) >= events);
    test_ok(bus_conn_flush(replay.own, BUS_SPAN_S(5)));
}

void replay_close(void)
{
    bus_service_close(replay.service);
    bus_sub_close(replay.done);
    bus_reader_close(replay.reader);
    bus_credit_close(replay.credit);
    bus_conn_close(replay.own);
    bus_conn_close(replay.conn);
    test_broker_stop(&replay.broker);
}
