// What the files of the record share (adapter_meta*.c, adapter_copies.c), and those that find an adapter in the graph:
// adapter_site.c (the weight form) and adapter_branch_site.c, for which adapter_parts.c checks what both forms have.
// Errors: MISMATCH, saying what is off.
#ifndef LORAC_ADAPTER_INTERNAL_H
#define LORAC_ADAPTER_INTERNAL_H

#include "adapter_meta.h"

// The keys of the record.
#define KEY_FORMAT    "lorac.format"
#define KEY_HASH      "lorac.base_hash"
#define KEY_ADAPTERS  "lorac.adapters"
#define KEY_TRAINABLE "lorac.trainable"
#define KEY_BN        "lorac.bn"
#define KEY_SEED      "lorac.seed"
#define KEY_INPUT     "lorac.input"
#define KEY_CLASSES   "lorac.classes"
#define KEY_OUTPUT    "lorac.output"
#define KEY_TOOL      "lorac.tool"
#define KEY_COPIES    "lorac.copies"
#define KEY_INPUTS    "lorac.graph_inputs"

// Indexed by enum lorac_bn_mode.
extern const char *const lorac_bn_names[2];

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
                                      struct lorac_arena *arena, struct lorac_adapter_site *site,
                                      struct lorac_error *error);

// meta->copies from and to lorac.copies (adapter_copies.c): the text alone, then against the model. Errors: FORMAT,
// MISMATCH, MEMORY.
enum lorac_status lorac_copies_parse(struct lorac_arena *arena, const char *text, struct lorac_meta *meta,
                                     struct lorac_error *error);
enum lorac_status lorac_copies_check(struct lorac_model *model, const struct lorac_meta *meta,
                                     struct lorac_error *error);
enum lorac_status lorac_copies_write(struct lorac_model *model, const struct lorac_meta *meta,
                                     struct lorac_error *error);

#endif
