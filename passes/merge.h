// merge: W = W0 + s * view(B @ A), computed in double and rounded once, stored in the field where W0 was; then the
// adapter's nodes, initialisers and metadata go. An adapter whose product is all zero leaves the tensor untouched,
// so that merging a freshly injected model gives back the original file byte for byte.
#ifndef LORAC_MERGE_H
#define LORAC_MERGE_H

#include "pass.h"

extern const struct lorac_pass lorac_pass_merge; // no options

#endif
