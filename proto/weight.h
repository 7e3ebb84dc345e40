// What a Conv, Gemm, MatMul or BatchNormalization reads as weight, bias or statistics, from the model alone: a tensor
// (an initialiser or a Constant), or what nodes compute from tensors (Identity, Cast, DequantizeLinear, Transpose,
// ...).
#ifndef LORAC_WEIGHT_H
#define LORAC_WEIGHT_H

#include "constant.h"
#include "model.h"

struct lorac_weight {
    const char *value;         // the name that the node reads
    Onnx__TensorProto *tensor; // NULL where the value is computed
    bool quantised;            // a DequantizeLinear lies before it: the stored numbers are integers
    int32_t data_type;         // of the value; any type
    size_t rank;
    int64_t dims[LORAC_CONSTANT_MAX_RANK];
    size_t count;
};

// Looks at the value [value]; its numbers are not computed where Identity, Cast, DequantizeLinear and Transpose are all
// that lies before it, behind a tensor or a ConstantOfShape. *out borrows [value]; the tensor is the model's. Errors:
// UNSUPPORTED (it is not constant, or not of the supported arithmetic: the message is the reason, as a sentence goes
// on: "value 'x' is an input of the graph, not a constant"), FORMAT (dims), MEMORY.
enum lorac_status lorac_weight_find(struct lorac_model *model, const char *value, struct lorac_weight *out,
                                    struct lorac_error *error);

// True where the numbers are FLOAT, DOUBLE, FLOAT16 or BFLOAT16.
bool lorac_weight_is_floating(const struct lorac_weight *weight);

// All numbers, row-major, of a floating weight; computed again each time, in memory of its own. [count] must be the
// weight's. To float: rounded once; too large a double becomes infinite. Errors: UNSUPPORTED, MEMORY, and those of
// lorac_tensor_to_double.
enum lorac_status lorac_weight_to_float(struct lorac_model *model, const struct lorac_weight *weight, float *out,
                                        size_t count, struct lorac_error *error);
enum lorac_status lorac_weight_to_double(struct lorac_model *model, const struct lorac_weight *weight, double *out,
                                         size_t count, struct lorac_error *error);

// NOT_FINITE where a number is NaN or, as float32, infinite; names the value.
enum lorac_status lorac_weight_check_finite(struct lorac_model *model, const struct lorac_weight *weight,
                                            struct lorac_error *error);

// Adds an initialiser [name], which must be free, with the dims, the floating type and the numbers of [weight], raw.
// Errors: as to_double, and those of lorac_model_add_initializer.
enum lorac_status lorac_weight_add_copy(struct lorac_model *model, const struct lorac_weight *weight, const char *name,
                                        struct lorac_error *error);

#endif
