// The JSON texts among the lorac.* metadata: a thin layer over jansson, private to proto/.
// Messages name the metadata key, because the user has a model and not a debugger.
#ifndef LORAC_ADAPTER_JSON_H
#define LORAC_ADAPTER_JSON_H

#include "arena.h"
#include "lorac_status.h"

#include <jansson.h>
#include <stdbool.h>

// [text] as JSON (an array or an object; a member given twice is refused). The caller gives *out to json_decref.
enum lorac_status lorac_json_parse(const char *key, const char *text, json_t **out, struct lorac_error *error);

// [value] as compact text in a malloc'ed block: members in the order in which they were set, real numbers with the
// fewest digits from 15 to 17 with which all of them read back equal.
enum lorac_status lorac_json_print(const char *key, const json_t *value, char **text, struct lorac_error *error);

// Appends a string / sets a member. FORMAT for text that is not UTF-8, MEMORY.
enum lorac_status lorac_json_append_string(const char *key, json_t *array, const char *text, struct lorac_error *error);
enum lorac_status lorac_json_set_string(const char *key, json_t *object, const char *member, const char *text,
                                        struct lorac_error *error);

// Whether [text] can be written, as a member's name too. FORMAT for text that is not UTF-8, MEMORY.
enum lorac_status lorac_json_check_text(const char *key, const char *text, struct lorac_error *error);

// Appends / sets [value] and takes it over, also on failure and where it is NULL (memory ran out).
enum lorac_status lorac_json_append(const char *key, json_t *array, json_t *value, struct lorac_error *error);
enum lorac_status lorac_json_set(const char *key, json_t *object, const char *member, json_t *value,
                                 struct lorac_error *error);

// A JSON array of strings as an array in [arena]. FORMAT for anything else and for empty strings.
enum lorac_status lorac_json_read_names(struct lorac_arena *arena, const char *key, const char *text, size_t *count,
                                        const char ***names, struct lorac_error *error);

// The opposite: malloc'ed text.
enum lorac_status lorac_json_print_names(const char *key, size_t count, const char *const *names, char **text,
                                         struct lorac_error *error);

#endif
