#include "sweep.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/base/memory.h"
#include "test/support/alloc/alloc.h"
#include "test/support/test.h"

enum { ALLOCATIONS_MAX = 100000, WORDS = 4096, LIBRARY_KEEPS_MAX = 20 };

typedef enum {
    REACHED,
    NOT_REACHED,
    WRONG
} outcome; // of one n; the exit code of its process, where it has one

typedef void (*failing)(int n);

// What libraries keep for good (tables, the thread's buffers) is made by the first runs.
static void warm(const sweep_case *c)
{
    for (int i = 0; i < 2; i++)
        cr_assert(c->run(c->ctx) == BUS_OK, "%s, all memory there: %s", c->name, bus_err_text());
}

static outcome wrong(const sweep_case *c, int n, failing fail, const char *what)
{
    fprintf(stderr, "%s, allocation %d%s: %s (%s)\n", c->name, n,
            fail == alloc_fail_at ? "" : " and all behind it", what, bus_err_text());
    return WRONG;
}

// An error of memory, of ours or of the operating system's.
static bool of_memory(bus_err err)
{
    return err == BUS_ENOMEM || (err == BUS_EIO && strstr(bus_err_text(), strerror(ENOMEM)));
}

// Runs with one that fails. *kept: blocks that are more than before.
static bus_err run_failing(const sweep_case *c, int n, failing fail, bool *reached, int64_t *kept)
{
    int64_t before = alloc_blocks();
    fail(n);
    bus_err err = c->run(c->ctx);
    *reached = alloc_failed();
    alloc_fail_at(0);
    *kept = alloc_blocks() - before;
    return err;
}

// A library may keep something at its first failures (OpenSSL: the thread's ring of 16 errors with their
// texts): a leak is what is kept each time.
static bool leaks(const sweep_case *c, int n, failing fail, int64_t kept)
{
    bool reached;
    for (int times = 0; kept > 0 && times < LIBRARY_KEEPS_MAX; times++)
        run_failing(c, n, fail, &reached, &kept);
    return kept != 0;
}

static outcome try_once(const sweep_case *c, int n, failing fail)
{
    bool reached;
    int64_t kept;
    bus_err err = run_failing(c, n, fail, &reached, &kept);
    if (reached && !of_memory(err) && !(c->can_do_without && !err))
        return wrong(c, n, fail, bus_err_name(err));
    if (!reached && err)
        return wrong(c, n, fail, "nothing failed, and yet it is an error");
    if (leaks(c, n, fail, kept))
        return wrong(c, n, fail, "blocks are kept");
    if (reached && c->run(c->ctx) != BUS_OK)
        return wrong(c, n, fail, "it is not possible again");
    return reached ? REACHED : NOT_REACHED;
}

static void read_all(int fd, char words[WORDS])
{
    size_t len = 0;
    for (ssize_t n = 1; n > 0 && len<WORDS - 1; len += n> 0 ? (size_t)n : 0)
        n = read(fd, words + len, WORDS - 1 - len);
    words[len] = '\0';
}

// The same in a process that may end by name.
static outcome try_apart(const sweep_case *c, int n, failing fail)
{
    char words[WORDS];
    int pipe_end[2], status = 0;
    cr_assert(pipe(pipe_end) == 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipe_end[1], STDERR_FILENO);
        close(pipe_end[0]);
        close(pipe_end[1]);
        signal(SIGABRT, SIG_DFL); // the runner's handler would make a report of it
        bus_memory_json();
        _exit(try_once(c, n, fail));
    }
    close(pipe_end[1]);
    read_all(pipe_end[0], words);
    close(pipe_end[0]);
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) != WRONG)
        return (outcome)WEXITSTATUS(status);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(words, "out of memory: "))
        return REACHED;
    fputs(words, stderr);
    return wrong(c, n, fail, "ended otherwise than by name");
}

void sweep_given_allocator(void)
{
    test_skip_under_valgrind("its allocator is in front of the one that fails");
    cr_assert(alloc_works(), "another allocator is in front of the one that fails");
}

void sweep_allocations(const sweep_case *c)
{
    static const failing ways[] = {alloc_fail_at, alloc_fail_from};
    outcome (*step)(const sweep_case *, int, failing) = c->may_end ? try_apart : try_once;
    int n = 0, wrongs = 0;
#ifdef TL_TEST_PLAIN
    test_skip("one thread has nobody to race with, and a process for each step is too dear here");
#endif
    sweep_given_allocator();
    warm(c);
    for (bool more = true; more; more = more && wrongs < 20) {
        more = false;
        cr_assert(++n < ALLOCATIONS_MAX, "%s has no end", c->name);
        for (size_t i = 0; i < 2; i++) {
            outcome got = step(c, n, ways[i]);
            more = more || got != NOT_REACHED;
            wrongs += got == WRONG;
        }
    }
    cr_expect(wrongs == 0, "%s: %d times wrong", c->name, wrongs);
    cr_expect(n > c->allocations_min, "%s: only %d allocations", c->name, n - 1);
}
