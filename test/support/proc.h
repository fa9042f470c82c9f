// proc: a child process whose output can be waited for. It dies with the thread that started it.
// Output (stdout and stderr together) goes to a file, so a child never blocks on its reader.
// Thread: the one that started it. Failures here fail the test.
#ifndef TEST_SUPPORT_PROC_H
#define TEST_SUPPORT_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct {
    pid_t pid;       // 0: not running
    char log[512];   // path of the output file
    long log_offset; // where test_proc_wait_line goes on
} test_proc;

// test_proc_start runs argv[0] (looked up on PATH when it has no '/'), with `env` ("NAME=value" …,
// NULL-terminated, added to ours; may be NULL). log: the output is appended there.
void test_proc_start(test_proc *proc, const char *const *argv, const char *const *env,
                     const char *log);
// test_proc_wait_line waits for the next line of output that contains `part` and copies it to line
// (may be NULL). Lines before it are passed over. Fails the test, with the output's end, when
// timeout_ms is over or the process ended without writing it.
void test_proc_wait_line(test_proc *proc, const char *part, int timeout_ms, char *line, size_t cap);
// test_proc_signal sends; test_proc_wait waits for the end: exit code, or 128 + signal; -1: timeout.
void test_proc_signal(const test_proc *proc, int signal);
int test_proc_wait(test_proc *proc, int timeout_ms);
bool test_proc_running(test_proc *proc);
void test_proc_kill(test_proc *proc); // SIGKILL and reap; nothing when not running
int test_proc_stop(test_proc *proc,
                   int timeout_ms); // SIGTERM, then wait, then kill; as test_proc_wait

// test_program returns the path of one of our programs of this build ("feedd" -> <build>/bin/feedd).
const char *test_program(const char *name);
// test_port_of reads the port that follows the last ':' of `address` within line; fails the test if none.
int test_port_of(const char *line, const char *address);
int test_free_port(void); // a TCP port of loopback that was free a moment ago

#endif
