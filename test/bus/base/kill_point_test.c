#include "bus/base/kill_point.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "test/support/test.h"

// Source: schemas/specs/faults.md, "Kill points".
static void given_variable(const char *text)
{
    setenv("TL_KILL_AT", text, 1);
    bus_kill_arm();
}

static void pass(const char *name, int times)
{
    for (int i = 0; i < times; i++)
        bus_kill_point(name);
}

Test(kill_point, does_nothing_without_the_variable)
{
    unsetenv("TL_KILL_AT");
    bus_kill_arm();
    pass("a.b", 100);
    cr_expect_not(bus_kill_armed);
}

Test(kill_point, arms_nothing_with_a_variable_that_cannot_be_read)
{
    static const char *const bad[] = {"",       "a.b",    "a.b:",       "a.b:0",
                                      "a.b:-1", "a.b:1x", "a.b:x@/tmp", "a.b:1@/no/such/file,x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        given_variable(bad[i]);
        cr_expect_not(bus_kill_armed, "'%s'", bad[i]);
        pass("a.b", 3);
    }
}

Test(kill_point, does_not_end_before_the_pass_that_is_named)
{
    given_variable("a.b:3");
    pass("a.b", 2);
    pass("a.c", 100);
}

Test(kill_point, ends_the_process_at_the_pass_that_is_named, .signal = SIGKILL)
{
    given_variable("a.b:3");
    pass("a.b", 3);
}

static const char *given_file(char *path, size_t cap)
{
    snprintf(path, cap, "%s/token", test_tmp());
    fclose(fopen(path, "w"));
    return path;
}

Test(kill_point, ends_one_process_where_a_file_is_named, .signal = SIGKILL)
{
    char path[600], text[700];
    snprintf(text, sizeof text, "a.b:1@%s", given_file(path, sizeof path));
    given_variable(text);
    pass("a.b", 1);
}

Test(kill_point, ends_nobody_once_the_file_is_gone)
{
    char path[600], text[700];
    snprintf(text, sizeof text, "a.b:1@%s", given_file(path, sizeof path));
    unlink(path);
    given_variable(text);
    pass("a.b", 5);
}

// Lives that follow each other inherit one list; each takes the first whose file is there.
static void given_two(const char *first, char *second, size_t cap)
{
    char text[1500];
    snprintf(second, cap, "%s/second", test_tmp());
    fclose(fopen(second, "w"));
    snprintf(text, sizeof text, "a.b:1@%s,a.c:2@%s", first, second);
    given_variable(text);
}

Test(kill_point, passes_by_what_an_earlier_life_died_of, .signal = SIGKILL)
{
    char path[600], second[600];
    given_file(path, sizeof path);
    unlink(path);
    given_two(path, second, sizeof second);
    pass("a.b", 5);
    pass("a.c", 1);
    cr_expect_eq(access(second, F_OK), 0);
    pass("a.c", 1);
}

Test(kill_point, takes_the_first_of_a_list_and_leaves_the_next_for_the_next_life)
{
    char path[600], second[600];
    given_file(path, sizeof path);
    given_two(path, second, sizeof second);
    unlink(path); // another process of this life was faster
    pass("a.b", 5);
    pass("a.c", 5);
    cr_expect_eq(access(second, F_OK), 0);
}

Test(kill_point, arms_nothing_once_all_files_of_a_list_are_gone)
{
    given_variable("a.b:1@/no/such/file,a.c:1@/no/such/other");
    cr_expect_not(bus_kill_armed);
    pass("a.b", 2);
    pass("a.c", 2);
}
