#include "log_cut.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What to do with a line.
enum line { LINE_STAYS, LINE_IS_LAST, LINE_GOES };

static enum line judge(const char *text, size_t length, uint64_t step)
{
    if (length == 0 || text[length - 1] != '\n')
        return LINE_GOES;
    json_t *line = json_loadb(text, length, 0, NULL);
    const json_t *number = json_object_get(line, "step");
    enum line result = json_is_object(line) ? LINE_STAYS : LINE_GOES;
    if (json_is_integer(number) && json_integer_value(number) >= 0) {
        const uint64_t found = (uint64_t)json_integer_value(number);
        result = found < step ? LINE_STAYS : found == step ? LINE_IS_LAST : LINE_GOES;
    }
    json_decref(line);
    return result;
}

// The bytes that stay; -1 where they cannot be read.
static off_t find_end(FILE *file, uint64_t step)
{
    char *text = NULL;
    size_t room = 0;
    off_t end = 0;
    enum line line = LINE_STAYS;
    errno = 0;
    for (ssize_t length; line == LINE_STAYS && (length = getline(&text, &room, file)) > 0;) {
        line = judge(text, (size_t)length, step);
        if (line != LINE_GOES)
            end += (off_t)length;
    }
    const bool failed = ferror(file) || errno == ENOMEM;
    free(text);
    return failed ? -1 : end;
}

enum lorac_status lorac_log_cut(const char *path, uint64_t step, bool *has_lines, struct lorac_error *error)
{
    *has_lines = false;
    FILE *file = fopen(path, "r+");
    if (!file && errno == ENOENT)
        return LORAC_OK;
    if (!file)
        return lorac_error_set(error, LORAC_ERROR_IO, "--log '%s': cannot go on with it: %s", path, strerror(errno));
    const off_t end = find_end(file, step);
    const bool failed = end < 0 || ftruncate(fileno(file), end) != 0;
    const int failure = errno;
    fclose(file);
    if (failed)
        return lorac_error_set(error, LORAC_ERROR_IO, "--log '%s': cannot go on with it: %s", path, strerror(failure));
    *has_lines = end > 0;
    return LORAC_OK;
}
