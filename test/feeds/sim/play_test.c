#include "feeds/sim/play.h"

#include <stdio.h>
#include <stdlib.h>

#include "test/support/test.h"

// A capture of three trades at 0, 1 and 3 s, a snapshot at 2 s and a trade whose stamp went back.
static const char *const LINES =
    "1723161200000000000 {\"stream\":\"a@trade\",\"data\":{\"e\":\"trade\",\"s\":\"A\",\"t\":1}}\n"
    "1723161201000000000 {\"stream\":\"a@depth@100ms\",\"data\":{\"e\":\"depthUpdate\",\"s\":\"A\","
    "\"U\":5,\"u\":6,\"b\":[],\"a\":[]}}\n"
    "1723161202000000000 {\"lastUpdateId\":5,\"bids\":[],\"asks\":[]}\n"
    "1723161203000000000 {\"stream\":\"a@trade\",\"data\":{\"e\":\"trade\",\"s\":\"A\",\"t\":2}}\n"
    "1723161202500000000 {\"stream\":\"a@trade\",\"data\":{\"e\":\"trade\",\"s\":\"A\",\"t\":3}}\n";

typedef struct {
    bool standing, wanted, waits, room;
    int frames, snapshots, timeouts, ends;
} asked;

static bool standing(void *ctx)
{
    return ((asked *)ctx)->standing;
}
static bool wanted(void *ctx, const char *symbol)
{
    cr_assert(strcmp(symbol, "A") == 0);
    return ((asked *)ctx)->wanted;
}
static bool waits(void *ctx, const char *symbol)
{
    (void)symbol;
    return ((asked *)ctx)->waits;
}
static bool room(void *ctx)
{
    return ((asked *)ctx)->room;
}
static void frame(void *ctx, const sim_record *record, bus_mono now)
{
    (void)record, (void)now;
    ((asked *)ctx)->frames++;
}
static void snapshot(void *ctx, const sim_record *record)
{
    (void)record;
    ((asked *)ctx)->snapshots++;
}
static void timeout(void *ctx, const sim_record *record)
{
    (void)record;
    ((asked *)ctx)->timeouts++;
}
static void ended(void *ctx)
{
    ((asked *)ctx)->ends++;
}
static const sim_play_host host = {standing, wanted, waits, room, frame, snapshot, timeout, ended};

typedef struct {
    sim_topics topics;
    sim_capture *capture;
    sim_play play;
    asked asked;
} scene;

static void given_play(scene *s, int64_t speed_milli, int64_t start_after_ms)
{
    char path[512];
    const char *paths[] = {path};
    snprintf(path, sizeof path, "%s/play.txt", test_tmp());
    FILE *f = fopen(path, "w");
    fputs(LINES, f);
    fclose(f);
    *s = (scene){.asked = {.standing = true, .wanted = true, .room = true}};
    test_ok(sim_capture_open(&s->capture, paths, 1, &s->topics));
    sim_play_opts opts = {speed_milli, {start_after_ms * 1000000}, BUS_SPAN_S(5)};
    sim_play_init(&s->play, &opts, s->capture, &host, &s->asked, (bus_mono){0});
}

static void end(scene *s)
{
    sim_capture_close(s->capture);
    sim_topics_release(&s->topics);
}

static int64_t turn_ms(scene *s, int64_t now_ms)
{
    return sim_play_turn(&s->play, (bus_mono){now_ms * 1000000}).ns / 1000000;
}

Test(play, waits_until_the_subscriptions_stand)
{
    scene s;
    given_play(&s, 1000, -1);
    s.asked.standing = false;
    turn_ms(&s, 60000);
    cr_expect(s.play.state == SIM_WAITING && s.asked.frames == 0);
    s.asked.standing = true;
    turn_ms(&s, 60001);
    cr_expect(s.play.state == SIM_PLAYING && s.asked.frames == 1);
    end(&s);
}

Test(play, begins_when_told_to_or_at_its_time_whatever_is_subscribed)
{
    scene s;
    given_play(&s, 1000, 500);
    s.asked.standing = false;
    turn_ms(&s, 499);
    cr_expect_eq(s.play.state, SIM_WAITING);
    turn_ms(&s, 500);
    cr_expect_eq(s.play.state, SIM_PLAYING);
    test_expect_err(sim_play_start(&s.play), BUS_ESTATE);
    end(&s);
    given_play(&s, 1000, -1);
    s.asked.standing = false;
    test_ok(sim_play_start(&s.play));
    turn_ms(&s, 1);
    cr_expect_eq(s.play.state, SIM_PLAYING);
    end(&s);
}

Test(play, keeps_the_recorded_spacing_and_adds_the_time_it_was_held)
{
    scene s;
    given_play(&s, 1000, -1);
    cr_expect_eq(turn_ms(&s, 10), 1010);
    cr_expect_eq(turn_ms(&s, 1009), 1010);
    cr_expect_eq(s.asked.frames, 1);
    cr_expect_eq(turn_ms(&s, 1010), 2010);
    turn_ms(&s, 2010);
    cr_expect_eq(s.play.state, SIM_HOLDING);
    turn_ms(&s, 2400);
    s.asked.waits = true;
    cr_expect_eq(turn_ms(&s, 2510), 3510);
    cr_expect(s.play.state == SIM_PLAYING && s.asked.snapshots == 1);
    turn_ms(&s, 3510);
    cr_expect_eq(s.asked.frames, 4, "a stamp that went back is due with the one before it");
    cr_expect(s.play.state == SIM_ENDED && s.asked.ends == 1);
    turn_ms(&s, 9999);
    cr_expect_eq(s.asked.ends, 1);
    end(&s);
}

Test(play, ten_times_faster_is_a_tenth_of_the_spacing)
{
    scene s;
    given_play(&s, 10000, -1);
    s.asked.wanted = false;
    cr_expect_eq(turn_ms(&s, 0), 100);
    cr_expect_eq(turn_ms(&s, 100), 200);
    cr_expect_eq(turn_ms(&s, 200), 300);
    cr_expect_eq(s.asked.snapshots, 1, "nobody follows depth: the snapshot does not hold");
    end(&s);
}

Test(play, gives_up_a_hold_at_its_bound_and_says_so)
{
    scene s;
    given_play(&s, 0, -1);
    turn_ms(&s, 0);
    cr_expect(s.play.state == SIM_HOLDING && s.asked.frames == 2);
    turn_ms(&s, 4999);
    cr_expect_eq(s.play.state, SIM_HOLDING);
    turn_ms(&s, 5000);
    cr_expect(s.asked.timeouts == 1 && s.asked.snapshots == 1);
    cr_expect_eq(s.play.state, SIM_ENDED);
    end(&s);
}

Test(play, at_full_speed_stops_while_no_client_has_room)
{
    scene s;
    given_play(&s, 0, -1);
    s.asked.waits = true;
    s.asked.room = false;
    turn_ms(&s, 0);
    cr_expect_eq(s.asked.frames, 0);
    s.asked.room = true;
    turn_ms(&s, 1);
    cr_expect(s.asked.frames == 4 && s.play.state == SIM_ENDED);
    end(&s);
}

Test(play, a_pause_costs_no_frame_and_shifts_what_is_due)
{
    scene s;
    given_play(&s, 1000, -1);
    turn_ms(&s, 0);
    sim_play_pause(&s.play, true, (bus_mono){500000000});
    turn_ms(&s, 60000);
    cr_expect_eq(s.asked.frames, 1);
    sim_play_pause(&s.play, false, (bus_mono){60000000000});
    turn_ms(&s, 60000);
    cr_expect_eq(s.asked.frames, 1);
    turn_ms(&s, 60500);
    cr_expect_eq(s.asked.frames, 2, "half of the second had passed before the pause");
    end(&s);
}

Test(play, reads_speeds)
{
    static const struct {
        const char *text;
        bus_err err;
        int64_t milli;
    } cases[] = {{"1x", BUS_OK, 1000},    {"10x", BUS_OK, 10000},    {"0.5x", BUS_OK, 500},
                 {"max", BUS_OK, 0},      {"0x", BUS_EINVAL, 0},     {"-1x", BUS_EINVAL, 0},
                 {"fast", BUS_EINVAL, 0}, {"10", BUS_EINVAL, 0},     {"", BUS_EINVAL, 0},
                 {"x", BUS_EINVAL, 0},    {"0.0001x", BUS_EINVAL, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t milli = -1;
        test_expect_err(sim_speed_parse(bus_view_of(cases[i].text), &milli), cases[i].err);
        if (!cases[i].err)
            cr_expect_eq(milli, cases[i].milli);
    }
}
