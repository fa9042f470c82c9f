#include <stdlib.h>
#include <string.h>

#include "cli/session.h"
#include "test/support/test.h"

typedef struct {
    FILE *before, *file;
    char *text;
    size_t len;
} capture;

static void begin(capture *c)
{
    c->before = stdout;
    c->file = open_memstream(&c->text, &c->len);
    cr_assert(c->file);
    stdout = c->file;
}

static void expect(capture *c, const char *text)
{
    stdout = c->before;
    fclose(c->file);
    cr_expect_str_eq(c->text, text);
    free(c->text);
}

Test(output, says_a_line_without_the_control_characters_of_what_it_names)
{
    capture c;
    begin(&c);
    lane_say(stdout, "%s: %s\n", "a\033[2Jb",
             "one\ntwo \xc2\x9b"
             "31m\x7f \xc3\xa9");
    lane_say(stdout, "%s", "ends\n");
    lane_say(stdout, "%s", "");
    expect(&c, "a?[2Jb: one?two ?31m? \xc3\xa9\nends?");
}

Test(output, shows_rows_without_control_characters_of_the_width_that_is_seen)
{
    static const lane_column columns[] = {{"NAME", "name"}, {"WHAT", "what"}, {0}};
    lane_cli cli = {.json = false};
    capture c;
    begin(&c);
    lane_rows(&cli, columns,
              json_pack("[{s:s, s:s}, {s:s, s:{s:s}}]", "name", "\033]0;title\007", "what", "a\tb",
                        "name", "x", "what", "k", "\xc2\x80"));
    expect(&c, "NAME        WHAT\n?]0;title?  a?b\nx           {\"k\":\"?\"}\n");
}

Test(output, shows_an_object_without_control_characters_in_names_and_values)
{
    lane_cli cli = {.json = false};
    capture c;
    begin(&c);
    lane_object(&cli, json_pack("{s:s, s:[s,s]}", "a\rb", "1\0332", "list", "x\b", "y"));
    expect(&c, "a?b: 1?2\nlist: x?, y\n");
}

Test(output, leaves_json_as_it_is)
{
    lane_cli cli = {.json = true};
    capture c;
    begin(&c);
    lane_object(&cli, json_pack("{s:s}", "a", "1\033"));
    expect(&c, "{\"a\":\"1\\u001B\"}\n");
}
