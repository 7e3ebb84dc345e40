#include "recipe_yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { PATH_BYTES = 256 };

struct reader {
    const char *name;
    const char *bytes;
    size_t byte_count;
    yaml_parser_t parser;
    struct lorac_yaml out;
    size_t capacity, documents;
};

// ---- messages

static struct lorac_yaml_mark mark_of(yaml_mark_t mark)
{
    return (struct lorac_yaml_mark){mark.line + 1, mark.column + 1};
}

enum lorac_status lorac_yaml_refuse(const char *name, struct lorac_yaml_mark mark, struct lorac_error *error,
                                    const char *format, ...)
{
    char text[LORAC_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!name)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "%s", text);
    return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "%s:%zu:%zu: %s", name, mark.line, mark.column, text);
}

#define REFUSE(reader, mark, error, ...) lorac_yaml_refuse((reader)->name, mark, error, __VA_ARGS__)

static enum lorac_status out_of_memory(const struct reader *reader, struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "'%s': out of memory", reader->name ? reader->name : "recipe");
}

// Line and column of a byte, for libyaml's complaints about bytes, which have no mark.
static struct lorac_yaml_mark mark_at(const struct reader *reader, size_t offset)
{
    struct lorac_yaml_mark mark = {1, 1};
    for (size_t i = 0; i < offset && i < reader->byte_count; i++) {
        if (reader->bytes[i] == '\n')
            mark = (struct lorac_yaml_mark){mark.line + 1, 1};
        else if (((unsigned char)reader->bytes[i] & 0xC0) != 0x80) // the first byte of a character
            mark.column++;
    }
    return mark;
}

static bool is_tab(const struct reader *reader, struct lorac_yaml_mark mark)
{
    size_t offset = 0;
    for (size_t line = 1; line < mark.line && offset < reader->byte_count; offset++)
        line += reader->bytes[offset] == '\n';
    offset += mark.column - 1; // before a tab that indents stand spaces alone
    return offset < reader->byte_count && reader->bytes[offset] == '\t';
}

static enum lorac_status refuse_syntax(const struct reader *reader, struct lorac_error *error)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem ? parser->problem : "not YAML";
    if (parser->error == YAML_MEMORY_ERROR)
        return out_of_memory(reader, error);
    if (parser->error == YAML_READER_ERROR) {
        bool control = strstr(problem, "control") != NULL;
        return REFUSE(reader, mark_at(reader, parser->problem_offset), error, "%s",
                      control ? "a control character" : "not UTF-8: save the file as UTF-8");
    }
    struct lorac_yaml_mark mark = mark_of(parser->problem_mark);
    if (is_tab(reader, mark))
        return REFUSE(reader, mark, error, "a tab: indent with spaces");
    if (parser->context)
        return REFUSE(reader, mark, error, "%s (%s, which begins in line %zu)", problem, parser->context,
                      parser->context_mark.line + 1);
    return REFUSE(reader, mark, error, "%s", problem);
}

// ---- events

static enum lorac_status next_event(struct reader *reader, yaml_event_t *event, struct lorac_error *error)
{
    return yaml_parser_parse(&reader->parser, event) ? LORAC_OK : refuse_syntax(reader, error);
}

// What the subset has no use for.
static enum lorac_status check_event(const struct reader *reader, const yaml_event_t *event, struct lorac_error *error)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return REFUSE(reader, mark_of(event->start_mark), error, "an alias (*%s): write the value out",
                      (const char *)event->data.alias.anchor);
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        if (strlen((const char *)event->data.scalar.value) != event->data.scalar.length)
            return REFUSE(reader, mark_of(event->start_mark), error, "a text with a NUL character");
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor)
        return REFUSE(reader, mark_of(event->start_mark), error, "an anchor (&%s): recipes have none",
                      (const char *)anchor);
    if (tag)
        return REFUSE(reader, mark_of(event->start_mark), error, "a tag (%s): recipes have none", (const char *)tag);
    return LORAC_OK;
}

// ---- entries

static bool is_nothing(const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

static enum lorac_status add_entry(struct reader *reader, const char *path, struct lorac_yaml_mark mark,
                                   struct lorac_error *error)
{
    struct lorac_yaml *out = &reader->out;
    for (size_t i = 0; i < out->count; i++)
        if (strcmp(out->entries[i].path, path) == 0)
            return REFUSE(reader, mark, error, "'%s' is given twice: first in line %zu", out->entries[i].key,
                          out->entries[i].mark.line);
    if (out->count == LORAC_YAML_MAX_ENTRIES)
        return REFUSE(reader, mark, error, "more than %d keys", LORAC_YAML_MAX_ENTRIES);
    if (out->count == reader->capacity) {
        size_t capacity = reader->capacity ? 2 * reader->capacity : 32;
        struct lorac_yaml_entry *larger = realloc(out->entries, capacity * sizeof *larger);
        if (!larger)
            return out_of_memory(reader, error);
        out->entries = larger;
        reader->capacity = capacity;
    }
    char *copy = strdup(path);
    if (!copy)
        return out_of_memory(reader, error);
    const char *dot = strrchr(copy, '.');
    out->entries[out->count++] = (struct lorac_yaml_entry){.path = copy, .key = dot ? dot + 1 : copy, .mark = mark};
    return LORAC_OK;
}

// Of the entry with that number: pointers do not outlive the next entry.
static enum lorac_status add_text(struct reader *reader, size_t index, const yaml_event_t *event,
                                  struct lorac_error *error)
{
    struct lorac_yaml_entry *entry = &reader->out.entries[index];
    struct lorac_yaml_text *larger = realloc(entry->texts, (entry->count + 1) * sizeof *larger);
    if (!larger)
        return out_of_memory(reader, error);
    entry->texts = larger;
    char *copy = strdup((const char *)event->data.scalar.value);
    if (!copy)
        return out_of_memory(reader, error);
    larger[entry->count++] =
        (struct lorac_yaml_text){.text = copy,
                                 .quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE,
                                 .mark = mark_of(event->start_mark)};
    return LORAC_OK;
}

// ---- the grammar: each function is called with the event that begins its part, and ends behind the one that ends it

static enum lorac_status read_map(struct reader *reader, const char *path, size_t depth, struct lorac_error *error);

static enum lorac_status check_depth(const struct reader *reader, const yaml_event_t *event, size_t depth,
                                     struct lorac_error *error)
{
    if (depth > LORAC_YAML_MAX_DEPTH)
        return REFUSE(reader, mark_of(event->start_mark), error, "nested too deep: a recipe has sections with keys");
    return LORAC_OK;
}

// One item of a list: a text, or a mapping where all items before are.
static enum lorac_status read_item(struct reader *reader, size_t index, const yaml_event_t *event, size_t depth,
                                   struct lorac_error *error)
{
    struct lorac_yaml_entry *entry = &reader->out.entries[index];
    struct lorac_yaml_mark mark = mark_of(event->start_mark);
    char path[PATH_BYTES];
    if (event->type == YAML_SEQUENCE_START_EVENT)
        return REFUSE(reader, mark, error, "a list in the list '%s'", entry->key);
    if (event->type == YAML_SCALAR_EVENT) {
        if (entry->kind == LORAC_YAML_MAPS)
            return REFUSE(reader, mark, error, "a value where '%s' has keys with values", entry->key);
        if (is_nothing(event))
            return REFUSE(reader, mark, error, "an item of '%s' has no value", entry->key);
        return add_text(reader, index, event, error);
    }
    if (entry->kind == LORAC_YAML_LIST && entry->count > 0)
        return REFUSE(reader, mark, error, "keys with values where '%s' has values", entry->key);
    entry->kind = LORAC_YAML_MAPS;
    snprintf(path, sizeof path, "%s[%zu]", entry->path, entry->count++);
    return read_map(reader, path, depth, error);
}

static enum lorac_status read_list(struct reader *reader, size_t index, size_t depth, struct lorac_error *error)
{
    for (;;) {
        yaml_event_t event;
        LORAC_TRY(next_event(reader, &event, error));
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return LORAC_OK;
        }
        enum lorac_status status = check_event(reader, &event, error);
        if (status == LORAC_OK && event.type != YAML_SCALAR_EVENT)
            status = check_depth(reader, &event, depth + 1, error);
        if (status == LORAC_OK)
            status = read_item(reader, index, &event, depth + 1, error);
        yaml_event_delete(&event);
        LORAC_TRY(status);
    }
}

static enum lorac_status read_value(struct reader *reader, size_t index, const yaml_event_t *event, size_t depth,
                                    struct lorac_error *error)
{
    struct lorac_yaml_entry *entry = &reader->out.entries[index];
    entry->value_mark = mark_of(event->start_mark);
    if (event->type == YAML_SCALAR_EVENT) {
        entry->kind = is_nothing(event) ? LORAC_YAML_NOTHING : LORAC_YAML_TEXT;
        return entry->kind == LORAC_YAML_TEXT ? add_text(reader, index, event, error) : LORAC_OK;
    }
    LORAC_TRY(check_depth(reader, event, depth + 1, error));
    if (event->type == YAML_SEQUENCE_START_EVENT) {
        entry->kind = LORAC_YAML_LIST;
        return read_list(reader, index, depth + 1, error);
    }
    entry->kind = LORAC_YAML_MAP;
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s", entry->path);
    return read_map(reader, path, depth + 1, error);
}

static enum lorac_status read_key(struct reader *reader, const char *path, const yaml_event_t *event,
                                  struct lorac_error *error)
{
    char longer[PATH_BYTES];
    struct lorac_yaml_mark mark = mark_of(event->start_mark);
    if (event->type != YAML_SCALAR_EVENT || is_nothing(event))
        return REFUSE(reader, mark, error, "a key is missing: give 'key: value'");
    const char *key = (const char *)event->data.scalar.value;
    if (strpbrk(key, "[]")) // in a path they say that an entry is a list's
        return REFUSE(reader, mark, error, "a key with a bracket, '%s': keys are words", key);
    int length = snprintf(longer, sizeof longer, "%s%s%s", path, *path ? "." : "", key);
    if (length < 0 || (size_t)length >= sizeof longer)
        return REFUSE(reader, mark, error, "too long a key");
    return add_entry(reader, longer, mark, error);
}

static enum lorac_status read_map(struct reader *reader, const char *path, size_t depth, struct lorac_error *error)
{
    for (;;) {
        yaml_event_t event;
        LORAC_TRY(next_event(reader, &event, error));
        bool ends = event.type == YAML_MAPPING_END_EVENT;
        enum lorac_status status = ends ? LORAC_OK : check_event(reader, &event, error);
        if (status == LORAC_OK && !ends)
            status = read_key(reader, path, &event, error);
        yaml_event_delete(&event);
        if (ends || status != LORAC_OK)
            return status;
        size_t index = reader->out.count - 1;
        LORAC_TRY(next_event(reader, &event, error));
        status = check_event(reader, &event, error);
        if (status == LORAC_OK)
            status = read_value(reader, index, &event, depth, error);
        yaml_event_delete(&event);
        LORAC_TRY(status);
    }
}

static enum lorac_status read_document(struct reader *reader, const yaml_event_t *event, bool *done,
                                       struct lorac_error *error)
{
    switch (event->type) {
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return LORAC_OK;
    case YAML_DOCUMENT_START_EVENT:
        if (reader->documents++)
            return REFUSE(reader, mark_of(event->start_mark), error, "a second document: a recipe has one");
        return LORAC_OK;
    case YAML_STREAM_END_EVENT:
        *done = true;
        return LORAC_OK;
    case YAML_MAPPING_START_EVENT:
        LORAC_TRY(check_event(reader, event, error));
        return read_map(reader, "", 1, error);
    case YAML_SCALAR_EVENT:
        if (is_nothing(event) && !event->data.scalar.anchor && !event->data.scalar.tag)
            return LORAC_OK;
        // fall through
    default:
        LORAC_TRY(check_event(reader, event, error));
        return REFUSE(reader, mark_of(event->start_mark), error, "no sections: a recipe is 'section:' with keys below");
    }
}

static enum lorac_status read_stream(struct reader *reader, struct lorac_error *error)
{
    bool done = false;
    while (!done) {
        yaml_event_t event;
        LORAC_TRY(next_event(reader, &event, error));
        enum lorac_status status = read_document(reader, &event, &done, error);
        yaml_event_delete(&event);
        LORAC_TRY(status);
    }
    return LORAC_OK;
}

enum lorac_status lorac_yaml_parse(const char *name, const char *bytes, size_t byte_count, struct lorac_yaml *out,
                                   struct lorac_error *error)
{
    struct reader reader = {.name = name, .bytes = bytes, .byte_count = byte_count};
    *out = (struct lorac_yaml){0};
    if (byte_count > LORAC_YAML_MAX_BYTES)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "'%s' has more than %d bytes: that is no recipe", name,
                               LORAC_YAML_MAX_BYTES);
    if (!yaml_parser_initialize(&reader.parser))
        return out_of_memory(&reader, error);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)bytes, byte_count);
    enum lorac_status status = read_stream(&reader, error);
    yaml_parser_delete(&reader.parser);
    if (status == LORAC_OK)
        *out = reader.out;
    else
        lorac_yaml_clear(&reader.out);
    return status;
}

void lorac_yaml_clear(struct lorac_yaml *yaml)
{
    for (size_t i = 0; i < yaml->count; i++) {
        struct lorac_yaml_entry *entry = &yaml->entries[i];
        for (size_t k = 0; entry->texts && k < entry->count; k++)
            free(entry->texts[k].text);
        free(entry->texts);
        free(entry->path);
    }
    free(yaml->entries);
    *yaml = (struct lorac_yaml){0};
}

enum lorac_status lorac_yaml_read_file(const char *path, char **bytes, size_t *byte_count, struct lorac_error *error)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return lorac_error_set(error, LORAC_ERROR_IO, "cannot open '%s': %s", path, strerror(errno));
    char *buffer = malloc(LORAC_YAML_MAX_BYTES + 2);
    enum lorac_status status = LORAC_OK;
    size_t count = buffer ? fread(buffer, 1, LORAC_YAML_MAX_BYTES + 1, file) : 0;
    if (!buffer)
        status = lorac_error_set(error, LORAC_ERROR_MEMORY, "'%s': out of memory", path);
    else if (ferror(file))
        status = lorac_error_set(error, LORAC_ERROR_IO, "cannot read '%s': %s", path, strerror(errno));
    else if (count > LORAC_YAML_MAX_BYTES)
        status = lorac_error_set(error, LORAC_ERROR_ARGUMENT, "'%s' has more than %d bytes: that is no recipe", path,
                                 LORAC_YAML_MAX_BYTES);
    fclose(file);
    if (status != LORAC_OK) {
        free(buffer);
        return status;
    }
    buffer[count] = '\0';
    *bytes = buffer;
    *byte_count = count;
    return LORAC_OK;
}
