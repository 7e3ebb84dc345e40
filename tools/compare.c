#include "compare.h"
#include "report.h"
#include "runtime/data/loader.h"
#include "runtime/train/fill.h"
#include "runtime/train/loop.h"

#include "proto/rng.h"
#include "proto/size.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(member) offsetof(struct lorac_compare_settings, member)
// clang-format off
const struct lorac_option lorac_compare_options[] = {
    {.name = "tolerance", .type = LORAC_OPTION_DOUBLE, .value = "X", .offset = FIELD(tolerance), .fallback = "1e-4",
     .help = "Largest difference of outputs allowed, relative to the largest output of the first model; above it the "
             "exit code is 3. Where it is not given and a model has 16-bit floating weights, it is 1e-2.",
     .limit = LORAC_AT_LEAST(0)},
    {.name = "random", .type = LORAC_OPTION_INT64, .value = "N", .offset = FIELD(random), .fallback = "32",
     .help = "How many images of random numbers (normal, of a fixed seed).", .limit = LORAC_FROM_TO(1, 65536)},
    {.name = "batch", .type = LORAC_OPTION_INT64, .value = "N", .offset = FIELD(batch), .fallback = "32",
     .help = "Images that are run at once.", .limit = LORAC_FROM_TO(1, 65536)},
    {0},
};
// clang-format on
#undef FIELD

// ---- the images

// Standard normal numbers in the model's own input layout, the same ones in every run.
static enum lorac_status make_noise(const struct lorac_input_shape *shape, size_t images, struct lorac_dataset *out,
                                    struct lorac_error *error)
{
    size_t count;
    float *pixels = NULL;
    if (lorac_size_multiply(shape->channels, shape->height, &count) &&
        lorac_size_multiply(count, shape->width, &count) && lorac_size_multiply(count, images, &count))
        pixels = calloc(count, sizeof *pixels);
    if (!pixels)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for %zu random images of %zux%zux%zu", images,
                               shape->channels, shape->height, shape->width);
    struct lorac_rng rng;
    lorac_rng_init(&rng, 0, "compare", 0, 0);
    for (size_t i = 0; i < count; i++)
        pixels[i] = (float)lorac_rng_normal(&rng);
    *out = (struct lorac_dataset){.element = LORAC_ELEMENT_F32,
                                  .count = images,
                                  .channels = shape->channels,
                                  .height = shape->height,
                                  .width = shape->width,
                                  .pixels = pixels,
                                  .image_array = {.dtype = 'f',
                                                  .item_bytes = sizeof *pixels,
                                                  .rank = 4,
                                                  .dims = {(int64_t)images, (int64_t)shape->channels,
                                                           (int64_t)shape->height, (int64_t)shape->width},
                                                  .data = pixels,
                                                  .byte_count = count * sizeof *pixels}};
    return LORAC_OK;
}

// ---- running

// There are no outputs for images that cannot be read: those of the others move up.
static void leave_out_broken(const struct lorac_dataset *dataset, float *outputs, size_t classes)
{
    size_t kept = 0;
    for (size_t i = 0; dataset->loader && i < dataset->count; i++)
        if (!lorac_loader_is_broken(dataset->loader, i))
            memmove(outputs + classes * kept++, outputs + classes * i, classes * sizeof *outputs);
}

static enum lorac_status run_on(struct lorac_comparison *comparison, struct lorac_net *net,
                                const struct lorac_dataset *dataset, float **outputs, struct lorac_error *error)
{
    struct lorac_batch_source source = {.dataset = dataset};
    size_t count;
    LORAC_TRY(lorac_pixels_prepare(comparison->call, comparison->pixels, &net->meta.input, dataset, &source.normalize,
                                   error));
    if (dataset == &comparison->dataset) // to name the file
        LORAC_TRY(lorac_error_prefix(error, lorac_fill_check(net, dataset, error), "'%s': ", comparison->data->data));
    if (!lorac_size_multiply(dataset->count, comparison->classes, &count) ||
        !(*outputs = calloc(count, sizeof **outputs)))
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the outputs of %zu images",
                               dataset->count);
    struct lorac_evaluate_request request = {.source = &source, .outputs = *outputs};
    struct lorac_evaluation result;
    LORAC_TRY(lorac_net_evaluate(net, &request, &result, error));
    leave_out_broken(dataset, *outputs, comparison->classes);
    return LORAC_OK;
}

// Readies the model and looks at what it takes and gives (the classes are known only then where it leaves its input
// size free).
static bool has_half_weights(const struct lorac_model *model)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (graph->initializer[i]->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 ||
            graph->initializer[i]->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16)
            return true;
    return false;
}

static enum lorac_status prepare(struct lorac_comparison *comparison, struct lorac_net *net, const char *name,
                                 struct lorac_input_shape *shape, struct lorac_error *error)
{
    struct lorac_prepare_options options = lorac_prepare_options_default();
    comparison->has_half |= has_half_weights(net->model);
    lorac_run_apply(comparison->run, comparison->settings->batch, &options);
    LORAC_TRY(lorac_error_prefix(error, lorac_run_input_shape(comparison->run, &net->input, shape, error), "'%s': ",
                                 name));
    return lorac_run_prepare(net, name, &options, error);
}

static enum lorac_status run_model(struct lorac_comparison *comparison, struct lorac_net *net, const char *name,
                                   float **noise_outputs, float **data_outputs, struct lorac_error *error)
{
    enum lorac_status status = LORAC_OK;
    if (comparison->use_random)
        status = run_on(comparison, net, &comparison->noise, noise_outputs, error);
    if (status == LORAC_OK && comparison->data->data)
        status = run_on(comparison, net, &comparison->dataset, data_outputs, error);
    return lorac_error_prefix(error, status, "'%s': ", name);
}

enum lorac_status lorac_comparison_open(struct lorac_comparison *comparison, struct lorac_net *net, const char *name,
                                        struct lorac_error *error)
{
    LORAC_TRY(prepare(comparison, net, name, &comparison->shape, error));
    comparison->classes = net->classes;
    comparison->shape.name = NULL; // the name belongs to the model, which will be gone
    if (comparison->use_random)
        LORAC_TRY(make_noise(&comparison->shape, (size_t)comparison->settings->random, &comparison->noise, error));
    if (comparison->data->data) {
        const struct lorac_data_request request = {.call = comparison->call,
                                                   .data = comparison->data,
                                                   .shape = &comparison->shape,
                                                   .batch = (size_t)comparison->settings->batch};
        LORAC_TRY(lorac_data_open(&request, &comparison->dataset, error));
        lorac_pixels_note_unused(comparison->call, &comparison->dataset);
    }
    return LORAC_OK;
}

enum lorac_status lorac_comparison_first(struct lorac_comparison *comparison, struct lorac_net *net, const char *name,
                                         struct lorac_error *error)
{
    LORAC_TRY(lorac_comparison_open(comparison, net, name, error));
    return run_model(comparison, net, name, &comparison->noise_outputs, &comparison->data_outputs, error);
}

// ---- differences

static size_t top_of(const float *outputs, size_t classes)
{
    size_t top = 0;
    for (size_t i = 1; i < classes; i++)
        if (outputs[i] > outputs[top])
            top = i;
    return top;
}

void lorac_difference_of(const float *first, const float *second, size_t images, size_t classes,
                         struct lorac_difference *out)
{
    struct lorac_difference difference = {.images = images};
    for (size_t i = 0; i < images * classes; i++) {
        double apart = fabs((double)first[i] - (double)second[i]);
        if (!isfinite(first[i]) || !isfinite(second[i]))
            apart = INFINITY; // also where both are: such outputs agree with nothing
        difference.absolute = fmax(difference.absolute, apart);
        difference.largest = fmax(difference.largest, fabs((double)first[i]));
    }
    for (size_t i = 0; i < images; i++)
        difference.same_top += top_of(first + i * classes, classes) == top_of(second + i * classes, classes);
    difference.relative = difference.absolute;
    if (difference.absolute > 0)
        difference.relative = isfinite(difference.absolute) && difference.largest > 0
                                  ? difference.absolute / difference.largest
                                  : INFINITY;
    *out = difference;
}

static void add_row(struct lorac_table *table, const char *what, const struct lorac_difference *difference)
{
    lorac_table_cell(table, "%s", what);
    lorac_table_cell(table, "%zu", difference->images);
    lorac_table_cell(table, "%.3g", difference->absolute);
    lorac_table_cell(table, "%.3g", difference->relative);
    lorac_table_cell(table, "%.4g", difference->largest);
    lorac_table_cell(table, "%zu (%.2f %%)", difference->same_top,
                     100 * (double)difference->same_top / (double)difference->images);
}

static enum lorac_status report(const struct lorac_comparison *comparison, const float *noise, const float *data,
                                struct lorac_error *error)
{
    static const char *const headers[] = {"images",   "count",          "largest error",
                                          "relative", "largest output", "same top-1"};
    struct lorac_difference difference;
    struct lorac_table table;
    double worst = 0;
    lorac_table_init(&table, 6, "lrrrrr", headers);
    if (comparison->use_random) {
        lorac_difference_of(comparison->noise_outputs, noise, comparison->noise.count, comparison->classes,
                            &difference);
        add_row(&table, "random", &difference);
        worst = fmax(worst, difference.relative);
    }
    if (comparison->data->data) {
        lorac_difference_of(comparison->data_outputs, data,
                            comparison->dataset.count - lorac_data_skipped(&comparison->dataset), comparison->classes,
                            &difference);
        add_row(&table, comparison->data->data, &difference);
        worst = fmax(worst, difference.relative);
    }
    enum lorac_status status = lorac_table_finish(&table, stdout, error);
    // The runtime adds an adapter in float32; the file holds the sum rounded to the weight's type.
    bool given = lorac_options_given(&comparison->call->options, "tolerance");
    double tolerance = given || !comparison->has_half ? comparison->settings->tolerance : 1e-2;
    if (status == LORAC_OK && !(worst <= tolerance))
        return lorac_error_set(error, LORAC_ERROR_TOLERANCE,
                               "the outputs differ by %.3g of the largest output, above the tolerance %g", worst,
                               tolerance);
    return status;
}

enum lorac_status lorac_comparison_second(struct lorac_comparison *comparison, struct lorac_net *net, const char *name,
                                          struct lorac_error *error)
{
    const struct lorac_input_shape *first = &comparison->shape;
    struct lorac_input_shape shape;
    LORAC_TRY(prepare(comparison, net, name, &shape, error));
    if (shape.channels != first->channels || shape.height != first->height || shape.width != first->width)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "'%s' takes images of %zux%zux%zu, the first model %zux%zux%zu (channels, height, "
                               "width): they cannot be compared",
                               name, shape.channels, shape.height, shape.width, first->channels, first->height,
                               first->width);
    if (net->classes != comparison->classes)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "'%s' has %zu classes, the first model %zu: they cannot be compared", name, net->classes,
                               comparison->classes);
    float *noise = NULL, *data = NULL;
    enum lorac_status status = run_model(comparison, net, name, &noise, &data, error);
    if (status == LORAC_OK)
        status = report(comparison, noise, data, error);
    free(noise);
    free(data);
    return status;
}

void lorac_comparison_clear(struct lorac_comparison *comparison)
{
    lorac_dataset_clear(&comparison->noise);
    lorac_dataset_clear(&comparison->dataset);
    free(comparison->noise_outputs);
    free(comparison->data_outputs);
    comparison->noise_outputs = comparison->data_outputs = NULL;
}
