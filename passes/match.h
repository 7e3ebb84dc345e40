// Looking helpers for passes: where the network begins and where it ends.
#ifndef LORAC_MATCH_H
#define LORAC_MATCH_H

#include "proto/model.h"

// A formatted text in the model's arena; NULL where memory ran out.
const char *lorac_match_text(struct lorac_model *model, const char *format, ...) LORAC_PRINTF(2, 3);

// The nodes of the main graph that the graph output [output] (NULL: the first; all of them where the model has none)
// depends on, be it through the subgraph of another node. One walk over the graph; in the model's arena, and good as
// long as the nodes are there. Errors: MEMORY.
struct lorac_reach {
    const Onnx__NodeProto **sorted; // [count], by address: a node does not know its place in the graph
    bool *reached;                  // beside [sorted]
    size_t count;
};
enum lorac_status lorac_match_reach(struct lorac_model *model, const char *output, struct lorac_reach *out,
                                    struct lorac_error *error);
// [node] was in the graph.
bool lorac_reach_has(const struct lorac_reach *reach, const Onnx__NodeProto *node);

// The first Conv in graph order that depends on the trained input (the model's first input that must be fed) and that
// [reach] has; *out is NULL where there is none. Errors: MEMORY.
enum lorac_status lorac_match_first_conv(struct lorac_model *model, const struct lorac_reach *reach,
                                         const Onnx__NodeProto **out, struct lorac_error *error);

// The last layer: the Gemm, MatMul (with the Add of a constant behind it) or 1x1 Conv with a constant weight nearest
// before the trained output. Only operators with one stream of data may be in between: activations, pooling, reshaping,
// arithmetic with a constant. Weight and bias are constants of a floating type, tensors or computed (proto/weight.h).
struct lorac_last_layer {
    const Onnx__NodeProto *node; // NULL where there is none: see [reason]
    const char *weight;          // value names, NULL without node; the node's input 1
    const char *bias;            // NULL where the layer has no constant with one value for each of its outputs
    const Onnx__NodeProto *bias_node; // what reads the bias, at input [bias_input]: the node, or the Add behind a MatMul
    size_t bias_input;
    const char *reason; // why there is none, one line; NULL with node
};

// [output] is the trained graph output; NULL: the first. Errors: MEMORY.
enum lorac_status lorac_match_last_layer(struct lorac_model *model, const char *output, struct lorac_last_layer *out,
                                         struct lorac_error *error);

#endif
