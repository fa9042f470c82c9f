#include "test/bench/common/daemon.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/bench/common/bench.h"

enum { LOG_BYTES = 1 << 20, WAIT_S = 60, LOOK_US = 100 };

static char folder[64];

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command))
        fprintf(stderr, "%s stays\n", folder);
}

const char *bench_folder(void)
{
    if (folder[0])
        return folder;
    snprintf(folder, sizeof folder, "/tmp/tradelane-bench-XXXXXX");
    if (!mkdtemp(folder)) {
        perror(folder);
        exit(1);
    }
    atexit(remove_folder);
    return folder;
}

static size_t read_log(const bench_daemon *d, char *buf, size_t cap)
{
    int fd = open(d->log, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, buf, cap - 1);
    if (fd >= 0)
        close(fd);
    buf[n > 0 ? n : 0] = 0;
    return n > 0 ? (size_t)n : 0;
}

static void give_up(const bench_daemon *d, const char *what)
{
    static char text[LOG_BYTES];
    size_t len = read_log(d, text, sizeof text);
    fprintf(stderr, "bench: %s: %s\n%s\n", d->name, what, text + (len > 2000 ? len - 2000 : 0));
    exit(1);
}

static void run(const bench_daemon *d, const char *const *args)
{
    char path[512];
    const char *argv[BENCH_ARGS_MAX + 4] = {path, "--http", "127.0.0.1:0"};
    size_t n = 3;
    for (; *args && n < BENCH_ARGS_MAX + 3; args++)
        argv[n++] = *args;
    snprintf(path, sizeof path, "%s/bin/%s", TL_BUILD_DIR, d->name);
    int fd = open(d->log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fd >= 0 && dup2(fd, 1) >= 0 && dup2(fd, 2) >= 0)
        execv(path, (char *const *)argv);
    _exit(127);
}

void bench_daemon_start(bench_daemon *d, const char *name, const char *const *args)
{
    static int started;
    snprintf(d->name, sizeof d->name, "%s", name);
    snprintf(d->log, sizeof d->log, "%s/%s-%d.log", bench_folder(), name, ++started);
    d->pid = fork();
    if (d->pid == 0)
        run(d, args);
    if (d->pid < 0)
        give_up(d, "cannot be started");
}

void bench_daemon_line(const bench_daemon *d, const char *part, char *out, size_t cap)
{
    static char text[LOG_BYTES];
    int64_t end = bench_now_ns() + (int64_t)WAIT_S * 1000000000;
    for (;;) {
        read_log(d, text, sizeof text);
        char *at = strstr(text, part);
        if (at && strchr(at, '\n')) {
            if (out)
                snprintf(out, cap, "%.*s", (int)strcspn(at, "\n"), at);
            return;
        }
        if (waitpid(d->pid, NULL, WNOHANG) == d->pid)
            give_up(d, "ended");
        if (bench_now_ns() > end)
            give_up(d, part);
        usleep(LOOK_US);
    }
}

int bench_daemon_port(const bench_daemon *d, const char *part)
{
    char line[256];
    bench_daemon_line(d, part, line, sizeof line);
    const char *colon = strchr(line + strlen(part), ':');
    return colon ? atoi(colon + 1) : 0;
}

void bench_daemon_stop(bench_daemon *d)
{
    if (d->pid <= 0)
        return;
    kill(d->pid, SIGTERM);
    waitpid(d->pid, NULL, 0);
    d->pid = 0;
}

uint64_t bench_pss_kib(pid_t pid)
{
    char path[64], line[256];
    unsigned long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "Pss: %lu", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib;
}

// Whichever thread forked: all that name it as their parent.
uint64_t bench_children_pss_kib(pid_t pid)
{
    uint64_t kib = 0;
    DIR *dir = opendir("/proc");
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char path[300];
        int parent = 0;
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *file = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' ? fopen(path, "r") : NULL;
        if (file && fscanf(file, "%*d (%*[^)]) %*c %d", &parent) == 1 && parent == (int)pid)
            kib += bench_pss_kib(atoi(entry->d_name));
        if (file)
            fclose(file);
    }
    if (dir)
        closedir(dir);
    return kib;
}
