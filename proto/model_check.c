// The invariants that everything else relies on. Loading refuses a model that breaks one, by name.
#include "model.h"

#include "model_internal.h"
#include "tensor.h"

#include <inttypes.h>
#include <string.h>

// What the onnx package 1.23 knows. Newer ones may have changed what an operator means, and a guess would be silent.
enum { OLDEST_IR = 3, NEWEST_IR = 14, OLDEST_OPSET = 7, NEWEST_OPSET = 28 };

// The values that are known so far in a graph, and in the graphs around it.
struct scope {
    struct lorac_name_table names;
    const struct scope *outer;
};

static bool is_defined(const struct scope *scope, const char *name)
{
    for (; scope; scope = scope->outer)
        if (lorac_name_table_find(&scope->names, name) != LORAC_NO_NAME)
            return true;
    return false;
}

// Adds [name], which [what] defines; *fresh says whether it was new in this graph.
static enum lorac_status define(struct scope *scope, const char *name, const char *what, bool *fresh,
                                struct lorac_error *error)
{
    if (!name || !*name)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "%s has no name", what);
    if (!lorac_name_table_add(&scope->names, name, NULL, fresh))
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while checking the model");
    return LORAC_OK;
}

static enum lorac_status check_sparse(const Onnx__SparseTensorProto *sparse, struct lorac_error *error)
{
    if (sparse->values)
        LORAC_TRY(lorac_tensor_check(sparse->values, error));
    return sparse->indices ? lorac_tensor_check(sparse->indices, error) : LORAC_OK;
}

// ---- what a graph starts with

// Initialisers are counted apart first: they may have the name of a graph input, but not of one another.
static enum lorac_status define_initializers(const Onnx__GraphProto *graph, struct scope *scope,
                                             struct lorac_error *error)
{
    bool fresh;
    for (size_t i = 0; i < graph->n_initializer; i++) {
        const char *name = graph->initializer[i]->name;
        LORAC_TRY(define(scope, name, "an initializer", &fresh, error));
        if (!fresh)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "two initializers are named '%s'", name);
        LORAC_TRY(lorac_tensor_check(graph->initializer[i], error));
    }
    for (size_t i = 0; i < graph->n_sparse_initializer; i++) {
        const Onnx__TensorProto *values = graph->sparse_initializer[i]->values;
        LORAC_TRY(define(scope, values ? values->name : NULL, "a sparse initializer", &fresh, error));
        if (!fresh)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "two initializers are named '%s'", values->name);
        LORAC_TRY(check_sparse(graph->sparse_initializer[i], error));
    }
    return LORAC_OK;
}

static enum lorac_status define_inputs(const Onnx__GraphProto *graph, struct scope *scope, struct lorac_error *error)
{
    struct scope inputs = {{0}, NULL};
    enum lorac_status status = LORAC_OK;
    for (size_t i = 0; i < graph->n_input; i++) {
        const char *name = graph->input[i]->name;
        bool fresh;
        LORAC_TRY_GOTO(status, define(&inputs, name, "a graph input", &fresh, error), done);
        if (!fresh) {
            status = lorac_error_set(error, LORAC_ERROR_FORMAT, "two graph inputs are named '%s'", name);
            goto done;
        }
        LORAC_TRY_GOTO(status, define(scope, name, "a graph input", &fresh, error), done);
    }
done:
    lorac_name_table_free(&inputs.names);
    return status;
}

// ---- nodes

static enum lorac_status check_graph(const Onnx__GraphProto *graph, const struct scope *outer,
                                     struct lorac_error *error);

// Attributes that have one type in every operator of ai.onnx, in every opset. One of another type would be read as
// absent, and the operator would silently mean something else.
static const struct {
    const char *name;
    Onnx__AttributeProto__AttributeType type;
} TYPED_ATTRIBUTES[] = {
#define TYPED(type, name)                                                                                              \
    {                                                                                                                  \
        name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##type                                                            \
    }
    TYPED(INT, "allowzero"),      TYPED(FLOAT, "alpha"),
    TYPED(STRING, "approximate"), TYPED(STRING, "auto_pad"),
    TYPED(INTS, "axes"),          TYPED(INT, "axis"),
    TYPED(FLOAT, "beta"),         TYPED(INT, "ceil_mode"),
    TYPED(INTS, "dilations"),     TYPED(INTS, "ends"),
    TYPED(FLOAT, "epsilon"),      TYPED(FLOAT, "gamma"),
    TYPED(INT, "group"),          TYPED(INT, "keepdims"),
    TYPED(INTS, "kernel_shape"),  TYPED(FLOAT, "max"),
    TYPED(FLOAT, "min"),          TYPED(STRING, "mode"),
    TYPED(FLOAT, "momentum"),     TYPED(STRING, "nearest_mode"),
    TYPED(INT, "num_groups"),     TYPED(INTS, "pads"),
    TYPED(INTS, "perm"),          TYPED(FLOAT, "ratio"),
    TYPED(FLOATS, "scales"),      TYPED(INT, "spatial"),
    TYPED(INTS, "split"),         TYPED(INTS, "starts"),
    TYPED(INT, "storage_order"),  TYPED(INTS, "strides"),
    TYPED(INT, "training_mode"),  TYPED(INT, "transA"),
    TYPED(INT, "transB"),         TYPED(INT, "end"),
    TYPED(INT, "start"),          TYPED(INT, "count_include_pad"),
    TYPED(INT, "is_test"),        TYPED(INT, "noop_with_empty_axes"),
    TYPED(INT, "num_outputs"),    TYPED(STRING, "coordinate_transformation_mode"),
#undef TYPED
};

static const char *type_name(Onnx__AttributeProto__AttributeType type)
{
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value(&onnx__attribute_proto__attribute_type__descriptor, (int)type);
    return value ? value->name : "unknown";
}

static enum lorac_status check_attribute_type(const Onnx__AttributeProto *attribute, struct lorac_error *error)
{
    if (!attribute->has_type || attribute->ref_attr_name)
        return LORAC_OK;
    for (size_t i = 0; i < sizeof TYPED_ATTRIBUTES / sizeof *TYPED_ATTRIBUTES; i++)
        if (strcmp(attribute->name, TYPED_ATTRIBUTES[i].name) == 0 && attribute->type != TYPED_ATTRIBUTES[i].type)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "attribute '%s' is of type %s; it must be %s",
                                   attribute->name, type_name(attribute->type), type_name(TYPED_ATTRIBUTES[i].type));
    return LORAC_OK;
}

static enum lorac_status check_attribute_names(const Onnx__NodeProto *node, struct lorac_error *error)
{
    struct scope names = {{0}, NULL};
    enum lorac_status status = LORAC_OK;
    for (size_t i = 0; i < node->n_attribute && status == LORAC_OK; i++) {
        bool fresh;
        status = define(&names, node->attribute[i]->name, "an attribute", &fresh, error);
        if (status == LORAC_OK && !fresh)
            status =
                lorac_error_set(error, LORAC_ERROR_FORMAT, "two attributes are named '%s'", node->attribute[i]->name);
    }
    lorac_name_table_free(&names.names);
    return status;
}

static enum lorac_status check_attribute(const Onnx__AttributeProto *attribute, const struct scope *scope,
                                         struct lorac_error *error)
{
    if (attribute->t)
        LORAC_TRY(lorac_tensor_check(attribute->t, error));
    for (size_t i = 0; i < attribute->n_tensors; i++)
        LORAC_TRY(lorac_tensor_check(attribute->tensors[i], error));
    if (attribute->sparse_tensor)
        LORAC_TRY(check_sparse(attribute->sparse_tensor, error));
    for (size_t i = 0; i < attribute->n_sparse_tensors; i++)
        LORAC_TRY(check_sparse(attribute->sparse_tensors[i], error));
    // The depth of nesting was bounded by lorac_wire_read.
    if (attribute->g)
        LORAC_TRY(check_graph(attribute->g, scope, error));
    for (size_t i = 0; i < attribute->n_graphs; i++)
        LORAC_TRY(check_graph(attribute->graphs[i], scope, error));
    return LORAC_OK;
}

static enum lorac_status check_attributes(const Onnx__NodeProto *node, const struct scope *scope,
                                          struct lorac_error *error)
{
    LORAC_TRY(check_attribute_names(node, error));
    for (size_t i = 0; i < node->n_attribute; i++) {
        if (lorac_node_is(node, node->op_type))
            LORAC_TRY(check_attribute_type(node->attribute[i], error));
        LORAC_TRY(check_attribute(node->attribute[i], scope, error));
    }
    return LORAC_OK;
}

static enum lorac_status check_node(const Onnx__NodeProto *node, size_t position, struct scope *scope,
                                    struct lorac_error *error)
{
    const char *name = lorac_node_name(node);
    if (!node->op_type || !*node->op_type)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "node %zu ('%s') has no op_type", position, name);
    for (size_t i = 0; i < node->n_input; i++)
        if (*node->input[i] && !is_defined(scope, node->input[i]))
            return lorac_error_set(error, LORAC_ERROR_FORMAT,
                                   "node '%s' (%s) uses '%s', which no graph input, initializer or earlier node gives "
                                   "(nodes must be in the order in which they run)",
                                   name, node->op_type, node->input[i]);
    enum lorac_status status = check_attributes(node, scope, error);
    LORAC_TRY(lorac_error_prefix(error, status, "node '%s' (%s): ", name, node->op_type));
    for (size_t i = 0; i < node->n_output; i++) {
        bool fresh;
        if (!*node->output[i])
            continue;
        LORAC_TRY(define(scope, node->output[i], "an output", &fresh, error));
        if (!fresh)
            return lorac_error_set(error, LORAC_ERROR_FORMAT,
                                   "node '%s' (%s) outputs '%s', which an earlier node, a graph input or an "
                                   "initializer already gives",
                                   name, node->op_type, node->output[i]);
    }
    return LORAC_OK;
}

static enum lorac_status check_graph_in(const Onnx__GraphProto *graph, struct scope *scope, struct lorac_error *error)
{
    LORAC_TRY(define_initializers(graph, scope, error));
    LORAC_TRY(define_inputs(graph, scope, error));
    for (size_t i = 0; i < graph->n_node; i++)
        LORAC_TRY(check_node(graph->node[i], i, scope, error));
    for (size_t i = 0; i < graph->n_output; i++) {
        const char *name = graph->output[i]->name;
        if (!name || !*name)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "a graph output has no name");
        if (!is_defined(scope, name))
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "no node gives the graph output '%s'", name);
    }
    return LORAC_OK;
}

static enum lorac_status check_graph(const Onnx__GraphProto *graph, const struct scope *outer,
                                     struct lorac_error *error)
{
    struct scope scope = {{0}, outer};
    enum lorac_status status = check_graph_in(graph, &scope, error);
    lorac_name_table_free(&scope.names);
    return status;
}

// ---- the model

static enum lorac_status check_ir(const struct lorac_model *model, struct lorac_error *error)
{
    int64_t ir = model->proto->ir_version;
    if (ir < OLDEST_IR)
        return lorac_error_set(error, ir < 1 ? LORAC_ERROR_FORMAT : LORAC_ERROR_UNSUPPORTED,
                               "the model says IR version %" PRId64 "; %d to %d are known: export it again", ir,
                               OLDEST_IR, NEWEST_IR);
    if (ir > NEWEST_IR)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "the model says IR version %" PRId64
                               ", newer than %d, the newest that is known; save it "
                               "again with an older ir_version",
                               ir, NEWEST_IR);
    return LORAC_OK;
}

static enum lorac_status check_opset(const struct lorac_model *model, struct lorac_error *error)
{
    const Onnx__ModelProto *proto = model->proto;
    int64_t opset = lorac_model_opset(model);
    if (opset == 0)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "the model does not say which opset of ai.onnx it uses");
    if (opset < OLDEST_OPSET)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "the model uses opset %" PRId64 ", older than %d; convert it with "
                               "onnx.version_converter, or export it again",
                               opset, OLDEST_OPSET);
    if (opset > NEWEST_OPSET)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "the model uses opset %" PRId64 ", newer than %d, the newest that is known; export it "
                               "again with an older opset, or convert it with onnx.version_converter",
                               opset, NEWEST_OPSET);
    for (size_t i = 0; i < proto->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *import = proto->opset_import[i];
        bool is_default = !import->domain || !*import->domain || strcmp(import->domain, "ai.onnx") == 0;
        if (is_default && import->version != opset)
            return lorac_error_set(error, LORAC_ERROR_FORMAT,
                                   "the model imports both opset %" PRId64 " and %" PRId64 " of ai.onnx", opset,
                                   import->version);
    }
    return LORAC_OK;
}

enum lorac_status lorac_model_check(const struct lorac_model *model, struct lorac_error *error)
{
    LORAC_TRY(check_ir(model, error));
    LORAC_TRY(check_opset(model, error));
    return check_graph(model->proto->graph, NULL, error);
}
