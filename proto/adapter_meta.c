#include "adapter_meta.h"

#include "adapter_internal.h"
#include "adapter_json.h"
#include "model_edit.h"
#include "size.h"
#include "tensor.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const lorac_bn_names[] = {"frozen", "train"};

int64_t lorac_adapter_inner(int64_t rank, enum lorac_rank_setting setting, int64_t kh, int64_t kw)
{
    if (rank < 1 || kh < 1 || kw < 1)
        return 0;
    if (setting == LORAC_RANK_PLAIN)
        return rank;
    int64_t side = kh > kw ? kh : kw;
    return rank <= INT64_MAX / side ? rank * side : 0;
}

// ---- reading

static enum lorac_status out_of_memory(const char *key, struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "metadata '%s': out of memory", key);
}

static const char *find_in_model(const void *model, const char *key)
{
    return lorac_model_metadata(model, key);
}

static enum lorac_status required(const struct lorac_meta_source *source, const char *key, const char **out,
                                  struct lorac_error *error)
{
    const char *text = source->find(source->holder, key);
    if (!text)
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "metadata '%s' is missing beside '%s'; inject the original model again", key,
                               KEY_FORMAT);
    *out = text;
    return LORAC_OK;
}

// Decimal digits only, without sign or space; false where the number does not fit.
static bool read_decimal(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    for (const char *p = text; *p; p++) {
        if (*p < '0' || *p > '9')
            return false;
        uint64_t digit = (uint64_t)(*p - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return *text != '\0';
}

static enum lorac_status read_format(const char *text, struct lorac_error *error)
{
    uint64_t version;
    if (!read_decimal(text, &version) || version < 1)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s' is '%s'; it must be a version number",
                               KEY_FORMAT, text);
    if (version > LORAC_FORMAT_VERSION)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "metadata '%s' is %s, but this program knows versions up to %d; use a newer lorac-onnx",
                               KEY_FORMAT, text, LORAC_FORMAT_VERSION);
    return LORAC_OK;
}

static enum lorac_status read_choice(const char *key, const char *text, const char *const names[2], int *out,
                                     struct lorac_error *error)
{
    for (int i = 0; i < 2; i++)
        if (text && strcmp(text, names[i]) == 0) {
            *out = i;
            return LORAC_OK;
        }
    return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s' is '%s'; it must be '%s' or '%s'", key,
                           text ? text : "", names[0], names[1]);
}

static enum lorac_status read_hash(const char *text, struct lorac_error *error)
{
    if (strlen(text) != 32 || strspn(text, "0123456789abcdef") != 32)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s' is '%s'; it must be 32 lower-case hex digits",
                               KEY_HASH, text);
    return LORAC_OK;
}

static enum lorac_status bad_entry(size_t index, const char *rule, struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s' entry %zu: %s", KEY_ADAPTERS, index, rule);
}

static enum lorac_status read_entry_names(struct lorac_arena *arena, const json_t *entry, size_t index,
                                          struct lorac_adapter *out, struct lorac_error *error)
{
    const struct {
        const char *member;
        const char **name;
    } names[] = {{"conv", &out->conv}, {"weight", &out->weight}, {"A", &out->a}, {"B", &out->b}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = json_string_value(json_object_get(entry, names[i].member));
        if (!text || !*text)
            return lorac_error_set(error, LORAC_ERROR_FORMAT,
                                   "metadata '%s' entry %zu: '%s' must be a string, not empty", KEY_ADAPTERS, index,
                                   names[i].member);
        *names[i].name = lorac_arena_strdup(arena, text);
        if (!*names[i].name)
            return out_of_memory(KEY_ADAPTERS, error);
    }
    return LORAC_OK;
}

static enum lorac_status read_entry_numbers(const json_t *entry, size_t index, struct lorac_adapter *out,
                                            struct lorac_error *error)
{
    const json_t *rank = json_object_get(entry, "rank");
    const json_t *alpha = json_object_get(entry, "alpha");
    const json_t *freeze_a = json_object_get(entry, "freeze_a");
    out->rank = json_integer_value(rank);
    if (!json_is_integer(rank) || out->rank < 1 || out->rank > LORAC_MAX_RANK)
        return bad_entry(index, "'rank' must be an integer of 1 to 65536", error);
    out->alpha = json_number_value(alpha);
    if (!json_is_number(alpha) || !isfinite(out->alpha) || out->alpha == 0)
        return bad_entry(index, "'alpha' must be a number, not 0", error);
    if (!json_is_boolean(freeze_a))
        return bad_entry(index, "'freeze_a' must be true or false", error);
    out->freeze_a = json_is_true(freeze_a);
    return LORAC_OK;
}

static enum lorac_status read_entry(struct lorac_arena *arena, const json_t *entry, size_t index,
                                    struct lorac_adapter *out, struct lorac_error *error)
{
    if (!json_is_object(entry))
        return bad_entry(index, "must be a JSON object", error);
    LORAC_TRY(read_entry_names(arena, entry, index, out, error));
    LORAC_TRY(read_entry_numbers(entry, index, out, error));
    const char *setting = json_string_value(json_object_get(entry, "setting"));
    if (!setting || (strcmp(setting, "kernel") != 0 && strcmp(setting, "plain") != 0))
        return bad_entry(index, "'setting' must be \"kernel\" or \"plain\"", error);
    out->setting = strcmp(setting, "plain") == 0 ? LORAC_RANK_PLAIN : LORAC_RANK_KERNEL;
    const char *form = json_string_value(json_object_get(entry, "form"));
    if (!form)
        return bad_entry(index, "'form' must be \"weight\" or \"branch\"", error);
    if (strcmp(form, "weight") != 0 && strcmp(form, "branch") != 0)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "metadata '%s' entry %zu: form '%s' is not supported; this program knows 'weight' and "
                               "'branch'",
                               KEY_ADAPTERS, index, form);
    out->form = strcmp(form, "branch") == 0 ? LORAC_FORM_BRANCH : LORAC_FORM_WEIGHT;
    return LORAC_OK;
}

static enum lorac_status read_entries(struct lorac_arena *arena, const json_t *array, struct lorac_meta *meta,
                                      struct lorac_error *error)
{
    if (!json_is_array(array))
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s' must be a JSON array of objects",
                               KEY_ADAPTERS);
    meta->adapter_count = json_array_size(array);
    meta->adapters = lorac_arena_alloc_array(arena, meta->adapter_count, sizeof *meta->adapters);
    if (!meta->adapters)
        return out_of_memory(KEY_ADAPTERS, error);
    for (size_t i = 0; i < meta->adapter_count; i++)
        LORAC_TRY(read_entry(arena, json_array_get(array, i), i, &meta->adapters[i], error));
    return LORAC_OK;
}

static enum lorac_status read_adapters(struct lorac_arena *arena, const char *text, struct lorac_meta *meta,
                                       struct lorac_error *error)
{
    json_t *array;
    LORAC_TRY(lorac_json_parse(KEY_ADAPTERS, text, &array, error));
    enum lorac_status status = read_entries(arena, array, meta, error);
    json_decref(array);
    return status;
}

// ---- do the entries agree with each other and with the model?

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum lorac_status refuse_repeats(const char *key, const char **names, size_t count, struct lorac_error *error)
{
    if (count > 0)
        qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 1; i < count; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s' names '%s' twice", key, names[i]);
    return LORAC_OK;
}

// Sorted names; [count] may be 0.
static bool has_name(const char *const *sorted, size_t count, const char *name)
{
    return count > 0 && bsearch(&name, sorted, count, sizeof *sorted, compare_names);
}

// An adapter is trained, but for a frozen A, and what it adapts is not.
static enum lorac_status check_trained_parts(const struct lorac_meta *meta, const char *const *sorted, size_t index,
                                             struct lorac_error *error)
{
    const struct lorac_adapter *adapter = &meta->adapters[index];
    size_t count = meta->trainable_count;
    bool trains_a = has_name(sorted, count, adapter->a);
    if (adapter->freeze_a && trains_a)
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "metadata '%s' names '%s', which '%s' entry %zu says is frozen (freeze_a)",
                               KEY_TRAINABLE, adapter->a, KEY_ADAPTERS, index);
    if (!adapter->freeze_a && !trains_a)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s' lacks '%s', the A of '%s' entry %zu ('%s')",
                               KEY_TRAINABLE, adapter->a, KEY_ADAPTERS, index, adapter->conv);
    if (!has_name(sorted, count, adapter->b))
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s' lacks '%s', the B of '%s' entry %zu ('%s')",
                               KEY_TRAINABLE, adapter->b, KEY_ADAPTERS, index, adapter->conv);
    if (has_name(sorted, count, adapter->weight))
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "metadata '%s' names '%s', the weight that '%s' entry %zu ('%s') adapts and keeps",
                               KEY_TRAINABLE, adapter->weight, KEY_ADAPTERS, index, adapter->conv);
    return LORAC_OK;
}

// Every A and B belongs to one adapter.
static enum lorac_status check_adapters(struct lorac_arena *arena, const struct lorac_meta *meta,
                                        const char *const *sorted_trainable, struct lorac_error *error)
{
    const char **names = lorac_arena_alloc_array(arena, meta->adapter_count, 2 * sizeof *names);
    if (!names)
        return out_of_memory(KEY_ADAPTERS, error);
    for (size_t i = 0; i < meta->adapter_count; i++) {
        names[2 * i] = meta->adapters[i].a;
        names[2 * i + 1] = meta->adapters[i].b;
    }
    LORAC_TRY(refuse_repeats(KEY_ADAPTERS, names, 2 * meta->adapter_count, error));
    for (size_t i = 0; i < meta->adapter_count; i++)
        LORAC_TRY(check_trained_parts(meta, sorted_trainable, i, error));
    return LORAC_OK;
}

// Every adapter's convolution is there.
static enum lorac_status check_convolutions(struct lorac_model *model, const struct lorac_meta *meta,
                                            struct lorac_error *error)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    if (meta->adapter_count == 0)
        return LORAC_OK;
    const char **names = lorac_arena_alloc_array(model->arena, graph->n_node, sizeof *names);
    if (!names)
        return out_of_memory(KEY_ADAPTERS, error);
    size_t count = 0;
    for (size_t i = 0; i < graph->n_node; i++)
        if (lorac_node_is(graph->node[i], "Conv"))
            names[count++] = lorac_node_name(graph->node[i]);
    if (count > 0)
        qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < meta->adapter_count; i++)
        if (!has_name(names, count, meta->adapters[i].conv))
            return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                                   "metadata '%s' names convolution '%s', which the model does not have (another tool "
                                   "may have renamed nodes); inject the base model again",
                                   KEY_ADAPTERS, meta->adapters[i].conv);
    return LORAC_OK;
}

static enum lorac_status check_trainable(struct lorac_model *model, const struct lorac_meta *meta,
                                         struct lorac_error *error)
{
    for (size_t i = 0; i < meta->trainable_count; i++) {
        const Onnx__TensorProto *tensor = lorac_model_constant(model, meta->trainable[i]);
        if (!tensor || !lorac_tensor_type_is_floating(tensor->data_type))
            return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                                   "metadata '%s' names '%s', which is no floating initialiser or Constant of the model",
                                   KEY_TRAINABLE, meta->trainable[i]);
    }
    return LORAC_OK;
}

// What the entries say of each other.
static enum lorac_status check_entries(struct lorac_arena *arena, const struct lorac_meta *meta,
                                       struct lorac_error *error)
{
    const char **sorted = lorac_arena_alloc_array(arena, meta->trainable_count, sizeof *sorted);
    if (!sorted)
        return out_of_memory(KEY_TRAINABLE, error);
    if (meta->trainable_count > 0)
        memcpy(sorted, meta->trainable, meta->trainable_count * sizeof *sorted);
    LORAC_TRY(refuse_repeats(KEY_TRAINABLE, sorted, meta->trainable_count, error));
    return check_adapters(arena, meta, sorted, error);
}

// ---- the whole

static enum lorac_status parse_injected(const struct lorac_meta_source *source, struct lorac_meta *meta,
                                        struct lorac_error *error)
{
    const char *text = NULL;
    int choice = 0;
    LORAC_TRY(required(source, KEY_FORMAT, &text, error));
    LORAC_TRY(read_format(text, error));
    LORAC_TRY(required(source, KEY_HASH, &meta->base_hash, error));
    LORAC_TRY(read_hash(meta->base_hash, error));
    LORAC_TRY(required(source, KEY_ADAPTERS, &text, error));
    LORAC_TRY(read_adapters(source->arena, text, meta, error));
    LORAC_TRY(required(source, KEY_TRAINABLE, &text, error));
    LORAC_TRY(
        lorac_json_read_names(source->arena, KEY_TRAINABLE, text, &meta->trainable_count, &meta->trainable, error));
    LORAC_TRY(required(source, KEY_BN, &text, error));
    LORAC_TRY(read_choice(KEY_BN, text, lorac_bn_names, &choice, error));
    meta->bn = choice == 0 ? LORAC_BN_FROZEN : LORAC_BN_TRAIN;
    LORAC_TRY(required(source, KEY_SEED, &text, error));
    if (!read_decimal(text, &meta->seed))
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "metadata '%s' is '%s'; it must be a decimal number of 0 to 18446744073709551615",
                               KEY_SEED, text);
    LORAC_TRY(required(source, KEY_TOOL, &meta->tool, error));
    text = source->find(source->holder, KEY_COPIES);
    if (text)
        LORAC_TRY(lorac_copies_parse(source->arena, text, meta, error));
    text = source->find(source->holder, KEY_INPUTS);
    if (text)
        LORAC_TRY(lorac_json_read_names(source->arena, KEY_INPUTS, text, &meta->graph_input_count,
                                        &meta->graph_inputs, error));
    meta->injected = true;
    return LORAC_OK;
}

// What any model may have.
static enum lorac_status parse_common(const struct lorac_meta_source *source, struct lorac_meta *meta,
                                      struct lorac_error *error)
{
    const char *input = source->find(source->holder, KEY_INPUT);
    if (input)
        LORAC_TRY(lorac_input_meta_parse(input, &meta->input, error));
    const char *classes = source->find(source->holder, KEY_CLASSES);
    if (classes)
        LORAC_TRY(
            lorac_json_read_names(source->arena, KEY_CLASSES, classes, &meta->class_count, &meta->classes, error));
    meta->output = source->find(source->holder, KEY_OUTPUT);
    return LORAC_OK;
}

enum lorac_status lorac_meta_parse(const struct lorac_meta_source *source, struct lorac_meta *out,
                                   struct lorac_error *error)
{
    struct lorac_meta meta = {0};
    LORAC_TRY(parse_injected(source, &meta, error));
    LORAC_TRY(check_entries(source->arena, &meta, error));
    LORAC_TRY(parse_common(source, &meta, error));
    *out = meta;
    return LORAC_OK;
}

static enum lorac_status check_agreement(struct lorac_model *model, const struct lorac_meta *meta,
                                         struct lorac_error *error)
{
    LORAC_TRY(lorac_copies_check(model, meta, error));
    LORAC_TRY(check_trainable(model, meta, error));
    LORAC_TRY(check_entries(model->arena, meta, error));
    return check_convolutions(model, meta, error);
}

// Half a record would be lost at the next merge without anyone noticing.
static enum lorac_status refuse_leftovers(const struct lorac_model *model, struct lorac_error *error)
{
    const char *const keys[] = {KEY_HASH, KEY_ADAPTERS, KEY_TRAINABLE, KEY_BN, KEY_SEED, KEY_TOOL, KEY_COPIES};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (lorac_model_metadata(model, keys[i]))
            return lorac_error_set(error, LORAC_ERROR_FORMAT,
                                   "metadata '%s' is there without '%s'; inject the original model again", keys[i],
                                   KEY_FORMAT);
    return LORAC_OK;
}

// Of two entries of one key, no reader could say which holds.
static enum lorac_status refuse_repeated_keys(const struct lorac_model *model, struct lorac_error *error)
{
    const char *const keys[] = {KEY_FORMAT, KEY_HASH, KEY_ADAPTERS, KEY_TRAINABLE, KEY_BN,
                                KEY_SEED,   KEY_TOOL, KEY_INPUT,    KEY_CLASSES,   KEY_OUTPUT,
                                KEY_COPIES, KEY_INPUTS};
    const Onnx__ModelProto *proto = model->proto;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        size_t count = 0;
        for (size_t j = 0; j < proto->n_metadata_props; j++)
            count += proto->metadata_props[j]->key && strcmp(proto->metadata_props[j]->key, keys[i]) == 0;
        if (count > 1)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s' is there %zu times; it must be there once",
                                   keys[i], count);
    }
    return LORAC_OK;
}

enum lorac_status lorac_meta_read(struct lorac_model *model, struct lorac_meta *out, struct lorac_error *error)
{
    const struct lorac_meta_source source = {model->arena, find_in_model, model};
    struct lorac_meta meta = {0};
    LORAC_TRY(refuse_repeated_keys(model, error));
    if (lorac_model_metadata(model, KEY_FORMAT)) {
        LORAC_TRY(parse_injected(&source, &meta, error));
        LORAC_TRY(check_agreement(model, &meta, error));
    } else {
        LORAC_TRY(refuse_leftovers(model, error));
    }
    LORAC_TRY(parse_common(&source, &meta, error));
    if (meta.output && !lorac_model_is_graph_output(model, meta.output))
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "metadata '%s' is '%s', which is no output of the model; inject the base model again",
                               KEY_OUTPUT, meta.output);
    *out = meta;
    return LORAC_OK;
}

// ---- comparing

static bool same_adapter(const struct lorac_adapter *a, const struct lorac_adapter *b)
{
    return strcmp(a->conv, b->conv) == 0 && strcmp(a->weight, b->weight) == 0 && strcmp(a->a, b->a) == 0 &&
           strcmp(a->b, b->b) == 0 && a->rank == b->rank && a->alpha == b->alpha && a->setting == b->setting &&
           a->form == b->form && a->freeze_a == b->freeze_a;
}

const char *lorac_meta_difference(const struct lorac_meta *a, const struct lorac_meta *b)
{
    bool freezes = false;
    if (a->adapter_count != b->adapter_count)
        return KEY_ADAPTERS;
    for (size_t i = 0; i < a->adapter_count; i++) {
        if (!same_adapter(&a->adapters[i], &b->adapters[i]))
            return KEY_ADAPTERS;
        freezes |= a->adapters[i].freeze_a;
    }
    if (a->trainable_count != b->trainable_count)
        return KEY_TRAINABLE;
    for (size_t i = 0; i < a->trainable_count; i++)
        if (strcmp(a->trainable[i], b->trainable[i]) != 0)
            return KEY_TRAINABLE;
    if (a->copy_count != b->copy_count)
        return KEY_COPIES;
    for (size_t i = 0; i < a->copy_count; i++)
        if (strcmp(a->copies[i].copy, b->copies[i].copy) != 0 || strcmp(a->copies[i].of, b->copies[i].of) != 0)
            return KEY_COPIES;
    if (a->graph_input_count != b->graph_input_count)
        return KEY_INPUTS;
    for (size_t i = 0; i < a->graph_input_count; i++)
        if (strcmp(a->graph_inputs[i], b->graph_inputs[i]) != 0)
            return KEY_INPUTS;
    if (a->bn != b->bn)
        return KEY_BN;
    return freezes && a->seed != b->seed ? KEY_SEED : NULL;
}

// ---- which output

// "'a', 'b'", cut where it is long.
static void list_outputs(const Onnx__GraphProto *graph, char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < graph->n_output && used < bytes; i++) {
        int length = snprintf(text + used, bytes - used, "%s'%s'", i ? ", " : "", graph->output[i]->name);
        used += length > 0 ? (size_t)length : bytes;
    }
}

enum lorac_status lorac_meta_output(const struct lorac_model *model, const struct lorac_meta *meta, const char *wanted,
                                    const char **out, struct lorac_error *error)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    const char *name = wanted ? wanted : meta ? meta->output : NULL;
    char outputs[512];
    if (graph->n_output == 0)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "the model has no output");
    for (size_t i = 0; i < graph->n_output; i++)
        if (!name || strcmp(graph->output[i]->name, name) == 0) {
            *out = graph->output[i]->name;
            return LORAC_OK;
        }
    list_outputs(graph, outputs, sizeof outputs);
    return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "the model has no output '%s'; it has %s", name, outputs);
}
