#include "adapter_internal.h"

#include "tensor.h"

#include <inttypes.h>
#include <string.h>

enum { FLOAT32 = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT };

// ---- the weight

static enum lorac_status check_weight(const struct lorac_adapter *adapter, const struct lorac_weight *weight,
                                      struct lorac_error *error)
{
    if (!lorac_weight_is_floating(weight) || weight->rank != 4)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "the weight '%s' is %s of %zu dimensions; it must be floating, of 4", adapter->weight,
                               lorac_tensor_type_name(weight->data_type), weight->rank);
    if (weight->count == 0)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "the weight '%s' is empty", adapter->weight);
    return LORAC_OK;
}

enum lorac_status lorac_adapter_find_weight(struct lorac_model *model, const struct lorac_adapter *adapter,
                                            const char *name, struct lorac_adapter_site *site,
                                            struct lorac_error *error)
{
    if (strcmp(name, adapter->weight) != 0)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "the weight is '%s' in the graph and '%s' in the metadata",
                               name, adapter->weight);
    struct lorac_error why = {0};
    enum lorac_status status = lorac_weight_find(model, adapter->weight, &site->weight, &why);
    if (status != LORAC_OK)
        return lorac_error_set(error, status == LORAC_ERROR_MEMORY ? status : LORAC_ERROR_MISMATCH,
                               "the weight '%s' is not constant: %s", name, why.message);
    LORAC_TRY(check_weight(adapter, &site->weight, error));
    site->M = site->weight.dims[0];
    site->Cg = site->weight.dims[1];
    site->kh = site->weight.dims[2];
    site->kw = site->weight.dims[3];
    site->group = lorac_node_int(site->conv, "group", 1);
    site->R = lorac_adapter_inner(adapter->rank, adapter->setting, site->kh, site->kw);
    if (site->R == 0 || site->Cg > INT64_MAX / site->kw || site->M > INT64_MAX / site->kh)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "the dimensions of '%s' overflow", adapter->weight);
    return LORAC_OK;
}

// ---- A, B and the scale

static enum lorac_status check_matrix(const Onnx__TensorProto *tensor, int64_t rows, int64_t columns,
                                      struct lorac_error *error)
{
    if (tensor->data_type != FLOAT32)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "'%s' is %s; it must be FLOAT", tensor->name,
                               lorac_tensor_type_name(tensor->data_type));
    if (tensor->n_dims != 2)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "'%s' has %zu dimensions; it must be [%" PRId64 ",%" PRId64 "]", tensor->name,
                               tensor->n_dims, rows, columns);
    if (tensor->dims[0] != rows || tensor->dims[1] != columns)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "'%s' is [%" PRId64 ",%" PRId64 "]; it must be [%" PRId64 ",%" PRId64 "]", tensor->name,
                               tensor->dims[0], tensor->dims[1], rows, columns);
    return LORAC_OK;
}

enum lorac_status lorac_adapter_check_matrices(const struct lorac_adapter_site *site, struct lorac_error *error)
{
    LORAC_TRY(check_matrix(site->a, site->R, site->Cg * site->kw, error));
    return check_matrix(site->b, site->M * site->kh, site->R, error);
}

enum lorac_status lorac_adapter_check_scale(const struct lorac_adapter *adapter, const Onnx__TensorProto *scale,
                                            struct lorac_adapter_site *site, struct lorac_error *error)
{
    float stored = 0;
    if (scale->data_type != FLOAT32 || scale->n_dims != 0)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "'%s' must be a FLOAT scalar", scale->name);
    LORAC_TRY(lorac_tensor_to_float(scale, &stored, 1, error));
    site->s = adapter->alpha / (double)adapter->rank;
    if (stored != (float)site->s)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "'%s' holds %g, but alpha/rank is %g", scale->name,
                               (double)stored, site->s);
    return LORAC_OK;
}
