#include "lorac_status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *lorac_status_text(enum lorac_status status)
{
    switch (status) {
#define LORAC_STATUS_CASE(name, number, text)                                                                          \
    case name:                                                                                                         \
        return text;
        LORAC_STATUS_LIST(LORAC_STATUS_CASE)
#undef LORAC_STATUS_CASE
    }
    return "unknown status";
}

// Names come from files that anyone may have written; a terminal must not execute them.
static void mask_control_characters(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || (unsigned char)*text == 0x7f)
            *text = '?';
}

enum lorac_status lorac_error_set(struct lorac_error *error, enum lorac_status status, const char *format, ...)
{
    if (!error)
        return status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    mask_control_characters(error->message);
    error->status = status;
    return status;
}

enum lorac_status lorac_error_prefix(struct lorac_error *error, enum lorac_status status, const char *format, ...)
{
    if (!error || status == LORAC_OK)
        return status;
    char old[LORAC_ERROR_MESSAGE_BYTES];
    memcpy(old, error->message, sizeof old);
    va_list arguments;
    va_start(arguments, format);
    int used = vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    size_t start = used < 0 ? 0 : (size_t)used;
    if (start >= sizeof error->message)
        start = sizeof error->message - 1;
    snprintf(error->message + start, sizeof error->message - start, "%s", old);
    mask_control_characters(error->message);
    return status;
}
