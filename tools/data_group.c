#include "data_group.h"

#define FIELD(member) offsetof(struct lorac_data_settings, member)
// clang-format off
#define DATA_OPTION(is_required) \
    {.name = "data", .type = LORAC_OPTION_PATH, .value = "FILE", .offset = FIELD(data), .required = is_required, \
     .help = "Images, .npy or IDX, gzipped or not: uint8 [N,H,W,C] or [N,H,W], or float32 in the model's own layout, " \
             "[N,C,H,W] or [N,H,W,C]."}
#define LABELS_OPTION(is_required) \
    {.name = "labels", .type = LORAC_OPTION_PATH, .value = "FILE", .offset = FIELD(labels), .required = is_required, \
     .help = "Labels, .npy or IDX, gzipped or not: one whole number per image."}
#define OTHER_DATA_OPTIONS \
    {.name = "range", .type = LORAC_OPTION_RANGE, .value = "A:B", .offset = FIELD(range), .fallback_text = "all", \
     .help = "Only the images A to B-1, counted from 0."}, \
    {.name = "corrupt", .type = LORAC_OPTION_STRING, .value = "NAME:SEVERITY", .offset = FIELD(corrupt), \
     .help = "Corrupts uint8 images first: fog or gaussian_noise, severity 1 to 5."}, \
    {.name = "seed", .type = LORAC_OPTION_UINT64, .value = "N", .offset = FIELD(seed), .fallback = "0", \
     .help = "Seed of all random numbers."}, \
    {0}
// clang-format on
const struct lorac_option lorac_data_options[] = {DATA_OPTION(false), OTHER_DATA_OPTIONS};
const struct lorac_option lorac_labelled_data_options[] = {DATA_OPTION(true), LABELS_OPTION(false), OTHER_DATA_OPTIONS};
const struct lorac_option lorac_training_data_options[] = {DATA_OPTION(true), LABELS_OPTION(true), OTHER_DATA_OPTIONS};
#undef FIELD

enum lorac_status lorac_data_check(const struct lorac_call *call, const struct lorac_data_settings *data,
                                   struct lorac_error *error)
{
    struct lorac_corrupt corrupt;
    if (data->corrupt && lorac_corrupt_parse(data->corrupt, &corrupt, error) != LORAC_OK)
        return lorac_error_prefix(error, "--corrupt %s: ", data->corrupt);
    if (data->data)
        return LORAC_OK;
    if (data->range.given || data->corrupt)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--%s needs --data FILE",
                               data->range.given ? "range" : "corrupt");
    if (lorac_pixels_given(call))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "the flags for pixels need --data FILE");
    return LORAC_OK;
}

enum lorac_status lorac_data_open(const struct lorac_data_settings *data, const struct lorac_input_shape *shape,
                                  size_t classes, struct lorac_dataset *out, struct lorac_error *error)
{
    const struct lorac_dataset_options options = {.images_path = data->data,
                                                  .labels_path = data->labels,
                                                  .has_range = data->range.given,
                                                  .range_begin = data->range.begin,
                                                  .range_end = data->range.end,
                                                  .channels = shape->channels,
                                                  .height = shape->height,
                                                  .width = shape->width,
                                                  .channels_last = shape->channels_last,
                                                  .classes = classes};
    struct lorac_corrupt corrupt = {0};
    if (data->corrupt)
        LORAC_TRY(lorac_corrupt_parse(data->corrupt, &corrupt, error));
    struct lorac_dataset dataset;
    LORAC_TRY(lorac_dataset_open(&options, &dataset, error));
    if (data->corrupt) {
        enum lorac_status status = lorac_dataset_corrupt(&dataset, &corrupt, data->seed, error);
        if (status != LORAC_OK) {
            lorac_dataset_clear(&dataset);
            lorac_error_prefix(error, "'%s': ", data->data);
            return status;
        }
    }
    *out = dataset;
    return LORAC_OK;
}
