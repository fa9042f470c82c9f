// The book against a plain dictionary, from a printed seed; scales; comparison.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "feeds/venues/book.h"
#include "test/support/test.h"

static feed_level level_of(const char *price, const char *quantity)
{
    feed_level level;
    cr_assert(feed_decimal_parse(bus_view_of(price), &level.price), "%s", price);
    cr_assert(feed_decimal_parse(bus_view_of(quantity), &level.quantity), "%s", quantity);
    return level;
}

static void set(feed_book *book, feed_side side, const char *price, const char *quantity)
{
    feed_level level = level_of(price, quantity);
    test_ok(feed_book_set(book, side, &level, 1));
}

static void expect(feed_book *book, feed_side side, uint32_t i, const char *price,
                   const char *quantity)
{
    feed_level_text text;
    feed_book_tidy(book);
    cr_assert(feed_book_text(book, side, i, &text));
    cr_expect_str_eq(text.price, price);
    cr_expect_str_eq(text.quantity, quantity);
    cr_expect(text.price_len == (int)strlen(price));
}

Test(book, gives_levels_best_first_with_the_texts_of_the_venue)
{
    feed_book book;
    feed_book_init(&book);
    set(&book, FEED_BID, "100.10000000", "1.00000000");
    set(&book, FEED_BID, "100.20000000", "0.50000000");
    set(&book, FEED_ASK, "100.40000000", "7.00000000");
    set(&book, FEED_ASK, "100.30000000", "10.00000000");
    expect(&book, FEED_BID, 0, "100.20000000", "0.50000000");
    expect(&book, FEED_BID, 1, "100.10000000", "1.00000000");
    expect(&book, FEED_ASK, 0, "100.30000000", "10.00000000");
    expect(&book, FEED_ASK, 1, "100.40000000", "7.00000000");
    cr_expect(book.price.scale == 1 && book.price.digits == 8);
    feed_book_release(&book);
}

Test(book, zero_removes_a_level_and_an_unknown_one_is_no_error)
{
    feed_book book;
    feed_book_init(&book);
    set(&book, FEED_ASK, "5.0", "1");
    set(&book, FEED_ASK, "5.0", "0.000");
    set(&book, FEED_ASK, "6.0", "0");
    cr_expect(feed_book_count(&book, FEED_ASK) == 0);
    feed_book_release(&book);
}

Test(book, raises_its_scale_for_a_finer_price_and_keeps_the_others)
{
    feed_book book;
    feed_book_init(&book);
    set(&book, FEED_BID, "3", "1");
    set(&book, FEED_BID, "2.5", "1.25");
    set(&book, FEED_BID, "2.0625", "1");
    cr_expect(book.price.scale == 4);
    expect(&book, FEED_BID, 0, "3.0000", "1.00");
    expect(&book, FEED_BID, 1, "2.5000", "1.25");
    expect(&book, FEED_BID, 2, "2.0625", "1.00");
    feed_book_release(&book);
}

Test(book, holds_quantities_beyond_what_eight_digits_would_allow)
{
    feed_book book;
    feed_book_init(&book);
    set(&book, FEED_BID, "0.00000001", "1000000000000.00000000");
    expect(&book, FEED_BID, 0, "0.00000001", "1000000000000.00000000");
    feed_book_release(&book);
}

Test(book, refuses_what_64_bits_cannot_hold_exactly_and_stays_as_it_was)
{
    feed_book book;
    feed_book_init(&book);
    set(&book, FEED_BID, "1.5", "100000000000000000");
    feed_level finer = level_of("1.6", "0.000000001");
    test_expect_err(feed_book_set(&book, FEED_BID, &finer, 1), BUS_ERANGE);
    cr_expect(feed_book_count(&book, FEED_BID) == 1);
    expect(&book, FEED_BID, 0, "1.5", "100000000000000000.000000000");
    feed_book_release(&book);
}

enum { PRICES = 3000 };

Test(book, agrees_with_a_plain_array_over_random_changes)
{
    unsigned seed = (unsigned)time(NULL);
    fprintf(stderr, "seed %u\n", seed);
    srand(seed);
    static int64_t plain[2][PRICES];
    feed_book book;
    feed_book_init(&book);
    for (int i = 0; i < 200000; i++) {
        int side = rand() % 2, at = rand() % 4 ? PRICES / 2 + rand() % 60 - 30 : rand() % PRICES;
        int64_t quantity = rand() % 3 ? rand() % 1000 : 0;
        char price[32], text[32];
        snprintf(price, sizeof price, "%d.%02d", at / 100, at % 100);
        snprintf(text, sizeof text, "%lld", (long long)quantity);
        set(&book, (feed_side)side, price, text);
        plain[side][at] = quantity;
    }
    for (int side = 0; side < 2; side++) {
        uint32_t n = 0, count = feed_book_count(&book, (feed_side)side);
        feed_book_tidy(&book);
        bus_price price;
        bus_quantity quantity;
        for (int k = 0; k < PRICES; k++) {
            int at = side == FEED_BID ? PRICES - 1 - k : k;
            if (!plain[side][at])
                continue;
            cr_assert(feed_book_at(&book, (feed_side)side, n++, &price, &quantity));
            cr_assert(price.v == at && quantity.v == plain[side][at]);
        }
        cr_assert(n == count);
    }
    feed_book_release(&book);
}

Test(book, comparing_finds_the_first_of_the_levels_that_differ_within_both_marks)
{
    feed_book a, b;
    feed_book_difference first;
    feed_book_init(&a);
    feed_book_init(&b);
    for (int i = 0; i < 2; i++) {
        feed_book *book = i ? &b : &a;
        set(book, FEED_BID, "10", "1");
        set(book, FEED_BID, "9", "2");
        set(book, FEED_ASK, "11", "3");
        feed_book_mark(book);
    }
    cr_expect(feed_book_compare(&a, &b, &first) == 0);
    set(&a, FEED_BID, "8", "5"); // beyond the marks: the other cannot know
    cr_expect(feed_book_compare(&a, &b, &first) == 0);
    set(&b, FEED_BID, "9", "2.5");
    set(&b, FEED_BID, "9.5", "1");
    cr_expect(feed_book_compare(&a, &b, &first) == 2);
    cr_expect(first.side == FEED_BID);
    cr_expect_str_eq(first.a.price, "9.5");
    cr_expect_str_eq(first.a.quantity, "0.0");
    cr_expect_str_eq(first.b.quantity, "1.0");
    feed_book_release(&a);
    feed_book_release(&b);
}
