// Shared by constant.c, constant_arithmetic.c and the kernels whose attributes follow the same rules.
#ifndef LORAC_CONSTANT_INTERNAL_H
#define LORAC_CONSTANT_INTERNAL_H

#include "constant.h"

bool lorac_constant_type_is_floating(int32_t data_type);

// A zeroed constant. Errors: UNSUPPORTED (rank), FORMAT (dims), MEMORY.
enum lorac_status lorac_constant_init(struct lorac_constant *out, int32_t data_type, const int64_t *dims, size_t rank,
                                      struct lorac_arena *arena, struct lorac_error *error);

// Element copy, converted to the target's array.
void lorac_constant_copy_element(struct lorac_constant *to, size_t to_index, const struct lorac_constant *from,
                                 size_t from_index);

// What Shape gives for a value of these dims (start and end as in its attributes).
enum lorac_status lorac_constant_shape(const int64_t *dims, size_t rank, int64_t begin, int64_t end,
                                       struct lorac_arena *arena, struct lorac_constant *out,
                                       struct lorac_error *error);

// A short list of integers: an attribute in old operator sets, a constant input in new ones.
struct lorac_int_list {
    bool given;
    size_t count; // as in the file; at most LORAC_CONSTANT_MAX_RANK values are kept
    int64_t values[LORAC_CONSTANT_MAX_RANK];
};

// From [constant], or from the attribute where that is NULL. False where there are more values than are kept.
bool lorac_int_list_read(const Onnx__NodeProto *node, const char *attribute, const struct lorac_constant *constant,
                         struct lorac_int_list *out);

// Reshape's rule (0 copies, -1 infers); false where the target does not fit.
bool lorac_reshape_dims(const int64_t *dims, size_t rank, const int64_t *target, size_t target_rank, bool allow_zero,
                        int64_t *out);

// Slice's rule on one axis: index of the first element and count; false for a step of zero.
bool lorac_slice_axis(int64_t size, int64_t start, int64_t end, int64_t step, int64_t *first, int64_t *count);

// Add, Sub, Mul, Div with broadcasting (integers truncate and wrap as C's unsigned do; a division by zero is refused)
// and MatMul of two matrices (accumulated in double, rounded once).
enum lorac_status lorac_constant_arithmetic(const char *op_type, const struct lorac_constant *a,
                                            const struct lorac_constant *b, struct lorac_arena *arena,
                                            struct lorac_constant *out, struct lorac_error *error);

#endif
