// A recipe's YAML as a flat list: one entry for each key, with its path, its value and where it stands. What the keys
// mean is recipe_table.h's.
//
// A subset of YAML, for files that people write: one document; mappings, lists and plain or quoted texts; no anchors,
// aliases, tags, and no merge keys. What the subset lacks is refused by name, so that a file means what it shows.
#ifndef LORAC_RECIPE_YAML_H
#define LORAC_RECIPE_YAML_H

#include "proto/lorac_status.h"

#include <stdbool.h>
#include <stddef.h>

// Counted from 1; columns in characters.
struct lorac_yaml_mark {
    size_t line, column;
};

struct lorac_yaml_text {
    char *text;  // UTF-8
    bool quoted; // "0.1" is a text, 0.1 a number
    struct lorac_yaml_mark mark;
};

enum lorac_yaml_kind {
    LORAC_YAML_TEXT,   // one text
    LORAC_YAML_LIST,   // texts
    LORAC_YAML_MAP,    // its members are the entries with longer paths, which follow
    LORAC_YAML_MAPS,   // a list of mappings: "overrides"; the members of the first are "overrides[0].rank", ...
    LORAC_YAML_NOTHING // "train:" without a value
};

struct lorac_yaml_entry {
    char *path;                  // "train.lr"
    const char *key;             // its last part
    struct lorac_yaml_mark mark; // of the key
    struct lorac_yaml_mark value_mark;
    enum lorac_yaml_kind kind;
    struct lorac_yaml_text *texts; // TEXT: one; LIST: all
    size_t count;                  // of texts; MAPS: of mappings
};

struct lorac_yaml {
    struct lorac_yaml_entry *entries; // in the order of the file
    size_t count;
};

// Of a file; a section with its keys, a list in it and the mappings of that list are all that a recipe needs.
enum { LORAC_YAML_MAX_BYTES = 256 * 1024, LORAC_YAML_MAX_DEPTH = 4, LORAC_YAML_MAX_ENTRIES = 2000 };

// Parses [byte_count] bytes. [name] begins each message, "name:7:3: ..."; NULL: none of that. No document at all gives no entries.
// Errors: ARGUMENT (not YAML, outside the subset, a key twice or with a bracket, too large), MEMORY. *out needs no clearing then.
enum lorac_status lorac_yaml_parse(const char *name, const char *bytes, size_t byte_count, struct lorac_yaml *out,
                                   struct lorac_error *error);

void lorac_yaml_clear(struct lorac_yaml *yaml);

// ARGUMENT with the message "name:7:3: ...", or without the place where [name] is NULL.
enum lorac_status lorac_yaml_refuse(const char *name, struct lorac_yaml_mark mark, struct lorac_error *error,
                                    const char *format, ...) LORAC_PRINTF(4, 5);

// Reads the file into *bytes (malloc'ed, with a NUL behind it). Errors: IO, ARGUMENT (too large), MEMORY.
enum lorac_status lorac_yaml_read_file(const char *path, char **bytes, size_t *byte_count, struct lorac_error *error);

#endif
