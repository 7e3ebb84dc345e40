// Steps that the step before them does on the way. A Relu or Clip that alone reads what a convolution or a sum made,
// and lies in its place (alias.h), costs a pass over memory that the other can save: it clamps what it writes.
//
//     conv ──a──▶ Relu ──b──▶      conv's outputs are clamped on their way to memory; Relu computes nothing forward,
//                                  makes its mask where it keeps one (mask.h), and has its gradient as before
//
// The step stays for its gradient, unlike one that is absorbed (absorb.h), and whether the other can is known only when
// its form is.
#ifndef LORAC_FUSE_H
#define LORAC_FUSE_H

#include "program.h"

// Sets is_fused where the kernels agree. After lorac_alias_in_place. Errors: MEMORY.
enum lorac_status lorac_fuse_clamps(struct lorac_program *program, struct lorac_error *error);

#endif
