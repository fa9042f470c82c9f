// valgrind_kernel: what our daemons ask of the kernel and Debian 12's valgrind (3.19) does not know. Preloaded into
// what runs under valgrind (scripts/check valgrind), never into anything else.
//
// pidfd_open(2)                a pipe that a thread closes when the process ends: readable then, as the real one is
// execv("/proc/self/exe", …)   by the program's own path; the link leads to valgrind
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    pid_t pid;
    int end;
} watched;

static void *wait_for_end(void *arg)
{
    watched *w = arg;
    siginfo_t info;
    while (waitid(P_PID, (id_t)w->pid, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR)
        ;
    close(w->end);
    free(w);
    return NULL;
}

static long open_pidfd(pid_t pid)
{
    int ends[2];
    pthread_t thread;
    watched *w = malloc(sizeof *w);
    if (!w || pipe2(ends, O_CLOEXEC) != 0) {
        free(w);
        return -1;
    }
    *w = (watched){.pid = pid, .end = ends[1]};
    if (pthread_create(&thread, NULL, wait_for_end, w) != 0) {
        close(ends[0]);
        close(ends[1]);
        free(w);
        errno = EAGAIN;
        return -1;
    }
    pthread_detach(thread);
    return ends[0];
}

static long (*libc_syscall)(long, ...);
__attribute__((constructor)) static void find_libc(void) // once: a forked child cannot look for it
{
    libc_syscall = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
}

long syscall(long number, ...)
{
    long a[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    if (number == SYS_pidfd_open)
        return open_pidfd((pid_t)a[0]);
    return libc_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int execv(const char *path, char *const argv[])
{
    char self[4096];
    ssize_t len = strcmp(path, "/proc/self/exe") ? -1 : readlink(path, self, sizeof self - 1);
    if (len >= 0)
        self[len] = '\0';
    return execve(len >= 0 ? self : path, argv, environ);
}
