// The test harness: one program per file, tables of cases inside. A failed check prints where and with which
// values, counts, and the program goes on; main ends with `return check_report();`.
//
// Tests may print and exit; the library may not.
#ifndef LORAC_TEST_CHECK_H
#define LORAC_TEST_CHECK_H

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_count, check_failures;

__attribute__((format(printf, 4, 5), unused)) static int check_that(int ok, const char *file, int line,
                                                                    const char *format, ...)
{
    check_count++;
    if (ok)
        return 1;
    check_failures++;
    fprintf(stderr, "%s:%d: ", file, line);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return 0;
}

// CHECK(condition); CHECKF(condition, "row %d: got %g", row, got). Both give the condition's value.
#define CHECK(condition) check_that(!!(condition), __FILE__, __LINE__, "failed: %s", #condition)
#define CHECKF(condition, ...) check_that(!!(condition), __FILE__, __LINE__, __VA_ARGS__)

// Stops the test program where going on makes no sense (a fixture is missing).
#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!CHECK(condition))                                                                                         \
            exit(1);                                                                                                   \
    } while (0)

// CHECK_OK(call, error): the call gives LORAC_OK, else its message is printed.
#define CHECK_OK(call, error) CHECKF((call) == LORAC_OK, "%s: %s", #call, (error).message)

#define CHECK_STRING(got, expected)                                                                                    \
    check_that(strcmp((got), (expected)) == 0, __FILE__, __LINE__, "got \"%s\", expected \"%s\"", (got), (expected))

// The exit code by which ctest counts a test as skipped.
enum { CHECK_SKIP = 77 };

__attribute__((unused)) static int check_report(void)
{
    printf("%d checks, %d failed\n", check_count, check_failures);
    return check_failures || check_count == 0;
}

#endif
