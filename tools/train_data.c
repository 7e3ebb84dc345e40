#include "train_data.h"

#include "report.h"
#include "runtime/data/loader.h"
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

struct lorac_data_request lorac_train_data_request(const struct lorac_train_data_request *request,
                                                   const struct lorac_data_settings *settings,
                                                   const struct lorac_net *net, const struct lorac_input_shape *shape,
                                                   const struct lorac_train_data *data)
{
    const bool recorded = net->meta.class_count > 0;
    return (struct lorac_data_request){
        .call = request->call,
        .data = settings,
        .shape = shape,
        .labelled = true,
        .classes = net->classes,
        .class_count = recorded ? net->meta.class_count : data->dataset.class_count,
        .class_names = recorded ? net->meta.classes : (const char *const *)data->dataset.class_names,
        .batch = request->batch,
        .has_budget = request->has_budget,
        .repeated = true,
        .cache_taken = data->dataset.loader ? lorac_loader_cache_bytes(data->dataset.loader) : 0};
}

enum lorac_status lorac_train_data_open(const struct lorac_train_data_request *request, const struct lorac_net *net,
                                        const struct lorac_input_shape *shape, struct lorac_train_data *data,
                                        struct lorac_error *error)
{
    if (data->open)
        return LORAC_OK;
    const struct lorac_data_request opened = lorac_train_data_request(request, request->data, net, shape, data);
    LORAC_TRY(lorac_data_open(&opened, &data->dataset, error));
    data->open = true;
    if (!data->dataset.labels)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "--labels FILE is missing: '%s' does not say of which class its images are, as folders "
                               "of classes and tables do",
                               request->data->data);
    LORAC_TRY(lorac_pixels_prepare(request->call, request->pixels, &net->meta.input, &data->dataset, &data->normalize,
                                   error));
    LORAC_TRY(lorac_augment_resolve(request->call, request->augment, &data->augment, error));
    LORAC_TRY(lorac_augment_check(&data->augment, &data->dataset, error));
    return check_counts(request, &data->dataset, error);
}

size_t lorac_train_data_bytes(const struct lorac_train_data *data, size_t threads, size_t loader_threads)
{
    return threads * lorac_augment_scratch_bytes(&data->augment, &data->dataset) +
           lorac_dataset_bytes(&data->dataset, loader_threads);
}

// The model is to say which class is which, from now on.
static enum lorac_status name_classes(const struct lorac_train_data_request *request, struct lorac_net *net,
                                      const struct lorac_dataset *dataset, struct lorac_error *error)
{
    struct lorac_error reason = {0};
    if (net->meta.class_count > 0 || dataset->class_count == 0)
        return LORAC_OK;
    enum lorac_status status = lorac_meta_set_classes(net->model, dataset->class_count,
                                                      (const char *const *)dataset->class_names, &reason);
    if (status == LORAC_ERROR_FORMAT) { // training does not need them
        lorac_report_note(request->call, "note: the names of the classes are not kept in the model: %s", reason.message);
        return LORAC_OK;
    }
    if (error && status != LORAC_OK)
        *error = reason;
    return status;
}

enum lorac_status lorac_train_data_check(const struct lorac_train_data_request *request, struct lorac_net *net,
                                         struct lorac_train_data *data, struct lorac_error *error)
{
    LORAC_TRY(lorac_error_prefix(error, lorac_fill_check(net, &data->dataset, error), "'%s': ", request->data->data));
    lorac_pixels_note_unused(request->call, &data->dataset);
    lorac_data_keep(request->data, net, &data->dataset);
    return name_classes(request, net, &data->dataset, error);
}

void lorac_train_data_clear(struct lorac_train_data *data)
{
    lorac_dataset_clear(&data->dataset);
    *data = (struct lorac_train_data){0};
}
