// plain: the runner for builds in which Criterion cannot run (ThreadSanitizer). Same test bodies,
// the assertion macros in use, one child process a test. Options known: init, fini, timeout (s),
// signal, exit_code, disabled, description.
#ifndef TEST_SUPPORT_PLAIN_H
#define TEST_SUPPORT_PLAIN_H

#pragma GCC system_header // like Criterion's: what a macro expands to is not warned about

#include <math.h>
#include <stdbool.h>
#include <string.h>

struct plain_options {
    void (*init)(void);
    void (*fini)(void);
    double timeout;
    int signal;
    int exit_code;
    bool disabled;
    const char *description;
    int sentinel_;
};

struct plain_test {
    const char *suite;
    const char *name; // NULL: the defaults of a suite
    void (*body)(void);
    struct plain_options options;
    struct plain_test *next;
};

void plain_register(struct plain_test *test);
// plain_check: says what failed; a fatal failure ends the test.
void plain_check(bool ok, bool fatal, const char *file, int line, const char *what, const char *fmt,
                 ...);

#define PLAIN_TEST(Suite, Name, ...)                                                               \
    static void Suite##_##Name##_body(void);                                                       \
    static struct plain_test Suite##_##Name##_test = {                                             \
        .suite = #Suite, .name = #Name, .body = Suite##_##Name##_body, .options = {__VA_ARGS__}};  \
    __attribute__((constructor)) static void Suite##_##Name##_add(void)                            \
    {                                                                                              \
        plain_register(&Suite##_##Name##_test);                                                    \
    }                                                                                              \
    static void Suite##_##Name##_body(void)
#define PLAIN_SUITE(Suite, ...)                                                                    \
    static struct plain_test Suite##_suite = {.suite = #Suite, .options = {__VA_ARGS__}};          \
    __attribute__((constructor)) static void Suite##_suite_add(void)                               \
    {                                                                                              \
        plain_register(&Suite##_suite);                                                            \
    }                                                                                              \
    struct plain_suite_end_##Suite
#define Test(...)      PLAIN_TEST(__VA_ARGS__, .sentinel_ = 0)
#define TestSuite(...) PLAIN_SUITE(__VA_ARGS__, .sentinel_ = 0)

#define PLAIN(ok, fatal, what, ...)                                                                \
    plain_check((ok), fatal, __FILE__, __LINE__, what, "" __VA_ARGS__)

#define cr_assert(c, ...)            PLAIN((c), true, #c, __VA_ARGS__)
#define cr_assert_not(c, ...)        PLAIN(!(c), true, "not " #c, __VA_ARGS__)
#define cr_assert_fail(...)          PLAIN(false, true, "fail", __VA_ARGS__)
#define cr_fatal(...)                PLAIN(false, true, "fail", __VA_ARGS__)
#define cr_assert_eq(a, b, ...)      PLAIN((a) == (b), true, #a " == " #b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...)     PLAIN((a) != (b), true, #a " != " #b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...)      PLAIN((a) < (b), true, #a " < " #b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...)     PLAIN((a) <= (b), true, #a " <= " #b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...)      PLAIN((a) > (b), true, #a " > " #b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...)     PLAIN((a) >= (b), true, #a " >= " #b, __VA_ARGS__)
#define cr_assert_null(p, ...)       PLAIN((p) == NULL, true, #p " is NULL", __VA_ARGS__)
#define cr_assert_not_null(p, ...)   PLAIN((p) != NULL, true, #p " is not NULL", __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)  PLAIN(!strcmp((a), (b)), true, #a " == " #b, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) PLAIN(strcmp((a), (b)), true, #a " != " #b, __VA_ARGS__)
#define cr_assert_str_empty(a, ...)  PLAIN(!*(a), true, #a " is empty", __VA_ARGS__)
#define cr_assert_arr_eq(a, b, n, ...)                                                             \
    PLAIN(!memcmp((a), (b), (n)), true, #a " == " #b, __VA_ARGS__)
#define cr_assert_arr_neq(a, b, n, ...)                                                            \
    PLAIN(memcmp((a), (b), (n)), true, #a " != " #b, __VA_ARGS__)
#define cr_assert_float_eq(a, b, e, ...)                                                           \
    PLAIN(fabs((double)(a) - (double)(b)) <= (e), true, #a " == " #b, __VA_ARGS__)

#define cr_expect(c, ...)            PLAIN((c), false, #c, __VA_ARGS__)
#define cr_expect_not(c, ...)        PLAIN(!(c), false, "not " #c, __VA_ARGS__)
#define cr_expect_fail(...)          PLAIN(false, false, "fail", __VA_ARGS__)
#define cr_expect_eq(a, b, ...)      PLAIN((a) == (b), false, #a " == " #b, __VA_ARGS__)
#define cr_expect_neq(a, b, ...)     PLAIN((a) != (b), false, #a " != " #b, __VA_ARGS__)
#define cr_expect_lt(a, b, ...)      PLAIN((a) < (b), false, #a " < " #b, __VA_ARGS__)
#define cr_expect_leq(a, b, ...)     PLAIN((a) <= (b), false, #a " <= " #b, __VA_ARGS__)
#define cr_expect_gt(a, b, ...)      PLAIN((a) > (b), false, #a " > " #b, __VA_ARGS__)
#define cr_expect_geq(a, b, ...)     PLAIN((a) >= (b), false, #a " >= " #b, __VA_ARGS__)
#define cr_expect_null(p, ...)       PLAIN((p) == NULL, false, #p " is NULL", __VA_ARGS__)
#define cr_expect_not_null(p, ...)   PLAIN((p) != NULL, false, #p " is not NULL", __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...)  PLAIN(!strcmp((a), (b)), false, #a " == " #b, __VA_ARGS__)
#define cr_expect_str_neq(a, b, ...) PLAIN(strcmp((a), (b)), false, #a " != " #b, __VA_ARGS__)
#define cr_expect_str_empty(a, ...)  PLAIN(!*(a), false, #a " is empty", __VA_ARGS__)
#define cr_expect_arr_eq(a, b, n, ...)                                                             \
    PLAIN(!memcmp((a), (b), (n)), false, #a " == " #b, __VA_ARGS__)
#define cr_expect_arr_neq(a, b, n, ...)                                                            \
    PLAIN(memcmp((a), (b), (n)), false, #a " != " #b, __VA_ARGS__)
#define cr_expect_float_eq(a, b, e, ...)                                                           \
    PLAIN(fabs((double)(a) - (double)(b)) <= (e), false, #a " == " #b, __VA_ARGS__)
#define cr_log_info(...) ((void)0)
#define cr_log_warn(...) ((void)0)

#endif
