// Source: schemas/specs/cli.md, "Command line".
#include "cli/args.h"

#include <string.h>

#include "test/support/test.h"

TestSuite(args);

static const lane_option options[] = {{"count", 'n', "N", "a value"},
                                      {"follow", 'f', NULL, "a switch"},
                                      {"scenario", 0, "ID", "may be repeated"},
                                      {0}};
static const lane_verb verb = {"do it", "A [B]", 1, 2, "does it", options, NULL};

static bus_err read_words(lane_args *args, char **words, int count)
{
    return lane_args_read(args, &verb, count, words);
}
#define READ(args, ...)                                                                            \
    read_words(args, (char *[]){__VA_ARGS__},                                                      \
               (int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)))

Test(args, options_stand_anywhere_and_in_every_spelling)
{
    lane_args args;
    test_ok(READ(&args, "--count", "5", "one", "-f", "--scenario=x", "two", "--scenario", "y"));
    cr_assert(args.args == 2 && !strcmp(args.arg[1], "two"));
    cr_assert_str_eq(lane_args_value(&args, "count"), "5");
    cr_assert(lane_args_has(&args, "follow") && !lane_args_has(&args, "json"));
    int at = 0;
    cr_assert_str_eq(lane_args_next(&args, "scenario", &at), "x");
    cr_assert_str_eq(lane_args_next(&args, "scenario", &at), "y");
    cr_assert(lane_args_next(&args, "scenario", &at) == NULL);
    test_ok(READ(&args, "-n7", "one", "--json"));
    cr_assert_str_eq(lane_args_value(&args, "count"), "7");
    test_ok(READ(&args, "one", "--", "--count"));
    cr_assert(args.args == 2 && !lane_args_has(&args, "count"));
}

Test(args, options_in_front_of_the_verb_are_counted_and_others_refused)
{
    int count = -1;
    char *words[] = {"--context", "X", "--json", "-s", "nats://h", "--timeout=1s", "streams"};
    test_ok(lane_args_leading(7, words, &count));
    cr_assert(count == 6);
    test_ok(lane_args_leading(1, words + 6, &count));
    cr_assert(count == 0);
    test_expect_err(lane_args_leading(2, (char *[]){"--follow", "streams"}, &count), BUS_EUSAGE);
    test_expect_err(lane_args_leading(1, (char *[]){"--context"}, &count), BUS_EUSAGE);
    test_expect_err(lane_args_leading(1, (char *[]){"-"}, &count), BUS_EUSAGE);
}

Test(args, width_counts_characters)
{
    cr_assert(lane_args_width("sub SUBJECT…") == 12);
    cr_assert(lane_args_width("") == 0);
}

Test(args, a_single_dash_is_an_argument)
{
    lane_args args;
    test_ok(READ(&args, "-"));
    cr_assert_str_eq(args.arg[0], "-");
}

Test(args, mistakes_are_usage_errors)
{
    lane_args args;
    test_expect_err(READ(&args, "--nope", "one"), BUS_EUSAGE);
    test_expect_err(READ(&args, "--coun", "5", "one"), BUS_EUSAGE);
    test_expect_err(READ(&args, "one", "--count"), BUS_EUSAGE);
    test_expect_err(READ(&args, "one", "--follow=yes"), BUS_EUSAGE);
    test_expect_err(READ(&args, "one", "-fx"), BUS_EUSAGE);
    test_expect_err(READ(&args, "--json"), BUS_EUSAGE);
    test_expect_err(READ(&args, "one", "two", "three"), BUS_EUSAGE);
    test_ok(READ(&args, "--help"));
    cr_assert(args.help);
}
