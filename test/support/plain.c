// plain: see plain.h. One child a test; the parent keeps the time.
#ifdef TL_TEST_PLAIN
#include "test/support/plain.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test/support/runner.h"
#include "test/support/test.h"

enum { TIMEOUT_S = 120, SKIPPED = 77, POLL_US = 1000 };

static struct plain_test *tests;
static bool failed; // in the child: an expectation did not hold

void plain_register(struct plain_test *test)
{
    test->next = tests;
    tests = test;
}

void plain_check(bool ok, bool fatal, const char *file, int line, const char *what, const char *fmt,
                 ...)
{
    if (ok)
        return;
    failed = true;
    fprintf(stderr, "%s:%d: %s", file, line, what);
    if (*fmt) {
        va_list args;
        va_start(args, fmt);
        fputs(": ", stderr);
        vfprintf(stderr, fmt, args);
        va_end(args);
    }
    fputc('\n', stderr);
    if (fatal)
        _exit(1);
}

void test_skip_now(void)
{
    _exit(SKIPPED);
}

static const struct plain_options *suite_options(const char *suite)
{
    for (struct plain_test *t = tests; t; t = t->next)
        if (!t->name && !strcmp(t->suite, suite))
            return &t->options;
    static const struct plain_options none;
    return &none;
}

static void run_child(const struct plain_test *test, const struct plain_options *suite)
{
    void (*init)(void) = test->options.init ? test->options.init : suite->init;
    void (*fini)(void) = test->options.fini ? test->options.fini : suite->fini;
    if (init)
        init();
    test->body();
    if (fini)
        fini();
    exit(failed ? 1 : 0); // not _exit: the sanitizer gives its verdict here
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int wait_child(pid_t pid, double timeout_s)
{
    int status = 0;
    for (double end = now_s() + timeout_s; waitpid(pid, &status, WNOHANG) == 0;) {
        if (now_s() > end) {
            fprintf(stderr, "timed out after %g s\n", timeout_s);
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            break;
        }
        usleep(POLL_US);
    }
    return status;
}

static bool as_expected(int status, const struct plain_options *options)
{
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == options->signal;
    return !options->signal && WEXITSTATUS(status) == options->exit_code;
}

static void run_one(const struct plain_test *test, test_counts *counts)
{
    const struct plain_options *suite = suite_options(test->suite);
    if (test->options.disabled || suite->disabled) {
        counts->skipped++;
        return;
    }
    double timeout_s = test->options.timeout > 0 ? test->options.timeout
                       : suite->timeout > 0      ? suite->timeout
                                                 : TIMEOUT_S;
    fflush(NULL);
    test_current(test->suite, test->name);
    pid_t pid = fork();
    if (pid == 0)
        run_child(test, suite);
    int status = wait_child(pid, timeout_s);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        counts->skipped++;
    } else if (as_expected(status, &test->options)) {
        counts->passed++;
    } else {
        counts->failed++;
        fprintf(stderr, "FAILED %s::%s (%s %d)\n", test->suite, test->name,
                WIFSIGNALED(status) ? "signal" : "exit",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
}

static bool wanted(const struct plain_test *test, const char *filter)
{
    char name[512];
    snprintf(name, sizeof name, "%s/%s", test->suite, test->name);
    return !filter || strstr(name, filter);
}

// Arguments: none, or `--filter <part of suite/name>`.
int test_run(int argc, char **argv, test_counts *counts)
{
    const char *filter = argc == 3 && !strcmp(argv[1], "--filter") ? argv[2] : NULL;
    for (struct plain_test *t = tests; t; t = t->next)
        if (t->name && wanted(t, filter))
            run_one(t, counts);
    return 0;
}
#endif
