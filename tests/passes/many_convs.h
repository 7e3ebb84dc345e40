// A model with one convolution of every kind that inject tells apart.
#ifndef LORAC_TEST_MANY_CONVS_H
#define LORAC_TEST_MANY_CONVS_H

#include "small_model.h"

#define DIMS(...) (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)

// x ─ stem ─ c1 ─ dw ─ pw ─ (unnamed) ─ half ─ computed ─ inside ─ s1 ─ s2 ─ GlobalAveragePool ─ Flatten ─ head
// [head] is "Gemm", "MatMul" or "Conv"; [ir] 3 lists the initialisers as inputs.
static inline void build_many_convs(struct small_model *small, int64_t ir, const char *head)
{
    small_init(small, ir, 13);
    small_input(small, "x", DIMS(1, 3, 8, 8));
    small_output(small, "y");
    small_tensor(small, "stem.w", DIMS(4, 3, 3, 3));
    small_tensor(small, "stem.b", DIMS(4));
    small_tensor(small, "c1.w", DIMS(4, 4, 3, 3));
    small_tensor(small, "c1.b", DIMS(4));
    small_tensor(small, "dw.w", DIMS(4, 1, 3, 3));
    small_tensor(small, "pw.w", DIMS(6, 4, 1, 1));
    small_tensor(small, "row.w", DIMS(6, 6, 1, 3));
    small->tensors[small->graph.n_initializer++] = small_make_tensor(
        small, "half.w", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, 2, DIMS(6, 6, 1, 1));
    small_tensor(small, "early.w", DIMS(6, 6, 1, 1));
    small_tensor(small, "shared.w", DIMS(6, 3, 3, 3));

    small_node(small, "Conv", "stem", "x stem.w stem.b", "stem.y");
    small_node(small, "Conv", "c1", "stem.y c1.w c1.b", "c1.y");
    small_group(small, small_node(small, "Conv", "dw", "c1.y dw.w", "dw.y"), 4);
    small_node(small, "Conv", "pw", "dw.y pw.w", "pw.y");
    small_node(small, "Conv", NULL, "pw.y row.w", "row.y");
    small_node(small, "Conv", "half", "row.y half.w", "half.y");
    small_node(small, "Identity", "copy", "early.w", "early.copy");
    small_node(small, "Conv", "computed", "half.y early.copy", "computed.y");
    small_constant(small, "inside.w", DIMS(6, 6, 3, 3));
    small_node(small, "Conv", "inside", "computed.y inside.w", "inside.y");
    small_group(small, small_node(small, "Conv", "s1", "inside.y shared.w", "s1.y"), 2);
    small_group(small, small_node(small, "Conv", "s2", "s1.y shared.w", "s2.y"), 2);
    small_node(small, "GlobalAveragePool", "pool", "s2.y", "pool.y");

    small_tensor(small, "head.b", DIMS(5));
    if (strcmp(head, "Conv") == 0) {
        small_tensor(small, "head.w", DIMS(5, 6, 1, 1));
        small_node(small, "Conv", "head", "pool.y head.w head.b", "head.y");
        small_node(small, "Flatten", "flat", "head.y", "logits");
    } else if (strcmp(head, "Gemm") == 0) {
        small_tensor(small, "head.w", DIMS(6, 5));
        small_node(small, "Flatten", "flat", "pool.y", "flat.y");
        small_node(small, "Gemm", "head", "flat.y head.w head.b", "logits");
    } else {
        small_tensor(small, "head.w", DIMS(6, 5));
        small_node(small, "Flatten", "flat", "pool.y", "flat.y");
        small_node(small, "MatMul", "head", "flat.y head.w", "head.y");
        small_node(small, "Add", "bias", "head.b head.y", "logits");
    }
    small_node(small, "Softmax", "softmax", "logits", "y");
}

static inline struct lorac_model *many_convs(int64_t ir, const char *head)
{
    struct small_model small;
    build_many_convs(&small, ir, head);
    return small_load(&small);
}

#endif
