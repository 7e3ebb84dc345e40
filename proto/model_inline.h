// Local functions written out: each node that calls one (ModelProto.functions) is replaced by the function's nodes, so
// that everything behind sees operators alone.
//
//     before:  y = F(x)         F(a) -> b:  Relu 'act' (a) -> t, Neg (t) -> b
//     after:   Relu '<call>/act' (x) -> <call>/t, Neg (<call>/t) -> y
//
// <call> is the calling node's name. Calls of calls are written out too, in subgraphs as well. An attribute that a
// function's node takes by reference (ref_attr_name) gets the call's value, else the function's default, else it is
// left out. Values of the call keep their names; all others get one that the model does not have yet.
#ifndef LORAC_MODEL_INLINE_H
#define LORAC_MODEL_INLINE_H

#include "model.h"

// Writes out all calls; *call_count (may be NULL) is their number. The functions go, used or not, with the imports of
// operator sets that only they had; a model without functions stays as it is. On failure the model is as it was.
// Errors: FORMAT (a call that does not fit its function, functions that call each other in a circle, what
// lorac_model_check says of the result), UNSUPPORTED (a function that was written for another version of an operator
// set than the model's; one in the default domain; more written out than LORAC_INLINE_MAX_BYTES hold), MEMORY. All name
// the function or the node.
enum lorac_status lorac_model_inline(struct lorac_model *model, size_t *call_count, struct lorac_error *error);

// Bounds what a small file of functions that call one another can grow to.
enum { LORAC_INLINE_MAX_BYTES = 128 << 20, LORAC_INLINE_MAX_DEPTH = 50 };

#endif
