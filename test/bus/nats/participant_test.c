// A participant against a real broker and a small replay made of the same parts as the real one: events
// are read from the recorded stream, re-addressed, and sent under credit.
#include "bus/nats/participant.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bus/event/identity.h"
#include "bus/nats/credit.h"
#include "bus/nats/kv.h"
#include "bus/nats/readdress.h"
#include "bus/nats/service.h"
#include "bus/nats/stream.h"
#include "test/support/broker.h"
#include "test/support/test.h"
#include "virtufin/api/v1/replay.pb-c.h"

#define SELECTOR "mon"

static test_broker broker;
static bus_conn *conn, *replay_conn;

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
    test_ok(bus_request(conn, subject, &h, 1, (bus_view){(const char *)buf, p.len}, BUS_SPAN_S(5),
                        &ack));
    bus_msg_release(ack);
}

static bus_conn *given_a_connection(const char *name)
{
    bus_conn *out = NULL;
    bus_conn_opts opts = {.url = broker.url, .name = name};
    test_ok(bus_conn_open(&out, &opts));
    test_ok(bus_conn_wait(out, BUS_SPAN_S(10)));
    return out;
}

static void given_a_recorded_stream(int events)
{
    static const char *const subjects[] = {"act.>", NULL};
    test_broker_start(&broker, NULL);
    conn = given_a_connection("participant");
    replay_conn = given_a_connection("replay");
    bus_stream_def def = {.name = "ACT", .subjects = subjects, .allow_direct = true};
    test_ok(bus_stream_ensure(conn, &def, NULL));
    test_ok(bus_kv_ensure(conn, &(bus_kv_def){.bucket = "replays"}));
    for (int i = 1; i <= events; i++)
        record_event(i, i % SYMBOLS);
    // something in it that is no event: a replay passes it over, and so must whoever reads back
    bus_msg *ack = NULL;
    test_ok(bus_request(conn, "act.exchange.sim.trade.tape.AAA", NULL, 0, BUS_VIEW("junk"),
                        BUS_SPAN_S(5), &ack));
    bus_msg_release(ack);
}

// --- the replay --------------------------------------------------------------------------------------

static struct {
    char run[BUS_UUID_TEXT], state[16];
    uint64_t first_seq, last_seq, marks;
    bus_credit *credit;
    bus_service *service;
    bus_sub *done;
    bus_reader *reader;
    uint32_t window_events;
    uint64_t lose_from, lose_to; // sequences that are not published
    bool lose_marks, at_end;
} replay;

static void write_record(const char *state, uint64_t end_seq)
{
    char text[512];
    snprintf(replay.state, sizeof replay.state, "%s", state);
    snprintf(text, sizeof text,
             "{\"runid\":\"%s\",\"replay\":\"r\",\"selector\":\"" SELECTOR "\",\"stream\":\"ACT\","
             "\"first_seq\":%" PRIu64 ",\"last_seq\":%" PRIu64
             ",\"state\":\"%s\",\"end_seq\":%" PRIu64 ",\"error\":\"as told\"}",
             replay.run, replay.first_seq, replay.last_seq, state, end_seq);
    test_ok(bus_kv_put(replay_conn, "replays", SELECTOR, bus_view_of(text), NULL));
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
    reply.selector = (char *)SELECTOR;
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

static void begin_run(uint64_t first, const char *state)
{
    bus_reader_close(replay.reader);
    bus_credit_close(replay.credit);
    replay.reader = NULL;
    replay.credit = NULL;
    bus_identity_run(replay.run);
    replay.first_seq = first;
    replay.at_end = false;
    bus_credit_opts credit = {.selector = SELECTOR,
                              .first_seq = first,
                              .window_events = replay.window_events,
                              .lease = BUS_SPAN_S(2)};
    test_ok(bus_credit_open(&replay.credit, &credit));
    bus_reader_opts opts = {.stream = "ACT", .from_seq = first};
    test_ok(bus_reader_open(&replay.reader, replay_conn, &opts));
    write_record(state, 0);
}

static void given_a_replay(uint32_t window_events)
{
    bus_seq_range range;
    test_ok(bus_stream_range(replay_conn, "ACT", &range));
    replay.last_seq = range.last;
    replay.window_events = window_events;
    bus_service_spec spec = {.daemon = "stored",
                             .service = "virtufin.api.v1.Replay",
                             .methods = methods,
                             .descriptors = (const uint8_t *)""};
    test_ok(bus_service_open(&replay.service, replay_conn, &spec, 1));
    test_ok(bus_sub_open(&replay.done, replay_conn, &(bus_sub_opts){.subject = "replay.*.done.*"}));
    begin_run(1, "starting");
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
        BUS_VIEW(SELECTOR), bus_view_of(replay.run), ++replay.marks, {0}, bus_now_wall()};
    test_ok(bus_watermark_encode(&p, &mark, &envelope));
    bus_watermark_subject(subject, BUS_VIEW(SELECTOR));
    test_ok(bus_lane_block_init(&h, bus_view_of(replay.run)));
    if (!replay.lose_marks)
        bus_publish_block(replay_conn, bus_view_of(subject), (bus_view){0},
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
    bus_readdress_to to = {BUS_VIEW(SELECTOR), bus_view_of(replay.run), bus_now_wall(), NULL};
    bus_lane_stamp stamp;
    bus_lane_block h;
    if (bus_readdress_record(&p, subject, &record, &to, &scratch, NULL) == BUS_OK) {
        if (!bus_credit_may_send(replay.credit, p.len))
            return false;
        test_ok(bus_credit_send(replay.credit, record.seq, bus_view_of(subject), p.len, &stamp));
        test_ok(bus_lane_block_init(&h, bus_view_of(replay.run)));
        if (record.seq < replay.lose_from || record.seq > replay.lose_to)
            bus_publish_block(replay_conn, bus_view_of(subject), (bus_view){0},
                              bus_lane_block_of(&h, &stamp), (bus_view){(const char *)buf, p.len});
    } else {
        bus_credit_reach(replay.credit, record.seq);
    }
    have = false;
    return true;
}

static void pump(int events)
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

// With nobody taking part yet.
static void play_up_to(uint64_t events)
{
    for (int i = 0; i < 20000 && bus_credit_sent(replay.credit) < events; i++)
        pump(8);
    cr_assert(bus_credit_sent(replay.credit) >= events);
    test_ok(bus_conn_flush(replay_conn, BUS_SPAN_S(5)));
}

static void done(void)
{
    bus_service_close(replay.service);
    bus_sub_close(replay.done);
    bus_reader_close(replay.reader);
    bus_credit_close(replay.credit);
    bus_conn_close(replay_conn);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

TestSuite(participant, .fini = done, .timeout = 90);

// --- the participant ---------------------------------------------------------------------------------

typedef struct {
    bus_participant *part;
    uint64_t last, events, runs, ends, marks;
    bool slow;
} taker;

static void given_a_participant(taker *t, const char *filter)
{
    const char *filters[] = {filter};
    bus_participant_opts opts = {
        .selector = SELECTOR, .name = "p", .filters = filters, .filter_count = filter ? 1 : 0};
    *t = (taker){0};
    test_ok(bus_participant_open(&t->part, conn, &opts));
}

static void check_record(const taker *t, const bus_hyp_record *record)
{
    bus_event event;
    test_ok(bus_event_decode_msgpack(&event, record->payload));
    cr_assert(bus_view_is(event.marketlane, "hyp") && bus_view_is(event.clocktype, "historical"));
    cr_assert(bus_view_is(event.marketselector, SELECTOR));
    cr_assert(bus_view_is(event.runid, bus_participant_run(t->part)));
    const char *dot = memrchr(event.id.ptr, '.', event.id.len);
    uint64_t n = 0;
    bus_view_u64((bus_view){dot + 1, (size_t)(event.id.ptr + event.id.len - dot - 1)}, &n);
    cr_assert_eq(n, record->seq, "event %" PRIu64 " at sequence %" PRIu64, n, record->seq);
    cr_assert(record->seq > t->last, "%" PRIu64 " after %" PRIu64, record->seq, t->last);
}

static bus_part_result take(taker *t)
{
    bus_hyp_record record;
    bus_part_result r = bus_participant_next(t->part, (bus_span){0}, &record);
    switch (r) {
    case BUS_PART_RECORD:
        check_record(t, &record);
        t->last = record.seq;
        t->events++;
        bus_participant_done(t->part, record.seq);
        break;
    case BUS_PART_RUN:
        t->runs++;
        t->last = t->events = 0;
        break;
    case BUS_PART_WATERMARK:
        t->marks++;
        bus_participant_done(t->part, bus_participant_watermark(t->part));
        break;
    case BUS_PART_END:
        t->ends++;
        break;
    case BUS_PART_ERROR:
    case BUS_PART_NOTHING:
        break;
    }
    return r;
}

static void rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

static void join(taker *t)
{
    bus_credit_member m;
    for (int i = 0; i < 2000 && !(t->runs && bus_credit_at(replay.credit, 0, &m)); i++) {
        pump(0);
        if (take(t) == BUS_PART_NOTHING)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    cr_assert_eq(t->runs, 1, "it did not join");
}

static void play_some(taker *t, uint64_t events)
{
    for (int i = 0; i < 50000 && t->events < events; i++) {
        pump(4);
        if (take(t) == BUS_PART_NOTHING)
            rest();
    }
    cr_assert(t->events >= events);
}

static void play_to_the_end(taker *t)
{
    for (int i = 0; i < 50000 && !t->ends; i++) {
        pump(64);
        int left = t->slow ? 3 : 200;
        while (left && take(t) != BUS_PART_NOTHING)
            left--;
        if (left)
            rest();
    }
    cr_assert_eq(t->ends, 1, "no end: %" PRIu64 " events, watermark %" PRIu64, t->events,
                 bus_participant_watermark(t->part));
    for (int i = 0; i < 2000 && !bus_credit_all_done(replay.credit); i++) {
        pump(0);
        take(t);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    cr_assert(bus_credit_all_done(replay.credit), "the replay waits for ever");
}

Test(participant, takes_a_whole_run_in_order)
{
    taker t;
    given_a_recorded_stream(900);
    given_a_replay(64);
    given_a_participant(&t, NULL);
    join(&t);
    play_to_the_end(&t);
    cr_assert_eq(t.events, 900);
    cr_assert_eq(bus_participant_watermark(t.part), 901);
    cr_assert_eq(bus_participant_read_back(t.part), 0);
    cr_assert(t.marks >= 10, "%" PRIu64, t.marks);
    bus_participant_close(t.part);
}

Test(participant, takes_only_what_meets_its_filter)
{
    taker t;
    given_a_recorded_stream(300);
    given_a_replay(50);
    given_a_participant(&t, "hyp." SELECTOR ".exchange.*.trade.tape.BBB");
    join(&t);
    play_to_the_end(&t);
    cr_assert_eq(t.events, 100);
    bus_participant_close(t.part);
}

Test(participant, slow_one_slows_the_replay_and_loses_nothing)
{
    taker t;
    given_a_recorded_stream(400);
    given_a_replay(16);
    given_a_participant(&t, NULL);
    join(&t);
    t.slow = true;
    for (int i = 0; i < 200; i++) {
        pump(64);
        take(&t);
        uint64_t sent = bus_credit_sent(replay.credit);
        cr_assert(sent <= t.events + 16 + 16, "%" PRIu64 " sent, %" PRIu64 " taken", sent,
                  t.events);
    }
    play_to_the_end(&t);
    cr_assert_eq(t.events, 400);
    bus_participant_close(t.part);
}

Test(participant, reads_back_what_was_lost)
{
    taker t;
    given_a_recorded_stream(600);
    given_a_replay(128);
    given_a_participant(&t, NULL);
    join(&t);
    replay.lose_from = 100;
    replay.lose_to = 180;
    play_to_the_end(&t);
    cr_assert_eq(t.events, 600);
    cr_assert_eq(bus_participant_read_back(t.part), 81);
    bus_participant_close(t.part);
}

Test(participant, reads_back_what_was_lost_at_the_very_end)
{
    taker t;
    given_a_recorded_stream(200);
    given_a_replay(64);
    given_a_participant(&t, "hyp." SELECTOR ".exchange.>");
    join(&t);
    replay.lose_from = 150;
    replay.lose_to = 1000;
    play_to_the_end(&t);
    cr_assert_eq(t.events, 200);
    cr_assert_eq(bus_participant_read_back(t.part), 51);
    bus_participant_close(t.part);
}

Test(participant, late_one_begins_at_the_beginning)
{
    taker t;
    given_a_recorded_stream(500);
    given_a_replay(64);
    play_up_to(300);
    given_a_participant(&t, NULL);
    join(&t);
    play_to_the_end(&t);
    cr_assert_eq(t.events, 500);
    cr_assert(bus_participant_read_back(t.part) >= 300, "%" PRIu64,
              bus_participant_read_back(t.part));
    bus_participant_close(t.part);
}

Test(participant, goes_on_after_the_broker_was_restarted)
{
    taker t;
    given_a_recorded_stream(500);
    given_a_replay(64);
    given_a_participant(&t, NULL);
    join(&t);
    play_some(&t, 150);
    test_broker_restart(&broker);
    play_to_the_end(&t);
    cr_assert_eq(t.events, 500);
    bus_participant_close(t.part);
}

Test(participant, joins_again_when_its_lease_lapsed)
{
    taker t;
    given_a_recorded_stream(300);
    given_a_replay(32);
    given_a_participant(&t, NULL);
    join(&t);
    bus_credit_member m;
    play_some(&t, 100);
    do { // it hangs beyond the lease; the replay goes on without it
        pump(4);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        cr_assert(bus_credit_find(replay.credit, BUS_VIEW("p"), &m));
    } while (m.state != BUS_MEMBER_LAPSED);
    for (int i = 0; i < 10; i++)
        pump(10);
    play_to_the_end(&t);
    cr_assert_eq(t.events, 300);
    cr_assert_eq(t.runs, 1);
    bus_participant_close(t.part);
}

Test(participant, begins_anew_after_a_seek)
{
    taker t;
    given_a_recorded_stream(300);
    given_a_replay(32);
    given_a_participant(&t, NULL);
    join(&t);
    play_some(&t, 100);
    begin_run(201, "running");
    for (int i = 0; i < 20000 && t.runs < 2; i++) {
        pump(0);
        if (take(&t) == BUS_PART_NOTHING)
            rest();
    }
    cr_assert_eq(t.runs, 2);
    cr_assert_str_eq(bus_participant_run(t.part), replay.run);
    play_to_the_end(&t);
    cr_assert_eq(t.events, 100);
    bus_participant_close(t.part);
}

Test(participant, reaches_the_end_by_the_record_when_the_watermark_was_lost)
{
    taker t;
    given_a_recorded_stream(200);
    given_a_replay(1000);
    given_a_participant(&t, NULL);
    join(&t);
    replay.lose_marks = true;
    replay.lose_from = 120;
    replay.lose_to = 1000;
    for (int i = 0; i < 2000 && bus_credit_position(replay.credit) < replay.last_seq; i++) {
        pump(64);
        take(&t);
    }
    write_record("stopped", bus_credit_position(replay.credit));
    for (int i = 0; i < 5000 && !t.ends; i++)
        if (take(&t) == BUS_PART_NOTHING)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    cr_assert_eq(t.ends, 1);
    cr_assert_eq(t.events, 200);
    cr_assert_eq(bus_participant_watermark(t.part), 201);
    bus_participant_close(t.part);
}

Test(participant, goes_on_with_a_run_it_had_finished_a_part_of)
{
    taker t;
    given_a_recorded_stream(200);
    given_a_replay(1000);
    play_up_to(80);
    bus_participant_opts opts = {
        .selector = SELECTOR, .name = "p", .resume_run = replay.run, .resume_after = 50};
    t = (taker){.last = 50};
    test_ok(bus_participant_open(&t.part, conn, &opts));
    bus_credit_member m;
    for (int i = 0; i < 20000 && !bus_credit_find(replay.credit, BUS_VIEW("p"), &m); i++) {
        pump(0);
        if (take(&t) == BUS_PART_NOTHING)
            rest();
    }
    play_to_the_end(&t);
    cr_assert_eq(t.events, 150);
    cr_assert_eq(t.runs, 0);
    bus_participant_close(t.part);
}

static void take_until_end(taker *t)
{
    for (int i = 0; i < 5000 && !t->ends; i++)
        if (take(t) == BUS_PART_NOTHING)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

Test(participant, gets_a_run_that_began_and_ended_before_it_had_joined)
{
    taker t;
    given_a_recorded_stream(20);
    given_a_replay(10);
    play_up_to(20);
    write_record("finished", 21);
    given_a_participant(&t, NULL);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(take(&t), BUS_PART_NOTHING, "that one was over when it came");
    begin_run(1, "running");
    play_up_to(20);
    write_record("finished", 21);
    take_until_end(&t);
    cr_assert_eq(t.ends, 1);
    cr_assert_eq(t.runs, 1);
    cr_assert_eq(t.events, 20);
    bus_participant_close(t.part);
}

Test(participant, does_not_take_part_in_a_run_that_failed_before_it_had_joined)
{
    taker t;
    given_a_recorded_stream(20);
    given_a_replay(10);
    write_record("failed", 0);
    given_a_participant(&t, NULL);
    begin_run(1, "failed");
    for (int i = 0; i < 200; i++, rest())
        cr_assert_eq(take(&t), BUS_PART_NOTHING);
    cr_assert_eq(t.runs, 0);
    bus_participant_close(t.part);
}

Test(participant, tells_why_a_replay_failed)
{
    taker t;
    given_a_recorded_stream(20);
    given_a_replay(10);
    given_a_participant(&t, NULL);
    join(&t);
    write_record("failed", 0);
    bus_part_result r = BUS_PART_NOTHING;
    for (int i = 0; i < 5000 && r != BUS_PART_ERROR; i++)
        if ((r = take(&t)) == BUS_PART_NOTHING)
            rest();
    cr_assert_eq(r, BUS_PART_ERROR);
    cr_assert(strstr(bus_err_text(), "as told"), "%s", bus_err_text());
    bus_participant_close(t.part);
}

Test(participant, tells_when_the_source_no_longer_holds_what_it_missed)
{
    taker t;
    given_a_recorded_stream(200);
    given_a_replay(64);
    play_up_to(150);
    bus_msg *reply = NULL;
    test_ok(bus_request(conn, "$JS.API.STREAM.PURGE.ACT", NULL, 0, BUS_VIEW("{\"seq\":100}"),
                        BUS_SPAN_S(5), &reply));
    bus_msg_release(reply);
    given_a_participant(&t, NULL);
    bus_part_result r = BUS_PART_NOTHING;
    for (int i = 0; i < 5000 && r != BUS_PART_ERROR; i++) {
        pump(1);
        r = take(&t);
        rest();
    }
    cr_assert_eq(r, BUS_PART_ERROR);
    cr_assert(strstr(bus_err_text(), "begins at 100"), "%s", bus_err_text());
    bus_participant_close(t.part);
}

Test(participant, two_runs_are_the_same_but_for_run_and_wall_time)
{
    enum { EVENTS = 200 };
    static char first[EVENTS + 1][256];
    given_a_recorded_stream(EVENTS);
    given_a_replay(1000);
    for (int round = 0; round < 2; round++) {
        taker t;
        if (round)
            begin_run(1, "running");
        given_a_participant(&t, NULL);
        for (int i = 0; i < 20000 && !t.ends; i++) {
            bus_hyp_record record;
            bus_event event;
            char text[256];
            pump(16);
            bus_part_result r = bus_participant_next(t.part, BUS_SPAN_MS(1), &record);
            t.ends = r == BUS_PART_END;
            if (r != BUS_PART_RECORD)
                continue;
            t.events++;
            test_ok(bus_event_decode_msgpack(&event, record.payload));
            snprintf(text, sizeof text, "%.*s %.*s %.*s %.*s", BUS_VIEW_ARG(record.subject),
                     BUS_VIEW_ARG(event.id), BUS_VIEW_ARG(event.time), BUS_VIEW_ARG(event.data));
            if (round == 0)
                snprintf(first[record.seq], sizeof first[0], "%s", text);
            cr_assert_str_eq(first[record.seq], text);
        }
        cr_assert_eq(t.events, EVENTS);
        bus_participant_close(t.part);
    }
}
