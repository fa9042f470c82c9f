// Source: schemas/specs/binance-spot.md, "Book of one symbol".
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/time.h"
#include "feeds/venues/levels.h"
#include "test/support/test.h"

TestSuite(levels);

enum { KEYS = 20000, CHANGES = 300000 };

static int64_t plain[KEYS];

// Keys rise, the bits say what is free, and what is not free is what was put.
static void expect_plain(const feed_levels *levels)
{
    uint32_t free = 0, taken = 0, wanted = 0;
    for (uint32_t i = 0; i < levels->count; i++) {
        const feed_place *place = &levels->place[i];
        bool open = levels->open[i / 64] >> i % 64 & 1;
        cr_assert(i == 0 || place[-1].key < place->key, "place %u", i);
        cr_assert_eq(open, place->quantity == 0, "place %u", i);
        cr_assert_eq(place->quantity, place->quantity ? plain[place->key] : 0);
        free += open;
        taken += !open;
    }
    for (uint32_t i = levels->count; levels->cap && i < levels->cap + 64; i++)
        cr_assert(!(levels->open[i / 64] >> i % 64 & 1), "bit %u of %u", i, levels->count);
    for (int i = 0; i < KEYS; i++)
        wanted += plain[i] != 0;
    cr_assert_eq(levels->free, free);
    cr_assert_eq(taken, wanted);
}

// In turns mostly growing and mostly shrinking, near a wandering place and anywhere, looked for from where the
// last one was and from anywhere.
Test(levels, agree_with_a_plain_array_whatever_the_order_of_changes)
{
    const char *text = getenv("TL_SEED");
    unsigned seed = text ? (unsigned)strtoul(text, NULL, 10) : (unsigned)bus_machine_mono().ns;
    fprintf(stderr, "TL_SEED=%u\n", seed);
    feed_levels levels = {0};
    uint32_t at = UINT32_MAX;
    int middle = KEYS / 2;
    srand(seed);
    for (int i = 0; i < CHANGES; i++) {
        bool grows = i / 20000 % 2 == 0, far = rand() % 3 == 0;
        middle = (middle + rand() % 41 - 20 + KEYS) % KEYS;
        int key = far ? rand() % KEYS : (middle + rand() % 200) % KEYS;
        int64_t quantity = rand() % 10 < (grows ? 7 : 2) ? 1 + rand() % 1000 : 0;
        if (rand() % 8 == 0)
            at = rand() % 2 ? UINT32_MAX : (uint32_t)rand() % (levels.count + 1);
        cr_assert_eq(feed_levels_put(&levels, key, quantity, &at), BUS_OK);
        plain[key] = quantity;
        if (i % 997 == 0)
            expect_plain(&levels);
    }
    feed_levels_tidy(&levels);
    cr_assert_eq(levels.free, 0);
    expect_plain(&levels);
    cr_assert(levels.cap > 8192, "it never grew: %u", levels.cap);
    feed_levels_clear(&levels);
    memset(plain, 0, sizeof plain);
    expect_plain(&levels);
    feed_levels_release(&levels);
}

Test(levels, refuse_more_than_their_bound)
{
    feed_levels levels = {0};
    uint32_t at = UINT32_MAX;
    for (int64_t key = 0; key < FEED_BOOK_LEVELS_MAX; key++)
        cr_assert_eq(feed_levels_put(&levels, key, 1, &at), BUS_OK);
    cr_assert_eq(feed_levels_put(&levels, FEED_BOOK_LEVELS_MAX, 1, &at), BUS_ELIMIT);
    cr_assert_eq(feed_levels_put(&levels, 7, 2, &at), BUS_OK);
    cr_assert_eq(levels.count, FEED_BOOK_LEVELS_MAX);
    feed_levels_release(&levels);
}
