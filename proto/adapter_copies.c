// lorac.copies: which tensors are copies that inject made, and of what, so that merge can put back those that training
// left as they were, and the base hash can leave them out.
#include "adapter_internal.h"
#include "adapter_json.h"
#include "model_edit.h"
#include "name_table.h"

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

static enum lorac_status read_entries(struct lorac_arena *arena, const json_t *array, struct lorac_meta *meta,
                                      struct lorac_error *error)
{
    if (!json_is_array(array))
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s' must be a JSON array of objects", KEY);
    size_t count = json_array_size(array);
    meta->copies = lorac_arena_alloc_array(arena, count, sizeof *meta->copies);
    if (!meta->copies)
        return out_of_memory(error);
    for (size_t i = 0; i < count; i++) {
        struct lorac_meta_copy *copy = &meta->copies[i];
        LORAC_TRY(read_name(arena, json_array_get(array, i), i, "copy", &copy->copy, error));
        LORAC_TRY(read_name(arena, json_array_get(array, i), i, "of", &copy->of, error));
    }
    meta->copy_count = count;
    return LORAC_OK;
}

// ---- what no inject makes

static enum lorac_status add_name(struct lorac_name_table *names, const char *name, bool *added,
                                  struct lorac_error *error)
{
    return lorac_name_table_add(names, name, NULL, added) ? LORAC_OK : out_of_memory(error);
}

// A copy is made once, of a tensor of the base model.
static enum lorac_status check_pairs(const struct lorac_meta *meta, struct lorac_name_table *names,
                                     struct lorac_error *error)
{
    bool added;
    for (size_t i = 0; i < meta->copy_count; i++) {
        LORAC_TRY(add_name(names, meta->copies[i].copy, &added, error));
        if (!added)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s' names '%s' twice", KEY,
                                   meta->copies[i].copy);
    }
    for (size_t i = 0; i < meta->copy_count; i++)
        if (lorac_name_table_find(names, meta->copies[i].of) != LORAC_NO_NAME)
            return lorac_error_set(error, LORAC_ERROR_FORMAT,
                                   "metadata '%s' entry %zu: '%s' is of '%s', which is a copy itself", KEY, i,
                                   meta->copies[i].copy, meta->copies[i].of);
    return LORAC_OK;
}

static enum lorac_status add_names(const struct lorac_meta *meta, struct lorac_name_table *names,
                                   struct lorac_error *error)
{
    for (size_t i = 0; i < meta->copy_count; i++) {
        LORAC_TRY(add_name(names, meta->copies[i].copy, NULL, error));
        LORAC_TRY(add_name(names, meta->copies[i].of, NULL, error));
    }
    return LORAC_OK;
}

static enum lorac_status refuse_name(const struct lorac_name_table *names, const char *name, const char *conv,
                                     struct lorac_error *error)
{
    if (lorac_name_table_find(names, name) == LORAC_NO_NAME)
        return LORAC_OK;
    return lorac_error_set(error, LORAC_ERROR_FORMAT,
                           "metadata '%s' names '%s', which belongs to the adapter of '%s' and is no base tensor", KEY,
                           name, conv);
}

// [names] are those of copies, and of what they are copies of. The tensors that only the graph tells are known where the
// adapter is as it should be; one that is not is refused where it is used.
static enum lorac_status check_adapters(struct lorac_model *model, const struct lorac_meta *meta,
                                        const struct lorac_name_table *names, struct lorac_error *error)
{
    for (size_t i = 0; i < meta->adapter_count; i++) {
        const struct lorac_adapter *adapter = &meta->adapters[i];
        struct lorac_adapter_site site;
        LORAC_TRY(refuse_name(names, adapter->a, adapter->conv, error));
        LORAC_TRY(refuse_name(names, adapter->b, adapter->conv, error));
        enum lorac_status status = lorac_adapter_locate(model, adapter, model->arena, &site, NULL);
        if (status == LORAC_ERROR_MEMORY)
            return out_of_memory(error);
        for (size_t t = 0; status == LORAC_OK && t < site.tensor_count; t++)
            LORAC_TRY(refuse_name(names, site.tensors[t]->name, adapter->conv, error));
    }
    return LORAC_OK;
}

enum lorac_status lorac_copies_parse(struct lorac_arena *arena, const char *text, struct lorac_meta *meta,
                                     struct lorac_error *error)
{
    struct lorac_name_table names;
    json_t *array;
    LORAC_TRY(lorac_json_parse(KEY, text, &array, error));
    enum lorac_status status = read_entries(arena, array, meta, error);
    json_decref(array);
    LORAC_TRY(status);
    lorac_name_table_init(&names);
    status = check_pairs(meta, &names, error);
    lorac_name_table_free(&names);
    return status;
}

enum lorac_status lorac_copies_check(struct lorac_model *model, const struct lorac_meta *meta,
                                     struct lorac_error *error)
{
    struct lorac_name_table names;
    if (meta->copy_count == 0)
        return LORAC_OK;
    for (size_t i = 0; i < meta->copy_count; i++)
        if (!lorac_model_initializer(model, meta->copies[i].copy))
            return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                                   "metadata '%s' names '%s', which is no initialiser of the model", KEY,
                                   meta->copies[i].copy);
    lorac_name_table_init(&names);
    enum lorac_status status = add_names(meta, &names, error);
    if (status == LORAC_OK)
        status = check_adapters(model, meta, &names, error);
    lorac_name_table_free(&names);
    return status;
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
