// Source: schemas/specs/cli.md, "lane top".
#include "cli/terminal.h"

#include <string.h>
#include <unistd.h>

#include "test/support/test.h"

static int typing; // the other end of stdin

static void setup(void)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    close(ends[0]);
    typing = ends[1];
}

static void type(const char *text)
{
    cr_assert_eq(write(typing, text, strlen(text)), (ssize_t)strlen(text));
}

static int key(void)
{
    return lane_terminal_key((bus_span){0});
}

TestSuite(terminal, .init = setup);

Test(terminal, tells_every_key_of_those_that_come_at_once)
{
    type("\033[A\033[Aj\033OB\033[6~\033[5~q");
    cr_expect_eq(key(), LANE_KEY_UP);
    cr_expect_eq(key(), LANE_KEY_UP);
    cr_expect_eq(key(), 'j');
    cr_expect_eq(key(), LANE_KEY_DOWN);
    cr_expect_eq(key(), LANE_KEY_PAGE_DOWN);
    cr_expect_eq(key(), LANE_KEY_PAGE_UP);
    cr_expect_eq(key(), 'q');
    cr_expect_eq(key(), LANE_KEY_NONE);
}

Test(terminal, passes_over_sequences_it_does_not_know_and_nothing_behind_them)
{
    type("\033[1;5Ck\033\033[Hx");
    cr_expect_eq(key(), LANE_KEY_NONE);
    cr_expect_eq(key(), 'k');
    cr_expect_eq(key(), LANE_KEY_NONE); // ESC alone
    cr_expect_eq(key(), LANE_KEY_NONE);
    cr_expect_eq(key(), 'x');
}

Test(terminal, tells_that_it_is_gone)
{
    close(typing);
    cr_expect_eq(key(), LANE_KEY_GONE);
}
