// Shared by the files constant*.c alone: what an operator's evaluator gets, and the tables that they register in.
#ifndef LORAC_CONSTANT_INTERNAL_H
#define LORAC_CONSTANT_INTERNAL_H

#include "constant.h"

struct evaluation {
    struct lorac_constant_node what;
    struct lorac_arena *arena;
    struct lorac_error *error;
};

struct lorac_constant_op {
    const char *op_type; // NULL ends a table
    size_t required;     // inputs that must be there
    enum lorac_status (*evaluate)(const struct evaluation *e, struct lorac_constant *out);
};

// One table for each file: constant_layout.c (elements move), constant_make.c (elements appear or change type),
// constant_arithmetic.c (element by element, and MatMul), constant_activation.c, constant_reduce.c,
// constant_normalize.c.
extern const struct lorac_constant_op lorac_constant_layout_ops[];
extern const struct lorac_constant_op lorac_constant_make_ops[];
extern const struct lorac_constant_op lorac_constant_arithmetic_ops[];
extern const struct lorac_constant_op lorac_constant_activation_ops[];
extern const struct lorac_constant_op lorac_constant_reduce_ops[];
extern const struct lorac_constant_op lorac_constant_normalize_ops[];

// UNSUPPORTED "node 'X' (Op): <what>".
enum lorac_status lorac_constant_refuse(const struct evaluation *e, const char *what);

// Input [i], NULL where absent.
const struct lorac_constant *lorac_constant_input(const struct evaluation *e, size_t i);

// Counts [elements] that the node is about to go through beside those of its result: lorac_constant_charge.
enum lorac_status lorac_constant_work(const struct evaluation *e, size_t elements);

// lorac_constant_init whose message names the node. Counts the elements.
enum lorac_status lorac_constant_result(const struct evaluation *e, int32_t data_type, const int64_t *dims, size_t rank,
                                        struct lorac_constant *out);

// The integers of the attribute, or of input [i] where that is there.
enum lorac_status lorac_constant_int_list(const struct evaluation *e, const char *attribute, size_t i,
                                          struct lorac_int_list *out);

// False where the axis is outside [-rank, rank).
bool lorac_constant_axis(int64_t *axis, size_t rank);

// dims[begin] * ... * dims[end - 1]; of a constant, which was checked not to overflow.
size_t lorac_constant_product(const int64_t *dims, size_t begin, size_t end);

// Element copy, converted to the target's array.
void lorac_constant_copy_element(struct lorac_constant *to, size_t to_index, const struct lorac_constant *from,
                                 size_t from_index);

// [value] wrapped to the width of an integer type, BOOL to 0 or 1.
int64_t lorac_constant_wrap(int32_t data_type, int64_t value);

// Row-major strides of [dims] in elements.
void lorac_constant_strides(const int64_t *dims, size_t rank, int64_t *strides);

// A walk over [dims] in row-major order with up to three positions that move by strides of their own.
enum { LORAC_WALK_MAX_RANK = 2 * LORAC_CONSTANT_MAX_RANK, LORAC_WALK_MAX_POSITIONS = 3 };
struct lorac_walk {
    size_t rank, position_count;
    const int64_t *dims;
    int64_t index[LORAC_WALK_MAX_RANK];
    int64_t position[LORAC_WALK_MAX_POSITIONS];
    int64_t strides[LORAC_WALK_MAX_POSITIONS][LORAC_WALK_MAX_RANK];
};
// To the next element; back at the first one after the last.
void lorac_walk_next(struct lorac_walk *walk);

// Fills [out] with the elements of [x] at position 0 of the walk. Both have the same type.
void lorac_constant_fill(struct lorac_constant *out, const struct lorac_constant *x, struct lorac_walk *walk);

#endif
