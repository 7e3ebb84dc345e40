#include "fill.h"

#include "proto/finite.h"
#include "runtime/kernels/parallel.h"

#include <inttypes.h>

enum lorac_status lorac_fill_start(const struct lorac_dataset *dataset, const struct lorac_loader_pass *pass,
                                   struct lorac_error *error)
{
    return dataset->loader ? lorac_loader_start(dataset->loader, pass, error) : LORAC_OK;
}

enum lorac_status lorac_fill_take(const struct lorac_fill_batch *fill, struct lorac_error *error)
{
    struct lorac_loader *loader = fill->source->dataset->loader;
    return loader ? lorac_loader_take(loader, fill->count, error) : LORAC_OK;
}

bool lorac_fill_is_broken(const struct lorac_fill_batch *fill, size_t i)
{
    const struct lorac_loader *loader = fill->source->dataset->loader;
    return loader && lorac_loader_image(loader, i).broken;
}

size_t lorac_fill_index(const struct lorac_fill_batch *fill, size_t i)
{
    if (fill->source->dataset->loader)
        return lorac_loader_image(fill->source->dataset->loader, i).index;
    return fill->order ? fill->order[fill->first + i] : fill->first + i;
}

static size_t image_size(const struct lorac_dataset *dataset)
{
    return dataset->channels * dataset->height * dataset->width; // the model's input is in memory: no overflow
}

struct fill_work {
    const struct lorac_fill_batch *fill;
    size_t begin;
    float *input;
    size_t image_size;
};

static void fill_image(void *context, size_t i)
{
    const struct fill_work *work = context;
    const size_t image = work->begin + i;
    float *out = work->input + i * work->image_size;
    if (image >= work->fill->count || lorac_fill_is_broken(work->fill, image)) {
        memset(out, 0, work->image_size * sizeof *out);
        return;
    }
    const size_t index = lorac_fill_index(work->fill, image);
    const struct lorac_dataset *dataset = work->fill->source->dataset;
    const struct lorac_image pixels =
        dataset->loader ? lorac_loader_image(dataset->loader, image).image : lorac_dataset_image(dataset, index);
    lorac_batch_image(work->fill->source, &pixels, index, work->fill->epoch, out);
}

void lorac_fill_run(void *context, size_t begin, float *input)
{
    const struct lorac_fill_batch *fill = context;
    struct fill_work work = {fill, begin, input, image_size(fill->source->dataset)};
    lorac_parallel_for(fill->pool, fill_image, &work, fill->rows);
}

static enum lorac_status check_finite(const struct lorac_dataset *dataset, struct lorac_error *error)
{
    if (dataset->element != LORAC_ELEMENT_F32)
        return LORAC_OK; // sets of files too
    const size_t size = image_size(dataset);
    const float *image = dataset->pixels;
    for (size_t i = 0; i < dataset->count; i++, image += size)
        if (!lorac_values_finite(image, size))
            return lorac_error_set(error, LORAC_ERROR_NOT_FINITE,
                                   "image %zu holds a NaN or an infinity; float images must be finite numbers",
                                   dataset->first_index + i);
    return LORAC_OK;
}

enum lorac_status lorac_fill_check(const struct lorac_net *net, const struct lorac_dataset *dataset,
                                   struct lorac_error *error)
{
    const struct lorac_value *input = &net->program->values[net->program->input];
    if (dataset->channels != input->c || dataset->height != input->h || dataset->width != input->w)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "images have %zu channels of %zu x %zu pixels, but the model's input '%s' takes %zu "
                               "channels of %zu x %zu",
                               dataset->channels, dataset->height, dataset->width, input->name, input->c, input->h,
                               input->w);
    LORAC_TRY(lorac_dataset_check_classes(dataset, net->classes, error));
    if (dataset->labels)
        for (size_t i = 0; i < dataset->count; i++)
            if (dataset->labels[i] < 0 || (size_t)dataset->labels[i] >= net->classes)
                return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                                       "label %zu is %" PRId32
                                       ", but the model has %zu classes; labels must be in 0 .. "
                                       "%zu",
                                       dataset->first_index + i, dataset->labels[i], net->classes, net->classes - 1);
    return check_finite(dataset, error);
}
