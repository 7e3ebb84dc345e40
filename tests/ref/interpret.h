// Inside the oracle's interpreter: one function for each group of operators takes a node's inputs and attributes to the
// plain loops of ref.h.
#ifndef LORAC_TEST_REF_INTERPRET_H
#define LORAC_TEST_REF_INTERPRET_H

#include "ref/ref.h"

struct call {
    struct ref_run *run;
    const Onnx__NodeProto *node;
    const struct ref_tensor *x; // input 0
    int64_t opset;
    struct lorac_model *model;
    size_t output; // which of the node's outputs is wanted
};

static inline const struct ref_tensor *input(const struct call *call, size_t i)
{
    const char *name = lorac_node_input(call->node, i);
    if (*name == '\0')
        return NULL;
    const struct ref_tensor *value = ref_run_value(call->run, name);
    ref_require(value != NULL, "a value is used before it is made");
    return value;
}

static inline int64_t whole(double value)
{
    return value >= 9e18 ? INT64_MAX : value <= -9e18 ? INT64_MIN : (int64_t)value;
}

// Integers from input [i], or where that is absent from the attribute [name]; *values NULL where neither is there.
static inline size_t integers(const struct call *call, size_t i, const char *name, int64_t buffer[16],
                              const int64_t **values)
{
    const struct ref_tensor *x = input(call, i);
    if (x == NULL) {
        size_t count = lorac_node_ints(call->node, name, values);
        if (count == 0)
            *values = NULL;
        return count;
    }
    size_t count = ref_count(x);
    ref_require(count <= 16, "too many integers");
    for (size_t k = 0; k < count; k++)
        buffer[k] = whole(x->data[k]);
    *values = buffer;
    return count;
}

struct ref_operator {
    const char *op_type;
    struct ref_tensor (*run)(const struct call *call);
};

extern const struct ref_operator ref_shape_operators[]; // interpret_shape.c
extern const size_t ref_shape_operator_count;
extern const struct ref_operator ref_reduce_operators[]; // interpret_reduce.c
extern const size_t ref_reduce_operator_count;

#endif
