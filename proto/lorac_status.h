// Status codes and the error record: how every function of this project fails.
//
// A function that can fail returns `enum lorac_status` and writes one sentence into the caller's
// `struct lorac_error`: lower case, what failed, the name in quotes, the values, the rule, and what to
// do. Results leave through trailing `out` pointers and are written only on success. Nothing in the
// library prints or exits.
#ifndef LORAC_STATUS_H
#define LORAC_STATUS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define LORAC_PRINTF(format_index, first_index) __attribute__((format(printf, format_index, first_index)))
#else
#define LORAC_PRINTF(format_index, first_index)
#endif

// What applications may call across the shared library's border.
#if defined(__GNUC__)
#define LORAC_API __attribute__((visibility("default")))
#else
#define LORAC_API
#endif

// The status list. Numbers are part of the ABI: append only.
#define LORAC_STATUS_LIST(X)                                                                                           \
    X(LORAC_OK, 0, "ok")                                                                                               \
    X(LORAC_ERROR_ARGUMENT, 1, "bad argument")                                                                         \
    X(LORAC_ERROR_MEMORY, 2, "out of memory")                                                                          \
    X(LORAC_ERROR_IO, 3, "input or output failed")                                                                     \
    X(LORAC_ERROR_FORMAT, 4, "malformed file")                                                                         \
    X(LORAC_ERROR_UNSUPPORTED, 5, "not supported")                                                                     \
    X(LORAC_ERROR_MISMATCH, 6, "things that must agree do not")                                                        \
    X(LORAC_ERROR_NOT_FINITE, 7, "a value is NaN or infinite")                                                         \
    X(LORAC_ERROR_ABORTED, 8, "stopped by the caller")                                                                 \
    X(LORAC_ERROR_TOLERANCE, 9, "difference above tolerance")

enum lorac_status {
#define LORAC_STATUS_ENUM(name, number, text) name = number,
    LORAC_STATUS_LIST(LORAC_STATUS_ENUM)
#undef LORAC_STATUS_ENUM
};

#define LORAC_ERROR_MESSAGE_BYTES 1024

// The error record. Zero-initialise it (`struct lorac_error error = {0};`); the library fills it only on
// failure. Functions accept NULL where the caller does not want the sentence.
struct lorac_error {
    enum lorac_status status;
    char message[LORAC_ERROR_MESSAGE_BYTES]; // one line, no full stop, always terminated
};

// The short text of [status], never NULL.
LORAC_API const char *lorac_status_text(enum lorac_status status);

// Writes the sentence into [error] (NULL is fine) and returns [status], so that a failing place reads
// `return lorac_error_set(error, LORAC_ERROR_IO, "cannot open '%s': %s", path, strerror(errno));`
// Text that does not fit is cut. Control characters in it (from names in hostile files) become '?'.
enum lorac_status lorac_error_set(struct lorac_error *error, enum lorac_status status, const char *format, ...)
    LORAC_PRINTF(3, 4);

// Where [status] is a failure, puts text before the sentence already in [error] (NULL is fine): for a caller that knows
// the context ("'a.npy': "). Returns [status], so that such a caller reads
// `return lorac_error_prefix(error, read_file(path, error), "'%s': ", path);`
// The other arguments are evaluated in any case.
enum lorac_status lorac_error_prefix(struct lorac_error *error, enum lorac_status status, const char *format, ...)
    LORAC_PRINTF(3, 4);

// Forwards a failure: for functions that own nothing yet.
#define LORAC_TRY(call)                                                                                                \
    do {                                                                                                               \
        enum lorac_status lorac_try_status_ = (call);                                                                  \
        if (lorac_try_status_ != LORAC_OK)                                                                             \
            return lorac_try_status_;                                                                                  \
    } while (0)

// Forwards a failure through the one cleanup label of a function that owns something.
#define LORAC_TRY_GOTO(status_variable, call, label)                                                                   \
    do {                                                                                                               \
        (status_variable) = (call);                                                                                    \
        if ((status_variable) != LORAC_OK)                                                                             \
            goto label;                                                                                                \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
