// DepthToSpace and SpaceToDepth: blocks of B x B pixels become channels, or come from them.
#include "kernel_list.h"

#include "reorder.h"

#include <string.h>

// The two sides of the exchange: the deep image [H, W, B*B*C] and the wide one [H*B, W*B, C].
struct blocks {
    int64_t B, H, W, C;
    bool columns_first; // mode CRD: a deep channel is c*B*B + row*B + column, else (row*B + column)*C + c
};

// Both walks count (H, W, row, column, C), with the channels innermost, as memory has them.
static struct lorac_reorder_walk deep_walk(const struct blocks *b)
{
    int64_t deep = b->B * b->B * b->C, each = b->columns_first ? 1 : b->C, channel = b->columns_first ? b->B * b->B : 1;
    return (struct lorac_reorder_walk){
        5,
        {b->H, b->W, b->B, b->B, b->C},
        {(size_t)(b->W * deep), (size_t)deep, (size_t)(b->B * each), (size_t)each, (size_t)channel}};
}

static struct lorac_reorder_walk wide_walk(const struct blocks *b)
{
    int64_t row = b->W * b->B * b->C;
    return (struct lorac_reorder_walk){
        5, {b->H, b->W, b->B, b->B, b->C}, {(size_t)(b->B * row), (size_t)(b->B * b->C), (size_t)row, (size_t)b->C, 1}};
}

static enum lorac_status read_node(struct lorac_lowering *lowering, const Onnx__NodeProto *node, struct blocks *b,
                                   struct lorac_error *error)
{
    const char *mode = lorac_node_string(lorac_lowering_program(lowering)->model, node, "mode", "DCR");
    b->B = lorac_node_int(node, "blocksize", 0);
    b->columns_first = strcmp(mode, "CRD") == 0;
    if (b->B < 1 || b->B > 65535)
        return lorac_refuse(node, error, "its blocksize is %lld; it must be 1 to 65535", (long long)b->B);
    if (!b->columns_first && strcmp(mode, "DCR") != 0)
        return lorac_refuse(node, error, "mode '%s' is not known; DCR and CRD are", mode);
    return LORAC_OK;
}

static enum lorac_status lower_to_space(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                        struct lorac_step *step, struct lorac_error *error)
{
    uint32_t x;
    struct blocks b = {0};
    LORAC_TRY(read_node(lowering, node, &b, error));
    LORAC_TRY(lorac_lowering_image_input(lowering, node, 0, &x, error));
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    if (value.c % (size_t)(b.B * b.B) != 0)
        return lorac_refuse(node, error, "%zu channels do not divide into blocks of %lld x %lld", value.c,
                            (long long)b.B, (long long)b.B);
    b.H = (int64_t)value.h;
    b.W = (int64_t)value.w;
    b.C = (int64_t)value.c / (b.B * b.B);
    struct lorac_reorder_walk from = deep_walk(&b), to = wide_walk(&b);
    step->kernel = &lorac_kernel_reorder;
    LORAC_TRY(lorac_reorder_lower_walks(lowering, step, x, &from, &to, error));
    return lorac_lowering_output(lowering, node, step, value.n, (size_t)(b.H * b.B), (size_t)(b.W * b.B), (size_t)b.C,
                                 &lorac_view_image, error);
}

static enum lorac_status lower_to_depth(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                        struct lorac_step *step, struct lorac_error *error)
{
    uint32_t x;
    struct blocks b = {0};
    LORAC_TRY(read_node(lowering, node, &b, error));
    LORAC_TRY(lorac_lowering_image_input(lowering, node, 0, &x, error));
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    if (value.h % (size_t)b.B != 0 || value.w % (size_t)b.B != 0)
        return lorac_refuse(node, error, "%zu x %zu pixels do not divide into blocks of %lld x %lld", value.h, value.w,
                            (long long)b.B, (long long)b.B);
    b.H = (int64_t)value.h / b.B;
    b.W = (int64_t)value.w / b.B;
    b.C = (int64_t)value.c;
    struct lorac_reorder_walk from = wide_walk(&b), to = deep_walk(&b);
    step->kernel = &lorac_kernel_reorder;
    LORAC_TRY(lorac_reorder_lower_walks(lowering, step, x, &from, &to, error));
    return lorac_lowering_output(lowering, node, step, value.n, (size_t)b.H, (size_t)b.W, (size_t)(b.B * b.B * b.C),
                                 &lorac_view_image, error);
}

const struct lorac_kernel lorac_kernel_depth_to_space = {.op_type = "DepthToSpace", .lower = lower_to_space};
const struct lorac_kernel lorac_kernel_space_to_depth = {.op_type = "SpaceToDepth", .lower = lower_to_depth};
