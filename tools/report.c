#include "report.h"

#include "recipe.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// ---- stderr

// Names come from files that may be hostile: no escape sequence reaches the terminal.
static void replace_control(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 32 || *text == 127)
            *text = '?';
}

static void print_line(const struct lorac_call *call, const char *format, va_list arguments)
{
    char text[LORAC_ERROR_MESSAGE_BYTES + 512];
    vsnprintf(text, sizeof text, format, arguments);
    replace_control(text);
    fflush(stdout); // results that came before stay before
    fprintf(stderr, "lorac-onnx %s: %s\n", call->command->name, text);
}

void lorac_report_error(const struct lorac_call *call, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_line(call, format, arguments);
    va_end(arguments);
}

void lorac_report_note(const struct lorac_call *call, const char *format, ...)
{
    if (call->quiet)
        return;
    va_list arguments;
    va_start(arguments, format);
    print_line(call, format, arguments);
    va_end(arguments);
}

enum lorac_exit lorac_report_failure(const struct lorac_call *call, const struct lorac_error *error)
{
    struct lorac_error explained = *error;
    if (error->status == LORAC_ERROR_ARGUMENT || error->status == LORAC_ERROR_IO)
        lorac_recipe_explain_error(call, &explained);
    lorac_report_error(call, "%s", *error->message ? explained.message : lorac_status_text(error->status));
    if (error->status == LORAC_ERROR_ARGUMENT)
        return LORAC_EXIT_USAGE;
    return error->status == LORAC_ERROR_TOLERANCE ? LORAC_EXIT_ABOVE_TOLERANCE : LORAC_EXIT_FAILED;
}

void lorac_report_append(struct lorac_error *error, const char *text)
{
    size_t used = strlen(error->message);
    snprintf(error->message + used, sizeof error->message - used, "%s", text);
}

enum lorac_exit lorac_report_usage(const struct lorac_call *call, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_line(call, format, arguments);
    va_end(arguments);
    return LORAC_EXIT_USAGE;
}

// ---- tables

void lorac_table_init(struct lorac_table *table, size_t column_count, const char *align, const char *const *headers)
{
    *table = (struct lorac_table){.column_count = column_count, .align = align};
    for (size_t i = 0; headers && i < column_count; i++)
        lorac_table_cell(table, "%s", headers[i]);
}

static bool make_room(struct lorac_table *table)
{
    if (table->cell_count < table->capacity)
        return true;
    size_t capacity = table->capacity ? 2 * table->capacity : 64;
    char **cells = realloc(table->cells, capacity * sizeof *cells);
    if (!cells)
        return false;
    table->cells = cells;
    table->capacity = capacity;
    return true;
}

void lorac_table_cell(struct lorac_table *table, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *cell = length < 0 || !make_room(table) ? NULL : malloc((size_t)length + 1);
    if (!cell) {
        table->failed = true;
        return;
    }
    va_start(arguments, format);
    vsnprintf(cell, (size_t)length + 1, format, arguments);
    va_end(arguments);
    replace_control(cell);
    table->cells[table->cell_count++] = cell;
}

// Characters of a UTF-8 text: bytes that do not continue one.
static size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

// One row. Spaces are printed only before something that follows, so that no line ends in them.
static void print_row(const struct lorac_table *table, char *const *cells, const size_t *widths, FILE *file)
{
    size_t spaces = 0;
    for (size_t i = 0; i < table->column_count; i++) {
        size_t pad = widths[i] - text_width(cells[i]);
        bool right = table->align[i] == 'r';
        if (*cells[i]) {
            fprintf(file, "%*s%s", (int)(spaces + (right ? pad : 0)), "", cells[i]);
            spaces = 0;
        } else {
            spaces += right ? pad : 0;
        }
        spaces += (right ? 0 : pad) + 2;
    }
    fputc('\n', file);
}

static enum lorac_status print_table(const struct lorac_table *table, FILE *file, struct lorac_error *error)
{
    size_t *widths = table->failed ? NULL : calloc(table->column_count, sizeof *widths);
    if (!widths)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while printing a table");
    for (size_t i = 0; i < table->cell_count; i++) {
        size_t width = text_width(table->cells[i]);
        if (width > widths[i % table->column_count])
            widths[i % table->column_count] = width;
    }
    for (size_t i = 0; i + table->column_count <= table->cell_count; i += table->column_count)
        print_row(table, table->cells + i, widths, file);
    free(widths);
    return LORAC_OK;
}

void lorac_table_clear(struct lorac_table *table)
{
    for (size_t i = 0; i < table->cell_count; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct lorac_table){0};
}

enum lorac_status lorac_table_finish(struct lorac_table *table, FILE *file, struct lorac_error *error)
{
    const enum lorac_status status = print_table(table, file, error);
    lorac_table_clear(table);
    return status;
}

// ---- numbers

const char *lorac_bytes_text(size_t bytes, char text[LORAC_BYTES_TEXT])
{
    static const char *const units[] = {"kB", "MB", "GB", "TB"};
    double value = (double)bytes / 1000;
    size_t unit = 0;
    while (value >= 1000 && unit < 3) {
        value /= 1000;
        unit++;
    }
    snprintf(text, LORAC_BYTES_TEXT, value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

double lorac_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// ---- JSON

json_t *lorac_json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *lorac_json_text(const char *text)
{
    if (!text)
        return json_null();
    json_t *string = json_string(text);
    if (string)
        return string;
    // Not UTF-8 (or out of memory, which the second try shows as well).
    char *copy = malloc(strlen(text) + 1);
    if (!copy)
        return NULL;
    strcpy(copy, text);
    for (char *at = copy; *at; at++)
        if ((unsigned char)*at > 126)
            *at = '?';
    string = json_string(copy);
    free(copy);
    return string;
}

json_t *lorac_json_with_item(json_t *array, json_t *item)
{
    if (json_array_append_new(array, item) == 0)
        return array;
    json_decref(array);
    return NULL;
}

json_t *lorac_json_with_member(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) == 0)
        return object;
    json_decref(object);
    return NULL;
}

enum lorac_status lorac_json_write(json_t *root, struct lorac_error *error)
{
    char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) : NULL;
    json_decref(root);
    if (!text)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while writing JSON");
    fputs(text, stdout);
    fputc('\n', stdout);
    free(text);
    return LORAC_OK;
}
