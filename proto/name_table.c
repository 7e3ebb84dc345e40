#include "name_table.h"

#include "size.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { SMALLEST_CAPACITY = 32 };

void lorac_name_table_init(struct lorac_name_table *table)
{
    *table = (struct lorac_name_table){0};
}

void lorac_name_table_free(struct lorac_name_table *table)
{
    free(table->names);
    free(table->slots);
    lorac_name_table_init(table);
}

void lorac_name_table_clear(struct lorac_name_table *table)
{
    table->count = 0;
    if (table->slots)
        memset(table->slots, 0, table->slot_count * sizeof *table->slots);
}

// The slot where [name] is, or the free one where it would be. There is always a free one.
static size_t find_slot(const struct lorac_name_table *table, const char *name)
{
    size_t mask = table->slot_count - 1;
    size_t slot = (size_t)XXH3_64bits(name, strlen(name)) & mask;
    while (table->slots[slot] && strcmp(table->names[table->slots[slot] - 1], name) != 0)
        slot = (slot + 1) & mask;
    return slot;
}

bool lorac_name_table_reserve(struct lorac_name_table *table, size_t count)
{
    if (count <= table->capacity)
        return true;
    size_t capacity = table->capacity ? table->capacity : SMALLEST_CAPACITY;
    while (capacity < count)
        if (!lorac_size_multiply(capacity, 2, &capacity) || capacity > UINT32_MAX / 4)
            return false;
    const char **names = realloc(table->names, capacity * sizeof *names);
    if (!names)
        return false;
    table->names = names;
    uint32_t *slots = calloc(capacity * 2, sizeof *slots);
    if (!slots)
        return false;
    free(table->slots);
    table->slots = slots;
    table->slot_count = capacity * 2;
    table->capacity = capacity;
    for (size_t i = 0; i < table->count; i++)
        slots[find_slot(table, names[i])] = (uint32_t)i + 1;
    return true;
}

size_t lorac_name_table_find(const struct lorac_name_table *table, const char *name)
{
    if (table->count == 0)
        return LORAC_NO_NAME;
    uint32_t found = table->slots[find_slot(table, name)];
    return found ? found - 1 : LORAC_NO_NAME;
}

bool lorac_name_table_add(struct lorac_name_table *table, const char *name, size_t *number, bool *added)
{
    if (!lorac_name_table_reserve(table, table->count + 1))
        return false;
    size_t slot = find_slot(table, name);
    bool is_new = table->slots[slot] == 0;
    if (is_new) {
        table->names[table->count++] = name;
        table->slots[slot] = (uint32_t)table->count;
    }
    if (number)
        *number = table->slots[slot] - 1;
    if (added)
        *added = is_new;
    return true;
}
