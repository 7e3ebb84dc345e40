// Constants of a graph: initialisers, Constant nodes, and what follows from them and from shapes by the arithmetic that
// exporters leave in the graph. Evaluated on demand and remembered.
#ifndef LORAC_CONSTANT_H
#define LORAC_CONSTANT_H

#include "arena.h"
#include "model.h"

enum { LORAC_CONSTANT_MAX_RANK = 8 };

struct lorac_constant {
    int32_t data_type; // ONNX element type of the value
    bool floating;     // which array holds the elements
    size_t rank;
    int64_t dims[LORAC_CONSTANT_MAX_RANK];
    size_t count;
    int64_t *ints;  // [count], integer and bool types
    double *floats; // [count], floating types (each exactly a value of data_type)
};

// Evaluates one node from its constant inputs ([inputs][i] NULL where absent). UNSUPPORTED: names the node.
enum lorac_status lorac_constant_evaluate(struct lorac_model *model, const Onnx__NodeProto *node,
                                          const struct lorac_constant *const *inputs, size_t input_count,
                                          struct lorac_arena *arena, struct lorac_constant *out,
                                          struct lorac_error *error);

// Reads a tensor of the model.
enum lorac_status lorac_constant_from_tensor(const Onnx__TensorProto *tensor, struct lorac_arena *arena,
                                             struct lorac_constant *out, struct lorac_error *error);

// True for the op types that lorac_constant_evaluate knows.
bool lorac_constant_knows(const Onnx__NodeProto *node);

// Element [i] of an integer (or whole floating) constant.
int64_t lorac_constant_int(const struct lorac_constant *constant, size_t i);

#endif
