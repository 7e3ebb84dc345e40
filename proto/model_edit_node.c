// Edits of one node's inputs and attributes, and of all uses of a value.
#include "model_edit.h"

#include "model_internal.h"
#include "size.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while editing the model");
}

enum lorac_status lorac_model_set_node_inputs(struct lorac_model *model, Onnx__NodeProto *node,
                                              const char *const *values, size_t count, struct lorac_error *error)
{
    LORAC_TRY(lorac_index_expect(model, count, count, error));
    char **inputs = lorac_arena_alloc_array(model->arena, count, sizeof *inputs);
    if (!inputs)
        return out_of_memory(error);
    for (size_t i = 0; i < count; i++)
        if (!(inputs[i] = lorac_arena_strdup(model->arena, values[i])))
            return out_of_memory(error);
    for (size_t i = 0; i < node->n_input || i < count; i++)
        lorac_index_change_input(model, i < node->n_input ? node->input[i] : "", i < count ? inputs[i] : "");
    node->input = inputs;
    node->n_input = count;
    return LORAC_OK;
}

// ---- attributes

// The attribute [name] of [node], replaced or appended, of [type] and else empty. NULL where memory ran out.
static Onnx__AttributeProto *put_attribute(struct lorac_model *model, Onnx__NodeProto *node, const char *name,
                                           Onnx__AttributeProto__AttributeType type)
{
    size_t place = 0;
    while (place < node->n_attribute && strcmp(node->attribute[place]->name, name) != 0)
        place++;
    Onnx__AttributeProto *attribute = lorac_arena_alloc(model->arena, sizeof *attribute);
    Onnx__AttributeProto **list = lorac_arena_alloc_array(model->arena, node->n_attribute + 1, sizeof(*list));
    char *copy = lorac_arena_strdup(model->arena, name);
    if (!attribute || !list || !copy)
        return NULL;
    if (node->n_attribute > 0)
        memcpy(list, node->attribute, node->n_attribute * sizeof *list);
    onnx__attribute_proto__init(attribute);
    attribute->name = copy;
    attribute->has_type = true;
    attribute->type = type;
    list[place] = attribute;
    node->attribute = list;
    node->n_attribute += place == node->n_attribute;
    return attribute;
}

enum lorac_status lorac_model_set_node_int(struct lorac_model *model, Onnx__NodeProto *node, const char *name,
                                           int64_t value, struct lorac_error *error)
{
    Onnx__AttributeProto *attribute = put_attribute(model, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (!attribute)
        return out_of_memory(error);
    attribute->has_i = true;
    attribute->i = value;
    return LORAC_OK;
}

enum lorac_status lorac_model_set_node_ints(struct lorac_model *model, Onnx__NodeProto *node, const char *name,
                                            const int64_t *values, size_t count, struct lorac_error *error)
{
    int64_t *copy = lorac_arena_alloc_array(model->arena, count, sizeof *copy);
    Onnx__AttributeProto *attribute =
        copy ? put_attribute(model, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS) : NULL;
    if (!attribute)
        return out_of_memory(error);
    if (count > 0)
        memcpy(copy, values, count * sizeof *copy);
    attribute->ints = copy;
    attribute->n_ints = count;
    return LORAC_OK;
}

static Onnx__AttributeProto *copy_attribute(struct lorac_arena *arena, const Onnx__AttributeProto *attribute)
{
    size_t byte_count = onnx__attribute_proto__get_packed_size(attribute);
    uint8_t *bytes = malloc(byte_count + 1);
    bool ran_out;
    if (!bytes)
        return NULL;
    onnx__attribute_proto__pack(attribute, bytes);
    ProtobufCMessage *copy = lorac_arena_unpack(arena, &onnx__attribute_proto__descriptor, bytes, byte_count, &ran_out);
    free(bytes);
    return (Onnx__AttributeProto *)copy;
}

enum lorac_status lorac_model_copy_attributes(struct lorac_model *model, const Onnx__NodeProto *from,
                                              Onnx__NodeProto *to, struct lorac_error *error)
{
    Onnx__AttributeProto **list = lorac_arena_alloc_array(model->arena, from->n_attribute, sizeof(*list));
    if (!list)
        return out_of_memory(error);
    for (size_t i = 0; i < from->n_attribute; i++) {
        if (from->attribute[i]->g || from->attribute[i]->n_graphs > 0) // whose names would be there twice
            return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                                   "the attributes of node '%s' (%s) cannot be copied: '%s' holds a subgraph",
                                   lorac_node_name(from), from->op_type, from->attribute[i]->name);
        if (!(list[i] = copy_attribute(model->arena, from->attribute[i])))
            return out_of_memory(error);
    }
    to->attribute = list;
    to->n_attribute = from->n_attribute;
    return LORAC_OK;
}

// ---- all uses of values

struct renaming {
    struct lorac_name_table from;
    char **to; // by number; shared by all places: strings of a model are replaced, never written into
};

static void rename_one(const struct renaming *renaming, char **name)
{
    size_t number = *name && **name ? lorac_name_table_find(&renaming->from, *name) : LORAC_NO_NAME;
    if (number != LORAC_NO_NAME)
        *name = renaming->to[number];
}

// Every value of that name in a subgraph, also one that the subgraph defines anew and so hides the outer one: a
// consistent renaming to a name that the model does not have changes no meaning, and can be undone exactly.
static void rename_in_graph(const struct renaming *renaming, Onnx__GraphProto *graph);

static void rename_in_subgraphs(const struct renaming *renaming, Onnx__NodeProto *node)
{
    // The depth of nesting was bounded by lorac_wire_read.
    for (size_t i = 0; i < node->n_attribute; i++) {
        const Onnx__AttributeProto *attribute = node->attribute[i];
        if (attribute->g)
            rename_in_graph(renaming, attribute->g);
        for (size_t j = 0; j < attribute->n_graphs; j++)
            rename_in_graph(renaming, attribute->graphs[j]);
    }
}

static void rename_in_graph(const struct renaming *renaming, Onnx__GraphProto *graph)
{
    for (size_t i = 0; i < graph->n_input; i++)
        rename_one(renaming, &graph->input[i]->name);
    for (size_t i = 0; i < graph->n_output; i++)
        rename_one(renaming, &graph->output[i]->name);
    for (size_t i = 0; i < graph->n_value_info; i++)
        rename_one(renaming, &graph->value_info[i]->name);
    for (size_t i = 0; i < graph->n_initializer; i++)
        rename_one(renaming, &graph->initializer[i]->name);
    for (size_t i = 0; i < graph->n_sparse_initializer; i++)
        if (graph->sparse_initializer[i]->values)
            rename_one(renaming, &graph->sparse_initializer[i]->values->name);
    for (size_t i = 0; i < graph->n_node; i++) {
        Onnx__NodeProto *node = graph->node[i];
        for (size_t k = 0; k < node->n_input; k++)
            rename_one(renaming, &node->input[k]);
        for (size_t k = 0; k < node->n_output; k++)
            rename_one(renaming, &node->output[k]);
        rename_in_subgraphs(renaming, node);
    }
}

// False where memory ran out.
static bool fill_renaming(struct lorac_arena *arena, const struct lorac_move *moves, size_t count,
                          struct renaming *renaming)
{
    renaming->to = lorac_arena_alloc_array(arena, count, sizeof *renaming->to);
    if (!renaming->to)
        return false;
    for (size_t i = 0; i < count; i++) {
        size_t number;
        bool added;
        if (!lorac_name_table_add(&renaming->from, moves[i].from, &number, &added))
            return false;
        assert(added);
        if (!(renaming->to[number] = lorac_arena_strdup(arena, moves[i].to)))
            return false;
    }
    return true;
}

enum lorac_status lorac_model_move_uses(struct lorac_model *model, const struct lorac_move *moves, size_t count,
                                        struct lorac_error *error)
{
    Onnx__GraphProto *graph = model->proto->graph;
    struct renaming renaming = {0};
    lorac_name_table_init(&renaming.from);
    bool filled = fill_renaming(model->arena, moves, count, &renaming);
    for (size_t i = 0; i < graph->n_node && filled && count > 0; i++) {
        for (size_t k = 0; k < graph->node[i]->n_input; k++)
            rename_one(&renaming, &graph->node[i]->input[k]);
        rename_in_subgraphs(&renaming, graph->node[i]);
    }
    lorac_name_table_free(&renaming.from);
    if (!filled)
        return out_of_memory(error);
    lorac_index_mark_stale(model);
    return LORAC_OK;
}
