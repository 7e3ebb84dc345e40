#include "axes.h"

enum lorac_status lorac_axes_read_list(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                       const char *name, struct lorac_int_list *out, struct lorac_error *error)
{
    const struct lorac_constant *constant = NULL;
    if (!lorac_lowering_absent(node, i))
        LORAC_TRY(lorac_lowering_constant(lowering, node, i, &constant, error));
    if (constant && constant->floating)
        return lorac_refuse(node, error, "its %s are not integers", name);
    if (!lorac_int_list_read(node, name, constant, out))
        return lorac_refuse(node, error, "%s has %zu values; at most %d are supported", name, out->count,
                            LORAC_CONSTANT_MAX_RANK);
    return LORAC_OK;
}

enum lorac_status lorac_axes_place(const Onnx__NodeProto *node, int64_t axis, size_t rank, size_t *place,
                                   struct lorac_error *error)
{
    int64_t at = axis < 0 ? axis + (int64_t)rank : axis;
    if (at < 0 || at >= (int64_t)rank)
        return lorac_refuse(node, error, "axis %lld is outside rank %zu", (long long)axis, rank);
    *place = (size_t)at;
    return LORAC_OK;
}

enum lorac_status lorac_axes_mark(const Onnx__NodeProto *node, const struct lorac_int_list *axes, size_t rank,
                                  bool *marked, struct lorac_error *error)
{
    for (size_t i = 0; i < axes->count; i++) {
        size_t place = 0;
        LORAC_TRY(lorac_axes_place(node, axes->values[i], rank, &place, error));
        if (marked[place])
            return lorac_refuse(node, error, "axis %lld is named twice", (long long)axes->values[i]);
        marked[place] = true;
    }
    return LORAC_OK;
}

enum lorac_status lorac_axes_memory(const Onnx__NodeProto *node, const struct lorac_view *view, size_t place,
                                    const char *verb, enum lorac_axis *axis, struct lorac_error *error)
{
    *axis = view->axes[place];
    if (*axis == LORAC_AXIS_N)
        return lorac_refuse(node, error, "it %s the batch", verb);
    if (*axis == LORAC_AXIS_ONE)
        return lorac_refuse(node, error,
                            "it %s dimension %zu, which is 1, beside three larger ones; three dimensions behind the "
                            "batch are supported",
                            verb, place);
    return LORAC_OK;
}
