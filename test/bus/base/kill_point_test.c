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
    static const char *const bad[] = {"", "a.b", "a.b:", "a.b:0", "a.b:-1", "a.b:1x", "a.b:x@/tmp"};
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
