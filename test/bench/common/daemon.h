// daemon: one of our programs as a child of a bench. Its output goes to a file in the bench's folder; it ends with
// the bench. Every failure ends the bench, with a word why and the end of that output.
// Thread: the one that started it.
#ifndef TEST_BENCH_COMMON_DAEMON_H
#define TEST_BENCH_COMMON_DAEMON_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { BENCH_ARGS_MAX = 24 };

typedef struct {
    pid_t pid; // 0: not running
    char name[32], log[160];
} bench_daemon;

const char *bench_folder(void); // made at the first call, removed at exit

// bench_daemon_start runs <build>/bin/<name> with args (NULL-terminated) and --http on any free port.
void bench_daemon_start(bench_daemon *d, const char *name, const char *const *args);
// bench_daemon_line waits until its output has a line with `part`; out (may be NULL) gets it from there on.
void bench_daemon_line(const bench_daemon *d, const char *part, char *out, size_t cap);
int bench_daemon_port(const bench_daemon *d,
                      const char *part); // the number behind the ':' after part
void bench_daemon_stop(bench_daemon *d); // SIGTERM, and waits

// Proportional set size of a process; and of its children, added up.
uint64_t bench_pss_kib(pid_t pid);
uint64_t bench_children_pss_kib(pid_t pid);

#endif
