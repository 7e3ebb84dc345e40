// merge: W = W0 + s * view(B @ A), computed in double and rounded once to W0's type, stored in the field where W0 was (or
// in a tensor of the convolution's own, where W0 has other users or is computed); then the adapter's nodes, initialisers
// and metadata go. An adapter whose product is all zero leaves the tensor untouched, and a copied base tensor that
// training left as it was goes, so that merging a freshly injected model gives back the original file byte for byte.
// The report notes each weight that was quantised and is no more.
#ifndef LORAC_MERGE_H
#define LORAC_MERGE_H

#include "pass.h"

extern const struct lorac_pass lorac_pass_merge; // no options

#endif
