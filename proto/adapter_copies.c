// lorac.copies: which tensors are copies that inject made, and of what, so that merge can put back those that training
// left as they were, and the base hash can leave them out.
#include "adapter_internal.h"
#include "adapter_json.h"
#include "model_edit.h"

#include <stdlib.h>
#include <string.h>

static const char KEY[] = "lorac.copies";

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "metadata '%s': out of memory", KEY);
}

// ---- reading

static enum lorac_status read_name(struct lorac_arena *arena, const json_t *entry, size_t index, const char *member,
                                   const char **out, struct lorac_error *error)
{
    const char *text = json_string_value(json_object_get(entry, member));
    if (!text || !*text)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s' entry %zu: '%s' must be a string, not empty",
                               KEY, index, member);
    *out = lorac_arena_strdup(arena, text);
    return *out ? LORAC_OK : out_of_memory(error);
}

static enum lorac_status read_entries(struct lorac_model *model, const json_t *array, struct lorac_meta *meta,
                                      struct lorac_error *error)
{
    if (!json_is_array(array))
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s' must be a JSON array of objects", KEY);
    size_t count = json_array_size(array);
    meta->copies = lorac_arena_alloc_array(model->arena, count, sizeof *meta->copies);
    if (!meta->copies)
        return out_of_memory(error);
    for (size_t i = 0; i < count; i++) {
        struct lorac_meta_copy *copy = &meta->copies[i];
        LORAC_TRY(read_name(model->arena, json_array_get(array, i), i, "copy", &copy->copy, error));
        LORAC_TRY(read_name(model->arena, json_array_get(array, i), i, "of", &copy->of, error));
        if (!lorac_model_initializer(model, copy->copy))
            return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                                   "metadata '%s' names '%s', which is no initialiser of the model", KEY, copy->copy);
    }
    meta->copy_count = count;
    return LORAC_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum lorac_status refuse_repeats(struct lorac_model *model, const struct lorac_meta *meta,
                                        struct lorac_error *error)
{
    const char **names = lorac_arena_alloc_array(model->arena, meta->copy_count, sizeof *names);
    if (!names)
        return out_of_memory(error);
    for (size_t i = 0; i < meta->copy_count; i++)
        names[i] = meta->copies[i].copy;
    if (meta->copy_count > 0)
        qsort(names, meta->copy_count, sizeof *names, compare_names);
    for (size_t i = 1; i < meta->copy_count; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s' names '%s' twice", KEY, names[i]);
    return LORAC_OK;
}

enum lorac_status lorac_copies_read(struct lorac_model *model, struct lorac_meta *meta, struct lorac_error *error)
{
    const char *text = lorac_model_metadata(model, KEY);
    json_t *array;
    if (!text)
        return LORAC_OK;
    LORAC_TRY(lorac_json_parse(KEY, text, &array, error));
    enum lorac_status status = read_entries(model, array, meta, error);
    json_decref(array);
    return status == LORAC_OK ? refuse_repeats(model, meta, error) : status;
}

// ---- writing

static enum lorac_status make_array(const struct lorac_meta *meta, json_t *array, struct lorac_error *error)
{
    for (size_t i = 0; i < meta->copy_count; i++) {
        json_t *entry = json_object();
        LORAC_TRY(lorac_json_append(KEY, array, entry, error));
        LORAC_TRY(lorac_json_set_string(KEY, entry, "copy", meta->copies[i].copy, error));
        LORAC_TRY(lorac_json_set_string(KEY, entry, "of", meta->copies[i].of, error));
    }
    return LORAC_OK;
}

enum lorac_status lorac_copies_write(struct lorac_model *model, const struct lorac_meta *meta,
                                     struct lorac_error *error)
{
    char *text = NULL;
    if (meta->copy_count == 0) {
        lorac_model_erase_metadata(model, KEY);
        return LORAC_OK;
    }
    json_t *array = json_array();
    if (!array)
        return out_of_memory(error);
    enum lorac_status status = make_array(meta, array, error);
    if (status == LORAC_OK)
        status = lorac_json_print(KEY, array, &text, error);
    if (status == LORAC_OK)
        status = lorac_model_set_metadata(model, KEY, text, error);
    free(text);
    json_decref(array);
    return status;
}
