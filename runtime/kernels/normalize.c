// InstanceNormalization, GroupNormalization and LayerNormalization with their scale and shift frozen.
//
// With the mean and the population variance of the elements that are taken together, i = 1 / sqrt(variance + epsilon),
// z = (x - mean) * i and g = dy * scale:
//     y = z * scale + shift
//     dx = i * (g - mean(g) - z * mean(g * z))
// All sums are in double, image by image.
//
// Parameters: 0 scale, 1 shift (LORAC_NO_ID: 0).
#include "kernel_list.h"

#include "axes.h"
#include "parallel.h"
#include "reduction.h"

#include <math.h>
#include <stdlib.h>

struct normalize {
    struct lorac_reduction map;
    size_t strides[2][LORAC_PARTS]; // where in the scale and the shift the parameter of an element is
    double epsilon;
};

struct state {
    double *inverses; // [N, count], behind means
    double means[];
};

// ---- lowering

static enum lorac_status lower_to(struct lorac_lowering *lowering, const Onnx__NodeProto *node, struct lorac_step *step,
                                  uint32_t x, const struct normalize *normalize, const struct lorac_view *view,
                                  struct lorac_error *error)
{
    struct normalize *config = lorac_lowering_config(lowering, step, sizeof(*config));
    if (!config)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    *config = *normalize;
    config->epsilon = (double)lorac_node_float(node, "epsilon", 1e-5f);
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    LORAC_TRY(lorac_lowering_set_inputs(lowering, step, &x, 1, error));
    return lorac_lowering_output(lowering, node, step, value.n, value.h, value.w, value.c, view, error);
}

// Reads scale and shift, at inputs 1 and 2.
static enum lorac_status read_params(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                     struct lorac_step *step, bool needs_shift, struct lorac_error *error)
{
    step->param_count = 2;
    for (size_t i = 0; i < 2; i++) {
        if (i == 1 && !needs_shift && lorac_lowering_absent(node, 2))
            break;
        LORAC_TRY(lorac_lowering_param(lowering, node, i + 1, &step->params[i], error));
        const struct lorac_param *param = lorac_step_param(lorac_lowering_program(lowering), step, i);
        if (param->trainable)
            return lorac_refuse(node, error, "'%s' is listed in lorac.trainable; its scale and shift are not trained",
                                param->name);
    }
    return LORAC_OK;
}

static const char *const NAMES[] = {"scale", "shift"};

static enum lorac_status check_count(struct lorac_lowering *lowering, const struct lorac_step *step, size_t wanted,
                                     const char *of_what, struct lorac_error *error)
{
    for (size_t i = 0; i < 2; i++) {
        const struct lorac_param *param = lorac_step_param(lorac_lowering_program(lowering), step, i);
        if (param->count != wanted)
            return lorac_refuse(step->node, error, "its %s has %zu elements for %zu %s", NAMES[i], param->count, wanted,
                                of_what);
    }
    return LORAC_OK;
}

static const bool PIXELS[LORAC_AXIS_COUNT] = {[LORAC_AXIS_H] = true, [LORAC_AXIS_W] = true};
static const bool IMAGE[LORAC_AXIS_COUNT] = {[LORAC_AXIS_H] = true, [LORAC_AXIS_W] = true, [LORAC_AXIS_C] = true};

static enum lorac_status lower_instance(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                        struct lorac_step *step, struct lorac_error *error)
{
    uint32_t x;
    struct lorac_view view;
    LORAC_TRY(lorac_lowering_channel_input(lowering, node, 0, &x, &view, error));
    LORAC_TRY(read_params(lowering, node, step, true, error));
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    LORAC_TRY(check_count(lowering, step, value.c, "channels", error));
    struct normalize normalize = {.map = lorac_reduction_of(&value, PIXELS, 1),
                                  .strides = {{[LORAC_PART_K] = 1}, {[LORAC_PART_K] = 1}}};
    return lower_to(lowering, node, step, x, &normalize, &view, error);
}

// Scale and shift have a value for each group in operator sets 18 to 20, for each channel since 21.
static enum lorac_status lower_group(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                     struct lorac_step *step, struct lorac_error *error)
{
    uint32_t x;
    struct lorac_view view;
    LORAC_TRY(lorac_lowering_channel_input(lowering, node, 0, &x, &view, error));
    LORAC_TRY(read_params(lowering, node, step, true, error));
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    bool by_group = lorac_model_opset(lorac_lowering_program(lowering)->model) < 21;
    int64_t given = lorac_node_int(node, "num_groups", 0);
    if (given < 1 || given > (int64_t)value.c || value.c % (size_t)given != 0)
        return lorac_refuse(node, error, "num_groups is %lld; it must divide %zu channels", (long long)given, value.c);
    size_t groups = (size_t)given;
    LORAC_TRY(check_count(lowering, step, by_group ? groups : value.c, by_group ? "groups" : "channels", error));
    struct normalize normalize = {.map = lorac_reduction_of(&value, IMAGE, groups)};
    for (size_t i = 0; i < 2; i++) {
        normalize.strides[i][LORAC_PART_G] = by_group ? 1 : value.c / groups;
        normalize.strides[i][LORAC_PART_K] = by_group ? 0 : 1;
    }
    return lower_to(lowering, node, step, x, &normalize, &view, error);
}

// Where param [i], aligned with the view at the end, has the parameter of an element.
static enum lorac_status align_param(struct lorac_lowering *lowering, const struct lorac_step *step, size_t i,
                                     const struct lorac_view *view, const struct lorac_value *value, size_t first,
                                     size_t strides[LORAC_PARTS], struct lorac_error *error)
{
    static const size_t PART[LORAC_AXIS_COUNT] = {
        [LORAC_AXIS_H] = LORAC_PART_H, [LORAC_AXIS_W] = LORAC_PART_W, [LORAC_AXIS_C] = LORAC_PART_K};
    const struct lorac_param *param = lorac_step_param(lorac_lowering_program(lowering), step, i);
    size_t stride = 1;
    if (!param)
        return LORAC_OK;
    for (size_t k = param->rank; k-- > 0;) {
        size_t back = param->rank - k, size = (size_t)param->dims[k];
        bool inside = back <= view->rank && view->rank - back >= first;
        if (size != 1 && (!inside || size != lorac_view_size(value, view->axes[view->rank - back])))
            return lorac_refuse(step->node, error, "its %s does not fit the dimensions from %zu on of %s", NAMES[i],
                                first, lorac_view_format(view, value).text);
        if (size != 1)
            strides[PART[view->axes[view->rank - back]]] = stride;
        stride *= size;
    }
    return LORAC_OK;
}

static enum lorac_status lower_layer(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                     struct lorac_step *step, struct lorac_error *error)
{
    uint32_t x;
    size_t first = 0;
    bool together[LORAC_AXIS_COUNT] = {false};
    for (size_t i = 1; i < node->n_output; i++)
        if (lorac_lowering_is_read(lowering, node, i))
            return lorac_refuse(node, error, "something reads its output %zu ('%s'), which is not supported", i,
                                node->output[i]);
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    LORAC_TRY(read_params(lowering, node, step, false, error));
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    struct lorac_view view = lorac_lowering_view(lowering, node, 0);
    LORAC_TRY(lorac_axes_place(node, lorac_node_int(node, "axis", -1), view.rank, &first, error));
    for (size_t i = first; i < view.rank; i++)
        together[view.axes[i]] = true;
    if (together[LORAC_AXIS_N])
        return lorac_refuse(node, error, "it normalises over the batch");
    struct normalize normalize = {.map = lorac_reduction_of(&value, together, 1)};
    for (size_t i = 0; i < 2; i++)
        LORAC_TRY(align_param(lowering, step, i, &view, &value, first, normalize.strides[i], error));
    return lower_to(lowering, node, step, x, &normalize, &view, error);
}

static enum lorac_status memory(struct lorac_program *program, struct lorac_step *step, struct lorac_error *error)
{
    (void)error;
    const struct normalize *normalize = step->config;
    for (size_t i = 0; i < 2; i++)
        if (step->params[i] != LORAC_NO_ID)
            lorac_step_param(program, step, i)->kept = true;
    step->keeps_inputs = step->needs_backward;
    step->scratch_bytes = 2 * normalize->map.N * normalize->map.count * sizeof(double);
    return LORAC_OK;
}

static enum lorac_status create(struct lorac_step *step, const struct lorac_kernel_env *env, struct lorac_error *error)
{
    (void)env;
    const struct normalize *normalize = step->config;
    size_t results = normalize->map.N * normalize->map.count;
    struct state *state = malloc(sizeof(*state) + 2 * results * sizeof(double));
    if (!state)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for node '%s'", step->name);
    state->inverses = state->means + results;
    step->state = state;
    return LORAC_OK;
}

static void destroy(struct lorac_step *step)
{
    free(step->state);
    step->state = NULL;
}

// ---- running

struct job {
    const struct lorac_step *step;
    const struct normalize *normalize;
    struct state *state;
    const float *scale, *shift; // shift NULL: 0
    double *workspace;          // [2, N, count]
};

static struct job job_of(const struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct lorac_param *shift = lorac_step_param(env->program, step, 1);
    return (struct job){step,
                        step->config,
                        step->state,
                        lorac_step_param(env->program, step, 0)->data,
                        shift ? shift->data : NULL,
                        env->workspace};
}

// The mean of each result and 1 / sqrt(variance + epsilon).
static void measure(const struct normalize *normalize, const float *x, double *means, double *inverses)
{
    const struct lorac_reduction *map = &normalize->map;
    size_t stride = map->strides[LORAC_PART_K];
    double each = (double)map->each;
    for (size_t i = 0; i < map->count; i++)
        means[i] = inverses[i] = 0.0;
    for (struct lorac_run run = lorac_run_first(); lorac_run_more(map, &run); lorac_run_next(map, &run))
        for (size_t k = 0; k < map->dims[LORAC_PART_K]; k++)
            means[run.result + k * stride] += (double)x[run.at + k];
    for (size_t i = 0; i < map->count; i++)
        means[i] /= each;
    for (struct lorac_run run = lorac_run_first(); lorac_run_more(map, &run); lorac_run_next(map, &run))
        for (size_t k = 0; k < map->dims[LORAC_PART_K]; k++) {
            size_t result = run.result + k * stride;
            double d = (double)x[run.at + k] - means[result];
            inverses[result] += d * d;
        }
    for (size_t i = 0; i < map->count; i++)
        inverses[i] = 1.0 / sqrt(inverses[i] / each + normalize->epsilon);
}

static void forward_image(void *context, size_t n)
{
    const struct job *job = context;
    const struct normalize *normalize = job->normalize;
    const struct lorac_reduction *map = &normalize->map;
    const float *x = job->step->x[0] + n * map->size;
    float *y = job->step->y + n * map->size;
    double *means = job->state->means + n * map->count, *inverses = job->state->inverses + n * map->count;
    size_t stride = map->strides[LORAC_PART_K];
    const size_t *to_scale = normalize->strides[0], *to_shift = normalize->strides[1];
    measure(normalize, x, means, inverses);
    for (struct lorac_run run = lorac_run_first(); lorac_run_more(map, &run); lorac_run_next(map, &run)) {
        const float *scale = job->scale + lorac_run_place(&run, to_scale);
        const float *shift = job->shift ? job->shift + lorac_run_place(&run, to_shift) : NULL;
        for (size_t k = 0; k < map->dims[LORAC_PART_K]; k++) {
            size_t result = run.result + k * stride;
            double z = ((double)x[run.at + k] - means[result]) * inverses[result];
            double moved = shift ? (double)shift[k * to_shift[LORAC_PART_K]] : 0.0;
            y[run.at + k] = (float)(z * (double)scale[k * to_scale[LORAC_PART_K]] + moved);
        }
    }
}

static void forward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    struct job job = job_of(step, env);
    lorac_parallel_for(env->pool, forward_image, &job, job.normalize->map.N);
}

// The gradient and the normalised element at [k] of a run.
struct pair {
    size_t result;
    double g, z;
};

static struct pair pair_at(const struct job *job, size_t n, const struct lorac_run *run, size_t k)
{
    const struct lorac_reduction *map = &job->normalize->map;
    const size_t *to_scale = job->normalize->strides[0];
    size_t at = n * map->size + run->at + k, result = run->result + k * map->strides[LORAC_PART_K];
    size_t global = n * map->count + result;
    float scale = job->scale[lorac_run_place(run, to_scale) + k * to_scale[LORAC_PART_K]];
    return (struct pair){result, (double)job->step->dy[at] * (double)scale,
                         ((double)job->step->x[0][at] - job->state->means[global]) * job->state->inverses[global]};
}

static void backward_image(void *context, size_t n)
{
    const struct job *job = context;
    const struct lorac_reduction *map = &job->normalize->map;
    float *dx = job->step->dx[0] + n * map->size;
    double *sums = job->workspace + n * map->count, *products = sums + map->N * map->count;
    double each = (double)map->each;
    for (size_t i = 0; i < map->count; i++)
        sums[i] = products[i] = 0.0;
    for (struct lorac_run run = lorac_run_first(); lorac_run_more(map, &run); lorac_run_next(map, &run))
        for (size_t k = 0; k < map->dims[LORAC_PART_K]; k++) {
            struct pair pair = pair_at(job, n, &run, k);
            sums[pair.result] += pair.g;
            products[pair.result] += pair.g * pair.z;
        }
    for (struct lorac_run run = lorac_run_first(); lorac_run_more(map, &run); lorac_run_next(map, &run))
        for (size_t k = 0; k < map->dims[LORAC_PART_K]; k++) {
            struct pair pair = pair_at(job, n, &run, k);
            double inverse = job->state->inverses[n * map->count + pair.result];
            dx[run.at + k] =
                (float)(inverse * (pair.g - sums[pair.result] / each - pair.z * products[pair.result] / each));
        }
}

static void backward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    struct job job = job_of(step, env);
    if (step->dx[0])
        lorac_parallel_for(env->pool, backward_image, &job, job.normalize->map.N);
}

#define NORMALIZE(suffix, type, how)                                                                                   \
    const struct lorac_kernel lorac_kernel_##suffix = {.op_type = type,                                                \
                                                       .lower = how,                                                   \
                                                       .memory = memory,                                               \
                                                       .create = create,                                               \
                                                       .forward = forward,                                             \
                                                       .backward = backward,                                           \
                                                       .destroy = destroy};

NORMALIZE(instance_normalization, "InstanceNormalization", lower_instance)
NORMALIZE(group_normalization, "GroupNormalization", lower_group)
NORMALIZE(layer_normalization, "LayerNormalization", lower_layer)
