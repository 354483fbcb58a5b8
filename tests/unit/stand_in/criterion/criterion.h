// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
#pragma GCC system_header
/*
 * What our tests use of Criterion, for machines where Debian has none (MINGA_CRITERION=OFF): each test in a
 * process of its own, one after the other, with its suite's set-up and its time. The words that it
 * prints are Criterion's.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct criterion_options {
    void (*init)(void);
    void (*fini)(void);
    double timeout; /* in seconds; 0: none */
};

struct criterion_suite {
    const char *name;
    struct criterion_options options;
    struct criterion_suite *next;
};

struct criterion_test {
    const char *suite;
    const char *name;
    void (*body)(void);
    struct criterion_options options;
    struct criterion_test *next;
};

/* Both keep what they are given. */
void criterion_add_suite(struct criterion_suite *suite);
void criterion_add_test(struct criterion_test *test);

/* Says what failed; the test goes on. */
void criterion_failed(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Says why; the test ends here. */
void criterion_skip(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* The test that failed ends here. */
void criterion_end(void) __attribute__((noreturn));

#define TestSuite(SUITE, ...)                                                \
    __attribute__((constructor)) static void criterion_suite_##SUITE(void)   \
    {                                                                        \
        static struct criterion_suite suite = {#SUITE, {__VA_ARGS__}, NULL}; \
                                                                             \
        criterion_add_suite(&suite);                                         \
    }                                                                        \
    struct criterion_suite

#define Test(SUITE, NAME, ...)                                          \
    static void SUITE##_##NAME##_body(void);                            \
    __attribute__((constructor)) static void SUITE##_##NAME##_add(void) \
    {                                                                   \
        static struct criterion_test test = {                           \
            #SUITE, #NAME, SUITE##_##NAME##_body, {__VA_ARGS__}, NULL}; \
                                                                        \
        criterion_add_test(&test);                                      \
    }                                                                   \
    static void SUITE##_##NAME##_body(void)

/* Their message is a literal. */
#define criterion_expect(CONDITION, TEXT, ...) \
    ((CONDITION) ? (void)0 : criterion_failed(__FILE__, __LINE__, TEXT, " " __VA_ARGS__))
#define criterion_assert(CONDITION, TEXT, ...) \
    ((CONDITION) ? (void)0                     \
                 : (criterion_failed(__FILE__, __LINE__, TEXT, " " __VA_ARGS__), criterion_end()))

#define cr_skip_test(...) criterion_skip(" " __VA_ARGS__)
#define cr_assert_fail(...) \
    (criterion_failed(__FILE__, __LINE__, "", " " __VA_ARGS__), criterion_end())

#define cr_assert(A, ...)          criterion_assert(A, #A, __VA_ARGS__)
#define cr_assert_not(A, ...)      criterion_assert(!(A), "not " #A, __VA_ARGS__)
#define cr_assert_null(A, ...)     criterion_assert((A) == NULL, #A " is null", __VA_ARGS__)
#define cr_assert_not_null(A, ...) criterion_assert((A) != NULL, #A " is not null", __VA_ARGS__)
#define cr_assert_eq(A, B, ...)    criterion_assert((A) == (B), #A " == " #B, __VA_ARGS__)
#define cr_assert_neq(A, B, ...)   criterion_assert((A) != (B), #A " != " #B, __VA_ARGS__)
#define cr_assert_lt(A, B, ...)    criterion_assert((A) < (B), #A " < " #B, __VA_ARGS__)
#define cr_assert_leq(A, B, ...)   criterion_assert((A) <= (B), #A " <= " #B, __VA_ARGS__)
#define cr_assert_gt(A, B, ...)    criterion_assert((A) > (B), #A " > " #B, __VA_ARGS__)
#define cr_assert_geq(A, B, ...)   criterion_assert((A) >= (B), #A " >= " #B, __VA_ARGS__)
#define cr_assert_str_eq(A, B, ...) \
    criterion_assert(strcmp(A, B) == 0, #A " is the text " #B, __VA_ARGS__)
#define cr_assert_str_neq(A, B, ...) \
    criterion_assert(strcmp(A, B) != 0, #A " is not the text " #B, __VA_ARGS__)
#define cr_assert_arr_eq(A, B, SIZE, ...) \
    criterion_assert(memcmp(A, B, SIZE) == 0, #A " has the bytes of " #B, __VA_ARGS__)
#define cr_assert_float_eq(A, B, EPSILON, ...) \
    criterion_assert(__builtin_fabs((A) - (B)) <= (EPSILON), #A " is about " #B, __VA_ARGS__)

#define cr_expect(A, ...)          criterion_expect(A, #A, __VA_ARGS__)
#define cr_expect_not(A, ...)      criterion_expect(!(A), "not " #A, __VA_ARGS__)
#define cr_expect_null(A, ...)     criterion_expect((A) == NULL, #A " is null", __VA_ARGS__)
#define cr_expect_not_null(A, ...) criterion_expect((A) != NULL, #A " is not null", __VA_ARGS__)
#define cr_expect_eq(A, B, ...)    criterion_expect((A) == (B), #A " == " #B, __VA_ARGS__)
#define cr_expect_neq(A, B, ...)   criterion_expect((A) != (B), #A " != " #B, __VA_ARGS__)
#define cr_expect_lt(A, B, ...)    criterion_expect((A) < (B), #A " < " #B, __VA_ARGS__)
#define cr_expect_leq(A, B, ...)   criterion_expect((A) <= (B), #A " <= " #B, __VA_ARGS__)
#define cr_expect_gt(A, B, ...)    criterion_expect((A) > (B), #A " > " #B, __VA_ARGS__)
#define cr_expect_geq(A, B, ...)   criterion_expect((A) >= (B), #A " >= " #B, __VA_ARGS__)
#define cr_expect_str_eq(A, B, ...) \
    criterion_expect(strcmp(A, B) == 0, #A " is the text " #B, __VA_ARGS__)
