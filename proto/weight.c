#include "weight.h"

#include "finite.h"
#include "model_edit.h"
#include "size.h"
#include "tensor.h"

#include <stdlib.h>
#include <string.h>

// ---- looking

static enum lorac_status out_of_memory(const char *value, struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "weight '%s': out of memory", value);
}

// How a value is made by a node that keeps the elements apart from their order and type: true where dims and type of
// [weight] (those of the node's first input) could be brought to those of its output.
static bool pass_node(struct lorac_model *model, const Onnx__NodeProto *node, struct lorac_weight *weight)
{
    if (lorac_node_is(node, "Identity"))
        return true;
    if (lorac_node_is(node, "DequantizeLinear")) {
        const Onnx__TensorProto *scale = lorac_model_constant(model, lorac_node_input(node, 1));
        weight->data_type = scale ? scale->data_type : 0;
        return lorac_tensor_type_is_floating(weight->data_type);
    }
    if (lorac_node_is(node, "Cast")) {
        int64_t to = lorac_node_int(node, "to", 0);
        weight->data_type = to > 0 && to < INT32_MAX ? (int32_t)to : 0;
        return lorac_tensor_type_is_floating(weight->data_type);
    }
    if (!lorac_node_is(node, "Transpose"))
        return false;
    const int64_t *perm;
    int64_t dims[LORAC_CONSTANT_MAX_RANK];
    size_t given = lorac_node_ints(node, "perm", &perm), rank = weight->rank, seen = 0;
    for (size_t i = 0; i < rank && (given == 0 || given == rank); i++) {
        int64_t axis = given ? perm[i] : (int64_t)(rank - 1 - i);
        if (axis < 0 || axis >= (int64_t)rank)
            return false;
        seen |= (size_t)1 << axis;
        dims[i] = weight->dims[axis];
    }
    if (seen != ((size_t)1 << rank) - 1)
        return false;
    memcpy(weight->dims, dims, rank * sizeof *dims);
    return true;
}

static enum lorac_status describe_tensor(Onnx__TensorProto *tensor, struct lorac_weight *out, struct lorac_error *error)
{
    out->tensor = tensor;
    out->data_type = tensor->data_type;
    out->rank = tensor->n_dims;
    if (tensor->n_dims > LORAC_CONSTANT_MAX_RANK)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "value '%s' has %zu dimensions", out->value,
                               tensor->n_dims);
    for (size_t i = 0; i < tensor->n_dims; i++)
        out->dims[i] = tensor->dims[i];
    return lorac_tensor_count(tensor, &out->count, error);
}

// The numbers of a computed value; the caller frees the arena.
static enum lorac_status compute(struct lorac_model *model, const char *value, struct lorac_arena **arena,
                                 struct lorac_constant *out, struct lorac_error *error)
{
    *arena = lorac_arena_create();
    if (!*arena)
        return out_of_memory(value, error);
    enum lorac_status status = lorac_constant_resolve(model, value, *arena, out, error);
    if (status != LORAC_OK) {
        lorac_arena_free(*arena);
        *arena = NULL;
    }
    return status;
}

static enum lorac_status describe_computed(struct lorac_model *model, const char *value, struct lorac_weight *out,
                                           struct lorac_error *error)
{
    struct lorac_arena *arena;
    struct lorac_constant constant;
    LORAC_TRY(compute(model, value, &arena, &constant, error));
    out->data_type = constant.data_type;
    out->rank = constant.rank;
    memcpy(out->dims, constant.dims, sizeof out->dims);
    out->count = constant.count;
    lorac_arena_free(arena);
    return LORAC_OK;
}

// Many alike numbers: described from their shape alone. False where that is odd, which computing them says.
static bool describe_shape(struct lorac_model *model, const Onnx__NodeProto *node, struct lorac_weight *out)
{
    const Onnx__TensorProto *shape = lorac_model_constant(model, lorac_node_input(node, 0));
    const Onnx__AttributeProto *value = lorac_node_attribute(node, "value");
    size_t count;
    if (!shape || lorac_tensor_count(shape, &count, NULL) != LORAC_OK || count > LORAC_CONSTANT_MAX_RANK ||
        lorac_tensor_to_int64(shape, out->dims, count, NULL) != LORAC_OK ||
        !lorac_size_of_dims(out->dims, count, &out->count) || out->count > LORAC_CONSTANT_MAX_MADE)
        return false;
    size_t values = 1;
    out->rank = count;
    out->data_type = value && value->t ? value->t->data_type : ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    return !value || !value->t || (lorac_tensor_count(value->t, &values, NULL) == LORAC_OK && values == 1);
}

// Goes back to a tensor (or a shape), and forward again through the nodes that were passed; *known is false where one
// of them does more than that. Nothing is computed on the way: a chain of such nodes would be, once for each of them.
// lorac_constant_follows has bounded the depth.
static enum lorac_status trace(struct lorac_model *model, const char *value, struct lorac_weight *out, bool *known,
                               struct lorac_error *error)
{
    Onnx__TensorProto *tensor = lorac_model_constant(model, value);
    const Onnx__NodeProto *node = tensor ? NULL : lorac_model_producer(model, value);
    *known = tensor != NULL;
    if (tensor)
        return describe_tensor(tensor, out, error);
    if (lorac_node_is(node, "ConstantOfShape")) {
        *known = describe_shape(model, node, out);
        return LORAC_OK;
    }
    const char *source = lorac_node_input(node, 0);
    if (!*source) // a Constant of numbers without a tensor
        return LORAC_OK;
    LORAC_TRY(trace(model, source, out, known, error));
    out->quantised |= lorac_node_is(node, "DequantizeLinear");
    *known = *known && pass_node(model, node, out);
    return LORAC_OK;
}

static enum lorac_status describe(struct lorac_model *model, const char *value, struct lorac_weight *out,
                                  struct lorac_error *error)
{
    bool known;
    LORAC_TRY(trace(model, value, out, &known, error));
    return known ? LORAC_OK : describe_computed(model, value, out, error);
}

enum lorac_status lorac_weight_find(struct lorac_model *model, const char *value, struct lorac_weight *out,
                                    struct lorac_error *error)
{
    struct lorac_weight weight = {.value = value};
    Onnx__TensorProto *tensor = lorac_model_constant(model, value);
    if (!tensor)
        LORAC_TRY(lorac_constant_follows(model, value, error));
    LORAC_TRY(describe(model, value, &weight, error));
    weight.tensor = tensor;
    *out = weight;
    return LORAC_OK;
}

bool lorac_weight_is_floating(const struct lorac_weight *weight)
{
    return lorac_tensor_type_is_floating(weight->data_type);
}

// ---- reading

static enum lorac_status compute_floats(struct lorac_model *model, const struct lorac_weight *weight, size_t count,
                                        struct lorac_arena **arena, struct lorac_constant *out,
                                        struct lorac_error *error)
{
    LORAC_TRY(compute(model, weight->value, arena, out, error));
    if (out->floating && out->count == count)
        return LORAC_OK;
    lorac_arena_free(*arena);
    return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "value '%s' is %s of %zu elements; %zu floats are needed",
                           weight->value, lorac_tensor_type_name(out->data_type), out->count, count);
}

enum lorac_status lorac_weight_to_float(struct lorac_model *model, const struct lorac_weight *weight, float *out,
                                        size_t count, struct lorac_error *error)
{
    struct lorac_arena *arena;
    struct lorac_constant constant;
    if (weight->tensor)
        return lorac_tensor_to_float(weight->tensor, out, count, error);
    LORAC_TRY(compute_floats(model, weight, count, &arena, &constant, error));
    for (size_t i = 0; i < count; i++)
        out[i] = (float)constant.floats[i];
    lorac_arena_free(arena);
    return LORAC_OK;
}

enum lorac_status lorac_weight_to_double(struct lorac_model *model, const struct lorac_weight *weight, double *out,
                                         size_t count, struct lorac_error *error)
{
    struct lorac_arena *arena;
    struct lorac_constant constant;
    if (weight->tensor)
        return lorac_tensor_to_double(weight->tensor, out, count, error);
    LORAC_TRY(compute_floats(model, weight, count, &arena, &constant, error));
    if (count > 0)
        memcpy(out, constant.floats, count * sizeof *out);
    lorac_arena_free(arena);
    return LORAC_OK;
}

enum lorac_status lorac_weight_check_finite(struct lorac_model *model, const struct lorac_weight *weight,
                                            struct lorac_error *error)
{
    size_t bytes;
    float *values = lorac_size_multiply(weight->count, sizeof *values, &bytes) ? malloc(bytes + 1) : NULL;
    if (!values)
        return out_of_memory(weight->value, error);
    enum lorac_status status = lorac_weight_to_float(model, weight, values, weight->count, error);
    if (status == LORAC_OK && !lorac_values_finite(values, weight->count))
        status =
            lorac_error_set(error, LORAC_ERROR_NOT_FINITE,
                            "weight '%s' has a value that is NaN or infinite; export the model again", weight->value);
    free(values);
    if (weight->tensor)
        lorac_tensor_release(model, weight->tensor);
    return status;
}

// ---- copying

enum lorac_status lorac_weight_add_copy(struct lorac_model *model, const struct lorac_weight *weight, const char *name,
                                        struct lorac_error *error)
{
    enum lorac_status status = LORAC_OK;
    uint8_t *bytes = NULL;
    double *values = NULL;
    size_t size = 0, double_bytes;
    if (weight->tensor) {
        // Bit by bit: a copy through numbers would lose the sign of a zero.
        LORAC_TRY(lorac_tensor_canonical_bytes(weight->tensor, &bytes, &size, error));
    } else {
        bool fits = lorac_tensor_raw_bytes(weight->data_type, weight->count, &size) &&
                    lorac_size_multiply(weight->count, sizeof *values, &double_bytes);
        bytes = fits ? calloc(1, size + 1) : NULL;
        values = fits ? malloc(double_bytes + 1) : NULL;
        if (!bytes || !values) {
            status = out_of_memory(weight->value, error);
            goto done;
        }
        LORAC_TRY_GOTO(status, lorac_weight_to_double(model, weight, values, weight->count, error), done);
    }
    LORAC_TRY_GOTO(
        status,
        lorac_model_add_initializer(model, name, weight->data_type, weight->dims, weight->rank, bytes, size, error),
        done);
    if (values)
        status = lorac_tensor_set_double(model, lorac_model_initializer(model, name), values, weight->count, error);
done:
    free(bytes);
    free(values);
    return status;
}
