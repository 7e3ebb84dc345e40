// The table of keys as text: the reference, and a recipe to fill in.
#ifndef LORAC_RECIPE_TEXT_H
#define LORAC_RECIPE_TEXT_H

#include "recipe_table.h"

// Everything: the presets, and each section with its keys.
void lorac_recipe_print_reference(FILE *file);

// What [name] is: a section, a key ("train.lr", or "lr" of all sections that have one), or a preset. False where it is none.
bool lorac_recipe_print_entry(const char *name, FILE *file);

// The nearest of these names; NULL where none is near.
const char *lorac_recipe_nearest_entry(const char *name);

// A recipe with all keys, each behind a '#' with its default and what it means.
void lorac_recipe_print_template(FILE *file);

#endif
