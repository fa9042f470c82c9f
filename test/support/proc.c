#include "test/support/proc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test/support/test.h"

enum { POLL_US = 2000, TAIL_BYTES = 2000 };

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static _Noreturn void become(const char *const *argv, const char *const *env, int out)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int in = open("/dev/null", O_RDONLY);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    for (int fd = 3; fd < 256; fd++)
        close(fd);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (; env && *env; env++)
        putenv((char *)*env);
    execvp(argv[0], (char *const *)argv);
    dprintf(STDERR_FILENO, "cannot run '%s': %s\n", argv[0], strerror(errno));
    _exit(127);
}

void test_proc_start(test_proc *proc, const char *const *argv, const char *const *env,
                     const char *log)
{
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    cr_assert(out >= 0, "cannot write '%s': %s", log, strerror(errno));
    snprintf(proc->log, sizeof proc->log, "%s", log);
    proc->log_offset = lseek(out, 0, SEEK_END);
    proc->pid = fork();
    if (proc->pid == 0)
        become(argv, env, out);
    close(out);
    cr_assert(proc->pid > 0, "cannot start '%s': %s", argv[0], strerror(errno));
}

// Reads whole lines behind log_offset; true when one contains part.
static bool find_line(test_proc *proc, const char *part, char *line, size_t cap)
{
    FILE *f = fopen(proc->log, "r");
    if (!f)
        return false;
    fseek(f, proc->log_offset, SEEK_SET);
    char *text = NULL;
    size_t room = 0;
    bool found = false;
    for (ssize_t n; !found && (n = getline(&text, &room, f)) > 0 && text[n - 1] == '\n';) {
        proc->log_offset = ftell(f);
        text[n - 1] = '\0';
        found = strstr(text, part) != NULL;
    }
    if (found && line)
        snprintf(line, cap, "%s", text);
    free(text);
    fclose(f);
    return found;
}

static void log_tail(const test_proc *proc, char *buf, size_t cap)
{
    FILE *f = fopen(proc->log, "r");
    size_t n = 0;
    if (f) {
        fseek(f, 0, SEEK_END);
        long size = ftell(f);
        fseek(f, size > TAIL_BYTES ? size - TAIL_BYTES : 0, SEEK_SET);
        n = fread(buf, 1, cap - 1, f);
        fclose(f);
    }
    buf[n] = '\0';
}

void test_proc_wait_line(test_proc *proc, const char *part, int timeout_ms, char *line, size_t cap)
{
    for (long end = now_ms() + timeout_ms; now_ms() < end; usleep(POLL_US)) {
        bool ended = !test_proc_running(proc); // asked first: what it wrote last counts
        if (find_line(proc, part, line, cap))
            return;
        if (ended)
            break;
    }
    char tail[TAIL_BYTES + 1];
    log_tail(proc, tail, sizeof tail);
    cr_assert_fail("no line with '%s' within %d ms; the output ends:\n%s", part, timeout_ms, tail);
}

void test_proc_signal(const test_proc *proc, int signal)
{
    cr_assert(proc->pid > 0 && kill(proc->pid, signal) == 0, "signal %d to pid %d: %s", signal,
              (int)proc->pid, strerror(errno));
}

static int exit_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int test_proc_wait(test_proc *proc, int timeout_ms)
{
    if (proc->pid <= 0)
        return -1;
    long end = now_ms() + timeout_ms;
    do {
        int status;
        if (waitpid(proc->pid, &status, WNOHANG) == proc->pid) {
            proc->pid = 0;
            return exit_code(status);
        }
        usleep(POLL_US);
    } while (now_ms() < end);
    return -1;
}

bool test_proc_running(test_proc *proc)
{
    siginfo_t info = {0}; // WNOWAIT: the exit code stays for test_proc_wait
    return proc->pid > 0 &&
           !(waitid(P_PID, (id_t)proc->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
             info.si_pid);
}

void test_proc_kill(test_proc *proc)
{
    if (proc->pid <= 0)
        return;
    kill(proc->pid, SIGKILL);
    waitpid(proc->pid, NULL, 0);
    proc->pid = 0;
}

int test_proc_stop(test_proc *proc, int timeout_ms)
{
    if (proc->pid <= 0)
        return -1;
    kill(proc->pid, SIGCONT);
    kill(proc->pid, SIGTERM);
    int code = test_proc_wait(proc, timeout_ms);
    test_proc_kill(proc);
    return code;
}

const char *test_program(const char *name)
{
    char *path = NULL;
    cr_assert(asprintf(&path, "%s/bin/%s", TL_BUILD_DIR, name) > 0);
    return path;
}

int test_port_of(const char *line, const char *address)
{
    const char *at = strstr(line, address);
    const char *colon = at ? strchr(at + strlen(address), ':') : NULL;
    int port = colon ? atoi(colon + 1) : 0;
    cr_assert(port > 0, "no port behind '%s' in '%s'", address, line);
    return port;
}

int test_free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int err = bind(fd, (struct sockaddr *)&a, len) || getsockname(fd, (struct sockaddr *)&a, &len);
    close(fd);
    cr_assert(!err, "no free port: %s", strerror(errno));
    return ntohs(a.sin_port);
}
