#include "workhost/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 16384 };

struct work_child {
    work_child_opts opts;
    pid_t pid; // 0: reaped
    int pidfd, socket, page_fd;
    work_mark *mark;
    bus_fd *end_watch, *word_watch;
    char line[LINE_MAX_BYTES];
    size_t line_len;
};

// --- listening ---------------------------------------------------------------------------------------

static void take_lines(work_child *c)
{
    char *start = c->line, *end;
    while ((end = memchr(start, '\n', c->line_len - (size_t)(start - c->line)))) {
        json_t *message = json_loadb(start, (size_t)(end - start), 0, NULL);
        if (message)
            c->opts.on_message(c->opts.ctx, message);
        json_decref(message);
        start = end + 1;
    }
    c->line_len -= (size_t)(start - c->line);
    memmove(c->line, start, c->line_len);
    if (c->line_len == sizeof c->line)
        c->line_len = 0; // no line of ours is that long
}

// False when nothing more will come.
static bool read_words(work_child *c)
{
    for (;;) {
        ssize_t n =
            recv(c->socket, c->line + c->line_len, sizeof c->line - c->line_len, MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        if (n == 0)
            return false;
        c->line_len += (size_t)n;
        take_lines(c);
    }
}

static void on_words(void *ctx, bool readable, bool writable)
{
    work_child *c = ctx;
    (void)readable;
    (void)writable;
    if (!read_words(c))
        bus_fd_want(c->word_watch, false, false); // the end itself is told by the pidfd
}

static void on_end(void *ctx, bool readable, bool writable)
{
    work_child *c = ctx;
    int status = 0;
    (void)readable;
    (void)writable;
    if (waitpid(c->pid, &status, WNOHANG) != c->pid)
        return;
    c->pid = 0;
    read_words(c); // what it said last
    c->opts.on_exit(c->opts.ctx, status);
}

// --- starting ----------------------------------------------------------------------------------------

// Between fork and exec: nothing but system calls.
static _Noreturn void become_runtime(const work_child *c, int child_end, pid_t parent)
{
    char *const argv[] = {"workhostd", "--runtime", (char *)c->opts.scenario, NULL};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(WORK_EXIT_AGAIN); // it died before that took effect
    // Both are moved out of the way first: either may be the other's place.
    int words = fcntl(child_end, F_DUPFD, 10), page = fcntl(c->page_fd, F_DUPFD, 10);
    if (words < 0 || page < 0 || dup2(words, WORK_FD_HOST) < 0 || dup2(page, WORK_FD_MARK) < 0)
        _exit(WORK_EXIT_AGAIN);
    syscall(SYS_close_range, WORK_FD_MARK + 1, ~0U, 0);
    execv("/proc/self/exe", argv);
    _exit(WORK_EXIT_AGAIN);
}

static bus_err make_page(work_child *c)
{
    c->page_fd = memfd_create("work-mark", MFD_CLOEXEC);
    if (c->page_fd < 0 || ftruncate(c->page_fd, WORK_MARK_BYTES) != 0)
        return bus_fail(BUS_EIO, "shared page: %s", strerror(errno));
    void *page = mmap(NULL, WORK_MARK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, c->page_fd, 0);
    if (page == MAP_FAILED)
        return bus_fail(BUS_EIO, "shared page: %s", strerror(errno));
    c->mark = page;
    c->mark->clock = bus_clock_is_virtual() ? bus_now_wall().ns : 0;
    return BUS_OK;
}

static bus_err fork_runtime(work_child *c)
{
    int ends[2];
    pid_t parent = getpid();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return bus_fail(BUS_EIO, "socket pair: %s", strerror(errno));
    c->socket = ends[0];
    c->pid = fork();
    if (c->pid == 0)
        become_runtime(c, ends[1], parent);
    close(ends[1]);
    if (c->pid < 0) {
        c->pid = 0;
        return bus_fail(BUS_EIO, "fork: %s", strerror(errno));
    }
    c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    return c->pidfd < 0 ? bus_fail(BUS_EIO, "pidfd: %s", strerror(errno)) : BUS_OK;
}

static bus_err send_plan(work_child *c)
{
    const char *parts[] = {c->opts.plan, "\n"};
    for (int i = 0; i < 2; i++) {
        size_t len = strlen(parts[i]);
        for (size_t done = 0; done < len;) {
            ssize_t n = send(c->socket, parts[i] + done, len - done, MSG_NOSIGNAL);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return bus_fail(BUS_EIO, "the plan: %s", strerror(errno));
            done += (size_t)n;
        }
    }
    return BUS_OK;
}

bus_err work_child_start(work_child **out, const work_child_opts *opts)
{
    work_child *c = calloc(1, sizeof *c);
    if (!c)
        return bus_fail(BUS_ENOMEM, "runtime");
    c->opts = *opts;
    c->pidfd = c->socket = c->page_fd = -1;
    bus_err err = make_page(c);
    if (!err)
        err = fork_runtime(c);
    if (!err)
        err = bus_fd_open(&c->end_watch, opts->loop, c->pidfd, true, false, on_end, c);
    if (!err)
        err = bus_fd_open(&c->word_watch, opts->loop, c->socket, true, false, on_words, c);
    if (!err)
        err = send_plan(c);
    if (err) {
        work_child_free(c);
        return bus_note(err, "starting the runtime of scenario '%s'", opts->scenario);
    }
    *out = c;
    return BUS_OK;
}

pid_t work_child_pid(const work_child *c)
{
    return c->pid;
}

void work_child_signal(work_child *c, int signal_number)
{
    if (c->pid)
        kill(c->pid, signal_number);
}

const work_mark *work_child_mark(const work_child *c)
{
    return c->mark;
}

void work_child_free(work_child *c)
{
    if (!c)
        return;
    bus_fd_close(c->end_watch);
    bus_fd_close(c->word_watch);
    if (c->pid) {
        kill(c->pid, SIGKILL);
        waitpid(c->pid, NULL, 0);
    }
    if (c->mark)
        munmap(c->mark, WORK_MARK_BYTES);
    if (c->pidfd >= 0)
        close(c->pidfd);
    if (c->socket >= 0)
        close(c->socket);
    if (c->page_fd >= 0)
        close(c->page_fd);
    free(c);
}
