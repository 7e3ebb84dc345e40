#include "model_edit.h"

#include "model_internal.h"
#include "size.h"
#include "tensor.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while editing the model");
}

// ---- lists of pointers

// A block that holds the [count] pointers of [array] and has room for one more: [array] itself or a larger copy in the
// arena. NULL where memory ran out. The caller puts it where [array] was.
static void *list_with_room(struct lorac_model *model, enum lorac_list list, void *array, size_t count)
{
    enum { SMALLEST = 8 };
    struct lorac_name_index *index = model->index;
    if (index->rooms[list].array == array && array && count < index->rooms[list].capacity)
        return array;
    size_t capacity = count < SMALLEST ? SMALLEST : count + count / 2;
    void *larger = lorac_arena_alloc_array(model->arena, capacity, sizeof(void *));
    if (!larger)
        return NULL;
    if (count > 0)
        memcpy(larger, array, count * sizeof(void *));
    index->rooms[list].array = larger;
    index->rooms[list].capacity = capacity;
    return larger;
}

// ---- names

enum lorac_status lorac_model_fresh_name(struct lorac_model *model, const char *wanted, const char **out,
                                         struct lorac_error *error)
{
    enum { SUFFIX_BYTES = 24 };
    if (!*wanted)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "cannot make a name out of an empty one");
    size_t length = strlen(wanted);
    char *name = lorac_arena_alloc(model->arena, length + SUFFIX_BYTES);
    if (!name)
        return out_of_memory(error);
    memcpy(name, wanted, length + 1);
    struct lorac_name_index *index = model->index;
    bool again = lorac_index_knows(model, name) && index->suffixed && index->suffixed_length == length &&
                 memcmp(index->suffixed, wanted, length) == 0;
    // Thousands may ask for the same: names only grow in number until the index forgets some, and this with them.
    size_t i = again ? index->next_suffix : 1;
    for (bool taken = lorac_index_knows(model, name); taken; taken = lorac_index_knows(model, name))
        snprintf(name + length, SUFFIX_BYTES, "_%zu", i++);
    if (i > 1) {
        index->suffixed = name;
        index->suffixed_length = length;
        index->next_suffix = i - 1; // which is free until it is used
    }
    *out = name;
    return LORAC_OK;
}

// ---- nodes

static Onnx__NodeProto *make_node(struct lorac_arena *arena, const struct lorac_node_spec *spec)
{
    Onnx__NodeProto *node = lorac_arena_alloc(arena, sizeof *node);
    char **inputs = lorac_arena_alloc_array(arena, spec->input_count, sizeof *inputs);
    char **outputs = lorac_arena_alloc_array(arena, 1, sizeof *outputs);
    if (!node || !inputs || !outputs)
        return NULL;
    onnx__node_proto__init(node);
    for (size_t i = 0; i < spec->input_count; i++)
        if (!(inputs[i] = lorac_arena_strdup(arena, spec->inputs[i])))
            return NULL;
    outputs[0] = lorac_arena_strdup(arena, spec->output);
    node->op_type = lorac_arena_strdup(arena, spec->op_type);
    node->name = spec->name ? lorac_arena_strdup(arena, spec->name) : NULL;
    if (!outputs[0] || !node->op_type || (spec->name && !node->name))
        return NULL;
    node->input = inputs;
    node->n_input = spec->input_count;
    node->output = outputs;
    node->n_output = 1;
    return node;
}

// The place of [node] in the main graph, or the number of nodes where it is not there. Passes edit in graph order: from
// where the last one was it is not far.
static size_t node_position(const struct lorac_model *model, const Onnx__NodeProto *node)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    size_t hint = model->index->position_hint < graph->n_node ? model->index->position_hint : 0;
    for (size_t k = 0; k < graph->n_node; k++) {
        size_t i = hint + k < graph->n_node ? hint + k : hint + k - graph->n_node;
        if (graph->node[i] == node)
            return model->index->position_hint = i;
    }
    return graph->n_node;
}

const Onnx__NodeProto *lorac_model_node_after(struct lorac_model *model, const Onnx__NodeProto *node)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    size_t position = node_position(model, node);
    return position + 1 < graph->n_node ? graph->node[position + 1] : NULL;
}

enum lorac_status lorac_model_insert_node(struct lorac_model *model, const Onnx__NodeProto *before,
                                          const struct lorac_node_spec *spec, Onnx__NodeProto **out,
                                          struct lorac_error *error)
{
    Onnx__GraphProto *graph = model->proto->graph;
    assert(spec->input_count <= sizeof spec->inputs / sizeof spec->inputs[0]);
    size_t position = before ? node_position(model, before) : graph->n_node;
    assert(!before || position < graph->n_node);
    LORAC_TRY(lorac_index_expect(model, spec->input_count + 2, spec->input_count, error));
    Onnx__NodeProto *node = make_node(model->arena, spec);
    Onnx__NodeProto **list = node ? list_with_room(model, LORAC_LIST_NODE, graph->node, graph->n_node) : NULL;
    if (!list)
        return out_of_memory(error);
    memmove(list + position + 1, list + position, (graph->n_node - position) * sizeof *list);
    list[position] = node;
    graph->node = list;
    graph->n_node++;
    lorac_index_add_node(model, node);
    if (out)
        *out = node;
    return LORAC_OK;
}

void lorac_model_erase_node(struct lorac_model *model, const Onnx__NodeProto *node)
{
    lorac_model_erase_all(model, &node, 1, NULL, 0);
}

enum lorac_status lorac_model_set_node_input(struct lorac_model *model, Onnx__NodeProto *node, size_t index,
                                             const char *value, struct lorac_error *error)
{
    assert(index < node->n_input);
    LORAC_TRY(lorac_index_expect(model, 1, 1, error));
    char *copy = lorac_arena_strdup(model->arena, value);
    if (!copy)
        return out_of_memory(error);
    const char *before = node->input[index];
    node->input[index] = copy;
    lorac_index_change_input(model, before, copy);
    return LORAC_OK;
}

// ---- initialisers

static Onnx__TensorProto *make_tensor(struct lorac_arena *arena, const char *name, int32_t data_type,
                                      const int64_t *dims, size_t dim_count, const void *bytes, size_t byte_count)
{
    Onnx__TensorProto *tensor = lorac_arena_alloc(arena, sizeof *tensor);
    char *copy = lorac_arena_strdup(arena, name);
    int64_t *own_dims = lorac_arena_alloc_array(arena, dim_count, sizeof *own_dims);
    uint8_t *own_bytes = lorac_arena_alloc(arena, byte_count);
    if (!tensor || !copy || !own_dims || !own_bytes)
        return NULL;
    onnx__tensor_proto__init(tensor);
    if (dim_count > 0)
        memcpy(own_dims, dims, dim_count * sizeof *dims);
    if (byte_count > 0)
        memcpy(own_bytes, bytes, byte_count);
    tensor->name = copy;
    tensor->n_dims = dim_count;
    tensor->dims = own_dims;
    tensor->has_data_type = true;
    tensor->data_type = data_type;
    tensor->has_raw_data = true;
    tensor->raw_data.data = own_bytes;
    tensor->raw_data.len = byte_count;
    return tensor;
}

static Onnx__TensorShapeProto *make_shape(struct lorac_arena *arena, const int64_t *dims, size_t dim_count)
{
    Onnx__TensorShapeProto *shape = lorac_arena_alloc(arena, sizeof *shape);
    Onnx__TensorShapeProto__Dimension **list = lorac_arena_alloc_array(arena, dim_count, sizeof *list);
    if (!shape || !list)
        return NULL;
    onnx__tensor_shape_proto__init(shape);
    for (size_t i = 0; i < dim_count; i++) {
        if (!(list[i] = lorac_arena_alloc(arena, sizeof **list)))
            return NULL;
        onnx__tensor_shape_proto__dimension__init(list[i]);
        list[i]->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        list[i]->dim_value = dims[i];
    }
    shape->dim = list;
    shape->n_dim = dim_count;
    return shape;
}

static Onnx__ValueInfoProto *make_input(struct lorac_arena *arena, const Onnx__TensorProto *tensor)
{
    Onnx__ValueInfoProto *input = lorac_arena_alloc(arena, sizeof *input);
    Onnx__TypeProto *type = lorac_arena_alloc(arena, sizeof *type);
    Onnx__TypeProto__Tensor *tensor_type = lorac_arena_alloc(arena, sizeof *tensor_type);
    Onnx__TensorShapeProto *shape = make_shape(arena, tensor->dims, tensor->n_dims);
    if (!input || !type || !tensor_type || !shape)
        return NULL;
    onnx__value_info_proto__init(input);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(tensor_type);
    tensor_type->has_elem_type = true;
    tensor_type->elem_type = tensor->data_type;
    tensor_type->shape = shape;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor_type;
    input->name = tensor->name;
    input->type = type;
    return input;
}

static enum lorac_status check_new_tensor(struct lorac_model *model, const char *name, int32_t data_type,
                                          const int64_t *dims, size_t dim_count, size_t byte_count,
                                          struct lorac_error *error)
{
    size_t count, bytes;
    if (!*name || lorac_model_initializer(model, name) || lorac_model_producer(model, name))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "cannot add an initializer '%s': the name is %s", name,
                               *name ? "taken" : "empty");
    if (!lorac_size_of_dims(dims, dim_count, &count) ||
        !lorac_tensor_raw_bytes(data_type, count, &bytes) || bytes != byte_count)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "cannot add '%s': %zu bytes do not make a %s tensor %s",
                               name, byte_count, lorac_tensor_type_name(data_type),
                               lorac_dims_format(dims, dim_count).text);
    return LORAC_OK;
}

static enum lorac_status add_input(struct lorac_model *model, const Onnx__TensorProto *tensor,
                                   struct lorac_error *error)
{
    Onnx__GraphProto *graph = model->proto->graph;
    Onnx__ValueInfoProto *input = make_input(model->arena, tensor);
    Onnx__ValueInfoProto **inputs = list_with_room(model, LORAC_LIST_INPUT, graph->input, graph->n_input);
    if (!input || !inputs)
        return out_of_memory(error);
    inputs[graph->n_input++] = input;
    graph->input = inputs;
    return LORAC_OK;
}

enum lorac_status lorac_model_add_initializer(struct lorac_model *model, const char *name, int32_t data_type,
                                              const int64_t *dims, size_t dim_count, const void *bytes,
                                              size_t byte_count, struct lorac_error *error)
{
    Onnx__GraphProto *graph = model->proto->graph;
    const bool declare = model->proto->ir_version <= 3;
    LORAC_TRY(check_new_tensor(model, name, data_type, dims, dim_count, byte_count, error));
    LORAC_TRY(lorac_index_expect(model, 2, 0, error));
    // All that can fail comes first, so that a failure leaves the model as it was.
    Onnx__TensorProto *tensor = make_tensor(model->arena, name, data_type, dims, dim_count, bytes, byte_count);
    Onnx__TensorProto **tensors =
        list_with_room(model, LORAC_LIST_INITIALIZER, graph->initializer, graph->n_initializer);
    if (!tensor || !tensors)
        return out_of_memory(error);
    graph->initializer = tensors;
    if (declare)
        LORAC_TRY(add_input(model, tensor, error));
    tensors[graph->n_initializer++] = tensor;
    lorac_index_add_initializer(model, tensor);
    return LORAC_OK;
}

enum lorac_status lorac_model_declare_input(struct lorac_model *model, const char *name, bool *declared,
                                            struct lorac_error *error)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    const Onnx__TensorProto *tensor = lorac_model_initializer(model, name);
    if (!tensor)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "cannot declare '%s' as an input: it is no initialiser",
                               name);
    LORAC_TRY(lorac_index_expect(model, 1, 0, error));
    *declared = true;
    for (size_t i = 0; i < graph->n_input; i++)
        if (strcmp(graph->input[i]->name, name) == 0)
            *declared = false;
    return *declared ? add_input(model, tensor, error) : LORAC_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum lorac_status lorac_model_undeclare_inputs(struct lorac_model *model, const char *const *names, size_t count,
                                               struct lorac_error *error)
{
    Onnx__GraphProto *graph = model->proto->graph;
    size_t kept = 0;
    if (count == 0)
        return LORAC_OK;
    const char **sorted = lorac_arena_alloc_array(model->arena, count, sizeof *sorted);
    if (!sorted)
        return out_of_memory(error);
    memcpy(sorted, names, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_names);
    for (size_t i = 0; i < graph->n_input; i++) {
        const char *name = graph->input[i]->name;
        bool goes = bsearch(&name, sorted, count, sizeof *sorted, compare_names) &&
                    lorac_model_initializer(model, name);
        if (!goes)
            graph->input[kept++] = graph->input[i];
    }
    graph->n_input = kept;
    lorac_index_mark_stale(model);
    return LORAC_OK;
}

void lorac_model_erase_initializer(struct lorac_model *model, const char *name)
{
    const Onnx__TensorProto *tensor = lorac_model_initializer(model, name);
    if (tensor)
        lorac_model_erase_all(model, NULL, 0, &tensor, 1);
}

// ---- many at once

static int compare_addresses(const void *a, const void *b)
{
    uintptr_t left = (uintptr_t) * (const void *const *)a, right = (uintptr_t) * (const void *const *)b;
    return (left > right) - (left < right);
}

static int compare_tensor_names(const void *a, const void *b)
{
    return strcmp((*(const Onnx__TensorProto *const *)a)->name, (*(const Onnx__TensorProto *const *)b)->name);
}

static void erase_nodes(Onnx__GraphProto *graph, const Onnx__NodeProto **nodes, size_t count)
{
    size_t kept = 0;
    qsort(nodes, count, sizeof *nodes, compare_addresses);
    for (size_t i = 0; i < graph->n_node; i++)
        if (!bsearch(&graph->node[i], nodes, count, sizeof *nodes, compare_addresses))
            graph->node[kept++] = graph->node[i];
    graph->n_node = kept;
}

static void erase_tensors(Onnx__GraphProto *graph, const Onnx__TensorProto **tensors, size_t count)
{
    size_t kept = 0;
    qsort(tensors, count, sizeof *tensors, compare_addresses);
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (!bsearch(&graph->initializer[i], tensors, count, sizeof *tensors, compare_addresses))
            graph->initializer[kept++] = graph->initializer[i];
    graph->n_initializer = kept;
    // Their declarations as graph inputs, which are told by name.
    kept = 0;
    qsort(tensors, count, sizeof *tensors, compare_tensor_names);
    for (size_t i = 0; i < graph->n_input; i++) {
        const Onnx__TensorProto key = {.name = graph->input[i]->name}, *wanted = &key;
        if (!bsearch(&wanted, tensors, count, sizeof *tensors, compare_tensor_names))
            graph->input[kept++] = graph->input[i];
    }
    graph->n_input = kept;
}

void lorac_model_erase_all(struct lorac_model *model, const Onnx__NodeProto **nodes, size_t node_count,
                           const Onnx__TensorProto **tensors, size_t tensor_count)
{
    if (node_count > 0)
        erase_nodes(model->proto->graph, nodes, node_count);
    if (tensor_count > 0)
        erase_tensors(model->proto->graph, tensors, tensor_count);
    if (node_count > 0 || tensor_count > 0)
        lorac_index_mark_stale(model);
}

// ---- metadata: not values, the index stays as it is

static bool has_key(const Onnx__StringStringEntryProto *entry, const char *key)
{
    return entry->key && strcmp(entry->key, key) == 0;
}

enum lorac_status lorac_model_set_metadata(struct lorac_model *model, const char *key, const char *value,
                                           struct lorac_error *error)
{
    Onnx__ModelProto *proto = model->proto;
    char *own_value = lorac_arena_strdup(model->arena, value);
    if (!own_value)
        return out_of_memory(error);
    for (size_t i = 0; i < proto->n_metadata_props; i++) {
        if (has_key(proto->metadata_props[i], key)) {
            proto->metadata_props[i]->value = own_value;
            return LORAC_OK;
        }
    }
    Onnx__StringStringEntryProto *entry = lorac_arena_alloc(model->arena, sizeof *entry);
    char *own_key = lorac_arena_strdup(model->arena, key);
    Onnx__StringStringEntryProto **list =
        list_with_room(model, LORAC_LIST_METADATA, proto->metadata_props, proto->n_metadata_props);
    if (!entry || !own_key || !list)
        return out_of_memory(error);
    onnx__string_string_entry_proto__init(entry);
    entry->key = own_key;
    entry->value = own_value;
    list[proto->n_metadata_props++] = entry;
    proto->metadata_props = list;
    return LORAC_OK;
}

void lorac_model_erase_metadata(struct lorac_model *model, const char *key)
{
    Onnx__ModelProto *proto = model->proto;
    size_t kept = 0;
    for (size_t i = 0; i < proto->n_metadata_props; i++)
        if (!has_key(proto->metadata_props[i], key))
            proto->metadata_props[kept++] = proto->metadata_props[i];
    proto->n_metadata_props = kept;
}
