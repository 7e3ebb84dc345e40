#include "model.h"

#include "model_internal.h"
#include "size.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

// ---- walking over every name of the model

enum role { ROLE_OTHER, ROLE_INITIALIZER, ROLE_PRODUCED, ROLE_USED, ROLE_OUTPUT };

struct occurrence {
    const char *name; // not empty
    enum role role;
    Onnx__NodeProto *node;          // PRODUCED, USED: of the main graph
    size_t input;                   // USED; SIZE_MAX: somewhere in a subgraph of the node
    Onnx__TensorProto *initializer; // INITIALIZER
};

typedef void visit_function(struct lorac_name_index *index, const struct occurrence *occurrence);

struct walk {
    struct lorac_name_index *index;
    visit_function *visit;
    bool names_only; // in graphs that are not the model's own: nothing there is a producer or a use
};

static void visit(const struct walk *walk, struct occurrence occurrence)
{
    if (!occurrence.name || !*occurrence.name)
        return;
    if (walk->names_only)
        occurrence.role = ROLE_OTHER;
    walk->visit(walk->index, &occurrence);
}

static void walk_graph(const struct walk *walk, Onnx__GraphProto *graph, Onnx__NodeProto *owner);

// [owner] is the main graph's node in which [node] is nested, NULL in the main graph itself.
static void walk_node(const struct walk *walk, Onnx__NodeProto *node, Onnx__NodeProto *owner)
{
    Onnx__NodeProto *outer = owner ? owner : node;
    visit(walk, (struct occurrence){.name = node->name});
    for (size_t i = 0; i < node->n_input; i++)
        visit(walk, (struct occurrence){node->input[i], ROLE_USED, outer, owner ? SIZE_MAX : i, NULL});
    for (size_t i = 0; i < node->n_output; i++)
        visit(walk, (struct occurrence){node->output[i], owner ? ROLE_OTHER : ROLE_PRODUCED, node, 0, NULL});
    // The depth of nesting was bounded by lorac_wire_read.
    for (size_t i = 0; i < node->n_attribute; i++) {
        const Onnx__AttributeProto *attribute = node->attribute[i];
        if (attribute->g)
            walk_graph(walk, attribute->g, outer);
        for (size_t j = 0; j < attribute->n_graphs; j++)
            walk_graph(walk, attribute->graphs[j], outer);
    }
}

static void walk_graph(const struct walk *walk, Onnx__GraphProto *graph, Onnx__NodeProto *owner)
{
    for (size_t i = 0; i < graph->n_input; i++)
        visit(walk, (struct occurrence){.name = graph->input[i]->name});
    for (size_t i = 0; i < graph->n_value_info; i++)
        visit(walk, (struct occurrence){.name = graph->value_info[i]->name});
    for (size_t i = 0; i < graph->n_initializer; i++)
        visit(walk, (struct occurrence){graph->initializer[i]->name, owner ? ROLE_OTHER : ROLE_INITIALIZER, NULL, 0,
                                        graph->initializer[i]});
    for (size_t i = 0; i < graph->n_sparse_initializer; i++)
        if (graph->sparse_initializer[i]->values)
            visit(walk, (struct occurrence){.name = graph->sparse_initializer[i]->values->name});
    for (size_t i = 0; i < graph->n_node; i++)
        walk_node(walk, graph->node[i], owner);
    // A subgraph may hand out a value of the graph around it.
    for (size_t i = 0; i < graph->n_output; i++)
        visit(walk, (struct occurrence){graph->output[i]->name, owner ? ROLE_USED : ROLE_OUTPUT, owner, SIZE_MAX, NULL});
}

static void walk_model(const struct lorac_model *model, visit_function *function)
{
    struct walk walk = {model->index, function, false};
    walk_graph(&walk, model->proto->graph, NULL);
    walk.names_only = true;
    for (size_t i = 0; i < model->proto->n_training_info; i++) {
        const Onnx__TrainingInfoProto *info = model->proto->training_info[i];
        if (info->initialization)
            walk_graph(&walk, info->initialization, NULL);
        if (info->algorithm)
            walk_graph(&walk, info->algorithm, NULL);
    }
}

// ---- filling

static void count_bounds(struct lorac_name_index *index, const struct occurrence *occurrence)
{
    index->name_bound++;
    index->use_bound += occurrence->role == ROLE_USED;
}

static void fill_names(struct lorac_name_index *index, const struct occurrence *occurrence)
{
    size_t number;
    bool added;
    bool ok = lorac_name_table_add(&index->names, occurrence->name, &number, &added);
    assert(ok && number < index->entry_capacity); // reserved
    (void)ok;
    struct lorac_name_entry *entry = &index->entries[number];
    if (added)
        *entry = (struct lorac_name_entry){0};
    if (occurrence->role == ROLE_PRODUCED)
        entry->producer = occurrence->node;
    else if (occurrence->role == ROLE_INITIALIZER)
        entry->initializer = occurrence->initializer;
    else if (occurrence->role == ROLE_OUTPUT)
        entry->output = true;
}

static void count_uses(struct lorac_name_index *index, const struct occurrence *occurrence)
{
    if (occurrence->role == ROLE_USED)
        index->entries[lorac_name_table_find(&index->names, occurrence->name)].use_count++;
}

// [use_count] is counted up again from 0 while the places are filled.
static void fill_uses(struct lorac_name_index *index, const struct occurrence *occurrence)
{
    if (occurrence->role != ROLE_USED)
        return;
    struct lorac_name_entry *entry = &index->entries[lorac_name_table_find(&index->names, occurrence->name)];
    index->uses[entry->first_use + entry->use_count++] = (struct lorac_use){occurrence->node, occurrence->input};
}

// Memory for the bounds; false where it ran out, and nothing is lost.
static bool reserve(struct lorac_name_index *index)
{
    if (!lorac_name_table_reserve(&index->names, index->name_bound))
        return false;
    size_t bytes;
    if (index->entry_capacity < index->names.capacity) {
        if (!lorac_size_multiply(index->names.capacity, sizeof *index->entries, &bytes))
            return false;
        struct lorac_name_entry *entries = realloc(index->entries, bytes);
        if (!entries)
            return false;
        index->entries = entries;
        index->entry_capacity = index->names.capacity;
    }
    if (index->use_capacity < index->use_bound) {
        size_t capacity = index->use_bound + index->use_bound / 2;
        if (!lorac_size_multiply(capacity, sizeof *index->uses, &bytes))
            return false;
        struct lorac_use *uses = realloc(index->uses, bytes);
        if (!uses)
            return false;
        index->uses = uses;
        index->use_capacity = capacity;
    }
    return true;
}

static struct lorac_name_index *refresh_names(struct lorac_model *model)
{
    struct lorac_name_index *index = model->index;
    if (index->names_current)
        return index;
    index->name_bound = index->use_bound = 0;
    walk_model(model, count_bounds);
    bool reserved = reserve(index);
    assert(reserved); // fails only where the structs were changed behind the back of model_edit.h
    (void)reserved;
    lorac_name_table_clear(&index->names);
    walk_model(model, fill_names);
    index->names_current = true;
    index->uses_current = false;
    return index;
}

static struct lorac_name_index *refresh_uses(struct lorac_model *model)
{
    struct lorac_name_index *index = refresh_names(model);
    if (index->uses_current)
        return index;
    for (size_t i = 0; i < index->names.count; i++)
        index->entries[i].use_count = 0;
    walk_model(model, count_uses);
    size_t first = 0;
    for (size_t i = 0; i < index->names.count; i++) {
        index->entries[i].first_use = first;
        first += index->entries[i].use_count;
        index->entries[i].use_count = 0;
    }
    walk_model(model, fill_uses);
    index->uses_current = true;
    return index;
}

// ---- life cycle, and what edits say

enum lorac_status lorac_index_create(struct lorac_model *model, struct lorac_error *error)
{
    model->index = calloc(1, sizeof *model->index);
    if (!model->index)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the index of the model");
    lorac_name_table_init(&model->index->names);
    walk_model(model, count_bounds);
    return lorac_index_expect(model, 0, 0, error);
}

void lorac_index_free(struct lorac_name_index *index)
{
    if (!index)
        return;
    lorac_name_table_free(&index->names);
    free(index->entries);
    free(index->uses);
    free(index);
}

enum lorac_status lorac_index_expect(struct lorac_model *model, size_t names, size_t uses, struct lorac_error *error)
{
    model->index->name_bound += names;
    model->index->use_bound += uses;
    if (!reserve(model->index))
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the index of the model");
    return LORAC_OK;
}

void lorac_index_mark_stale(struct lorac_model *model)
{
    model->index->names_current = model->index->uses_current = false;
    model->index->suffixed = NULL;
}

void lorac_index_add_node(struct lorac_model *model, Onnx__NodeProto *node)
{
    struct walk walk = {model->index, fill_names, false};
    model->index->uses_current = false;
    if (model->index->names_current)
        walk_node(&walk, node, NULL);
}

void lorac_index_add_initializer(struct lorac_model *model, Onnx__TensorProto *tensor)
{
    struct walk walk = {model->index, fill_names, false};
    if (model->index->names_current)
        visit(&walk, (struct occurrence){tensor->name, ROLE_INITIALIZER, NULL, 0, tensor});
}

void lorac_index_change_input(struct lorac_model *model, const char *before, const char *after)
{
    struct lorac_name_index *index = model->index;
    struct walk walk = {index, fill_names, false};
    index->uses_current = false;
    if (!index->names_current)
        return;
    if (*before) {
        size_t number = lorac_name_table_find(&index->names, before);
        // Was this use all that named it? Then the name may be free now.
        if (!index->entries[number].producer && !index->entries[number].initializer) {
            lorac_index_mark_stale(model);
            return;
        }
    }
    visit(&walk, (struct occurrence){.name = after});
}

// ---- looking

static const struct lorac_name_entry *find(struct lorac_model *model, const char *value)
{
    if (!value || !*value)
        return NULL;
    const struct lorac_name_index *index = refresh_names(model);
    size_t number = lorac_name_table_find(&index->names, value);
    return number == LORAC_NO_NAME ? NULL : &index->entries[number];
}

bool lorac_index_knows(struct lorac_model *model, const char *name)
{
    return find(model, name) != NULL;
}

Onnx__NodeProto *lorac_model_producer(struct lorac_model *model, const char *value)
{
    const struct lorac_name_entry *entry = find(model, value);
    return entry ? entry->producer : NULL;
}

Onnx__TensorProto *lorac_model_initializer(struct lorac_model *model, const char *value)
{
    const struct lorac_name_entry *entry = find(model, value);
    return entry ? entry->initializer : NULL;
}

Onnx__TensorProto *lorac_model_constant(struct lorac_model *model, const char *value)
{
    const struct lorac_name_entry *entry = find(model, value);
    if (!entry)
        return NULL;
    if (entry->initializer)
        return entry->initializer;
    if (!entry->producer || !lorac_node_is(entry->producer, "Constant"))
        return NULL;
    const Onnx__AttributeProto *attribute = lorac_node_attribute(entry->producer, "value");
    return attribute ? attribute->t : NULL;
}

size_t lorac_model_uses(struct lorac_model *model, const char *value, const struct lorac_use **uses)
{
    refresh_uses(model);
    const struct lorac_name_entry *entry = find(model, value);
    size_t count = entry ? entry->use_count : 0;
    *uses = count ? model->index->uses + entry->first_use : NULL;
    return count;
}

bool lorac_model_is_graph_output(struct lorac_model *model, const char *value)
{
    const struct lorac_name_entry *entry = find(model, value);
    return entry && entry->output;
}

Onnx__ValueInfoProto *lorac_model_input(struct lorac_model *model, size_t i)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    for (size_t j = 0; j < graph->n_input; j++)
        if (!lorac_model_initializer(model, graph->input[j]->name) && i-- == 0)
            return graph->input[j];
    return NULL;
}
