// Constants of a graph: initialisers, Constant nodes, and what follows from them by the arithmetic that exporters leave
// in the graph. Shared by the passes, which ask the model alone (lorac_constant_resolve), and by the runtime, which
// walks the graph itself because there the Shape of an activation is a constant too (lorac_constant_evaluate).
//
// Every value is held in double or int64 and is exactly a value of its ONNX type: each operation is computed in double
// (or 64 bits) and rounded once (wrapped) to the type of its result.
#ifndef LORAC_CONSTANT_H
#define LORAC_CONSTANT_H

#include "arena.h"
#include "model.h"

enum { LORAC_CONSTANT_MAX_RANK = 8 };

// A file of a few bytes can ask for any number of elements. The most that a constant may have (1 GiB in memory), and
// the most where it has more than each of its inputs (Expand, ConstantOfShape, Concat, ...).
#define LORAC_CONSTANT_MAX_COUNT ((size_t)1 << 27)
#define LORAC_CONSTANT_MAX_MADE ((size_t)1 << 23)

// Whether [count] elements may be in memory at once: 2^24, or four times what the model's own tensors hold.
bool lorac_constant_total_fits(struct lorac_model *model, size_t count);

// What is computed again and again counts each time: a file of a few bytes can have any number of weights that each
// take the largest question. So a model counts the elements that evaluating has gone through, whoever asks, from the
// beginning of a look at it: a pass, a lowering, the making of a session. (What takes long, powers, activation
// functions and float16, counts several times.) It may be 2^26 in all, half a second at most, or 256 times what the
// model's own tensors hold: a weight that is standardised in the graph goes through 12 elements for each of its own, 48
// in float16, and a look at an injected model asks for it 5 times.
void lorac_constant_begin(struct lorac_model *model);
// Counts [elements] that are about to be gone through. UNSUPPORTED, and not counted, where that is too much.
enum lorac_status lorac_constant_charge(struct lorac_model *model, size_t elements, struct lorac_error *error);
// True where that has been refused since the beginning: what else is asked of the model would depend on the order.
bool lorac_constant_is_spent(const struct lorac_model *model);

struct lorac_constant {
    int32_t data_type; // ONNX element type of the value
    bool floating;     // which array holds the elements
    size_t rank;
    int64_t dims[LORAC_CONSTANT_MAX_RANK];
    size_t count;
    int64_t *ints;  // [count], integer and bool types
    double *floats; // [count], floating types (each exactly a value of data_type)
};

// ---- evaluating

// Exporters leave chains of a dozen constant nodes at most; a file with thousands is not a model.
enum { LORAC_CONSTANT_MAX_DEPTH = 200 };

// The value named [value], from the model alone. All that is evaluated on the way lives in [arena]: give one of your
// own where it is large. Errors: UNSUPPORTED (it depends on an input of the graph, on an operator that is not known
// here, or on a chain of more than LORAC_CONSTANT_MAX_DEPTH nodes; too many elements), MEMORY, FORMAT.
enum lorac_status lorac_constant_resolve(struct lorac_model *model, const char *value, struct lorac_arena *arena,
                                         struct lorac_constant *out, struct lorac_error *error);

// Looks whether [value] follows from constants of the model alone, without computing anything: OK, or what
// lorac_constant_resolve would say. (That may still fail, where the numbers do not fit an operator.)
enum lorac_status lorac_constant_follows(struct lorac_model *model, const char *value, struct lorac_error *error);

// One node whose inputs are known.
struct lorac_constant_node {
    struct lorac_model *model;
    const Onnx__NodeProto *node;
    const struct lorac_constant *const *inputs; // [input_count], NULL where absent
    size_t input_count;
    size_t output; // which of the node's outputs
};
// UNSUPPORTED names the node. The elements may be those of an input (Reshape, Identity).
enum lorac_status lorac_constant_evaluate(const struct lorac_constant_node *what, struct lorac_arena *arena,
                                          struct lorac_constant *out, struct lorac_error *error);

// True for a BatchNormalization of activations: one of those that have statistics to keep or to train. That of a weight
// (its x follows from constants alone) is constant arithmetic like any other.
bool lorac_constant_spares_batch_norm(struct lorac_model *model, const Onnx__NodeProto *node);

// Which output of [node] is [value]; n_output where none is.
size_t lorac_constant_output(const Onnx__NodeProto *node, const char *value);

// True for the op types that lorac_constant_evaluate knows.
bool lorac_constant_knows(const Onnx__NodeProto *node);

// ---- making and reading

// Reads a tensor of the model; its elements are counted.
enum lorac_status lorac_constant_from_tensor(struct lorac_model *model, const Onnx__TensorProto *tensor,
                                             struct lorac_arena *arena, struct lorac_constant *out,
                                             struct lorac_error *error);

// A zeroed constant. Errors: UNSUPPORTED (rank, too many elements), FORMAT (dims), MEMORY.
enum lorac_status lorac_constant_init(struct lorac_constant *out, int32_t data_type, const int64_t *dims, size_t rank,
                                      struct lorac_arena *arena, struct lorac_error *error);

// What Shape gives for a value of these dims (start and end as in its attributes).
enum lorac_status lorac_constant_shape(const int64_t *dims, size_t rank, int64_t begin, int64_t end,
                                       struct lorac_arena *arena, struct lorac_constant *out,
                                       struct lorac_error *error);

// Element [i] of an integer (or whole floating) constant.
int64_t lorac_constant_int(const struct lorac_constant *constant, size_t i);


// [value] rounded to nearest even to a value of a floating type.
double lorac_constant_round(int32_t data_type, double value);

// ---- rules of operators, for kernels whose attributes follow the same

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

#endif
