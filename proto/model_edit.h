// Safe edits of a model, for passes. Everything new lives in the model's arena; strings are copied.
// Every edit of the graph makes the index stale (look-ups rebuild it), so pointers from lorac_model_uses end here.
// An edit that fails leaves the model as it was.
#ifndef LORAC_MODEL_EDIT_H
#define LORAC_MODEL_EDIT_H

#include "model.h"

// A name that no value, node, initialiser, input, output, value_info or subgraph name of the model has: [wanted]
// itself where it is free, else [wanted]_1, _2, ... Owned by the model; free until it is used, so the same call
// gives the same name until then. Errors: MEMORY, ARGUMENT (empty).
enum lorac_status lorac_model_fresh_name(struct lorac_model *model, const char *wanted, const char **out,
                                         struct lorac_error *error);

// A new node without attributes before [before] (NULL: at the end). *out may be NULL.
struct lorac_node_spec {
    const char *op_type;
    const char *name; // NULL: unnamed
    size_t input_count;
    const char *inputs[4];
    const char *output; // one output
};
enum lorac_status lorac_model_insert_node(struct lorac_model *model, const Onnx__NodeProto *before,
                                          const struct lorac_node_spec *spec, Onnx__NodeProto **out,
                                          struct lorac_error *error);

// A new initialiser at the end of the list, raw little-endian data. In a model of IR version 3 or less it is
// declared as a graph input too, as that version demands. [bytes] is copied. Errors: ARGUMENT (name taken or empty,
// byte_count does not fit), MEMORY.
enum lorac_status lorac_model_add_initializer(struct lorac_model *model, const char *name, int32_t data_type,
                                              const int64_t *dims, size_t dim_count, const void *bytes,
                                              size_t byte_count, struct lorac_error *error);

// Declares the initialiser [name] as an input of the graph, at the end of the list, so that who runs the model may give
// another value; *declared says whether it was not one before. / Takes the declarations of those names away that are
// initialisers. Errors: ARGUMENT (no initialiser), MEMORY.
enum lorac_status lorac_model_declare_input(struct lorac_model *model, const char *name, bool *declared,
                                            struct lorac_error *error);
enum lorac_status lorac_model_undeclare_inputs(struct lorac_model *model, const char *const *names, size_t count,
                                               struct lorac_error *error);

// Removes the node / the initialiser named [name] with its graph-input declaration. Removing what is not there is
// a no-op.
void lorac_model_erase_node(struct lorac_model *model, const Onnx__NodeProto *node);
void lorac_model_erase_initializer(struct lorac_model *model, const char *name);

// Removes many at once, in one walk over the model's lists. The two arrays are sorted on the way, and may be NULL where
// their count is 0.
void lorac_model_erase_all(struct lorac_model *model, const Onnx__NodeProto **nodes, size_t node_count,
                           const Onnx__TensorProto **tensors, size_t tensor_count);

// The node after [node] in the main graph; NULL where it is the last one, or not there.
const Onnx__NodeProto *lorac_model_node_after(struct lorac_model *model, const Onnx__NodeProto *node);

// node->input[index] = copy of [value].
enum lorac_status lorac_model_set_node_input(struct lorac_model *model, Onnx__NodeProto *node, size_t index,
                                             const char *value, struct lorac_error *error);

// All of the node's inputs at once: copies of the [count] names.
enum lorac_status lorac_model_set_node_inputs(struct lorac_model *model, Onnx__NodeProto *node,
                                              const char *const *values, size_t count, struct lorac_error *error);

// Every use of [from] by nodes of the main graph and in their subgraphs becomes a use of [to], a name that no value of
// the model has yet (or had before the opposite call). What produces [from], and a graph output of that name, stay.
// All [count] moves are made at once, in one walk over the model: what became [to] is not moved again. No [from] occurs
// twice.
struct lorac_move {
    const char *from, *to;
};
enum lorac_status lorac_model_move_uses(struct lorac_model *model, const struct lorac_move *moves, size_t count,
                                        struct lorac_error *error);

// Sets (replaces or appends) the attribute [name] of a node.
enum lorac_status lorac_model_set_node_int(struct lorac_model *model, Onnx__NodeProto *node, const char *name,
                                           int64_t value, struct lorac_error *error);
enum lorac_status lorac_model_set_node_ints(struct lorac_model *model, Onnx__NodeProto *node, const char *name,
                                            const int64_t *values, size_t count, struct lorac_error *error);

// Gives [to] copies of all attributes of [from] in place of its own. Errors: UNSUPPORTED (a subgraph), MEMORY.
enum lorac_status lorac_model_copy_attributes(struct lorac_model *model, const Onnx__NodeProto *from,
                                              Onnx__NodeProto *to, struct lorac_error *error);

// Sets (replaces or appends) / removes one metadata entry. Removing the last one leaves no empty list behind.
enum lorac_status lorac_model_set_metadata(struct lorac_model *model, const char *key, const char *value,
                                           struct lorac_error *error);
void lorac_model_erase_metadata(struct lorac_model *model, const char *key);

#endif
