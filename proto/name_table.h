// A set of names, each with a number: 0, 1, 2, ... in the order in which they were added. The names are borrowed and
// must outlive the table (they live in a model's arena).
#ifndef LORAC_NAME_TABLE_H
#define LORAC_NAME_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lorac_name_table {
    size_t count;
    size_t capacity;    // names that fit
    const char **names; // [capacity], by number
    uint32_t *slots;    // [slot_count] number + 1, 0: free; at most half of them are taken
    size_t slot_count;  // a power of two, or 0
};

#define LORAC_NO_NAME SIZE_MAX

// An empty table; owns nothing yet.
void lorac_name_table_init(struct lorac_name_table *table);

// Frees what the table owns; it is empty afterwards.
void lorac_name_table_free(struct lorac_name_table *table);

// Forgets the names and keeps the memory.
void lorac_name_table_clear(struct lorac_name_table *table);

// Makes room for [count] names in all, so that adding up to there cannot fail. False where memory ran out.
bool lorac_name_table_reserve(struct lorac_name_table *table, size_t count);

// The number of [name], or LORAC_NO_NAME.
size_t lorac_name_table_find(const struct lorac_name_table *table, const char *name);

// *number = the number of [name], which is added where it is new (*added says so; NULL: do not tell).
// False where memory ran out.
bool lorac_name_table_add(struct lorac_name_table *table, const char *name, size_t *number, bool *added);

#endif
