// runner: what main.c asks of the runner that this build has (criterion.c or plain.c).
#ifndef TEST_SUPPORT_RUNNER_H
#define TEST_SUPPORT_RUNNER_H

#include <stddef.h>

enum { TEST_JOBS = 4 }; // tests at a time: most of them wait for a broker or a clock

typedef struct {
    size_t passed, failed, skipped;
} test_counts;

int test_run(int argc, char **argv,
             test_counts *counts);                      // non-zero: usage was printed, nothing ran
_Noreturn void test_skip_now(void);                     // ends the running test as skipped
void test_current(const char *suite, const char *name); // what test_skip names, on the plain runner

#endif
