// merge
//
// before:  form weight: Add(W0, Mul(Reshape(MatMul(B, A), shape), scale)) ─▶ Conv input 1
//          form branch: W0 ─▶ Conv input 1, and the Conv's users see the Add of its output and the branch's
// after:   W ─▶ Conv input 1, and the Conv's users see its output
//          W = W0 + s * view(B @ A, [M, C/g, kh, kw]),  s = alpha / rank
//          computed in double, rounded once to W0's type, stored in W0's own field
//
// conditions: every adapter of the record is in the graph as the format says; all are found before the first edit.
// A product that is zero everywhere leaves W0's bytes alone. Where W0 has another user or is computed by other nodes,
// the convolution gets a tensor of its own, and nodes that nobody reads any more go. Copies are in merge_copies.c.
#include "edit.h"
#include "merge_parts.h"

#include "proto/model_edit.h"
#include "proto/name_table.h"
#include "proto/size.h"
#include "proto/tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct work {
    struct lorac_adapter adapter;
    struct lorac_adapter_site site;
    size_t w0; // number of W0 in struct merging
};

// The model changes only when all is decided: each edit makes the index of uses old, and to make it anew for each of
// thousands of adapters would take quadratic time.
struct merging {
    struct lorac_model *model;
    struct work *list;
    size_t count;
    struct lorac_name_table weights; // the W0, each once, while readers are counted
    size_t *readers;                 // by number: uses of W0 that are left, and one more where it is an output
    struct lorac_move *moves;        // of the branch form: from its Add to the Conv; [move_count]
    size_t move_count;
    const char **pruned; // W0 whose convolution got a tensor of its own; [prune_count]
    size_t prune_count;
};

static enum lorac_status out_of_memory(const struct work *work, struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "merge '%s': out of memory", work->adapter.conv);
}

// ---- the arithmetic

static double *allocate(size_t count)
{
    size_t bytes;
    return lorac_size_multiply(count, sizeof(double), &bytes) ? malloc(bytes ? bytes : 1) : NULL;
}

// All elements of [weight] in a malloc'ed array.
static enum lorac_status read_doubles(struct lorac_model *model, const struct lorac_weight *weight, double **out,
                                      struct lorac_error *error)
{
    double *values = allocate(weight->count);
    if (!values)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "merge: out of memory for '%s'", weight->value);
    enum lorac_status status = lorac_weight_to_double(model, weight, values, weight->count, error);
    if (weight->tensor)
        lorac_tensor_release(model, weight->tensor);
    if (status != LORAC_OK) {
        free(values);
        return status;
    }
    *out = values;
    return LORAC_OK;
}

static enum lorac_status read_matrix(struct lorac_model *model, Onnx__TensorProto *tensor, size_t count, double **out,
                                     struct lorac_error *error)
{
    const struct lorac_weight matrix = {.value = tensor->name, .tensor = tensor, .count = count};
    return read_doubles(model, &matrix, out, error);
}

// row [columns] = b [inner] @ a [inner, columns]; the innermost loop runs along rows of memory.
static void multiply_row(const double *b, const double *a, size_t inner, size_t columns, double *row)
{
    for (size_t j = 0; j < columns; j++)
        row[j] = 0;
    for (size_t k = 0; k < inner; k++) {
        const double factor = b[k], *a_row = a + k * columns;
        for (size_t j = 0; j < columns; j++)
            row[j] += factor * a_row[j];
    }
}

// weight [rows, columns] += s * B @ A, row by row (W0's row-major order is that of the product: the view of the
// method). *changed says whether the product has an element that is not zero.
static enum lorac_status add_product(struct lorac_model *model, const struct work *work, double *weight, bool *changed,
                                     struct lorac_error *error)
{
    const struct lorac_adapter_site *site = &work->site;
    size_t rows = (size_t)(site->M * site->kh), columns = (size_t)(site->Cg * site->kw), inner = (size_t)site->R;
    double *a = NULL, *b = NULL, *row = allocate(columns);
    enum lorac_status status = LORAC_OK;
    *changed = false;
    if (!row) {
        status = out_of_memory(work, error);
        goto done;
    }
    LORAC_TRY_GOTO(status, read_matrix(model, site->a, inner * columns, &a, error), done); // the sizes were checked
    LORAC_TRY_GOTO(status, read_matrix(model, site->b, rows * inner, &b, error), done);
    for (size_t i = 0; i < rows; i++) {
        multiply_row(b + i * inner, a, inner, columns, row);
        for (size_t j = 0; j < columns; j++) {
            *changed |= row[j] != 0; // true for NaN
            weight[i * columns + j] += site->s * row[j];
        }
    }
done:
    free(a);
    free(b);
    free(row);
    return status;
}

// What the weight's type cannot hold is refused.
static enum lorac_status check_range(const struct work *work, const double *weight, size_t count,
                                     struct lorac_error *error)
{
    int32_t type = work->site.weight.data_type;
    for (size_t i = 0; i < count; i++) {
        // Every type holds numbers up to 65504, the largest float16; the rest is rounded to see.
        bool holds = fabs(weight[i]) <= 65504 || isfinite(lorac_constant_round(type, weight[i]));
        if (!holds)
            return lorac_error_set(error, LORAC_ERROR_NOT_FINITE,
                                   "merge '%s': element %zu of the merged weight is %g, which %s cannot hold; the "
                                   "training has diverged",
                                   work->adapter.conv, i, weight[i], lorac_tensor_type_name(type));
    }
    return LORAC_OK;
}

// ---- the edits

// Where to write: W0's own tensor, or, where others see it or nodes compute it, a new one under a fresh name.
static enum lorac_status find_place(struct merging *merging, const struct work *work, const char **name,
                                    Onnx__TensorProto **out, struct lorac_error *error)
{
    struct lorac_model *model = merging->model;
    const struct lorac_weight *weight = &work->site.weight;
    size_t bytes;
    if (weight->tensor && merging->readers[work->w0] <= 1) {
        *out = weight->tensor;
        return LORAC_OK;
    }
    LORAC_TRY(lorac_model_fresh_name(model, work->adapter.weight, name, error));
    bool fits = lorac_tensor_raw_bytes(weight->data_type, weight->count, &bytes);
    void *zeros = fits ? calloc(1, bytes + 1) : NULL;
    if (!zeros)
        return out_of_memory(work, error);
    enum lorac_status status =
        lorac_model_add_initializer(model, *name, weight->data_type, weight->dims, 4, zeros, bytes, error);
    free(zeros);
    LORAC_TRY(status);
    *out = lorac_model_initializer(model, *name);
    merging->readers[work->w0]--;
    merging->pruned[merging->prune_count++] = work->adapter.weight;
    return LORAC_OK;
}

// W in its place; *name is the value that the Conv is to read, and *changed whether it was anything but W0.
static enum lorac_status store_weight(struct merging *merging, const struct work *work, const char **name,
                                      bool *changed, struct lorac_error *error)
{
    struct lorac_model *model = merging->model;
    const struct lorac_weight *weight = &work->site.weight;
    Onnx__TensorProto *tensor = NULL;
    double *values = NULL;
    LORAC_TRY(read_doubles(model, weight, &values, error));
    enum lorac_status status = add_product(model, work, values, changed, error);
    if (status == LORAC_OK && *changed)
        status = check_range(work, values, weight->count, error);
    if (status == LORAC_OK && *changed)
        status = find_place(merging, work, name, &tensor, error);
    if (status == LORAC_OK && *changed)
        status = lorac_tensor_set_double(model, tensor, values, weight->count, error);
    free(values);
    return status;
}

// Gives the Conv its weight.
static enum lorac_status merge_one(struct merging *merging, const struct work *work, struct lorac_pass_report *report,
                                   struct lorac_error *error)
{
    const char *weight = work->adapter.weight;
    bool changed;
    LORAC_TRY(store_weight(merging, work, &weight, &changed, error));
    LORAC_TRY(lorac_model_set_node_input(merging->model, work->site.conv, 1, weight, error));
    report->changed++;
    report->skipped += !changed;
    if (work->site.output)
        merging->moves[merging->move_count++] = (struct lorac_move){work->site.output, work->site.conv->output[0]};
    if (changed && work->site.weight.quantised)
        return lorac_pass_note(merging->model, report, error, "the weight of '%s' was quantised and is %s now",
                               work->adapter.conv, lorac_tensor_type_name(work->site.weight.data_type));
    return LORAC_OK;
}

// Takes all adapters' own nodes and tensors out.
static enum lorac_status take_out(struct merging *merging, struct lorac_error *error)
{
    struct lorac_arena *arena = merging->model->arena;
    size_t node_count = 0, tensor_count = 0;
    for (size_t i = 0; i < merging->count; i++) {
        node_count += merging->list[i].site.node_count;
        tensor_count += merging->list[i].site.tensor_count;
    }
    const Onnx__NodeProto **nodes = lorac_arena_alloc_array(arena, node_count, sizeof(*nodes));
    const Onnx__TensorProto **tensors = lorac_arena_alloc_array(arena, tensor_count, sizeof(*tensors));
    if (!nodes || !tensors)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "merge: out of memory");
    node_count = tensor_count = 0;
    for (size_t i = 0; i < merging->count; i++) {
        const struct lorac_adapter_site *site = &merging->list[i].site;
        for (size_t k = 0; k < site->node_count; k++)
            nodes[node_count++] = site->nodes[k];
        for (size_t k = 0; k < site->tensor_count; k++)
            tensors[tensor_count++] = site->tensors[k];
    }
    lorac_model_erase_all(merging->model, nodes, node_count, tensors, tensor_count);
    return LORAC_OK;
}

static enum lorac_status merge_all(struct merging *merging, struct lorac_pass_report *report, struct lorac_error *error)
{
    for (size_t i = 0; i < merging->count; i++)
        LORAC_TRY(merge_one(merging, &merging->list[i], report, error));
    LORAC_TRY(take_out(merging, error));
    LORAC_TRY(lorac_model_move_uses(merging->model, merging->moves, merging->move_count, error));
    return lorac_edit_prune(merging->model, merging->pruned, merging->prune_count, error);
}

// ---- the pass

static enum lorac_status find_work(struct merging *merging, const struct lorac_meta *meta, struct lorac_error *error)
{
    struct lorac_arena *arena = merging->model->arena;
    merging->count = meta->adapter_count;
    merging->list = lorac_arena_alloc_array(arena, merging->count, sizeof *merging->list);
    merging->readers = lorac_arena_alloc_array(arena, merging->count, sizeof *merging->readers);
    merging->moves = lorac_arena_alloc_array(arena, merging->count, sizeof *merging->moves);
    merging->pruned = lorac_arena_alloc_array(arena, merging->count, sizeof *merging->pruned);
    if (!merging->list || !merging->readers || !merging->moves || !merging->pruned)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "merge: out of memory");
    for (size_t i = 0; i < merging->count; i++) {
        merging->list[i].adapter = meta->adapters[i];
        LORAC_TRY(lorac_adapter_locate(merging->model, &meta->adapters[i], merging->model->arena, &merging->list[i].site, error));
    }
    return LORAC_OK;
}

// Does anything but one convolution or its adapter see a W0? (Who shares it with others that get tensors of their own
// may have it for itself in the end.)
static enum lorac_status count_readers(struct merging *merging, struct lorac_error *error)
{
    const struct lorac_use *uses;
    for (size_t i = 0; i < merging->count; i++) {
        struct work *work = &merging->list[i];
        const char *name = work->adapter.weight;
        if (!lorac_name_table_add(&merging->weights, name, &work->w0, NULL))
            return out_of_memory(work, error);
        merging->readers[work->w0] =
            lorac_model_uses(merging->model, name, &uses) + lorac_model_is_graph_output(merging->model, name);
    }
    return LORAC_OK;
}

static enum lorac_status run(struct lorac_model *model, const void *options, struct lorac_pass_report *report,
                             struct lorac_error *error)
{
    (void)options;
    struct lorac_meta meta;
    struct merging merging = {.model = model};
    struct lorac_pass_report done = {0};
    lorac_constant_begin(model);
    LORAC_TRY(lorac_meta_read(model, &meta, error));
    if (!meta.injected)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "nothing to merge: the model has no adapters (no metadata 'lorac.format')");
    LORAC_TRY(find_work(&merging, &meta, error));
    // First, while what they are copied from is as it was.
    LORAC_TRY(lorac_merge_copies(model, &meta, error));
    lorac_name_table_init(&merging.weights);
    enum lorac_status status = count_readers(&merging, error);
    lorac_name_table_free(&merging.weights);
    LORAC_TRY(status);
    LORAC_TRY(merge_all(&merging, &done, error));
    LORAC_TRY(lorac_model_undeclare_inputs(model, meta.graph_inputs, meta.graph_input_count, error));
    lorac_meta_erase(model);
    *report = done;
    return LORAC_OK;
}

static bool applies(struct lorac_model *model, const void *options)
{
    (void)options;
    struct lorac_meta meta;
    return lorac_meta_read(model, &meta, NULL) == LORAC_OK && meta.injected;
}

const struct lorac_pass lorac_pass_merge = {
    .name = "merge",
    .summary = "add the adapters to the weights and take them out of the graph",
    .keeps_outputs = true,
    .applies = applies,
    .run = run,
};
