/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TAP for plain test programs: stress, simulation, fuzz and end to end.
 *
 * Criterion forks and so does not run under the thread sanitizer; such tests
 * are a main() that calls tri_tap_ok() once per case and returns
 * tri_tap_done().  A program that dies before that prints no plan, and the
 * runner counts the missing plan as a failure.
 *
 *     int main(void)
 *     {
 *         tri_tap_ok(sum == 3, "one and two are %d", sum);
 *         return tri_tap_done();
 *     }
 *
 * Threads: one thread reports.  Each file that includes this header has its
 * own counters, so one file of a program reports.
 */
#ifndef TRI_TESTS_TAP_H
#define TRI_TESTS_TAP_H

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static unsigned tri_tap_count;
static unsigned tri_tap_failed_count;

/*
 * tri_tap_ok reports one case.
 *
 * ok      in; whether the case held.
 * format  in; printf format of the case's name; one line, without '#'.
 *
 * Returns ok, so that a caller can print what it knows of a failure as lines
 * that start with "# ".
 */
__attribute__((format(printf, 2, 3))) static inline bool tri_tap_ok(bool ok, const char *format,
                                                                    ...)
{
    va_list arguments;

    assert(format != NULL);
    tri_tap_count++;
    tri_tap_failed_count += ok ? 0U : 1U;
    (void)printf("%sok %u - ", ok ? "" : "not ", tri_tap_count);
    va_start(arguments, format);
    (void)vprintf(format, arguments);
    va_end(arguments);
    (void)putchar('\n');
    (void)fflush(stdout);
    return ok;
}

/*
 * tri_tap_done prints the plan.  At least one case must have been reported.
 *
 * Returns the exit code of the program: 0 if every case held, else 1.
 */
static inline int tri_tap_done(void)
{
    assert(tri_tap_count > 0U);
    (void)printf("1..%u\n", tri_tap_count);
    (void)fflush(stdout);
    return tri_tap_failed_count == 0U ? 0 : 1;
}

#endif
