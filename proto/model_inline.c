#include "model_inline.h"

#include "model_function.h"
#include "model_internal.h"
#include "model_namer.h"
#include "size.h"
#include "tensor.h"
#include "wire.h"

#include <stdio.h>
#include <string.h>

// A subgraph in a node is three levels of messages, and what is written must be readable again.
enum { MAX_GRAPH_DEPTH = LORAC_WIRE_MAX_DEPTH / 3 - 2 };

struct inliner {
    struct lorac_model *model;
    struct lorac_function_table functions;
    struct lorac_namer namer;
    bool *import_used; // by index in the model's opset_import: an operator that came from a function needs it
    size_t bytes_left;
    size_t call_count;
};

// One call: what the names and attributes in a function's body stand for.
struct scope {
    struct lorac_function *function;
    const Onnx__NodeProto *call;
    const char *prefix;
    Onnx__AttributeProto **attributes; // the call's
    size_t attribute_count;
    bool first;                    // the first call of this function: its tensors may be used as they are
    struct lorac_name_table names; // of the body
    const char **actual;           // by number in [names]
    size_t actual_capacity;
};

// Where a node is written to.
struct place {
    struct scope *scope; // NULL: it comes from the model itself
    size_t call_depth, graph_depth;
};

struct node_list {
    Onnx__NodeProto **nodes;
    size_t count, capacity;
};

// ---- memory: all that is written out counts

static enum lorac_status charge(struct inliner *inliner, size_t bytes, struct lorac_error *error)
{
    if (bytes > inliner->bytes_left)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "the local functions of the model, written out, take more than %d MiB",
                               LORAC_INLINE_MAX_BYTES >> 20);
    inliner->bytes_left -= bytes;
    return LORAC_OK;
}

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while writing out local functions");
}

static enum lorac_status take(struct inliner *inliner, size_t count, size_t bytes_each, void **out,
                              struct lorac_error *error)
{
    size_t bytes = SIZE_MAX;
    lorac_size_multiply(count, bytes_each, &bytes);
    LORAC_TRY(charge(inliner, bytes, error));
    *out = lorac_arena_alloc(inliner->model->arena, bytes);
    return *out ? LORAC_OK : out_of_memory(error);
}

// *out = a copy of the [bytes] at [original], whose pointers stay.
static enum lorac_status copy_shallow(struct inliner *inliner, const void *original, size_t bytes, void **out,
                                      struct lorac_error *error)
{
    LORAC_TRY(take(inliner, 1, bytes, out, error));
    memcpy(*out, original, bytes);
    return LORAC_OK;
}

static enum lorac_status push(struct inliner *inliner, struct node_list *list, Onnx__NodeProto *node,
                              struct lorac_error *error)
{
    if (list->count == list->capacity) {
        void *larger;
        size_t capacity = list->capacity ? 2 * list->capacity : 16;
        LORAC_TRY(take(inliner, capacity, sizeof *list->nodes, &larger, error));
        if (list->count > 0)
            memcpy(larger, list->nodes, list->count * sizeof *list->nodes);
        list->nodes = larger;
        list->capacity = capacity;
    }
    list->nodes[list->count++] = node;
    return LORAC_OK;
}

// ---- names

// "<prefix>/<name>", or that with a number where the model or an earlier call has it.
static enum lorac_status make_name(struct inliner *inliner, const char *prefix, const char *name, const char **out,
                                   struct lorac_error *error)
{
    LORAC_TRY(charge(inliner, lorac_namer_bytes(prefix, name), error));
    return lorac_namer_make(&inliner->namer, prefix, name, out) ? LORAC_OK : out_of_memory(error);
}

// Says what [name] of the body stands for.
static enum lorac_status bind(struct inliner *inliner, struct scope *scope, const char *name, const char *actual,
                              bool *fresh, struct lorac_error *error)
{
    size_t number;
    if (!lorac_name_table_add(&scope->names, name, &number, fresh))
        return out_of_memory(error);
    if (number >= scope->actual_capacity) {
        void *larger;
        size_t capacity = 2 * number + 16;
        LORAC_TRY(take(inliner, capacity, sizeof *scope->actual, &larger, error));
        if (scope->actual_capacity > 0)
            memcpy(larger, scope->actual, scope->actual_capacity * sizeof *scope->actual);
        scope->actual = larger;
        scope->actual_capacity = capacity;
    }
    if (*fresh)
        scope->actual[number] = actual;
    return LORAC_OK;
}

// What the name stands for; in the model itself [scope] is NULL and every name stands for itself.
static enum lorac_status map_name(struct inliner *inliner, struct scope *scope, const char *name, const char **out,
                                  struct lorac_error *error)
{
    if (!scope || !name || !*name) {
        *out = name;
        return LORAC_OK;
    }
    size_t number = lorac_name_table_find(&scope->names, name);
    if (number == LORAC_NO_NAME) {
        const char *made;
        bool fresh;
        LORAC_TRY(make_name(inliner, scope->prefix, name, &made, error));
        LORAC_TRY(bind(inliner, scope, name, made, &fresh, error));
        number = lorac_name_table_find(&scope->names, name);
    }
    *out = scope->actual[number];
    return LORAC_OK;
}

static enum lorac_status map_names(struct inliner *inliner, struct scope *scope, char *const *names, size_t count,
                                   char ***out, struct lorac_error *error)
{
    void *list;
    LORAC_TRY(take(inliner, count, sizeof **out, &list, error));
    *out = list;
    for (size_t i = 0; i < count; i++) {
        const char *actual;
        LORAC_TRY(map_name(inliner, scope, names[i], &actual, error));
        (*out)[i] = (char *)actual; // protobuf-c knows no const
    }
    return LORAC_OK;
}

// ---- tensors and declarations of a body

// A tensor that two calls would share gets a copy for each but the first, so that changing one changes no other.
static enum lorac_status copy_tensor(struct inliner *inliner, bool share, Onnx__TensorProto *tensor, const char *name,
                                     Onnx__TensorProto **out, struct lorac_error *error)
{
    void *copy;
    if (!share) {
        LORAC_TRY(charge(inliner, onnx__tensor_proto__get_packed_size(tensor), error));
        return lorac_tensor_copy(inliner->model, tensor, name ? name : "", out, error);
    }
    LORAC_TRY(copy_shallow(inliner, tensor, sizeof *tensor, &copy, error));
    *out = copy;
    (*out)->name = (char *)name;
    return LORAC_OK;
}

static enum lorac_status map_declarations(struct inliner *inliner, struct scope *scope, size_t count,
                                          Onnx__ValueInfoProto ***list, struct lorac_error *error)
{
    void *copies;
    LORAC_TRY(take(inliner, count, sizeof **list, &copies, error));
    for (size_t i = 0; i < count; i++) {
        void *copy;
        const char *actual;
        LORAC_TRY(copy_shallow(inliner, (*list)[i], sizeof *(*list)[i], &copy, error));
        LORAC_TRY(map_name(inliner, scope, (*list)[i]->name, &actual, error));
        ((Onnx__ValueInfoProto *)copy)->name = (char *)actual;
        ((Onnx__ValueInfoProto **)copies)[i] = copy;
    }
    *list = copies;
    return LORAC_OK;
}

static enum lorac_status map_initializers(struct inliner *inliner, struct scope *scope, Onnx__GraphProto *graph,
                                          struct lorac_error *error)
{
    void *copies;
    LORAC_TRY(take(inliner, graph->n_initializer, sizeof *graph->initializer, &copies, error));
    Onnx__TensorProto **list = copies;
    for (size_t i = 0; i < graph->n_initializer; i++) {
        const char *actual;
        LORAC_TRY(map_name(inliner, scope, graph->initializer[i]->name, &actual, error));
        LORAC_TRY(copy_tensor(inliner, scope->first, graph->initializer[i], actual, &list[i], error));
    }
    graph->initializer = list;
    return LORAC_OK;
}

// ---- nodes

static enum lorac_status write_node(struct inliner *inliner, const struct place *place, Onnx__NodeProto *node,
                                    struct node_list *out, struct lorac_error *error);

static enum lorac_status write_graph(struct inliner *inliner, const struct place *place,
                                     const Onnx__GraphProto *original, Onnx__GraphProto **out,
                                     struct lorac_error *error)
{
    const struct place inner = {place->scope, place->call_depth, place->graph_depth + 1};
    void *copy;
    struct node_list list = {0};
    if (inner.graph_depth > MAX_GRAPH_DEPTH)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "the local functions of the model, written out, nest subgraphs more than %d deep",
                               MAX_GRAPH_DEPTH);
    LORAC_TRY(copy_shallow(inliner, original, sizeof *original, &copy, error));
    Onnx__GraphProto *graph = copy;
    if (place->scope) {
        if (graph->n_sparse_initializer > 0 || graph->n_quantization_annotation > 0)
            return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                                   "function '%s' has a subgraph with sparse initializers or quantization annotations; "
                                   "write the functions out with onnx.inliner first",
                                   place->scope->function->name);
        LORAC_TRY(map_initializers(inliner, place->scope, graph, error));
        LORAC_TRY(map_declarations(inliner, place->scope, graph->n_input, &graph->input, error));
        LORAC_TRY(map_declarations(inliner, place->scope, graph->n_output, &graph->output, error));
        LORAC_TRY(map_declarations(inliner, place->scope, graph->n_value_info, &graph->value_info, error));
    }
    for (size_t i = 0; i < graph->n_node; i++)
        LORAC_TRY(write_node(inliner, &inner, graph->node[i], &list, error));
    graph->node = list.nodes;
    graph->n_node = list.count;
    *out = graph;
    return LORAC_OK;
}

static const Onnx__AttributeProto *find_attribute(const Onnx__AttributeProto *const *list, size_t count,
                                                  const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (list[i]->name && strcmp(list[i]->name, name) == 0)
            return list[i];
    return NULL;
}

// The attribute as the written-out node has it; *out is NULL where it refers to one that the call leaves out.
static enum lorac_status write_attribute(struct inliner *inliner, const struct place *place,
                                         const Onnx__AttributeProto *original, Onnx__AttributeProto **out,
                                         struct lorac_error *error)
{
    const struct scope *scope = place->scope;
    const char *reference = scope ? original->ref_attr_name : NULL;
    const Onnx__AttributeProto *source = original;
    void *copy;
    *out = NULL;
    if (reference && *reference) {
        source =
            find_attribute((const Onnx__AttributeProto *const *)scope->attributes, scope->attribute_count, reference);
        if (!source)
            source = find_attribute(scope->function->defaults, scope->function->default_count, reference);
        if (source && original->has_type && source->has_type && source->type != original->type)
            return lorac_error_set(error, LORAC_ERROR_FORMAT,
                                   "function '%s' takes attribute '%s' as another type than node '%s' gives",
                                   scope->function->name, reference, lorac_node_name(scope->call));
    }
    LORAC_TRY(charge(inliner, sizeof *source, error));
    if (!source)
        return LORAC_OK;
    LORAC_TRY(copy_shallow(inliner, source, sizeof *source, &copy, error));
    Onnx__AttributeProto *made = copy;
    made->name = original->name;
    const bool share = source == original && (!scope || scope->first);
    if (source->t && !share)
        LORAC_TRY(copy_tensor(inliner, false, source->t, source->t->name, &made->t, error));
    // A subgraph that came with the call was written out with the call.
    if (source == original) {
        if (source->g)
            LORAC_TRY(write_graph(inliner, place, source->g, &made->g, error));
        if (source->n_graphs > 0) {
            LORAC_TRY(take(inliner, source->n_graphs, sizeof *made->graphs, &copy, error));
            made->graphs = copy;
            for (size_t i = 0; i < source->n_graphs; i++)
                LORAC_TRY(write_graph(inliner, place, source->graphs[i], &made->graphs[i], error));
        }
    }
    *out = made;
    return LORAC_OK;
}

static enum lorac_status write_attributes(struct inliner *inliner, const struct place *place,
                                          const Onnx__NodeProto *node, size_t *count, Onnx__AttributeProto ***out,
                                          struct lorac_error *error)
{
    void *list;
    LORAC_TRY(take(inliner, node->n_attribute, sizeof **out, &list, error));
    *out = list;
    *count = 0;
    for (size_t i = 0; i < node->n_attribute; i++) {
        LORAC_TRY(write_attribute(inliner, place, node->attribute[i], &(*out)[*count], error));
        *count += (*out)[*count] != NULL;
    }
    return LORAC_OK;
}

// An operator of a function runs as the model's operator set says, so that the two must mean the same one.
static enum lorac_status check_import(struct inliner *inliner, const struct scope *scope, const Onnx__NodeProto *node,
                                      struct lorac_error *error)
{
    const Onnx__ModelProto *model = inliner->model->proto;
    const Onnx__FunctionProto *function = scope->function->proto;
    int64_t wanted;
    if (!lorac_opset_version(function->opset_import, function->n_opset_import, node->domain, &wanted))
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "function '%s' uses '%s' of domain '%s', of which it imports no operator set",
                               scope->function->name, node->op_type, node->domain ? node->domain : "");
    for (size_t i = 0; i < model->n_opset_import; i++) {
        if (!lorac_domain_same(model->opset_import[i]->domain, node->domain))
            continue;
        inliner->import_used[i] = true;
        if (model->opset_import[i]->version == wanted)
            return LORAC_OK;
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "function '%s' was written for opset %lld of domain '%s', and the model uses %lld; "
                               "convert it with onnx.version_converter, or export it again",
                               scope->function->name, (long long)wanted, node->domain ? node->domain : "",
                               (long long)model->opset_import[i]->version);
    }
    return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                           "function '%s' uses '%s' of domain '%s', which the model does not import",
                           scope->function->name, node->op_type, node->domain ? node->domain : "");
}

static bool has_subgraph(const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < node->n_attribute; i++)
        if (node->attribute[i]->g || node->attribute[i]->n_graphs > 0)
            return true;
    return false;
}

static enum lorac_status write_operator(struct inliner *inliner, const struct place *place, Onnx__NodeProto *node,
                                        struct node_list *out, struct lorac_error *error)
{
    struct scope *scope = place->scope;
    void *copy;
    const char *name;
    if (!scope && !has_subgraph(node))
        return push(inliner, out, node, error);
    LORAC_TRY(copy_shallow(inliner, node, sizeof *node, &copy, error));
    Onnx__NodeProto *made = copy;
    if (scope) {
        LORAC_TRY(check_import(inliner, scope, node, error));
        LORAC_TRY(map_names(inliner, scope, node->input, node->n_input, &made->input, error));
        LORAC_TRY(map_names(inliner, scope, node->output, node->n_output, &made->output, error));
        if (node->name && *node->name) {
            // Nodes and values are named apart in ONNX: a node gets a name of its own, whatever value has it too.
            LORAC_TRY(make_name(inliner, scope->prefix, node->name, &name, error));
            made->name = (char *)name;
        }
    }
    LORAC_TRY(write_attributes(inliner, place, node, &made->n_attribute, &made->attribute, error));
    return push(inliner, out, made, error);
}

// ---- calls

static enum lorac_status refuse_call(const struct lorac_function *function, const Onnx__NodeProto *node,
                                     const char *what, size_t given, size_t most, struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_FORMAT, "node '%s' (%s) gives function '%s' %zu %s; it has %zu",
                           lorac_node_name(node), node->op_type, function->name, given, what, most);
}

static enum lorac_status bind_inputs(struct inliner *inliner, const struct place *place, const Onnx__NodeProto *node,
                                     struct scope *scope, struct lorac_error *error)
{
    const Onnx__FunctionProto *function = scope->function->proto;
    if (node->n_input > function->n_input)
        return refuse_call(scope->function, node, "inputs", node->n_input, function->n_input, error);
    for (size_t i = 0; i < function->n_input; i++) {
        const char *actual = "";
        bool fresh;
        if (i < node->n_input)
            LORAC_TRY(map_name(inliner, place->scope, node->input[i], &actual, error));
        LORAC_TRY(bind(inliner, scope, function->input[i], actual, &fresh, error));
        if (!fresh)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "function '%s' has two inputs '%s'",
                                   scope->function->name, function->input[i]);
    }
    return LORAC_OK;
}

// The function's output that only hands on an input, or is another output too: Identity('value') -> 'output'.
static enum lorac_status write_identity(struct inliner *inliner, const struct scope *scope, const char *value,
                                        const char *output, struct node_list *out, struct lorac_error *error)
{
    void *memory;
    if (!*value)
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "function '%s' hands on an input as its output, which node '%s' leaves out",
                               scope->function->name, lorac_node_name(scope->call));
    LORAC_TRY(take(inliner, 1, sizeof(Onnx__NodeProto), &memory, error));
    Onnx__NodeProto *node = memory;
    onnx__node_proto__init(node);
    LORAC_TRY(take(inliner, 2, sizeof(char *), &memory, error));
    node->input = memory;
    node->output = node->input + 1;
    node->n_input = node->n_output = 1;
    node->input[0] = (char *)value;
    node->output[0] = (char *)output;
    node->op_type = lorac_arena_strdup(inliner->model->arena, "Identity");
    return node->op_type ? push(inliner, out, node, error) : out_of_memory(error);
}

// Writes the body between binding the outputs and the identities for those that were bound already.
static enum lorac_status write_body(struct inliner *inliner, const struct place *place, const Onnx__NodeProto *node,
                                    struct scope *scope, struct node_list *out, struct lorac_error *error)
{
    const Onnx__FunctionProto *function = scope->function->proto;
    const struct place inner = {scope, place->call_depth + 1, place->graph_depth};
    void *memory;
    if (node->n_output > function->n_output)
        return refuse_call(scope->function, node, "outputs", node->n_output, function->n_output, error);
    LORAC_TRY(take(inliner, node->n_output, sizeof(char *), &memory, error));
    const char **handed_on = memory;
    for (size_t i = 0; i < node->n_output; i++) {
        const char *actual;
        bool fresh;
        if (!*node->output[i])
            continue;
        LORAC_TRY(map_name(inliner, place->scope, node->output[i], &actual, error));
        LORAC_TRY(bind(inliner, scope, function->output[i], actual, &fresh, error));
        handed_on[i] = fresh ? NULL : actual;
    }
    for (size_t i = 0; i < function->n_node; i++)
        LORAC_TRY(write_node(inliner, &inner, function->node[i], out, error));
    for (size_t i = 0; i < node->n_output; i++) {
        const char *value;
        if (!handed_on[i])
            continue;
        LORAC_TRY(map_name(inliner, scope, function->output[i], &value, error));
        LORAC_TRY(write_identity(inliner, scope, value, handed_on[i], out, error));
    }
    return LORAC_OK;
}

static enum lorac_status name_prefix(struct inliner *inliner, const struct place *place, const Onnx__NodeProto *node,
                                     const char **out, struct lorac_error *error)
{
    const char *outer = place->scope ? place->scope->prefix : NULL, *name = lorac_node_name(node);
    void *text;
    if (!outer) {
        *out = name;
        return LORAC_OK;
    }
    size_t bytes = strlen(outer) + strlen(name) + 2;
    LORAC_TRY(take(inliner, 1, bytes, &text, error));
    snprintf(text, bytes, "%s/%s", outer, name);
    *out = text;
    return LORAC_OK;
}

static enum lorac_status write_call(struct inliner *inliner, const struct place *place, Onnx__NodeProto *node,
                                    struct lorac_function *function, struct node_list *out, struct lorac_error *error)
{
    struct scope scope = {.function = function, .call = node, .first = !function->called};
    enum lorac_status status;
    if (place->call_depth >= LORAC_INLINE_MAX_DEPTH)
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "function '%s' is called through more than %d functions: they call one another in a "
                               "circle, or too deep",
                               function->name, LORAC_INLINE_MAX_DEPTH);
    if (node->n_attribute > LORAC_FUNCTION_MAX_ATTRIBUTES)
        return refuse_call(function, node, "attributes", node->n_attribute, LORAC_FUNCTION_MAX_ATTRIBUTES, error);
    LORAC_TRY(charge(inliner, sizeof scope, error)); // an empty body costs something too
    function->called = true;
    inliner->call_count++;
    lorac_name_table_init(&scope.names);
    LORAC_TRY_GOTO(status, name_prefix(inliner, place, node, &scope.prefix, error), done);
    LORAC_TRY_GOTO(status, write_attributes(inliner, place, node, &scope.attribute_count, &scope.attributes, error),
                   done);
    LORAC_TRY_GOTO(status, bind_inputs(inliner, place, node, &scope, error), done);
    status = write_body(inliner, place, node, &scope, out, error);
done:
    lorac_name_table_free(&scope.names);
    return status;
}

static enum lorac_status write_node(struct inliner *inliner, const struct place *place, Onnx__NodeProto *node,
                                    struct node_list *out, struct lorac_error *error)
{
    struct lorac_function *function;
    LORAC_TRY(lorac_function_called(&inliner->functions, inliner->model, node, &function, error));
    return function ? write_call(inliner, place, node, function, out, error)
                    : write_operator(inliner, place, node, out, error);
}

// ---- the whole

// Leaves out the operator sets that only the functions and their calls needed: those named after a function's domain,
// where no operator of that domain is left.
static bool is_function_domain(const Onnx__ModelProto *model, const char *domain)
{
    for (size_t i = 0; i < model->n_functions; i++)
        if (lorac_domain_same(model->functions[i]->domain, domain))
            return true;
    return false;
}

static void drop_imports(const struct inliner *inliner)
{
    Onnx__ModelProto *model = inliner->model->proto;
    size_t kept = 0;
    for (size_t i = 0; i < model->n_opset_import; i++)
        if (inliner->import_used[i] || lorac_domain_same(model->opset_import[i]->domain, "") ||
            !is_function_domain(model, model->opset_import[i]->domain))
            model->opset_import[kept++] = model->opset_import[i];
    model->n_opset_import = kept;
}

// Puts the new list in place and checks the whole; puts the old one back where that fails.
static enum lorac_status install(struct inliner *inliner, const struct node_list *list, struct lorac_error *error)
{
    struct lorac_model *model = inliner->model;
    Onnx__GraphProto *graph = model->proto->graph;
    struct lorac_name_index *old_index = model->index;
    Onnx__NodeProto **old_nodes = graph->node;
    size_t old_count = graph->n_node;
    graph->node = list->nodes;
    graph->n_node = list->count;
    model->index = NULL;
    enum lorac_status status = lorac_model_check(model, error);
    if (status == LORAC_OK)
        status = lorac_index_create(model, error);
    if (status != LORAC_OK) {
        lorac_index_free(model->index);
        model->index = old_index;
        graph->node = old_nodes;
        graph->n_node = old_count;
        return status;
    }
    lorac_index_free(old_index);
    drop_imports(inliner);
    model->proto->n_functions = 0;
    return LORAC_OK;
}

static enum lorac_status write_all(struct inliner *inliner, struct lorac_error *error)
{
    const Onnx__ModelProto *model = inliner->model->proto;
    const struct place outside = {0};
    struct node_list list = {0};
    void *used;
    LORAC_TRY(take(inliner, model->n_opset_import, sizeof *inliner->import_used, &used, error));
    inliner->import_used = used;
    for (size_t i = 0; i < model->graph->n_node; i++)
        LORAC_TRY(write_node(inliner, &outside, model->graph->node[i], &list, error));
    return install(inliner, &list, error);
}

enum lorac_status lorac_model_inline(struct lorac_model *model, size_t *call_count, struct lorac_error *error)
{
    struct inliner inliner = {.model = model, .namer = {.model = model}, .bytes_left = LORAC_INLINE_MAX_BYTES};
    if (call_count)
        *call_count = 0;
    if (model->proto->n_functions == 0)
        return LORAC_OK;
    if (model->proto->n_training_info > 0)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "the model has both local functions and training_info, which may call them; write the "
                               "functions out with onnx.inliner first");
    LORAC_TRY(lorac_function_table_init(&inliner.functions, model, error));
    enum lorac_status status = write_all(&inliner, error);
    if (status == LORAC_OK && call_count)
        *call_count = inliner.call_count;
    lorac_namer_free(&inliner.namer);
    lorac_function_table_free(&inliner.functions);
    return status;
}
