// Operators that move elements.
#include "interpret.h"

#include <string.h>

static struct ref_tensor run_flatten(const struct call *call)
{
    return ref_flatten(call->x, lorac_node_int(call->node, "axis", 1));
}

static struct ref_tensor run_reshape(const struct call *call)
{
    int64_t buffer[16];
    const int64_t *shape;
    size_t rank = integers(call, 1, "shape", buffer, &shape);
    return ref_reshape(call->x, shape, rank, lorac_node_int(call->node, "allowzero", 0) != 0);
}

static struct ref_tensor run_transpose(const struct call *call)
{
    const int64_t *perm;
    return ref_transpose(call->x, lorac_node_ints(call->node, "perm", &perm) > 0 ? perm : NULL);
}

// Squeeze and Unsqueeze: the same elements under other dims.
static struct ref_tensor run_squeeze(const struct call *call)
{
    int64_t buffer[16], dims[REF_MAX_RANK];
    const int64_t *axes;
    size_t count = integers(call, 1, "axes", buffer, &axes), rank = 0, from = 0;
    bool adds = lorac_node_is(call->node, "Unsqueeze"), chosen[2 * REF_MAX_RANK] = {false};
    size_t all = call->x->rank + (adds ? count : 0);
    for (size_t i = 0; i < count; i++)
        chosen[axes[i] < 0 ? axes[i] + (int64_t)all : axes[i]] = true;
    for (size_t i = 0; i < all; i++)
        if (adds)
            dims[rank++] = chosen[i] ? 1 : call->x->dims[from++];
        else if (!chosen[i] && (count > 0 || call->x->dims[i] != 1))
            dims[rank++] = call->x->dims[i];
    return ref_reshape(call->x, dims, rank, false);
}

static struct ref_tensor run_pad(const struct call *call)
{
    int64_t buffer[16], chosen[16], all[2 * REF_MAX_RANK] = {0};
    const int64_t *pads, *axes;
    size_t count = integers(call, 1, "pads", buffer, &pads) / 2, rank = call->x->rank;
    if (integers(call, 3, "", chosen, &axes) == 0)
        axes = NULL;
    for (size_t k = 0; k < count; k++) {
        size_t axis = axes == NULL ? k : (size_t)(axes[k] < 0 ? axes[k] + (int64_t)rank : axes[k]);
        ref_require(axis < rank, "pads do not fit the rank");
        all[axis] = pads[k];
        all[axis + rank] = pads[k + count];
    }
    const struct ref_tensor *value = input(call, 2);
    const char *mode = lorac_node_string(call->model, call->node, "mode", "constant");
    if (strcmp(mode, "constant") != 0)
        return ref_pad_by(call->x, all, mode[0]);
    return ref_pad(call->x, all, value ? value->data[0] : (double)lorac_node_float(call->node, "value", 0));
}

static struct ref_tensor run_slice(const struct call *call)
{
    int64_t starts[16], ends[16], axes[16], steps[16];
    struct ref_slice slice;
    slice.count = integers(call, 1, "starts", starts, &slice.starts);
    integers(call, 2, "ends", ends, &slice.ends);
    integers(call, 3, "axes", axes, &slice.axes);
    integers(call, 4, "", steps, &slice.steps);
    return ref_slice(call->x, &slice);
}

static size_t axis_of(const struct call *call, int64_t fallback)
{
    int64_t axis = lorac_node_int(call->node, "axis", fallback);
    return (size_t)(axis < 0 ? axis + (int64_t)call->x->rank : axis);
}

static struct ref_tensor run_concat(const struct call *call)
{
    struct ref_tensor y = ref_copy(call->x);
    for (size_t i = 1; i < call->node->n_input; i++) {
        struct ref_tensor next = ref_concat(&y, input(call, i), axis_of(call, 1));
        ref_free(&y);
        y = next;
    }
    return y;
}

static struct ref_tensor run_split(const struct call *call)
{
    int64_t buffer[16], axis = (int64_t)axis_of(call, 0), begin = 0, end = 0, size = call->x->dims[axis];
    int64_t parts = (int64_t)call->node->n_output;
    const int64_t *sizes;
    integers(call, 1, "split", buffer, &sizes);
    for (size_t k = 0; k <= call->output; k++) {
        begin = end;
        end = begin + (sizes != NULL ? sizes[k] : (size + parts - 1) / parts);
    }
    struct ref_slice slice = {.count = 1, .starts = &begin, .ends = &end, .axes = &axis};
    return ref_slice(call->x, &slice);
}

static struct ref_tensor run_gather(const struct call *call)
{
    int64_t buffer[16], dims[REF_MAX_RANK];
    const int64_t *indices;
    size_t count = integers(call, 1, "", buffer, &indices), axis = axis_of(call, 0), rank = 0;
    struct ref_tensor y = ref_take(call->x, axis, indices, count);
    if (input(call, 1)->rank > 0)
        return y;
    for (size_t i = 0; i < y.rank; i++)
        if (i != axis)
            dims[rank++] = y.dims[i];
    struct ref_tensor dropped = ref_reshape(&y, dims, rank, false);
    ref_free(&y);
    return dropped;
}

static struct ref_tensor run_expand(const struct call *call)
{
    int64_t buffer[16];
    const int64_t *shape;
    size_t rank = integers(call, 1, "", buffer, &shape);
    struct ref_tensor zeros = ref_make(rank, shape), y = ref_binary(call->x, &zeros, REF_ADD);
    ref_free(&zeros);
    return y;
}

static struct ref_tensor run_tile(const struct call *call)
{
    struct ref_tensor y = ref_copy(call->x);
    int64_t buffer[16];
    const int64_t *repeats;
    size_t rank = integers(call, 1, "", buffer, &repeats);
    for (size_t i = 0; i < rank; i++) {
        struct ref_tensor one = ref_copy(&y);
        for (int64_t k = 1; k < repeats[i]; k++) {
            struct ref_tensor next = ref_concat(&y, &one, i);
            ref_free(&y);
            y = next;
        }
        ref_free(&one);
    }
    return y;
}

// As the operators' pages write them: through six dimensions.
static struct ref_tensor exchange(const struct ref_tensor *x, const int64_t deep[6], const int64_t *permutation,
                                  const int64_t out[4])
{
    struct ref_tensor six = ref_reshape(x, deep, 6, false), moved = ref_transpose(&six, permutation);
    struct ref_tensor y = ref_reshape(&moved, out, 4, false);
    ref_free(&six);
    ref_free(&moved);
    return y;
}

static struct ref_tensor run_depth_to_space(const struct call *call)
{
    const int64_t *d = call->x->dims;
    int64_t b = lorac_node_int(call->node, "blocksize", 1), c = d[1] / (b * b);
    const int64_t out[] = {d[0], c, d[2] * b, d[3] * b};
    if (strcmp(lorac_node_string(call->model, call->node, "mode", "DCR"), "CRD") == 0)
        return exchange(call->x, (const int64_t[]){d[0], c, b, b, d[2], d[3]}, (const int64_t[]){0, 1, 4, 2, 5, 3},
                        out);
    return exchange(call->x, (const int64_t[]){d[0], b, b, c, d[2], d[3]}, (const int64_t[]){0, 3, 4, 1, 5, 2}, out);
}

static struct ref_tensor run_space_to_depth(const struct call *call)
{
    const int64_t *d = call->x->dims;
    int64_t b = lorac_node_int(call->node, "blocksize", 1);
    return exchange(call->x, (const int64_t[]){d[0], d[1], d[2] / b, b, d[3] / b, b},
                    (const int64_t[]){0, 3, 5, 1, 2, 4}, (const int64_t[]){d[0], b * b * d[1], d[2] / b, d[3] / b});
}

// ---- Resize and Upsample

struct resized {
    int64_t out[REF_MAX_RANK];
    double scales[REF_MAX_RANK];
};

static struct resized sizes_of(const struct call *call)
{
    struct resized resized;
    const Onnx__AttributeProto *attribute = lorac_node_attribute(call->node, "scales");
    const int64_t *axes;
    size_t axis_count = lorac_node_ints(call->node, "axes", &axes);
    const struct ref_tensor *sizes = call->opset >= 11 ? input(call, 3) : NULL;
    const struct ref_tensor *scales = input(call, call->opset >= 11 ? 2 : 1);
    for (size_t i = 0; i < call->x->rank; i++) {
        resized.out[i] = call->x->dims[i];
        resized.scales[i] = 1;
    }
    for (size_t k = 0; k < (axis_count > 0 ? axis_count : call->x->rank); k++) {
        size_t i = axis_count == 0 ? k : (size_t)(axes[k] < 0 ? axes[k] + (int64_t)call->x->rank : axes[k]);
        double in = (double)call->x->dims[i];
        resized.scales[i] = sizes ? sizes->data[k] / in : scales ? scales->data[k] : (double)attribute->floats[k];
        resized.out[i] = sizes ? (int64_t)sizes->data[k] : (int64_t)(in * resized.scales[i] + 1e-6);
    }
    return resized;
}

static struct ref_tensor run_resize(const struct call *call)
{
    struct resized resized = sizes_of(call);
    struct ref_tensor y = ref_copy(call->x);
    bool old = call->opset < 11 || lorac_node_is(call->node, "Upsample");
    struct ref_resize rule = {
        .linear = strcmp(lorac_node_string(call->model, call->node, "mode", "nearest"), "nearest") != 0,
        .transform = old ? "asymmetric"
                         : lorac_node_string(call->model, call->node, "coordinate_transformation_mode", "half_pixel"),
        .nearest = old ? "outward" : lorac_node_string(call->model, call->node, "nearest_mode", "round_prefer_floor")};
    for (size_t i = 0; i < y.rank; i++) {
        struct ref_tensor next = ref_resize(&y, i, resized.out[i], resized.scales[i], &rule);
        ref_free(&y);
        y = next;
    }
    return y;
}

static struct ref_tensor run_copy(const struct call *call)
{
    return ref_copy(call->x);
}

const struct ref_operator ref_shape_operators[] = {
    {"Flatten", run_flatten},
    {"Reshape", run_reshape},
    {"Transpose", run_transpose},
    {"Squeeze", run_squeeze},
    {"Unsqueeze", run_squeeze},
    {"CastLike", run_copy},
    {"Pad", run_pad},
    {"Slice", run_slice},
    {"Split", run_split},
    {"Gather", run_gather},
    {"Concat", run_concat},
    {"Expand", run_expand},
    {"Tile", run_tile},
    {"DepthToSpace", run_depth_to_space},
    {"SpaceToDepth", run_space_to_depth},
    {"Resize", run_resize},
    {"Upsample", run_resize},
};
const size_t ref_shape_operator_count = sizeof ref_shape_operators / sizeof ref_shape_operators[0];
