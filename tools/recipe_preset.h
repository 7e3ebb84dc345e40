// Presets: recipes that are built in, in the same YAML.
#ifndef LORAC_RECIPE_PRESET_H
#define LORAC_RECIPE_PRESET_H

struct lorac_recipe_preset {
    const char *name; // NULL ends the table
    const char *summary;
    const char *yaml;
};
extern const struct lorac_recipe_preset lorac_recipe_presets[];

const struct lorac_recipe_preset *lorac_recipe_preset_find(const char *name);
// The nearest name to a misspelt one; NULL where none is near.
const char *lorac_recipe_preset_nearest(const char *name);

#endif
