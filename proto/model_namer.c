#include "model_namer.h"

#include "model_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUFFIX_BYTES = 24 };

void lorac_namer_free(struct lorac_namer *namer)
{
    lorac_name_table_free(&namer->made);
    lorac_name_table_free(&namer->wanted);
    free(namer->next_suffix);
}

size_t lorac_namer_bytes(const char *prefix, const char *name)
{
    return 2 * (strlen(prefix) + strlen(name) + 2) + SUFFIX_BYTES;
}

static bool reserve_suffix(struct lorac_namer *namer, size_t number)
{
    if (number < namer->next_capacity)
        return true;
    size_t capacity = 2 * number + 64; // [number] counts names that are in memory
    size_t *larger = realloc(namer->next_suffix, capacity * sizeof *larger);
    if (!larger)
        return false;
    memset(larger + namer->next_capacity, 0, (capacity - namer->next_capacity) * sizeof *larger);
    namer->next_suffix = larger;
    namer->next_capacity = capacity;
    return true;
}

bool lorac_namer_make(struct lorac_namer *namer, const char *prefix, const char *name, const char **out)
{
    size_t bytes = strlen(prefix) + strlen(name) + 2, number;
    char *wanted = lorac_arena_alloc(namer->model->arena, bytes);
    char *text = lorac_arena_alloc(namer->model->arena, bytes + SUFFIX_BYTES);
    if (!wanted || !text)
        return false;
    snprintf(wanted, bytes, "%s/%s", prefix, name);
    strcpy(text, wanted);
    if (!lorac_name_table_add(&namer->wanted, wanted, &number, NULL) || !reserve_suffix(namer, number))
        return false;
    for (bool added = false; !added;) {
        size_t suffix = namer->next_suffix[number]++;
        if (suffix > 0)
            snprintf(text + bytes - 1, SUFFIX_BYTES, "_%zu", suffix);
        if (!lorac_index_knows(namer->model, text) && !lorac_name_table_add(&namer->made, text, NULL, &added))
            return false;
    }
    *out = text;
    return true;
}
