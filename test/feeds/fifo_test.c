#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "feeds/fifo.h"
#include "test/support/test.h"

static bool push(feed_fifo *f, int64_t at, const char *text)
{
    const bus_view piece[3] = {bus_view_of(text)};
    return feed_fifo_push(f, at, piece);
}

static void expect(feed_fifo *f, int64_t at, const char *text)
{
    feed_fifo_record r;
    cr_assert(feed_fifo_front(f, &r));
    cr_expect(r.at == at);
    cr_expect(bus_view_is(r.piece[0], text));
    feed_fifo_pop(f);
}

Test(fifo, gives_records_back_in_order_with_all_their_pieces)
{
    feed_fifo f;
    feed_fifo_record r;
    feed_fifo_init(&f, 1 << 20);
    cr_assert(push(&f, 1, "first"));
    const bus_view three[3] = {BUS_VIEW("a"), {"", 0}, BUS_VIEW("ccc")};
    cr_assert(feed_fifo_push(&f, 2, three));
    expect(&f, 1, "first");
    cr_assert(feed_fifo_front(&f, &r));
    cr_expect(bus_view_is(r.piece[0], "a") && r.piece[1].len == 0 &&
              bus_view_is(r.piece[2], "ccc"));
    feed_fifo_pop(&f);
    cr_expect(!feed_fifo_front(&f, &r) && feed_fifo_bytes(&f) == 0);
    feed_fifo_release(&f);
}

Test(fifo, refuses_what_would_pass_its_bound_and_keeps_the_rest)
{
    feed_fifo f;
    feed_fifo_init(&f, 200);
    int kept = 0;
    while (kept < 100 && push(&f, kept, "0123456789012345678901234567890123456789"))
        kept++;
    cr_expect(kept == 3, "%d records of 40 bytes and a head", kept);
    for (int i = 0; i < kept; i++)
        expect(&f, i, "0123456789012345678901234567890123456789");
    cr_expect(push(&f, 9, "again"));
    feed_fifo_release(&f);
}

Test(fifo, agrees_with_counting_over_random_pushes_and_pops)
{
    unsigned seed = (unsigned)time(NULL);
    fprintf(stderr, "seed %u\n", seed);
    srand(seed);
    feed_fifo f;
    feed_fifo_init(&f, 300000);
    int64_t in = 0, out = 0;
    for (int i = 0; i < 200000; i++) {
        char text[600];
        if (rand() % 100 < (i / 10000 % 2 ? 55 : 45)) {
            int len = rand() % 500;
            memset(text, 'a' + (int)(in % 26), (size_t)len);
            text[len] = 0;
            in += push(&f, in, text);
        } else if (out < in) {
            feed_fifo_record r;
            cr_assert(feed_fifo_front(&f, &r));
            cr_assert(r.at == out);
            for (size_t k = 0; k < r.piece[0].len; k++)
                cr_assert(r.piece[0].ptr[k] == 'a' + (int)(out % 26));
            feed_fifo_pop(&f);
            out++;
        }
        cr_assert(f.count == (uint64_t)(in - out));
        cr_assert(feed_fifo_bytes(&f) <= 300000);
    }
    feed_fifo_release(&f);
}
