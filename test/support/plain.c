// plain: see plain.h. One child a test, a few at a time; the parent keeps the time.
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

typedef struct {
    pid_t pid; // 0: free
    const struct plain_test *test;
    double timeout_s, end_s;
} child;

static struct plain_test *tests;
static child children[TEST_JOBS];
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

static bool as_expected(int status, const struct plain_options *options)
{
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == options->signal;
    return !options->signal && WEXITSTATUS(status) == options->exit_code;
}

static void count(const struct plain_test *test, int status, test_counts *counts)
{
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

// Whether this one is through; one that is over its time is killed first.
static bool reap(child *c, test_counts *counts)
{
    int status = 0;
    pid_t ended = waitpid(c->pid, &status, WNOHANG);
    if (ended == 0 && now_s() <= c->end_s)
        return false;
    if (ended == 0) {
        fprintf(stderr, "%s::%s timed out after %g s\n", c->test->suite, c->test->name,
                c->timeout_s);
        kill(c->pid, SIGKILL);
        waitpid(c->pid, &status, 0);
    }
    c->pid = 0;
    count(c->test, status, counts);
    return true;
}

// A place for one more child among the first `jobs`, as soon as there is one.
static child *free_place(size_t jobs, test_counts *counts)
{
    for (;; usleep(POLL_US))
        for (size_t i = 0; i < jobs; i++)
            if (!children[i].pid || reap(&children[i], counts))
                return &children[i];
}

// What a sanitizer or valgrind makes slow has that much more time.
static double patience(void)
{
    const char *given = getenv("TL_PATIENCE");
    double times = given ? atof(given) : 1;
    return times >= 1 ? times : 1;
}

static void start(const struct plain_test *test, size_t jobs, test_counts *counts)
{
    const struct plain_options *suite = suite_options(test->suite);
    if (test->options.disabled || suite->disabled) {
        counts->skipped++;
        return;
    }
    child *c = free_place(jobs, counts);
    c->test = test;
    c->timeout_s = test->options.timeout > 0 ? test->options.timeout
                   : suite->timeout > 0      ? suite->timeout
                                             : TIMEOUT_S;
    c->timeout_s *= patience();
    c->end_s = now_s() + c->timeout_s;
    fflush(NULL);
    test_current(test->suite, test->name);
    c->pid = fork();
    if (c->pid == 0)
        run_child(test, suite);
}

static bool wanted(const struct plain_test *test, const char *filter)
{
    char name[512];
    snprintf(name, sizeof name, "%s/%s", test->suite, test->name);
    return !filter || strstr(name, filter);
}

static const char *argument(int argc, char **argv, const char *name)
{
    for (int i = 1; i + 1 < argc; i++)
        if (!strcmp(argv[i], name))
            return argv[i + 1];
    return NULL;
}

// Arguments: `--filter <part of suite/name>`, `--jobs <at most TEST_JOBS>`.
int test_run(int argc, char **argv, test_counts *counts)
{
    const char *filter = argument(argc, argv, "--filter");
    const char *wish = argument(argc, argv, "--jobs");
    int jobs = wish ? atoi(wish) : TEST_JOBS;
    if (jobs < 1 || jobs > TEST_JOBS)
        jobs = TEST_JOBS;
    for (struct plain_test *t = tests; t; t = t->next)
        if (t->name && wanted(t, filter))
            start(t, (size_t)jobs, counts);
    for (int i = 0; i < jobs; i++)
        while (children[i].pid && !reap(&children[i], counts))
            usleep(POLL_US);
    return 0;
}
#endif
