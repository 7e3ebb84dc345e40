#include "inject_parts.h"

#include "proto/model_edit.h"
#include "proto/rng.h"
#include "proto/tensor.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FLOAT32 = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, INT64 = ONNX__TENSOR_PROTO__DATA_TYPE__INT64 };

static enum lorac_status out_of_memory(const char *conv, struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "inject into '%s': out of memory", conv);
}

enum lorac_status lorac_inject_name(struct lorac_model *model, const char *conv, const char *suffix, const char **out,
                                    struct lorac_error *error)
{
    size_t bytes = strlen(conv) + strlen(suffix) + 2;
    char *wanted = lorac_arena_alloc(model->arena, bytes);
    if (!wanted)
        return out_of_memory(conv, error);
    snprintf(wanted, bytes, "%s/%s", conv, suffix);
    return lorac_model_fresh_name(model, wanted, out, error);
}

// ---- initialisers

static enum lorac_status add_zeros(struct lorac_model *model, const char *name, const int64_t *dims, size_t dim_count,
                                   struct lorac_error *error)
{
    size_t count = 1; // dims were multiplied with checks in the plan
    for (size_t i = 0; i < dim_count; i++)
        count *= (size_t)dims[i];
    void *zeros = calloc(count, sizeof(float));
    if (!zeros)
        return out_of_memory(name, error);
    enum lorac_status status =
        lorac_model_add_initializer(model, name, FLOAT32, dims, dim_count, zeros, count * sizeof(float), error);
    free(zeros);
    return status;
}

static enum lorac_status fill_a(struct lorac_model *model, const struct lorac_conv_row *row, const char *name,
                                uint64_t seed, struct lorac_error *error)
{
    size_t fan_in = (size_t)(row->dims[1] * row->dims[3]);
    size_t count = (size_t)row->R * fan_in;
    double bound = 1.0 / sqrt((double)fan_in);
    float *values = malloc(count * sizeof *values);
    if (!values)
        return out_of_memory(row->name, error);
    struct lorac_rng rng;
    lorac_rng_init(&rng, seed, "lora_A", lorac_rng_hash_name(row->name), 0);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)((2.0 * lorac_rng_uniform(&rng) - 1.0) * bound);
    enum lorac_status status =
        lorac_tensor_set_float(model, lorac_model_initializer(model, name), values, count, error);
    free(values);
    return status;
}

enum lorac_status lorac_inject_add_a(struct lorac_model *model, const struct lorac_conv_row *row, uint64_t seed,
                                     const char *name, struct lorac_error *error)
{
    const int64_t dims[] = {row->R, row->dims[1] * row->dims[3]};
    LORAC_TRY(add_zeros(model, name, dims, 2, error));
    return fill_a(model, row, name, seed, error);
}

enum lorac_status lorac_inject_add_b(struct lorac_model *model, const struct lorac_conv_row *row, const char *name,
                                     struct lorac_error *error)
{
    const int64_t dims[] = {row->dims[0] * row->dims[2], row->R};
    return add_zeros(model, name, dims, 2, error);
}

enum lorac_status lorac_inject_add_scale(struct lorac_model *model, const char *name, double scale,
                                         struct lorac_error *error)
{
    LORAC_TRY(add_zeros(model, name, NULL, 0, error));
    return lorac_tensor_set_double(model, lorac_model_initializer(model, name), &scale, 1, error);
}

enum lorac_status lorac_inject_add_int64(struct lorac_model *model, const char *name, const int64_t *values,
                                         size_t count, struct lorac_error *error)
{
    uint8_t bytes[LORAC_INJECT_MAX_INTS * 8]; // little endian, on any machine
    const int64_t dims[] = {(int64_t)count};
    assert(count <= LORAC_INJECT_MAX_INTS);
    for (size_t i = 0; i < count * 8; i++)
        bytes[i] = (uint8_t)((uint64_t)values[i / 8] >> (8 * (i % 8)));
    return lorac_model_add_initializer(model, name, INT64, dims, 1, bytes, count * 8, error);
}

// ---- nodes

enum lorac_status lorac_inject_add_node(struct lorac_model *model, const char *conv, const Onnx__NodeProto *before,
                                        const char *op_type, const char *suffix, const char *const *inputs,
                                        size_t count, Onnx__NodeProto **out, struct lorac_error *error)
{
    struct lorac_node_spec spec = {.op_type = op_type};
    LORAC_TRY(lorac_inject_name(model, conv, suffix, &spec.name, error));
    size_t bytes = strlen(spec.name) + sizeof "_output";
    char *wanted = lorac_arena_alloc(model->arena, bytes);
    if (!wanted)
        return out_of_memory(conv, error);
    snprintf(wanted, bytes, "%s_output", spec.name);
    LORAC_TRY(lorac_model_fresh_name(model, wanted, &spec.output, error));
    LORAC_TRY(lorac_model_insert_node(model, before, &spec, out, error));
    return lorac_model_set_node_inputs(model, *out, inputs, count, error);
}
