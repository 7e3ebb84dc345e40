// merge
//
// before:  form weight: Add(W0, Mul(Reshape(MatMul(B, A), shape), scale)) ─▶ Conv input 1
//          form branch: W0 ─▶ Conv input 1, and the Conv's users see the Add of its output and the branch's
// after:   W ─▶ Conv input 1, and the Conv's users see its output
//          W = W0 + s * view(B @ A, [M, C/g, kh, kw]),  s = alpha / rank
//          computed in double, rounded once, stored in W0's own field
//
// conditions: every adapter of the record is in the graph as the format says; all are found before the first edit.
// A product that is zero everywhere leaves W0's bytes alone. Where W0 has another user, the convolution gets a copy.
#include "merge.h"

#include "proto/model_edit.h"
#include "proto/size.h"
#include "proto/tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct work {
    struct lorac_adapter adapter;
    struct lorac_adapter_site site;
};

static enum lorac_status out_of_memory(const struct work *work, struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "merge '%s': out of memory", work->adapter.conv);
}

// ---- the arithmetic

// All elements of [tensor] in a malloc'ed array.
static enum lorac_status read_doubles(const struct work *work, const Onnx__TensorProto *tensor, double **out,
                                      size_t *out_count, struct lorac_error *error)
{
    size_t count, bytes;
    LORAC_TRY(lorac_tensor_count(tensor, &count, error));
    double *values = lorac_size_multiply(count, sizeof *values, &bytes) ? malloc(bytes) : NULL;
    if (!values)
        return out_of_memory(work, error);
    enum lorac_status status = lorac_tensor_to_double(tensor, values, count, error);
    if (status != LORAC_OK) {
        free(values);
        return status;
    }
    *out = values;
    *out_count = count;
    return LORAC_OK;
}

// product [rows, columns] += b [rows, inner] @ a [inner, columns]; the innermost loop runs along rows of memory.
static void multiply(const double *b, const double *a, size_t rows, size_t inner, size_t columns, double *product)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < inner; k++) {
            double factor = b[i * inner + k];
            const double *a_row = a + k * columns;
            double *product_row = product + i * columns;
            for (size_t j = 0; j < columns; j++)
                product_row[j] += factor * a_row[j];
        }
}

// B @ A, whose row-major order is that of W0 (the view of the method); malloc'ed.
static enum lorac_status compute_product(const struct work *work, double **out, struct lorac_error *error)
{
    const struct lorac_adapter_site *site = &work->site;
    double *a = NULL, *b = NULL, *product = NULL;
    size_t a_count, b_count, w_count;
    enum lorac_status status;
    LORAC_TRY_GOTO(status, read_doubles(work, site->a, &a, &a_count, error), done);
    LORAC_TRY_GOTO(status, read_doubles(work, site->b, &b, &b_count, error), done);
    LORAC_TRY_GOTO(status, lorac_tensor_count(site->w0, &w_count, error), done);
    product = calloc(w_count, sizeof *product);
    if (!product) {
        status = out_of_memory(work, error);
        goto done;
    }
    multiply(b, a, (size_t)(site->M * site->kh), (size_t)site->R, (size_t)(site->Cg * site->kw), product);
    *out = product;
done:
    free(a);
    free(b);
    return status;
}

static bool is_zero(const double *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (values[i] != 0) // true for NaN
            return false;
    return true;
}

// weight = weight + s * product; refuses what float32 cannot hold.
static enum lorac_status add_product(const struct work *work, const double *product, double *weight, size_t count,
                                     struct lorac_error *error)
{
    for (size_t i = 0; i < count; i++) {
        weight[i] += work->site.s * product[i];
        if (!isfinite((float)weight[i]))
            return lorac_error_set(error, LORAC_ERROR_NOT_FINITE,
                                   "merge '%s': element %zu of the merged weight is %g, which float32 cannot hold; the "
                                   "training has diverged",
                                   work->adapter.conv, i, weight[i]);
    }
    return LORAC_OK;
}

// ---- the edits

// Does anything but this convolution or its adapter see W0?
static bool is_shared(struct lorac_model *model, const struct work *work)
{
    const struct lorac_use *uses;
    return lorac_model_is_graph_output(model, work->adapter.weight) ||
           lorac_model_uses(model, work->adapter.weight, &uses) > 1;
}

// A copy of W0 that only this convolution uses.
static enum lorac_status copy_weight(struct lorac_model *model, const struct work *work, size_t count,
                                     const char **name, Onnx__TensorProto **tensor, struct lorac_error *error)
{
    LORAC_TRY(lorac_model_fresh_name(model, work->adapter.weight, name, error));
    void *zeros = calloc(count, sizeof(float));
    if (!zeros)
        return out_of_memory(work, error);
    enum lorac_status status = lorac_model_add_initializer(model, *name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
                                                           work->site.w0->dims, 4, zeros, count * sizeof(float), error);
    free(zeros);
    if (status == LORAC_OK)
        *tensor = lorac_model_initializer(model, *name);
    return status;
}

static enum lorac_status store_weight(struct lorac_model *model, const struct work *work, const double *product,
                                      const char **name, struct lorac_error *error)
{
    Onnx__TensorProto *tensor = work->site.w0;
    double *weight = NULL;
    size_t count = 0;
    LORAC_TRY(read_doubles(work, tensor, &weight, &count, error));
    enum lorac_status status = add_product(work, product, weight, count, error);
    if (status == LORAC_OK && is_shared(model, work))
        status = copy_weight(model, work, count, name, &tensor, error);
    if (status == LORAC_OK)
        status = lorac_tensor_set_double(model, tensor, weight, count, error);
    free(weight);
    return status;
}

// Gives the Conv its weight back and takes the adapter's own nodes and tensors out.
static enum lorac_status take_out(struct lorac_model *model, const struct work *work, const char *weight,
                                  struct lorac_error *error)
{
    const struct lorac_adapter_site *site = &work->site;
    LORAC_TRY(lorac_model_set_node_input(model, site->conv, 1, weight, error));
    if (site->output)
        LORAC_TRY(lorac_model_move_uses(model, site->output, site->conv->output[0], error));
    for (size_t i = site->node_count; i-- > 0;)
        lorac_model_erase_node(model, site->nodes[i]);
    for (size_t i = 0; i < site->tensor_count; i++)
        lorac_model_erase_initializer(model, site->tensors[i]->name);
    return LORAC_OK;
}

static enum lorac_status merge_one(struct lorac_model *model, const struct work *work, struct lorac_pass_report *report,
                                   struct lorac_error *error)
{
    const char *weight = work->adapter.weight;
    double *product = NULL;
    size_t count = 0;
    LORAC_TRY(lorac_tensor_count(work->site.w0, &count, error));
    enum lorac_status status = compute_product(work, &product, error);
    if (status == LORAC_OK && is_zero(product, count))
        report->skipped++;
    else if (status == LORAC_OK)
        status = store_weight(model, work, product, &weight, error);
    free(product);
    if (status == LORAC_OK)
        status = take_out(model, work, weight, error);
    report->changed++;
    return status;
}

// ---- the pass

static enum lorac_status find_work(struct lorac_model *model, struct work **out, size_t *count,
                                   struct lorac_error *error)
{
    struct lorac_meta meta;
    LORAC_TRY(lorac_meta_read(model, &meta, error));
    if (!meta.injected)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "nothing to merge: the model has no adapters (no metadata 'lorac.format')");
    struct work *list = lorac_arena_alloc_array(model->arena, meta.adapter_count, sizeof *list);
    if (!list)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "merge: out of memory");
    for (size_t i = 0; i < meta.adapter_count; i++) {
        list[i].adapter = meta.adapters[i];
        LORAC_TRY(lorac_adapter_locate(model, &meta.adapters[i], &list[i].site, error));
    }
    *out = list;
    *count = meta.adapter_count;
    return LORAC_OK;
}

static enum lorac_status run(struct lorac_model *model, const void *options, struct lorac_pass_report *report,
                             struct lorac_error *error)
{
    (void)options;
    struct work *list = NULL;
    size_t count = 0;
    struct lorac_pass_report done = {0};
    LORAC_TRY(find_work(model, &list, &count, error));
    for (size_t i = 0; i < count; i++)
        LORAC_TRY(merge_one(model, &list[i], &done, error));
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
