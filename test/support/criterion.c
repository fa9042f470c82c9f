// criterion: the runner of every build but ThreadSanitizer's.
#ifndef TL_TEST_PLAIN
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <criterion/options.h>
#include <criterion/stats.h>

#include "test/support/runner.h"
#include "test/support/test.h"

enum { TIMEOUT_S = 120 };

static test_counts totals;

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    totals.passed = stats->tests_passed;
    totals.failed = stats->tests_failed; // a crash counts as failed too
    totals.skipped = stats->tests_skipped;
    if (totals.failed < stats->tests_crashed)
        totals.failed = stats->tests_crashed;
}

void test_skip_now(void)
{
    cr_skip_test("");
}

int test_run(int argc, char **argv, test_counts *counts)
{
    struct criterion_test_set *tests = criterion_initialize();
    criterion_options.jobs = TEST_JOBS;
    criterion_options.timeout = TIMEOUT_S;
    int run = criterion_handle_args(argc, argv, true);
    int ok = run ? criterion_run_all_tests(tests) : 1;
    criterion_finalize(tests);
    *counts = totals;
    if (!ok && counts->failed == 0)
        counts->failed = 1;
    return !run;
}
#endif
