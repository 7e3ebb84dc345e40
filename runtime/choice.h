// How steps that can be run in several ways are run, where it was measured: a table from what decides about a step's
// speed, as a text, to the names of the ways. Kernels consult it when they choose (kernel.h, describe); what it does
// not have, or what may not be used, is chosen by their rules.
//
// Outside, a row's key is the machine's text and the step's:
//     kernels 2, AMD EPYC, v4, 2 threads: 32x32x32x64 to 32x32x64, kernel 3x3, ...
// Rows of other machines, thread numbers and versions are not taken in.
#ifndef LORAC_CHOICE_H
#define LORAC_CHOICE_H

#include "runtime/lorac.h"

enum { LORAC_CHOICE_MACHINE = 128, LORAC_CHOICE_STEP = 256, LORAC_CHOICE_NAME = 24 };
_Static_assert((int)LORAC_KEY_BYTES >= (int)LORAC_CHOICE_MACHINE + (int)LORAC_CHOICE_STEP + 2, "a key is both");

// Between the two texts of a key.
#define LORAC_CHOICE_SEPARATOR ": "

struct lorac_choice_row {
    char step[LORAC_CHOICE_STEP];
    char forward[LORAC_CHOICE_NAME], gradient[LORAC_CHOICE_NAME], form[LORAC_CHOICE_NAME]; // "": by the rule
    bool measured; // now; else it was given
};

struct lorac_choices {
    char machine[LORAC_CHOICE_MACHINE];
    size_t count, capacity;
    struct lorac_choice_row *rows;
};

// The table of those of [given] (copied) that belong to this machine and [threads] (at least 1). Where a key comes
// twice, the first counts. Errors: MEMORY.
enum lorac_status lorac_choices_create(const struct lorac_choice *given, size_t given_count, size_t threads,
                                       struct lorac_choices **out, struct lorac_error *error);
void lorac_choices_free(struct lorac_choices *choices); // accepts NULL

// Errors: MEMORY.
enum lorac_status lorac_choices_add(struct lorac_choices *choices, const struct lorac_choice_row *row,
                                    struct lorac_error *error);
// NULL where there is none; [choices] may be NULL.
const struct lorac_choice_row *lorac_choices_find(const struct lorac_choices *choices, const char *step);

#endif
