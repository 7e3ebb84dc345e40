// A list of path,label lines.
#include "image_list_build.h"

#include "proto/name_table.h"
#include "stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
    FIRST_BLOCK_BYTES = 64 * 1024,
    MOST_FIELDS = 2,
};

// The text, and where in it the reader is. Fields are terminated in place.
struct text {
    char *at, *end;
    size_t line; // of [at], from 1
    char separator;
};

struct row {
    char *fields[MOST_FIELDS];
    size_t count; // of fields, also above MOST_FIELDS
    size_t line;  // where it begins
};

// Labels by their texts: rows hold the number that the table gave.
struct label_set {
    struct lorac_name_table names;
    size_t *lines; // [names.count], where each is first
    size_t capacity;
};

// ---- the text

static enum lorac_status read_text(const char *path, char **out, size_t *byte_count, struct lorac_error *error)
{
    struct lorac_stream stream = {0};
    char *block = NULL;
    size_t done = 0, capacity = 0, got = 0;
    enum lorac_status status = lorac_stream_open(path, &stream, error);
    while (status == LORAC_OK && done == capacity) {
        capacity = capacity > 0 ? capacity * 2 : FIRST_BLOCK_BYTES;
        char *larger = realloc(block, capacity + 1); // and a zero behind the last line
        if (!larger) {
            status = lorac_image_list_no_memory(error);
            break;
        }
        block = larger;
        status = lorac_stream_read_some(&stream, block + done, capacity - done, &got, error);
        done += got;
    }
    lorac_stream_close(&stream);
    if (status == LORAC_OK && memchr(block, '\0', done))
        status = lorac_error_set(error, LORAC_ERROR_FORMAT, "holds zero bytes: it is no text in UTF-8");
    if (status != LORAC_OK) {
        free(block);
        return status;
    }
    block[done] = '\0';
    *out = block;
    *byte_count = done;
    return LORAC_OK;
}

// In quotes: up to the closing one; two are one. *end is behind the field.
static enum lorac_status read_quoted(struct text *text, char **field, char **end, struct lorac_error *error)
{
    const size_t line = text->line;
    char *from = text->at + 1, *to = text->at + 1;
    *field = to;
    for (; from < text->end; from++) {
        if (*from == '"' && from[1] != '"') { // behind the end is a zero
            *to = '\0';
            *end = from + 1;
            return LORAC_OK;
        }
        from += *from == '"';
        text->line += *from == '\n';
        *to++ = *from;
    }
    return lorac_error_set(error, LORAC_ERROR_FORMAT, "line %zu: the quote is not closed", line);
}

static bool ends_field(const struct text *text, const char *at)
{
    return at == text->end || *at == text->separator || *at == '\n' || (*at == '\r' && at[1] == '\n');
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

// One field, without the spaces around it; *end at the separator or the line's end.
static enum lorac_status read_field(struct text *text, char **field, char **end, struct lorac_error *error)
{
    while (is_space(*text->at) && !ends_field(text, text->at))
        text->at++;
    if (*text->at == '"') {
        LORAC_TRY(read_quoted(text, field, end, error));
        while (is_space(**end) && !ends_field(text, *end))
            (*end)++;
        if (!ends_field(text, *end))
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "line %zu: there is more behind the closing quote",
                                   text->line);
        return LORAC_OK;
    }
    *field = *end = text->at;
    while (!ends_field(text, *end))
        (*end)++;
    return LORAC_OK;
}

// A row; count 0 for a line without anything in it.
static enum lorac_status read_row(struct text *text, struct row *row, struct lorac_error *error)
{
    *row = (struct row){.line = text->line};
    bool last;
    do {
        char *field = NULL, *end = NULL;
        LORAC_TRY(read_field(text, &field, &end, error));
        last = end == text->end || *end != text->separator;
        const bool carriage = end < text->end && *end == '\r';
        const bool quoted = field > text->at;
        text->line += last && end < text->end;
        text->at = last && end < text->end ? end + 1 + carriage : last ? end : end + 1;
        *end = '\0';
        for (char *back = end; !quoted && back > field && is_space(back[-1]); back--)
            back[-1] = '\0';
        if (row->count < MOST_FIELDS)
            row->fields[row->count] = field;
        row->count++;
    } while (!last);
    if (row->count == 1 && row->fields[0][0] == '\0')
        row->count = 0;
    return LORAC_OK;
}

// ---- labels

static enum lorac_status add_label(struct label_set *set, struct lorac_arena *arena, const struct row *row,
                                   int32_t *number, struct lorac_error *error)
{
    size_t found = lorac_name_table_find(&set->names, row->fields[1]);
    if (found == LORAC_NO_NAME) {
        if (set->names.count == set->capacity) {
            const size_t capacity = set->capacity > 0 ? set->capacity * 2 : 64;
            size_t *larger = realloc(set->lines, capacity * sizeof *larger);
            if (!larger)
                return lorac_image_list_no_memory(error);
            set->lines = larger;
            set->capacity = capacity;
        }
        set->lines[set->names.count] = row->line;
        const char *kept = lorac_arena_strdup(arena, row->fields[1]);
        if (!kept || set->names.count >= INT32_MAX || !lorac_name_table_add(&set->names, kept, &found, NULL))
            return lorac_image_list_no_memory(error);
    }
    *number = (int32_t)found;
    return LORAC_OK;
}

// A class number from 0, in digits alone.
static bool parse_number(const char *text, int32_t *out)
{
    int64_t value = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (*text - '0');
        if (value >= INT32_MAX)
            return false;
    }
    *out = (int32_t)value;
    return true;
}

// Of whole numbers, one below 0: no name that anybody gives to a class. Its place; LORAC_NO_NAME: there is none.
static size_t find_negative(const struct label_set *set)
{
    size_t found = LORAC_NO_NAME;
    for (size_t i = 0; i < set->names.count; i++) {
        const char *name = set->names.names[i];
        const bool negative = name[0] == '-';
        int32_t number;
        if (!parse_number(name + negative, &number))
            return LORAC_NO_NAME;
        if (negative && found == LORAC_NO_NAME)
            found = i;
    }
    return found;
}

static bool all_numbers(const struct label_set *set)
{
    int32_t number;
    for (size_t i = 0; i < set->names.count; i++)
        if (!parse_number(set->names.names[i], &number))
            return false;
    return true;
}

static bool is_known(const struct lorac_class_names *known, const char *name)
{
    for (size_t i = 0; i < known->count; i++)
        if (strcmp(known->names[i], name) == 0)
            return true;
    return false;
}

// A name of the model's, or a number of one of its classes.
static enum lorac_status number_known(struct lorac_image_list_build *build, const struct label_set *set,
                                      int32_t *numbers, struct lorac_error *error)
{
    const struct lorac_class_names *known = build->known;
    for (size_t i = 0; i < set->names.count; i++) {
        const char *name = set->names.names[i];
        const bool is_number = parse_number(name, &numbers[i]) && !is_known(known, name);
        if (is_number && (size_t)numbers[i] >= known->count)
            return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                                   "line %zu: label %s is outside 0 .. %zu, the classes of the model", set->lines[i],
                                   name, known->count - 1);
        if (!is_number)
            LORAC_TRY(lorac_error_prefix(error, lorac_image_list_find_known(known, name, &numbers[i], error),
                                         "line %zu: ", set->lines[i]));
    }
    return lorac_image_list_set_classes(build, known->names, known->count, error);
}

// Sorted by their bytes, as class folders are.
static enum lorac_status number_names(struct lorac_image_list_build *build, const struct label_set *set,
                                      int32_t *numbers, struct lorac_error *error)
{
    const size_t count = set->names.count;
    const char **sorted = malloc(count * sizeof *sorted);
    if (!sorted)
        return lorac_image_list_no_memory(error);
    memcpy(sorted, set->names.names, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, lorac_image_list_compare);
    for (size_t i = 0; i < count; i++)
        numbers[lorac_name_table_find(&set->names, sorted[i])] = (int32_t)i;
    enum lorac_status status = lorac_image_list_set_classes(build, sorted, count, error);
    free(sorted);
    return status;
}

// From the numbers of the table to those of the classes.
static enum lorac_status number_labels(struct lorac_image_list_build *build, const struct label_set *set,
                                       struct lorac_error *error)
{
    struct lorac_image_list *list = &build->list;
    int32_t *numbers = malloc((set->names.count + 1) * sizeof *numbers);
    if (!numbers)
        return lorac_image_list_no_memory(error);
    enum lorac_status status = LORAC_OK;
    const size_t negative = find_negative(set);
    if (negative != LORAC_NO_NAME) {
        status = lorac_error_set(error, LORAC_ERROR_FORMAT, "line %zu: label %s is below 0; classes are counted from 0",
                                 set->lines[negative], set->names.names[negative]);
    } else if (build->known) {
        status = number_known(build, set, numbers, error);
    } else if (all_numbers(set)) {
        for (size_t i = 0; i < set->names.count; i++) {
            (void)parse_number(set->names.names[i], &numbers[i]);
            if ((size_t)numbers[i] >= list->class_count)
                list->class_count = (size_t)numbers[i] + 1;
        }
    } else {
        status = number_names(build, set, numbers, error);
    }
    for (size_t i = 0; status == LORAC_OK && i < list->count; i++)
        list->labels[i] = numbers[list->labels[i]];
    free(numbers);
    return status;
}

// ---- rows

static enum lorac_status check_row(const struct row *row, const struct text *text, size_t field_count,
                                   struct lorac_error *error)
{
    const char *separator = text->separator == ',' ? "a comma" : "a tab";
    if (row->count > MOST_FIELDS)
        return lorac_error_set(
            error, LORAC_ERROR_FORMAT,
            "line %zu: has %zu fields; path and label are expected, with %s between them, and a path "
            "that holds one in quotes",
            row->line, row->count, separator);
    if (row->count != field_count)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "line %zu: has %zu field%s, and the lines before have %zu",
                               row->line, row->count, row->count == 1 ? "" : "s", field_count);
    if (row->count == 1 && strpbrk(row->fields[0], text->separator == ',' ? ";\t" : ",;") &&
        !lorac_image_list_is_picture(row->fields[0]))
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "line %zu: '%s' is no path of a picture; put %s between path and label", row->line,
                               row->fields[0], separator);
    for (size_t i = 0; i < row->count; i++)
        if (row->fields[i][0] == '\0')
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "line %zu: the %s is empty", row->line,
                                   i == 0 ? "path" : "label");
    return LORAC_OK;
}

struct reading {
    struct lorac_image_list_build *build;
    const char *folder; // of the .csv, up to and with the slash
    size_t folder_bytes;
    struct label_set labels;
};

static enum lorac_status take_row(struct reading *reading, const struct row *row, bool first, struct lorac_error *error)
{
    const char *name = row->fields[0];
    char *path = lorac_image_list_join(reading->build, reading->folder, *name == '/' ? 0 : reading->folder_bytes, name);
    if (!path)
        return lorac_image_list_no_memory(error);
    if (first && !lorac_image_list_is_picture(name) && access(path, F_OK) != 0)
        return LORAC_OK; // a header
    int32_t number = 0;
    if (row->count == MOST_FIELDS)
        LORAC_TRY(add_label(&reading->labels, reading->build->list.arena, row, &number, error));
    return lorac_image_list_add(reading->build, path, number, error);
}

static enum lorac_status read_rows(struct reading *reading, struct text *text, struct lorac_error *error)
{
    struct lorac_image_list *list = &reading->build->list;
    size_t field_count = 0;
    while (text->at < text->end) {
        struct row row;
        LORAC_TRY(read_row(text, &row, error));
        if (row.count == 0)
            continue;
        const bool first = field_count == 0;
        field_count = first ? row.count : field_count;
        LORAC_TRY(check_row(&row, text, field_count, error));
        LORAC_TRY(take_row(reading, &row, first, error));
    }
    if (list->count == 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "lists no pictures; a line is path,label");
    if (field_count == MOST_FIELDS)
        return number_labels(reading->build, &reading->labels, error);
    free(list->labels);
    list->labels = NULL;
    return LORAC_OK;
}

static bool is_tsv(const char *path)
{
    const char *dot = strrchr(path, '.');
    while (dot && dot > path && strcasecmp(dot, ".gz") == 0)
        for (dot--; dot > path && *dot != '.'; dot--)
            ;
    return dot && strncasecmp(dot, ".tsv", 4) == 0;
}

enum lorac_status lorac_csv_read(struct lorac_image_list_build *build, const char *path, struct lorac_error *error)
{
    const char *slash = strrchr(path, '/');
    struct reading reading = {.build = build, .folder = path, .folder_bytes = slash ? (size_t)(slash - path) + 1 : 0};
    lorac_name_table_init(&reading.labels.names);
    char *block = NULL;
    size_t byte_count = 0;
    enum lorac_status status = read_text(path, &block, &byte_count, error);
    if (status == LORAC_OK) {
        const size_t mark = byte_count >= 3 && memcmp(block, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
        struct text text = {block + mark, block + byte_count, 1, is_tsv(path) ? '\t' : ','};
        status = read_rows(&reading, &text, error);
    }
    lorac_name_table_free(&reading.labels.names);
    free(reading.labels.lines);
    free(block);
    return lorac_error_prefix(error, status, "'%s': ", path);
}
