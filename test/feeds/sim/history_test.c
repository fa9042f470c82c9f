#include "feeds/sim/history.h"

#include <stdlib.h>

#include "feeds/sim/random.h"
#include "test/support/test.h"

enum { PRICES = 200, FRAMES = 3000 };

typedef struct {
    int64_t first, last;
    sim_change change[4];
    size_t count;
} frame;

// Frames of 1..3 ids each, contiguous from id 101.
static void given_frames(frame *frames, size_t count)
{
    sim_random random;
    int64_t id = 100;
    sim_random_seed(&random, 3, BUS_VIEW("history"));
    for (size_t i = 0; i < count; i++) {
        frames[i].first = id + 1;
        frames[i].last = id += 1 + (int64_t)sim_random_below(&random, 3);
        frames[i].count = 1 + sim_random_below(&random, 4);
        for (size_t k = 0; k < frames[i].count; k++)
            frames[i].change[k] =
                (sim_change){1 + (int64_t)sim_random_below(&random, PRICES),
                             (int64_t)sim_random_below(&random, 4), sim_random_below(&random, 2)};
    }
}

static bool same_books(const sim_book *a, const sim_book *b)
{
    for (int side = 0; side < 2; side++) {
        if (a->side[side].count != b->side[side].count)
            return false;
        for (size_t i = 0; i < a->side[side].count; i++)
            if (a->side[side].level[i].price != b->side[side].level[i].price ||
                a->side[side].level[i].quantity != b->side[side].level[i].quantity)
                return false;
    }
    return true;
}

static void feed(sim_history *h, const frame *f)
{
    test_ok(sim_history_frame(h, f->first, f->last, f->change, f->count));
}

Test(history, rebuilds_the_book_after_every_single_frame)
{
    static frame frames[FRAMES];
    sim_history *h;
    sim_book start = {0}, plain = {0}, at = {0};
    sim_history_mark mark;
    given_frames(frames, FRAMES);
    test_ok(sim_history_open(&h, 64 << 20));
    test_ok(sim_book_apply(&start, (sim_change){1000, 5, SIM_ASK}));
    test_ok(sim_book_copy(&plain, &start));
    test_ok(sim_history_base(h, 100, &start));
    for (int i = 0; i < FRAMES; i++)
        feed(h, &frames[i]);
    for (int i = 0; i < FRAMES; i++) {
        for (size_t k = 0; k < frames[i].count; k++)
            test_ok(sim_book_apply(&plain, frames[i].change[k]));
        if (i % 97 != 0 && i != FRAMES - 1)
            continue;
        test_ok(sim_history_at(h, frames[i].last, &at, &mark));
        cr_assert(same_books(&at, &plain), "at frame %d", i);
        cr_expect(mark.update_id == frames[i].last && mark.complete &&
                  mark.base_id < mark.update_id);
    }
    cr_expect(same_books(sim_history_now(h), &plain));
    sim_book_release(&start);
    sim_book_release(&plain);
    sim_book_release(&at);
    sim_history_close(h);
}

Test(history, applies_frames_that_came_before_the_snapshot_when_they_are_newer_than_it)
{
    static frame frames[20];
    sim_history *h;
    sim_book snapshot = {0}, whole = {0};
    given_frames(frames, 20);
    test_ok(sim_history_open(&h, 1 << 20));
    for (int i = 0; i < 12; i++)
        feed(h, &frames[i]);
    cr_expect(!sim_history_has_base(h));
    for (int i = 0; i < 20; i++) {
        for (size_t k = 0; k < frames[i].count; k++) {
            test_ok(sim_book_apply(&whole, frames[i].change[k]));
            if (i < 8)
                test_ok(sim_book_apply(&snapshot, frames[i].change[k]));
        }
    }
    test_ok(sim_history_base(h, frames[7].last, &snapshot));
    cr_expect_eq(sim_history_mark_now(h).update_id, frames[11].last);
    for (int i = 12; i < 20; i++)
        feed(h, &frames[i]);
    cr_expect(same_books(sim_history_now(h), &whole));
    cr_expect(sim_history_mark_now(h).complete);
    cr_expect_eq(sim_history_gaps(h), 0);
    sim_book_release(&snapshot);
    sim_book_release(&whole);
    sim_history_close(h);
}

Test(history, says_when_frames_are_missing_and_is_whole_again_after_a_snapshot)
{
    static frame frames[30];
    sim_history *h;
    sim_book empty = {0}, at = {0};
    sim_history_mark mark;
    given_frames(frames, 30);
    test_ok(sim_history_open(&h, 1 << 20));
    test_ok(sim_history_base(h, 100, &empty));
    for (int i = 0; i < 20; i++)
        if (i < 5 || i > 7)
            feed(h, &frames[i]);
    cr_expect(sim_history_broken(h));
    cr_expect_eq(sim_history_gaps(h), 1);
    test_ok(sim_history_base(h, frames[14].last, &empty));
    cr_expect(!sim_history_broken(h));
    test_ok(sim_history_at(h, frames[4].last, &at, &mark));
    cr_expect(mark.complete && mark.base_id == 100);
    test_ok(sim_history_at(h, frames[12].last, &at, &mark));
    cr_expect(!mark.complete && mark.base_id == 100);
    test_ok(sim_history_at(h, frames[19].last, &at, &mark));
    cr_expect(mark.complete && mark.base_id == frames[14].last);
    sim_book_release(&at);
    sim_history_close(h);
}

static void count_id(void *ctx, int64_t first, int64_t last)
{
    int64_t *state = ctx;
    cr_expect(first > state[1] && last >= first);
    state[0]++;
    state[1] = last;
}

Test(history, lists_each_frame_once_whatever_bases_came_between)
{
    static frame frames[600];
    sim_history *h;
    sim_book empty = {0};
    int64_t state[2] = {0};
    given_frames(frames, 600);
    test_ok(sim_history_open(&h, 16 << 20));
    test_ok(sim_history_base(h, 100, &empty));
    for (int i = 0; i < 600; i++) {
        feed(h, &frames[i]);
        if (i % 100 == 99)
            test_ok(sim_history_base(h, frames[i - 10].last, &empty));
    }
    sim_history_ids(h, 0, SIZE_MAX, count_id, state);
    cr_expect_eq(state[0], 600, "%lld", (long long)state[0]);
    state[0] = 0, state[1] = 0;
    sim_history_ids(h, frames[590].last, 3, count_id, state);
    cr_expect(state[0] == 3 && state[1] == frames[592].last);
    sim_history_close(h);
}

Test(history, gives_up_the_oldest_frames_at_its_bound_and_names_the_first_kept)
{
    static frame frames[FRAMES];
    sim_history *h;
    sim_book empty = {0}, at = {0};
    sim_history_mark mark;
    given_frames(frames, FRAMES);
    test_ok(sim_history_open(&h, 100000));
    test_ok(sim_history_base(h, 100, &empty));
    for (int i = 0; i < FRAMES; i++)
        feed(h, &frames[i]);
    test_expect_err(sim_history_at(h, frames[0].last, &at, &mark), BUS_ENOTFOUND);
    cr_expect(strstr(bus_err_text(), "given up"), "%s", bus_err_text());
    test_ok(sim_history_at(h, frames[FRAMES - 1].last, &at, &mark));
    cr_expect(same_books(&at, sim_history_now(h)));
    test_expect_err(sim_history_at(h, frames[FRAMES - 1].last + 1, &at, &mark), BUS_ESTATE);
    sim_book_release(&at);
    sim_history_close(h);
}
