// What kernels ask of the lowering inside their `lower`.
#include "lower_internal.h"

#include "kernels/kernel.h"
#include "proto/size.h"
#include "proto/tensor.h"
#include "proto/weight.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum lorac_status lorac_refuse(const Onnx__NodeProto *node, struct lorac_error *error, const char *format, ...)
{
    if (!error)
        return LORAC_ERROR_UNSUPPORTED;
    char text[LORAC_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "node '%s' (%s): %s", lorac_node_name(node), node->op_type,
                           text);
}

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering the model");
}

// ---- entries

struct lorac_entry *lorac_lowering_entry(struct lorac_lowering *lowering, const char *name)
{
    size_t number = lorac_name_table_find(&lowering->names, name);
    return number == LORAC_NO_NAME ? NULL : &lowering->entries[number];
}

enum lorac_status lorac_lowering_define(struct lorac_lowering *lowering, const char *name,
                                        const struct lorac_entry *entry, struct lorac_error *error)
{
    size_t number;
    if (!lorac_name_table_add(&lowering->names, name, &number, NULL))
        return out_of_memory(error);
    if (number >= lowering->entry_capacity) {
        size_t larger = lowering->entry_capacity ? lowering->entry_capacity * 2 : 256;
        struct lorac_entry *grown = lorac_arena_alloc_array(lowering->scratch, larger, sizeof(*grown));
        if (!grown)
            return out_of_memory(error);
        if (lowering->entry_capacity)
            memcpy(grown, lowering->entries, lowering->entry_capacity * sizeof(*grown));
        lowering->entries = grown;
        lowering->entry_capacity = larger;
    }
    lowering->entries[number] = *entry;
    lowering->entries[number].param = LORAC_NO_ID;
    return LORAC_OK;
}

struct lorac_program *lorac_lowering_program(struct lorac_lowering *lowering)
{
    return lowering->program;
}

// ---- constants

static enum lorac_status evaluate(struct lorac_lowering *lowering, const char *name, int depth,
                                  const struct lorac_constant **out, struct lorac_error *error);

static enum lorac_status evaluate_node(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t output,
                                       int depth, struct lorac_constant *out, struct lorac_error *error)
{
    struct lorac_arena *arena = lowering->program->arena;
    struct lorac_entry *first = lorac_lowering_entry(lowering, lorac_node_input(node, 0));
    if (lorac_node_is(node, "Shape") && first && first->kind == LORAC_ENTRY_ACTIVATION) {
        int64_t dims[LORAC_VIEW_MAX_RANK];
        size_t rank = lorac_view_dims(&first->view, &lowering->program->values[first->value], dims);
        return lorac_constant_shape(dims, rank, lorac_node_int(node, "start", 0),
                                    lorac_node_int(node, "end", INT64_MAX), arena, out, error);
    }
    const struct lorac_constant **inputs = lorac_arena_alloc_array(arena, node->n_input + 1, sizeof(*inputs));
    if (!inputs)
        return out_of_memory(error);
    // CastLike asks an activation for its type alone, which is float32 here.
    static const struct lorac_constant float_type = {.data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
                                                     .floating = true};
    for (size_t i = 0; i < node->n_input; i++)
        if (i == 1 && lorac_node_is(node, "CastLike") && lorac_lowering_is_activation(lowering, node->input[i]))
            inputs[i] = &float_type;
        else if (!lorac_lowering_absent(node, i))
            LORAC_TRY(evaluate(lowering, node->input[i], depth + 1, &inputs[i], error));
    const struct lorac_constant_node what = {lowering->model, node, inputs, node->n_input, output};
    return lorac_constant_evaluate(&what, arena, out, error);
}

static enum lorac_status evaluate(struct lorac_lowering *lowering, const char *name, int depth,
                                  const struct lorac_constant **out, struct lorac_error *error)
{
    struct lorac_entry *entry = lorac_lowering_entry(lowering, name);
    if (!entry || entry->kind != LORAC_ENTRY_CONSTANT)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "value '%s' depends on the images; it must be constant",
                               name);
    if (!entry->evaluated) {
        if (depth > LORAC_CONSTANT_MAX_DEPTH)
            return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                                   "value '%s' is computed through more than %d constant nodes", name,
                                   LORAC_CONSTANT_MAX_DEPTH);
        struct lorac_constant *constant = lorac_arena_alloc(lowering->program->arena, sizeof(*constant));
        if (!constant)
            return out_of_memory(error);
        if (entry->tensor)
            LORAC_TRY(
                lorac_constant_from_tensor(lowering->model, entry->tensor, lowering->program->arena, constant, error));
        else
            LORAC_TRY(
                evaluate_node(lowering, entry->node, lorac_constant_output(entry->node, name), depth, constant, error));
        size_t total;
        if (!lorac_size_add(lowering->constant_elements, constant->count, &total) ||
            !lorac_constant_total_fits(lowering->model, total))
            return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                                   "value '%s': the constants to be computed have too many elements", name);
        lowering->constant_elements = total;
        entry = lorac_lowering_entry(lowering, name);
        entry->evaluated = constant;
    }
    *out = entry->evaluated;
    return LORAC_OK;
}

enum lorac_status lorac_lowering_evaluate(struct lorac_lowering *lowering, const char *name,
                                          const struct lorac_constant **out, struct lorac_error *error)
{
    return evaluate(lowering, name, 0, out, error);
}

bool lorac_lowering_absent(const Onnx__NodeProto *node, size_t i)
{
    return lorac_node_input(node, i)[0] == '\0';
}

bool lorac_lowering_is_constant(struct lorac_lowering *lowering, const char *name)
{
    const struct lorac_entry *entry = lorac_lowering_entry(lowering, name);
    return entry && entry->kind == LORAC_ENTRY_CONSTANT;
}

enum lorac_status lorac_lowering_constant(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                          const struct lorac_constant **out, struct lorac_error *error)
{
    const char *name = lorac_node_input(node, i);
    if (!lorac_lowering_is_constant(lowering, name))
        return lorac_refuse(node, error, "input %zu ('%s') must be a constant", i, name);
    if (lorac_lowering_entry(lowering, name)->trained)
        return lorac_refuse(node, error,
                            "input %zu ('%s') is trained, itself or what it is computed from, but this node would keep "
                            "the numbers from before; inject the base model again",
                            i, name);
    return lorac_lowering_evaluate(lowering, name, out, error);
}

void *lorac_lowering_config(struct lorac_lowering *lowering, struct lorac_step *step, size_t bytes)
{
    step->config_bytes = bytes;
    return step->config = lorac_arena_alloc(lowering->program->arena, bytes);
}

// ---- parameters

// A value that follows from constants of the model alone is computed when the session packs it, and let go again: all
// weights of a network as double would be eight times a quantised file. One that follows from the Shape of an
// activation is small.
static enum lorac_status describe_param(struct lorac_lowering *lowering, const char *name, struct lorac_weight *weight,
                                        const double **computed, struct lorac_error *error)
{
    struct lorac_error why = {0};
    enum lorac_status status = lorac_weight_find(lowering->model, name, weight, &why);
    if (status == LORAC_OK)
        return LORAC_OK;
    if (lorac_constant_follows(lowering->model, name, NULL) == LORAC_OK)
        return lorac_error_set(error, status, "%s", why.message);
    const struct lorac_constant *constant;
    LORAC_TRY(lorac_lowering_evaluate(lowering, name, &constant, error));
    *weight = (struct lorac_weight){
        .value = name, .data_type = constant->data_type, .rank = constant->rank, .count = constant->count};
    memcpy(weight->dims, constant->dims, sizeof weight->dims);
    *computed = constant->floats;
    return LORAC_OK;
}

static enum lorac_status make_param(struct lorac_lowering *lowering, const char *name, struct lorac_param *param,
                                    struct lorac_error *error)
{
    struct lorac_weight weight;
    LORAC_TRY(describe_param(lowering, name, &weight, &param->computed, error));
    if (weight.rank > 4 || !lorac_weight_is_floating(&weight))
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "tensor '%s' is %s of rank %zu; a float tensor of rank 4 or less is needed", name,
                               lorac_tensor_type_name(weight.data_type), weight.rank);
    param->tensor = weight.tensor;
    param->rank = weight.rank;
    param->count = weight.count;
    memcpy(param->dims, weight.dims, sizeof param->dims);
    return LORAC_OK;
}

enum lorac_status lorac_lowering_param_named(struct lorac_lowering *lowering, const char *name, uint32_t *param,
                                             struct lorac_error *error)
{
    struct lorac_entry *entry = lorac_lowering_entry(lowering, name);
    if (!entry || entry->kind != LORAC_ENTRY_CONSTANT)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "value '%s' must be a constant", name);
    if (entry->param == LORAC_NO_ID) {
        struct lorac_param made = {.name = name};
        if (entry->trained && !entry->tensor)
            return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                                   "value '%s' is computed from a tensor that is trained, but would keep the numbers "
                                   "from before; inject the base model again",
                                   name);
        LORAC_TRY(make_param(lowering, name, &made, error));
        made.trainable = lorac_name_table_find(&lowering->trainables, name) != LORAC_NO_NAME;
        uint32_t id;
        LORAC_TRY(lorac_program_add_param(lowering->program, &made, &id, error));
        entry = lorac_lowering_entry(lowering, name);
        entry->param = id;
    }
    *param = entry->param;
    return LORAC_OK;
}

enum lorac_status lorac_lowering_param(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                       uint32_t *param, struct lorac_error *error)
{
    const char *name = lorac_node_input(node, i);
    if (!lorac_lowering_is_constant(lowering, name))
        return lorac_refuse(node, error, "input %zu ('%s') must be a constant", i, name);
    enum lorac_status status = lorac_lowering_param_named(lowering, name, param, error);
    return lorac_error_prefix(error, status, "node '%s' (%s): ", lorac_node_name(node), node->op_type);
}

// ---- what the metadata say

enum lorac_status lorac_lowering_locate(struct lorac_lowering *lowering, const struct lorac_adapter *adapter,
                                        struct lorac_adapter_site *site, struct lorac_error *error)
{
    return lorac_adapter_locate(lowering->model, adapter, lowering->scratch, site, error);
}

static int compare_placed(const void *a, const void *b)
{
    const struct lorac_placed_adapter *left = a, *right = b;
    uintptr_t first = (uintptr_t)left->conv, second = (uintptr_t)right->conv;
    return (first > second) - (first < second);
}

enum lorac_status lorac_lowering_read_meta(struct lorac_lowering *lowering, struct lorac_error *error)
{
    const struct lorac_meta *meta = lowering->meta;
    for (size_t i = 0; meta->injected && lowering->options->training && i < meta->trainable_count; i++)
        if (!lorac_name_table_add(&lowering->trainables, meta->trainable[i], NULL, NULL))
            return out_of_memory(error);
    size_t count = meta->injected ? meta->adapter_count : 0;
    lowering->adapters = lorac_arena_alloc_array(lowering->scratch, count, sizeof *lowering->adapters);
    if (!lowering->adapters)
        return out_of_memory(error);
    for (size_t i = 0; i < count; i++) {
        struct lorac_adapter_site site = {0};
        if (lorac_lowering_locate(lowering, &meta->adapters[i], &site, NULL) != LORAC_OK)
            lowering->unplaced_count++;
        lowering->adapters[i] = (struct lorac_placed_adapter){site.conv, &meta->adapters[i]};
    }
    lowering->adapter_count = count;
    if (count > 0)
        qsort(lowering->adapters, count, sizeof *lowering->adapters, compare_placed);
    return LORAC_OK;
}

const struct lorac_adapter *lorac_lowering_adapter(struct lorac_lowering *lowering, const Onnx__NodeProto *node)
{
    const struct lorac_placed_adapter key = {.conv = node}, *found = NULL;
    if (lowering->adapter_count > 0)
        found = bsearch(&key, lowering->adapters, lowering->adapter_count, sizeof key, compare_placed);
    if (found)
        return found->adapter;
    // Nodes may share a name: the adapter belongs to the one that its subgraph leads to. One that cannot be located is
    // handed out by name, so that its convolution says why.
    for (size_t i = 0; i < lowering->unplaced_count; i++)
        if (strcmp(lowering->adapters[i].adapter->conv, lorac_node_name(node)) == 0)
            return lowering->adapters[i].adapter;
    return NULL;
}
