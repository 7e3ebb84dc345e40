// The entries of metadata_props, written.
#include "adapter_internal.h"
#include "adapter_json.h"
#include "model_edit.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Indexed by the enums of adapter_meta.h.
static const char *const SETTING_NAMES[] = {"kernel", "plain"};
static const char *const FORM_NAMES[] = {"weight", "branch"};

static enum lorac_status out_of_memory(const char *key, struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "metadata '%s': out of memory", key);
}

static enum lorac_status make_entry(const struct lorac_adapter *adapter, json_t *entry, struct lorac_error *error)
{
    const char *key = KEY_ADAPTERS;
    LORAC_TRY(lorac_json_set_string(key, entry, "conv", adapter->conv, error));
    LORAC_TRY(lorac_json_set_string(key, entry, "weight", adapter->weight, error));
    LORAC_TRY(lorac_json_set_string(key, entry, "A", adapter->a, error));
    LORAC_TRY(lorac_json_set_string(key, entry, "B", adapter->b, error));
    LORAC_TRY(lorac_json_set(key, entry, "rank", json_integer(adapter->rank), error));
    LORAC_TRY(lorac_json_set(key, entry, "alpha", json_real(adapter->alpha), error));
    LORAC_TRY(lorac_json_set_string(key, entry, "setting", SETTING_NAMES[adapter->setting], error));
    LORAC_TRY(lorac_json_set_string(key, entry, "form", FORM_NAMES[adapter->form], error));
    return lorac_json_set(key, entry, "freeze_a", json_boolean(adapter->freeze_a), error);
}

static enum lorac_status print_adapters(const struct lorac_meta *meta, char **text, struct lorac_error *error)
{
    json_t *array = json_array();
    if (!array)
        return out_of_memory(KEY_ADAPTERS, error);
    enum lorac_status status = LORAC_OK;
    for (size_t i = 0; i < meta->adapter_count && status == LORAC_OK; i++) {
        json_t *entry = json_object();
        status = lorac_json_append(KEY_ADAPTERS, array, entry, error);
        if (status == LORAC_OK)
            status = make_entry(&meta->adapters[i], entry, error);
    }
    if (status == LORAC_OK)
        status = lorac_json_print(KEY_ADAPTERS, array, text, error);
    json_decref(array);
    return status;
}

// Stores a malloc'ed text and frees it.
static enum lorac_status store(struct lorac_model *model, const char *key, char *text, struct lorac_error *error)
{
    enum lorac_status status = lorac_model_set_metadata(model, key, text, error);
    free(text);
    return status;
}

static bool same_input(const struct lorac_input_meta *a, const struct lorac_input_meta *b)
{
    return a->scale == b->scale && a->bgr == b->bgr && a->mean_count == b->mean_count && a->std_count == b->std_count &&
           memcmp(a->mean, b->mean, a->mean_count * sizeof *a->mean) == 0 &&
           memcmp(a->std, b->std, a->std_count * sizeof *a->std) == 0;
}

// An entry of another hand that says the same keeps its spaces and digits: what was there before inject is there
// after merge.
static enum lorac_status write_input(struct lorac_model *model, const struct lorac_input_meta *input,
                                     struct lorac_error *error)
{
    const char *old = lorac_model_metadata(model, KEY_INPUT);
    struct lorac_input_meta old_input;
    if (old && lorac_input_meta_parse(old, &old_input, NULL) == LORAC_OK && same_input(&old_input, input))
        return LORAC_OK;
    char *text;
    LORAC_TRY(lorac_input_meta_format(input, &text, error));
    return store(model, KEY_INPUT, text, error);
}

static bool same_classes(struct lorac_model *model, const struct lorac_meta *meta)
{
    const char *text = lorac_model_metadata(model, KEY_CLASSES);
    size_t count;
    const char **names;
    if (!text || lorac_json_read_names(model->arena, KEY_CLASSES, text, &count, &names, NULL) != LORAC_OK ||
        count != meta->class_count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], meta->classes[i]) != 0)
            return false;
    return true;
}

static enum lorac_status write_names(struct lorac_model *model, const char *key, size_t count, const char *const *names,
                                     struct lorac_error *error)
{
    char *text;
    LORAC_TRY(lorac_json_print_names(key, count, names, &text, error));
    return store(model, key, text, error);
}

static bool is_float_tensor(struct lorac_model *model, const char *value)
{
    const Onnx__TensorProto *tensor = lorac_model_constant(model, value);
    return tensor && tensor->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
}

// The oldest version whose readers understand [meta]: 1 knows FLOAT tensors, no copies of them, and no branches.
static int format_version(struct lorac_model *model, const struct lorac_meta *meta)
{
    bool first = meta->copy_count == 0;
    for (size_t i = 0; i < meta->adapter_count && first; i++)
        first = meta->adapters[i].form == LORAC_FORM_WEIGHT && is_float_tensor(model, meta->adapters[i].weight);
    for (size_t i = 0; i < meta->trainable_count && first; i++)
        first = is_float_tensor(model, meta->trainable[i]);
    return first ? 1 : LORAC_FORMAT_VERSION;
}

enum lorac_status lorac_meta_write(struct lorac_model *model, const struct lorac_meta *meta, struct lorac_error *error)
{
    assert(meta->injected && meta->base_hash && meta->tool);
    char *adapters;
    char number[32];
    snprintf(number, sizeof number, "%d", format_version(model, meta));
    LORAC_TRY(lorac_model_set_metadata(model, KEY_FORMAT, number, error));
    LORAC_TRY(lorac_model_set_metadata(model, KEY_HASH, meta->base_hash, error));
    LORAC_TRY(print_adapters(meta, &adapters, error));
    LORAC_TRY(store(model, KEY_ADAPTERS, adapters, error));
    LORAC_TRY(write_names(model, KEY_TRAINABLE, meta->trainable_count, meta->trainable, error));
    LORAC_TRY(lorac_model_set_metadata(model, KEY_BN, lorac_bn_names[meta->bn], error));
    snprintf(number, sizeof number, "%" PRIu64, meta->seed);
    LORAC_TRY(lorac_model_set_metadata(model, KEY_SEED, number, error));
    if (meta->input.given)
        LORAC_TRY(write_input(model, &meta->input, error));
    if (meta->class_count > 0 && !same_classes(model, meta))
        LORAC_TRY(write_names(model, KEY_CLASSES, meta->class_count, meta->classes, error));
    if (meta->output)
        LORAC_TRY(lorac_model_set_metadata(model, KEY_OUTPUT, meta->output, error));
    LORAC_TRY(lorac_copies_write(model, meta, error));
    if (meta->graph_input_count > 0)
        LORAC_TRY(write_names(model, KEY_INPUTS, meta->graph_input_count, meta->graph_inputs, error));
    else
        lorac_model_erase_metadata(model, KEY_INPUTS);
    return lorac_model_set_metadata(model, KEY_TOOL, meta->tool, error);
}

enum lorac_status lorac_meta_set_classes(struct lorac_model *model, size_t count, const char *const *names,
                                         struct lorac_error *error)
{
    if (count > 0)
        return write_names(model, KEY_CLASSES, count, names, error);
    lorac_model_erase_metadata(model, KEY_CLASSES);
    return LORAC_OK;
}

void lorac_meta_erase(struct lorac_model *model)
{
    const char *const keys[] = {KEY_FORMAT, KEY_HASH, KEY_ADAPTERS, KEY_TRAINABLE,
                                KEY_BN,     KEY_SEED, KEY_TOOL,     KEY_COPIES, KEY_INPUTS};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        lorac_model_erase_metadata(model, keys[i]);
}
