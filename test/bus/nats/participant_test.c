// A participant against a real broker and a small replay.
#include "bus/nats/participant.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "small_replay.h"
#include "test/support/test.h"

TestSuite(participant, .fini = replay_close, .timeout = 90);

// --- the participant ---------------------------------------------------------------------------------

typedef struct {
    bus_participant *part;
    uint64_t last, events, runs, ends, marks;
    bool slow;
} taker;

static void given_a_participant(taker *t, const char *filter)
{
    const char *filters[] = {filter};
    bus_participant_opts opts = {.selector = REPLAY_SELECTOR,
                                 .name = "p",
                                 .filters = filters,
                                 .filter_count = filter ? 1 : 0};
    *t = (taker){0};
    test_ok(bus_participant_open(&t->part, replay.conn, &opts));
}

static void check_record(const taker *t, const bus_hyp_record *record)
{
    bus_event event;
    test_ok(bus_event_decode_msgpack(&event, record->payload));
    cr_assert(bus_view_is(event.marketlane, "hyp") && bus_view_is(event.clocktype, "historical"));
    cr_assert(bus_view_is(event.marketselector, REPLAY_SELECTOR));
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
        replay_pump(0);
        if (take(t) == BUS_PART_NOTHING)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    cr_assert_eq(t->runs, 1, "it did not join");
}

static void play_some(taker *t, uint64_t events)
{
    for (int i = 0; i < 50000 && t->events < events; i++) {
        replay_pump(4);
        if (take(t) == BUS_PART_NOTHING)
            rest();
    }
    cr_assert(t->events >= events);
}

static void play_to_the_end(taker *t)
{
    for (int i = 0; i < 50000 && !t->ends; i++) {
        replay_pump(64);
        int left = t->slow ? 3 : 200;
        while (left && take(t) != BUS_PART_NOTHING)
            left--;
        if (left)
            rest();
    }
    cr_assert_eq(t->ends, 1, "no end: %" PRIu64 " events, watermark %" PRIu64, t->events,
                 bus_participant_watermark(t->part));
    for (int i = 0; i < 2000 && !bus_credit_all_done(replay.credit); i++) {
        replay_pump(0);
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
    given_a_participant(&t, "hyp." REPLAY_SELECTOR ".exchange.*.trade.tape.BBB");
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
        replay_pump(64);
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
    given_a_participant(&t, "hyp." REPLAY_SELECTOR ".exchange.>");
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
    replay_play_up_to(300);
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
    test_broker_restart(&replay.broker);
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
        replay_pump(4);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        cr_assert(bus_credit_find(replay.credit, BUS_VIEW("p"), &m));
    } while (m.state != BUS_MEMBER_LAPSED);
    for (int i = 0; i < 10; i++)
        replay_pump(10);
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
    replay_begin_run(201, "running");
    for (int i = 0; i < 20000 && t.runs < 2; i++) {
        replay_pump(0);
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
        replay_pump(64);
        take(&t);
    }
    replay_write_record("stopped", bus_credit_position(replay.credit));
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
    replay_play_up_to(80);
    bus_participant_opts opts = {
        .selector = REPLAY_SELECTOR, .name = "p", .resume_run = replay.run, .resume_after = 50};
    t = (taker){.last = 50};
    test_ok(bus_participant_open(&t.part, replay.conn, &opts));
    bus_credit_member m;
    for (int i = 0; i < 20000 && !bus_credit_find(replay.credit, BUS_VIEW("p"), &m); i++) {
        replay_pump(0);
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

Test(participant, begins_anew_with_a_run_that_it_was_to_go_on_in_when_that_comes_back_after_another)
{
    taker t = {.last = 5};
    char first[BUS_UUID_TEXT];
    given_a_recorded_stream(20);
    given_a_replay(10);
    memcpy(first, replay.run, sizeof first);
    replay_play_up_to(20);
    replay_write_record("finished", 21);
    bus_participant_opts opts = {
        .selector = REPLAY_SELECTOR, .name = "p", .resume_run = first, .resume_after = 5};
    test_ok(bus_participant_open(&t.part, replay.conn, &opts));
    take_until_end(&t);
    cr_assert_eq(t.events, 15);
    cr_assert_eq(t.runs, 0);
    replay_begin_run(1, "running");
    replay_play_up_to(20);
    replay_write_record("finished", 21);
    t.ends = 0;
    take_until_end(&t);
    cr_assert_eq(t.events, 20);
    cr_assert_eq(t.runs, 1);
    memcpy(replay.run, first, sizeof first); // the bucket went back
    replay_write_record("finished", 21);
    t.ends = 0;
    take_until_end(&t);
    cr_assert_eq(t.events, 20, "from its beginning");
    cr_assert_eq(t.runs, 2);
    bus_participant_close(t.part);
}

Test(participant, gets_a_run_that_began_and_ended_before_it_had_joined)
{
    taker t;
    given_a_recorded_stream(20);
    given_a_replay(10);
    replay_play_up_to(20);
    replay_write_record("finished", 21);
    given_a_participant(&t, NULL);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(take(&t), BUS_PART_NOTHING, "that one was over when it came");
    replay_begin_run(1, "running");
    replay_play_up_to(20);
    replay_write_record("finished", 21);
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
    replay_write_record("failed", 0);
    given_a_participant(&t, NULL);
    replay_begin_run(1, "failed");
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
    replay_write_record("failed", 0);
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
    replay_play_up_to(150);
    bus_msg *reply = NULL;
    test_ok(bus_request(replay.conn, "$JS.API.STREAM.PURGE.ACT", NULL, 0, BUS_VIEW("{\"seq\":100}"),
                        BUS_SPAN_S(5), &reply));
    bus_msg_release(reply);
    given_a_participant(&t, NULL);
    bus_part_result r = BUS_PART_NOTHING;
    for (int i = 0; i < 5000 && r != BUS_PART_ERROR; i++) {
        replay_pump(1);
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
            replay_begin_run(1, "running");
        given_a_participant(&t, NULL);
        for (int i = 0; i < 20000 && !t.ends; i++) {
            bus_hyp_record record;
            bus_event event;
            char text[256];
            replay_pump(16);
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

static void *nudge_soon(void *part)
{
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    bus_participant_nudge(part);
    return NULL;
}

Test(participant, a_wait_ends_when_somebody_nudges)
{
    taker t;
    pthread_t thread;
    bus_hyp_record record;
    given_a_recorded_stream(20);
    given_a_replay(10);
    replay_play_up_to(20);
    replay_write_record("finished", 21);
    given_a_participant(&t, NULL);
    take_until_end(&t);
    bus_mono begin = bus_machine_mono();
    pthread_create(&thread, NULL, nudge_soon, t.part);
    cr_assert_eq(bus_participant_next(t.part, BUS_SPAN_S(30), &record), BUS_PART_NOTHING);
    cr_assert_lt(bus_mono_since(bus_machine_mono(), begin).ns, BUS_SPAN_S(20).ns);
    pthread_join(thread, NULL);
    bus_participant_close(t.part);
}
