#include "reduction.h"

struct lorac_reduction lorac_reduction_of(const struct lorac_value *value, const bool together[LORAC_AXIS_COUNT],
                                          size_t groups)
{
    const bool taken[LORAC_PARTS] = {together[LORAC_AXIS_H], together[LORAC_AXIS_W],
                                     together[LORAC_AXIS_C] && groups == 1, together[LORAC_AXIS_C]};
    struct lorac_reduction reduction = {.N = value->n,
                                        .dims = {value->h, value->w, groups, value->c / groups},
                                        .size = value->h * value->w * value->c,
                                        .count = 1};
    for (size_t i = LORAC_PARTS; i-- > 0;)
        if (!taken[i]) {
            reduction.strides[i] = reduction.count;
            reduction.count *= reduction.dims[i];
        }
    reduction.each = reduction.size / reduction.count;
    return reduction;
}

bool lorac_reduction_is_global_pool(const struct lorac_reduction *reduction)
{
    size_t pixels = reduction->dims[LORAC_PART_H] * reduction->dims[LORAC_PART_W];
    return reduction->dims[LORAC_PART_G] == 1 && reduction->strides[LORAC_PART_K] == 1 && reduction->each > 1 &&
           reduction->each == pixels;
}

bool lorac_reduction_is_rows(const struct lorac_reduction *reduction)
{
    return reduction->dims[LORAC_PART_G] == 1 && reduction->strides[LORAC_PART_K] == 0 &&
           reduction->each == reduction->dims[LORAC_PART_K];
}
