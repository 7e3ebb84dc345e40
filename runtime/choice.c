#include "choice.h"

#include "kernels/conv_choice.h"
#include "kernels/kernel.h"
#include "kernels/parallel.h"
#include "kernels/simd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum lorac_status lorac_choices_add(struct lorac_choices *choices, const struct lorac_choice_row *row,
                                    struct lorac_error *error)
{
    if (choices->count == choices->capacity) {
        size_t larger = choices->capacity ? 2 * choices->capacity : 32;
        struct lorac_choice_row *rows = realloc(choices->rows, larger * sizeof *rows);
        if (!rows)
            return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the choices of %zu layers", larger);
        choices->rows = rows;
        choices->capacity = larger;
    }
    choices->rows[choices->count++] = *row;
    return LORAC_OK;
}

const struct lorac_choice_row *lorac_choices_find(const struct lorac_choices *choices, const char *step)
{
    for (size_t i = 0; choices && i < choices->count; i++)
        if (strcmp(choices->rows[i].step, step) == 0)
            return &choices->rows[i];
    return NULL;
}

// False where it is longer than any that there is.
static bool copy(char *to, size_t bytes, const char *from)
{
    size_t length = from ? strlen(from) : 0;
    if (length >= bytes)
        return false;
    memcpy(to, from ? from : "", length + 1);
    return true;
}

// Of another machine: passed over. So is what can be no row of ours: it would stand for the rule, and hide that
// nothing was measured.
static enum lorac_status add_given(struct lorac_choices *choices, const struct lorac_choice *given,
                                   struct lorac_error *error)
{
    struct lorac_choice_row row = {0};
    size_t length = strlen(choices->machine);
    if (!given->key || strncmp(given->key, choices->machine, length) != 0 ||
        strncmp(given->key + length, LORAC_CHOICE_SEPARATOR, strlen(LORAC_CHOICE_SEPARATOR)) != 0 ||
        !copy(row.step, sizeof row.step, given->key + length + strlen(LORAC_CHOICE_SEPARATOR)) ||
        !copy(row.forward, sizeof row.forward, given->forward) ||
        !copy(row.gradient, sizeof row.gradient, given->gradient) || !copy(row.form, sizeof row.form, given->form) ||
        !lorac_conv_names_exist(row.forward, row.gradient, row.form) || lorac_choices_find(choices, row.step))
        return LORAC_OK;
    return lorac_choices_add(choices, &row, error);
}

enum lorac_status lorac_choices_create(const struct lorac_choice *given, size_t given_count, size_t threads,
                                       struct lorac_choices **out, struct lorac_error *error)
{
    enum { PROCESSOR_BYTES = 64 };
    char processor[PROCESSOR_BYTES];
    struct lorac_choices *choices = calloc(1, sizeof *choices);
    if (!choices)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the choices of layers");
    lorac_parallel_processor_name(processor, sizeof processor);
    snprintf(choices->machine, sizeof choices->machine, "kernels %d, %s, %s, %zu thread%s", (int)LORAC_KERNELS_VERSION,
             processor, lorac_simd_select()->name, threads, threads == 1 ? "" : "s");
    enum lorac_status status = LORAC_OK;
    for (size_t i = 0; status == LORAC_OK && i < given_count; i++)
        status = add_given(choices, &given[i], error);
    if (status != LORAC_OK) {
        lorac_choices_free(choices);
        return status;
    }
    *out = choices;
    return LORAC_OK;
}

void lorac_choices_free(struct lorac_choices *choices)
{
    if (!choices)
        return;
    free(choices->rows);
    free(choices);
}
