// combine
//
// before:  a plain model, and trained ones with the same base
// after:   the plain model with one adapter for each convolution that any of them adapts, and the tensors that any of
//          them trains whole, W0 + sum of w_i * (W_i - W0)
//
// conditions: the arithmetic is in double; statistics come from one part alone, since those of two cameras have no sum.
#include "combine.h"
#include "inject.h"

#include "proto/adapter_file.h"
#include "proto/name_table.h"
#include "proto/size.h"
#include "proto/tensor.h"

#include <stdlib.h>
#include <string.h>

struct part {
    const struct lorac_combine_part *given;
    struct lorac_meta meta;
    struct lorac_adapter_site *sites; // [meta.adapter_count]
    size_t *adapter_of;               // by number of the convolution: an index into sites and 1; 0: none
    struct lorac_trained_tensors trained;
    struct lorac_name_table names; // of trained
};

struct combining {
    struct lorac_model *model;
    size_t count;
    struct part *parts;
    struct lorac_name_table convs, trainable; // of all parts
    struct lorac_meta record;                 // of the result
};

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "combine: out of memory");
}

// ---- what the parts have

static enum lorac_status read_part(struct part *part, struct lorac_error *error)
{
    struct lorac_model *model = part->given->model;
    LORAC_TRY(lorac_meta_read(model, &part->meta, error));
    if (!part->meta.injected)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "'%s' has no adapters", part->given->name);
    part->sites = lorac_arena_alloc_array(model->arena, part->meta.adapter_count, sizeof *part->sites);
    if (!part->sites)
        return out_of_memory(error);
    for (size_t i = 0; i < part->meta.adapter_count; i++)
        LORAC_TRY(lorac_adapter_locate(model, &part->meta.adapters[i], model->arena, &part->sites[i], error));
    LORAC_TRY(lorac_trained_tensors_list(model, &part->meta, &part->trained, error));
    for (size_t i = 0; i < part->trained.count; i++)
        if (!lorac_name_table_add(&part->names, part->trained.names[i], NULL, NULL))
            return out_of_memory(error);
    return LORAC_OK;
}

static enum lorac_status read_parts(struct combining *work, struct lorac_error *error)
{
    const struct part *moved = NULL;
    for (size_t p = 0; p < work->count; p++) {
        struct part *part = &work->parts[p];
        LORAC_TRY(read_part(part, error));
        if (part->trained.statistics > 0 && moved)
            return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                                   "'%s' and '%s' both have BatchNorm statistics, which belong to the images of one "
                                   "training: only one may have them",
                                   moved->given->name, part->given->name);
        if (part->trained.statistics > 0)
            moved = part;
        for (size_t i = 0; i < part->meta.adapter_count; i++)
            if (!lorac_name_table_add(&work->convs, part->meta.adapters[i].conv, NULL, NULL))
                return out_of_memory(error);
        for (size_t i = 0; i < part->meta.trainable_count; i++)
            if (!lorac_name_table_add(&work->trainable, part->meta.trainable[i], NULL, NULL))
                return out_of_memory(error);
        if (part->meta.bn == LORAC_BN_TRAIN)
            work->record.bn = LORAC_BN_TRAIN;
    }
    return LORAC_OK;
}

// One adapter for each convolution, whose inner dimension is the sum of the parts'.
static enum lorac_status make_record(struct combining *work, struct lorac_error *error)
{
    struct lorac_arena *arena = work->model->arena;
    struct lorac_meta *record = &work->record;
    record->adapters = lorac_arena_alloc_array(arena, work->convs.count, sizeof *record->adapters);
    if (!record->adapters)
        return out_of_memory(error);
    for (size_t p = 0; p < work->count; p++) {
        struct part *part = &work->parts[p];
        part->adapter_of = lorac_arena_alloc_array(arena, work->convs.count, sizeof *part->adapter_of);
        if (!part->adapter_of)
            return out_of_memory(error);
        for (size_t i = 0; i < part->meta.adapter_count; i++) {
            size_t number = lorac_name_table_find(&work->convs, part->meta.adapters[i].conv);
            struct lorac_adapter *adapter = &record->adapters[number];
            *adapter = (struct lorac_adapter){.conv = part->meta.adapters[i].conv,
                                              .rank = adapter->rank + part->sites[i].R,
                                              .setting = LORAC_RANK_PLAIN,
                                              .form = LORAC_FORM_WEIGHT};
            adapter->alpha = (double)adapter->rank;
            part->adapter_of[number] = i + 1;
        }
    }
    record->adapter_count = work->convs.count;
    record->trainable_count = work->trainable.count;
    record->trainable = work->trainable.names;
    return LORAC_OK;
}

// ---- the graph

static enum lorac_status refuse_both(const struct lorac_inject_plan *plan, struct lorac_error *error)
{
    for (size_t i = 0; i < plan->row_count; i++)
        for (size_t t = 0; plan->rows[i].adapted && t < plan->trained_count; t++)
            if (plan->trained[t].node == plan->rows[i].node && plan->trained[t].input == 1)
                return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                                       "one file adapts the convolution '%s' and another trains its weight whole: they "
                                       "cannot be combined",
                                       plan->rows[i].name);
    return LORAC_OK;
}

static enum lorac_status inject(struct combining *work, struct lorac_error *error)
{
    const struct lorac_meta *first = &work->parts[0].meta;
    struct lorac_inject_options options = lorac_inject_options_default();
    struct lorac_inject_plan plan;
    struct lorac_pass_report report;
    options.record = &work->record;
    options.bn = work->record.bn;
    options.tool = first->tool;
    options.input = first->input;
    options.output = first->output;
    LORAC_TRY(lorac_inject_plan(work->model, &options, &plan, error));
    LORAC_TRY(refuse_both(&plan, error));
    return lorac_pass_inject.run(work->model, &options, &report, error);
}

// ---- the numbers

static double *allocate(size_t count)
{
    size_t bytes;
    return lorac_size_multiply(count, sizeof(double), &bytes) ? malloc(bytes ? bytes : 1) : NULL;
}

// All elements of [tensor] in a malloc'ed array.
static enum lorac_status read_doubles(const Onnx__TensorProto *tensor, double **out, size_t *count,
                                      struct lorac_error *error)
{
    LORAC_TRY(lorac_tensor_count(tensor, count, error));
    double *values = allocate(*count);
    if (!values)
        return out_of_memory(error);
    enum lorac_status status = lorac_tensor_to_double(tensor, values, *count, error);
    if (status == LORAC_OK)
        *out = values;
    else
        free(values);
    return status;
}

static enum lorac_status store(struct combining *work, const char *name, Onnx__TensorProto *tensor,
                               const double *values, size_t count, struct lorac_error *error)
{
    struct lorac_weight weight;
    LORAC_TRY(lorac_tensor_set_double(work->model, tensor, values, count, error));
    LORAC_TRY(lorac_weight_find(work->model, name, &weight, error));
    enum lorac_status status = lorac_weight_check_finite(work->model, &weight, error);
    if (status != LORAC_ERROR_NOT_FINITE)
        return status;
    return lorac_error_set(error, status, "the sum's '%s' has a number that %s cannot hold: choose smaller weights",
                           name, lorac_tensor_type_name(weight.data_type));
}

// Puts one part's A and w*s*B at inner index [at] of a [R, columns] and b [rows, R].
static enum lorac_status place(const struct lorac_adapter_site *from, double weight, size_t at, size_t R, double *a,
                               double *b, struct lorac_error *error)
{
    double *part_a = NULL, *part_b = NULL;
    size_t a_count, b_count, inner = (size_t)from->R;
    enum lorac_status status = read_doubles(from->a, &part_a, &a_count, error);
    if (status == LORAC_OK)
        status = read_doubles(from->b, &part_b, &b_count, error);
    if (status == LORAC_OK) {
        memcpy(a + at * (a_count / inner), part_a, a_count * sizeof *a);
        for (size_t i = 0; i < b_count; i++)
            b[i / inner * R + at + i % inner] = weight * from->s * part_b[i];
    }
    free(part_a);
    free(part_b);
    return status;
}

static enum lorac_status fill_adapter(struct combining *work, const struct lorac_adapter *adapter,
                                      struct lorac_error *error)
{
    struct lorac_adapter_site site;
    LORAC_TRY(lorac_adapter_locate(work->model, adapter, work->model->arena, &site, error));
    size_t number = lorac_name_table_find(&work->convs, adapter->conv), at = 0, R = (size_t)site.R;
    size_t a_count = R * (size_t)(site.Cg * site.kw), b_count = (size_t)(site.M * site.kh) * R; // were checked
    double *a = allocate(a_count), *b = allocate(b_count);
    enum lorac_status status = a && b ? LORAC_OK : out_of_memory(error);
    for (size_t p = 0; p < work->count && status == LORAC_OK; p++) {
        const struct part *part = &work->parts[p];
        size_t index = part->adapter_of[number];
        if (index == 0)
            continue;
        status = place(&part->sites[index - 1], part->given->weight, at, R, a, b, error);
        at += (size_t)part->sites[index - 1].R;
    }
    if (status == LORAC_OK)
        status = store(work, adapter->a, site.a, a, a_count, error);
    if (status == LORAC_OK)
        status = store(work, adapter->b, site.b, b, b_count, error);
    free(a);
    free(b);
    return status;
}

// sum [count] += weight * (W_i - W0), where the part trained the tensor.
static enum lorac_status add_part(const struct part *part, const char *name, const double *w0, size_t count,
                                  double *sum, struct lorac_error *error)
{
    size_t number = lorac_name_table_find(&part->names, name), part_count;
    double *values;
    if (number == LORAC_NO_NAME)
        return LORAC_OK;
    LORAC_TRY(read_doubles(part->trained.tensors[number], &values, &part_count, error));
    for (size_t i = 0; i < count && part_count == count; i++)
        sum[i] += part->given->weight * (values[i] - w0[i]);
    free(values);
    return part_count == count ? LORAC_OK
                               : lorac_error_set(error, LORAC_ERROR_MISMATCH,
                                                 "'%s': tensor '%s' has %zu elements, in the base model %zu",
                                                 part->given->name, name, part_count, count);
}

static enum lorac_status fill_tensor(struct combining *work, const char *name, Onnx__TensorProto *tensor,
                                     struct lorac_error *error)
{
    double *w0 = NULL;
    size_t count;
    LORAC_TRY(read_doubles(tensor, &w0, &count, error));
    double *sum = allocate(count);
    enum lorac_status status = sum ? LORAC_OK : out_of_memory(error);
    if (status == LORAC_OK)
        memcpy(sum, w0, count * sizeof *sum);
    for (size_t p = 0; p < work->count && status == LORAC_OK; p++)
        status = add_part(&work->parts[p], name, w0, count, sum, error);
    if (status == LORAC_OK)
        status = store(work, name, tensor, sum, count, error);
    free(sum);
    free(w0);
    return status;
}

// A weight outside of 0 to 1 may take a running variance below what a variance can be.
static enum lorac_status check_variances(struct lorac_model *model, struct lorac_error *error)
{
    enum { VARIANCE = 4 };
    const Onnx__GraphProto *graph = model->proto->graph;
    for (size_t i = 0; i < graph->n_node; i++) {
        const char *name = lorac_node_input(graph->node[i], VARIANCE);
        const Onnx__TensorProto *tensor = lorac_model_constant(model, name);
        double *values, least = 0;
        size_t count;
        if (!lorac_constant_spares_batch_norm(model, graph->node[i]) || !tensor)
            continue;
        LORAC_TRY(read_doubles(tensor, &values, &count, error));
        for (size_t k = 0; k < count; k++)
            least = values[k] < least ? values[k] : least;
        free(values);
        if (least < 0)
            return lorac_error_set(error, LORAC_ERROR_NOT_FINITE,
                                   "running variance '%s' becomes %g: weights from 0 to 1 keep it above 0", name,
                                   least);
    }
    return LORAC_OK;
}

static enum lorac_status fill(struct combining *work, struct lorac_error *error)
{
    struct lorac_meta meta;
    struct lorac_trained_tensors trained;
    LORAC_TRY(lorac_meta_read(work->model, &meta, error));
    if (meta.adapter_count != work->convs.count)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "%zu convolutions of %zu can have adapters in this model",
                               meta.adapter_count, work->convs.count);
    for (size_t i = 0; i < meta.adapter_count; i++)
        LORAC_TRY(fill_adapter(work, &meta.adapters[i], error));
    LORAC_TRY(lorac_trained_tensors_list(work->model, &meta, &trained, error));
    for (size_t i = 2 * meta.adapter_count; i < trained.count; i++) // behind the adapters' A and B
        LORAC_TRY(fill_tensor(work, trained.names[i], trained.tensors[i], error));
    return meta.bn == LORAC_BN_TRAIN ? check_variances(work->model, error) : LORAC_OK;
}

// ---- the pass

static enum lorac_status combine(struct combining *work, struct lorac_error *error)
{
    LORAC_TRY(read_parts(work, error));
    LORAC_TRY(make_record(work, error));
    LORAC_TRY(inject(work, error));
    return fill(work, error);
}

static enum lorac_status run(struct lorac_model *model, const void *options_, struct lorac_pass_report *report,
                             struct lorac_error *error)
{
    const struct lorac_combine_options *options = options_;
    struct combining work = {.model = model, .count = options ? options->count : 0};
    struct lorac_pass_report done = {0};
    if (work.count == 0) {
        *report = done;
        return LORAC_OK;
    }
    work.parts = lorac_arena_alloc_array(model->arena, work.count, sizeof *work.parts);
    if (!work.parts)
        return out_of_memory(error);
    lorac_name_table_init(&work.convs);
    lorac_name_table_init(&work.trainable);
    for (size_t p = 0; p < work.count; p++) {
        work.parts[p].given = &options->parts[p];
        lorac_name_table_init(&work.parts[p].names);
    }
    enum lorac_status status = combine(&work, error);
    done.changed = work.convs.count;
    for (size_t p = 0; p < work.count; p++)
        lorac_name_table_free(&work.parts[p].names);
    lorac_name_table_free(&work.convs);
    lorac_name_table_free(&work.trainable);
    if (status == LORAC_OK)
        *report = done;
    return status;
}

static bool applies(struct lorac_model *model, const void *options_)
{
    const struct lorac_combine_options *options = options_;
    struct lorac_meta meta;
    return options && options->count > 0 && lorac_meta_read(model, &meta, NULL) == LORAC_OK && !meta.injected;
}

const struct lorac_pass lorac_pass_combine = {
    .name = "combine",
    .summary = "give a plain model the adapters of several trained ones",
    .keeps_outputs = false,
    .applies = applies,
    .run = run,
};
