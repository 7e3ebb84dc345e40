// What the user sees: errors and notes on stderr as "lorac-onnx train: ...", tables and results on stdout.
#ifndef LORAC_REPORT_H
#define LORAC_REPORT_H

#include "command.h"

#include <jansson.h>
#include <stdio.h>

// ---- stderr, one line each; control characters become '?'

void lorac_report_error(const struct lorac_call *call, const char *format, ...) LORAC_PRINTF(2, 3);
// Nothing with --quiet.
void lorac_report_note(const struct lorac_call *call, const char *format, ...) LORAC_PRINTF(2, 3);

// Prints the error and gives the exit code that belongs to its status: usage for ARGUMENT, above tolerance for
// TOLERANCE, else failed.
enum lorac_exit lorac_report_failure(const struct lorac_call *call, const struct lorac_error *error);

// Adds [text] to the message.
void lorac_report_append(struct lorac_error *error, const char *text);

// Prints the line and gives LORAC_EXIT_USAGE.
enum lorac_exit lorac_report_usage(const struct lorac_call *call, const char *format, ...) LORAC_PRINTF(2, 3);

// ---- tables: cells are added row by row, then printed with columns as wide as they need

struct lorac_table {
    size_t column_count;
    const char *align; // one letter per column: 'l' or 'r'
    char **cells;      // the headers are the first row, where there are any
    size_t cell_count, capacity;
    bool failed; // memory ran out: printing says so
};

// [headers]: column_count texts, copied; NULL: none. [align] is borrowed for the table's life.
void lorac_table_init(struct lorac_table *table, size_t column_count, const char *align, const char *const *headers);
void lorac_table_cell(struct lorac_table *table, const char *format, ...) LORAC_PRINTF(2, 3);
// Prints the table, and clears it whether it could be printed or not. Errors: MEMORY.
enum lorac_status lorac_table_finish(struct lorac_table *table, FILE *file, struct lorac_error *error);
// Without printing it.
void lorac_table_clear(struct lorac_table *table);

// ---- numbers

// "12.3 MB" (decimal units) in [text]; returns text.
enum { LORAC_BYTES_TEXT = 32 };
const char *lorac_bytes_text(size_t bytes, char text[LORAC_BYTES_TEXT]);

// Seconds of a clock that only goes forward.
double lorac_seconds(void);

// ---- JSON

// A real number, or null where it is not finite (JSON has no NaN).
json_t *lorac_json_number(double value);
// A string, with '?' for bytes that are not UTF-8; null for NULL.
json_t *lorac_json_text(const char *text);
// [array] with [item], or [object] with [value], which is taken over. NULL where memory ran out, now or when one of the
// two was made: the other is released.
json_t *lorac_json_with_item(json_t *array, json_t *item);
json_t *lorac_json_with_member(json_t *object, const char *key, json_t *value);
// Prints [root] to stdout and releases it; NULL stands for memory that ran out while it was made.
enum lorac_status lorac_json_write(json_t *root, struct lorac_error *error);

#endif
