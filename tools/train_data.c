#include "train_data.h"

#include "runtime/kernels/parallel.h"
#include "runtime/train/fill.h"

#include <inttypes.h>

// What the loop would refuse as well, said before anything else is.
static enum lorac_status check_counts(const struct lorac_train_data_request *request, const struct lorac_dataset *dataset,
                                      struct lorac_error *error)
{
    const size_t batch = request->batch;
    if (dataset->count < batch)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--batch %zu: there are only %zu images: give at most %zu",
                               batch, dataset->count, dataset->count);
    uint64_t steps = request->steps ? request->steps : request->epochs * (dataset->count / batch);
    if (request->warmup_steps > steps)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "--warmup-steps %" PRIu64 ": there are only %" PRIu64 " steps", request->warmup_steps,
                               steps);
    return LORAC_OK;
}

enum lorac_status lorac_train_data_open(const struct lorac_train_data_request *request, const struct lorac_net *net,
                                        const struct lorac_input_shape *shape, struct lorac_train_data *data,
                                        struct lorac_error *error)
{
    if (data->open)
        return LORAC_OK;
    LORAC_TRY(lorac_data_open(request->data, shape, net->classes, &data->dataset, error));
    data->open = true;
    LORAC_TRY(lorac_pixels_prepare(request->call, request->pixels, &net->meta.input, &data->dataset, &data->normalize,
                                   error));
    LORAC_TRY(lorac_augment_resolve(request->call, request->augment, &data->augment, error));
    LORAC_TRY(lorac_augment_check(&data->augment, &data->dataset, error));
    return check_counts(request, &data->dataset, error);
}

size_t lorac_train_data_bytes(const struct lorac_train_data *data, size_t threads)
{
    const size_t slots = threads ? threads : lorac_parallel_processors();
    return slots * lorac_augment_scratch_bytes(&data->augment, &data->dataset) +
           data->dataset.image_array.byte_count + data->dataset.count * sizeof *data->dataset.labels;
}

enum lorac_status lorac_train_data_check(const struct lorac_train_data_request *request, const struct lorac_net *net,
                                         const struct lorac_train_data *data, struct lorac_error *error)
{
    if (lorac_fill_check(net, &data->dataset, error) != LORAC_OK)
        return lorac_error_prefix(error, "'%s': ", request->data->data);
    lorac_pixels_note_unused(request->call, &data->dataset);
    return LORAC_OK;
}

void lorac_train_data_clear(struct lorac_train_data *data)
{
    lorac_dataset_clear(&data->dataset);
    *data = (struct lorac_train_data){0};
}
