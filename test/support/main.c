// main: runs every test of the program; the last line is `N passed, N failed[, N skipped]`.
// Exit code: 0 when none failed. Criterion's own options work (--filter 'suite/name*', --jobs N …).
#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/support/runner.h"
#include "test/support/test.h"

static const char *running = "";

void test_current(const char *suite, const char *name)
{
    static char text[512];
    snprintf(text, sizeof text, "%s::%s", suite, name);
    running = text;
}

void test_skip(const char *fmt, ...)
{
#ifndef TL_TEST_PLAIN
    test_current(criterion_current_suite->name, criterion_current_test->name);
#endif
    char why[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    fprintf(stderr, "skipped: %s: %s\n", running, why);
    test_skip_now();
}

void test_skip_under_valgrind(const char *why)
{
    const char *loaded = getenv("LD_PRELOAD"); // valgrind's own part of each process it runs
    if (loaded && strstr(loaded, "vgpreload"))
        test_skip("under valgrind %s", why);
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    remove(path);
    return 0;
}

// One folder a run, handed to the tests' processes by environment and removed at the end.
static char *tmp_root(void)
{
    const char *base = getenv("TMPDIR");
    char *root = NULL;
    if (asprintf(&root, "%s/tradelane-test-XXXXXX", base && *base ? base : "/tmp") < 0 ||
        !mkdtemp(root)) {
        fprintf(stderr, "no folder for temporary files in '%s': %s\n", base ? base : "/tmp",
                strerror(errno));
        exit(1);
    }
    setenv("TL_TEST_TMP", root, 1);
    return root;
}

const char *test_keep(char *text)
{
    static char *volatile kept[1024]; // volatile, or it is left out: nobody reads it
    static size_t count;
    kept[count++ % (sizeof kept / sizeof *kept)] = text;
    return text;
}

const char *test_tmp(void)
{
    char *path = NULL;
    const char *root = getenv("TL_TEST_TMP");
    if (!root || asprintf(&path, "%s/XXXXXX", root) < 0 || !mkdtemp(path))
        cr_assert_fail("no folder for temporary files: %s", strerror(errno));
    return test_keep(path);
}

int main(int argc, char **argv)
{
    char *root = tmp_root();
    test_counts counts = {0};
    int usage = test_run(argc, argv, &counts);
    nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(root);
    if (usage)
        return 0;
    fflush(NULL);
    printf("%zu passed, %zu failed", counts.passed, counts.failed);
    if (counts.skipped)
        printf(", %zu skipped", counts.skipped);
    putchar('\n');
    fflush(NULL);
    _exit(counts.failed ? 1
                        : 0); // the tests' processes look for leaks; Criterion's own are not ours
}
