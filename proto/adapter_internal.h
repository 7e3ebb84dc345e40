// What the files that find an adapter in the graph share: adapter_site.c (the weight form) and adapter_branch_site.c,
// for which adapter_parts.c checks what both forms have. Errors: MISMATCH, saying what is off.
#ifndef LORAC_ADAPTER_INTERNAL_H
#define LORAC_ADAPTER_INTERNAL_H

#include "adapter_meta.h"

// The weight W0 of site->conv, which the graph calls [name]: what it is, and M, Cg, kh, kw, R and group.
enum lorac_status lorac_adapter_find_weight(struct lorac_model *model, const struct lorac_adapter *adapter,
                                            const char *name, struct lorac_adapter_site *site,
                                            struct lorac_error *error);

// site->a and site->b: FLOAT, of the sizes that the weight gives.
enum lorac_status lorac_adapter_check_matrices(const struct lorac_adapter_site *site, struct lorac_error *error);

// The scale in the graph holds alpha/rank; sets site->s.
enum lorac_status lorac_adapter_check_scale(const struct lorac_adapter *adapter, const Onnx__TensorProto *scale,
                                            struct lorac_adapter_site *site, struct lorac_error *error);

// The branch form: all of *site but its form. Errors: MISMATCH, UNSUPPORTED (a kernel that has no branch form), MEMORY.
enum lorac_status lorac_branch_locate(struct lorac_model *model, const struct lorac_adapter *adapter,
                                      struct lorac_adapter_site *site, struct lorac_error *error);

// meta->copies from and to lorac.copies (adapter_copies.c). Errors: FORMAT, MISMATCH, MEMORY.
enum lorac_status lorac_copies_read(struct lorac_model *model, struct lorac_meta *meta, struct lorac_error *error);
enum lorac_status lorac_copies_write(struct lorac_model *model, const struct lorac_meta *meta,
                                     struct lorac_error *error);

#endif
