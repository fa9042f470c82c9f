#include "cli/check_print.h"

#include <stdio.h>

#include "cli/json.h"

static long long number(const json_t *object, const char *field)
{
    return (long long)json_integer_value(json_object_get(object, field));
}

static void print_channels(json_t *channels)
{
    const char *name, *comma = "";
    json_t *count;
    fputs("  events     ", stdout);
    json_object_foreach (channels, name, count) {
        printf("%s%s %lld", comma, name, (long long)json_integer_value(count));
        comma = ", ";
    }
    putchar('\n');
}

static void print_level(const char *side, const json_t *book, const char *levels)
{
    const json_t *best = json_array_get(json_object_get(book, levels), 0);
    const char *price = json_string_value(json_array_get(best, 0));
    const char *quantity = json_string_value(json_array_get(best, 1));
    printf("%s %s x %s", side, price ? price : "-", quantity ? quantity : "-");
}

static void print_book(const json_t *symbol)
{
    const json_t *book = json_object_get(symbol, "final_book");
    if (!book)
        return;
    fputs("  book       ", stdout);
    print_level("bid", book, "bids");
    print_level(", ask", book, "asks");
    printf(", %lld + %lld levels at update %lld%s\n", number(book, "bid_levels"),
           number(book, "ask_levels"), number(symbol, "final_u"),
           json_is_true(json_object_get(symbol, "whole")) ? "" : " (not whole)");
    printf("  updates    %lld applied, %lld older than the snapshot, %lld breaks\n",
           number(symbol, "depth_applied"), number(symbol, "depth_stale_dropped"),
           number(symbol, "depth_gaps"));
}

static void print_sums(const char *name, const json_t *sums)
{
    if (sums)
        printf(
            "  %-10s %lld, ids %lld to %lld, quantity %s, notional %s, vwap %s, low %s, high %s, "
            "%lld by sellers\n",
            name, number(sums, "count"), number(sums, "first_id"), number(sums, "last_id"),
            lane_json_text(sums, "sum_qty"), lane_json_text(sums, "sum_notional"),
            lane_json_text(sums, "vwap"), lane_json_text(sums, "low"), lane_json_text(sums, "high"),
            number(sums, "sell_aggressor"));
}

static void print_symbol(const char *name, const json_t *symbol)
{
    printf("%s\n", name);
    print_channels(json_object_get(symbol, "channels"));
    printf("  feed says  %lld gaps, %lld resyncs, book whole %lld times\n", number(symbol, "gaps"),
           number(symbol, "resyncs"), number(symbol, "wholes"));
    print_book(symbol);
    print_sums("trades", json_object_get(symbol, "trades"));
    print_sums("aggregates", json_object_get(symbol, "aggTrades"));
}

void lane_check_print(json_t *figures)
{
    const char *name;
    json_t *symbol;
    const json_t *books = json_object_get(figures, "book_checks");
    json_object_foreach (json_object_get(figures, "symbols"), name, symbol)
        print_symbol(name, symbol);
    printf("%lld of %lld frames on the lane, %lld duplicates, %lld unreadable\n",
           number(figures, "frames"), number(figures, "frames_sent"), number(figures, "duplicates"),
           number(figures, "unreadable"));
    printf("%lld books compared with the exchange's (seed %lld), %lld levels differ\n",
           number(books, "compared"), number(books, "seed"), number(books, "differences"));
    puts(json_is_true(json_object_get(figures, "ok")) ? "ok" : "NOT ok");
    json_decref(figures);
}
