// test: what every C test includes. Criterion's Test(suite, name), TestSuite and the cr_assert_* /
// cr_expect_* macros of <criterion/assert.h> (not the eq(type, a, b) style of criterion/new).
// Under ThreadSanitizer Criterion cannot run at all, so there the same bodies run on the plain runner
// of this folder (plain.h), which has the macros of this family and one child process a test.
//
// Each test is a process of its own. Assertions abort by a long jump: use them on the test's own
// thread only. What a test leaves in test_tmp() is removed by the runner, passed or not.
#ifndef TEST_SUPPORT_TEST_H
#define TEST_SUPPORT_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef TL_TEST_PLAIN
#include "test/support/plain.h"
#else
#include <criterion/criterion.h>
#endif

// test_skip ends the test as skipped and says why: test_skip("no captures").
_Noreturn void test_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
// test_skip_under_valgrind ends the test as skipped where valgrind runs it.
void test_skip_under_valgrind(const char *why);
// test_tmp returns a new empty folder (its path is kept until the process ends).
const char *test_tmp(void);
// test_keep takes a malloc'ed text that lives as long as the process, so that it is no leak; returns it.
const char *test_keep(char *text);
// test_expect_err: cr_assert(err == expected), with the text of the error in the failure.
#define test_expect_err(call, expected)                                                            \
    do {                                                                                           \
        int got_ = (int)(call);                                                                    \
        cr_assert(got_ == (int)(expected), "%s gave %d, expected %s: %s", #call, got_, #expected,  \
                  bus_err_text());                                                                 \
    } while (0)
#define test_ok(call) test_expect_err(call, BUS_OK) // needs bus/base/err.h

#endif
