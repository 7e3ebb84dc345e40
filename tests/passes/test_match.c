// Where the network begins and ends, on small graphs.
#include "many_convs.h"

#include "passes/match.h"
#include "passes/pass.h"

// One node: "Op name inputs... > output"; weights are made by name: w2 [5,6], w4 [6,6,1,1], k3 [6,6,3,3], b [5],
// half4 FLOAT16. The graph input is x, a second one z, the output y.
static struct lorac_model *build(const char *const *lines)
{
    struct small_model small;
    small_init(&small, 8, 13);
    small_input(&small, "x", DIMS(1, 6, 8, 8));
    small_input(&small, "z", DIMS(1, 6, 8, 8));
    small_output(&small, "y");
    small_tensor(&small, "w2", DIMS(6, 6));
    small_tensor(&small, "w4", DIMS(6, 6, 1, 1));
    small_tensor(&small, "k3", DIMS(6, 6, 3, 3));
    small_tensor(&small, "w1", DIMS(6));
    small_tensor(&small, "b", DIMS(6));
    small_tensor(&small, "b5", DIMS(1));
    small.tensors[small.graph.n_initializer++] =
        small_make_tensor(&small, "half4", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, 2, DIMS(6, 6, 1, 1));
    for (; *lines; lines++) {
        char op[32], name[32], inputs[96], output[32];
        REQUIRE(sscanf(*lines, "%31s %31s %95[^>]> %31s", op, name, inputs, output) == 4);
        small_node(&small, op, name, inputs, output);
    }
    return small_load(&small);
}

static const struct {
    const char *lines[8];
    const char *node, *weight, *bias; // bias "" for none
    const char *reason;               // a part, where node is NULL
} endings[] = {
    {{"Gemm g x w2 b > y"}, "g", "w2", "b", NULL},
    {{"Gemm g x w2 > y"}, "g", "w2", "", NULL},
    {{"Gemm g x w2 z > y"}, "g", "w2", "", NULL},
    {{"MatMul m x w2 > y"}, "m", "w2", "", NULL},
    {{"MatMul m x w2 > h", "Add a h b > y"}, "m", "w2", "b", NULL},
    {{"MatMul m x w2 > h", "Add a b h > i", "LogSoftmax s i > y"}, "m", "w2", "b", NULL},
    {{"MatMul m x w2 > h", "Reshape r h b > i", "Add a i b > y"}, "m", "w2", "b", NULL},
    {{"MatMul m x w2 > h", "Mul a h b > y"}, "m", "w2", "", NULL},
    {{"Conv c x w4 b > h", "Relu r h > i", "GlobalAveragePool p i > j", "Flatten f j > k", "Softmax s k > y"},
     "c", "w4", "b", NULL},
    {{"Conv c x w4 > h", "ReduceMean p h > i", "Squeeze q i > j", "Dropout d j > k", "Identity e k > y"},
     "c", "w4", "", NULL},
    {{"Gemm g x w2 > h", "Gemm g2 h w2 b > y"}, "g2", "w2", "b", NULL},
    {{"Conv c x k3 > y"}, NULL, NULL, NULL, "'c' (Conv) has no 1x1 kernel"},
    {{"Conv c x half4 > y"}, "c", "half4", "", NULL},
    {{"Identity i w4 > v", "Conv c x v > y"}, "c", "v", "", NULL},
    {{"Transpose t w2 > v", "Identity i b > u", "MatMul m x v > h", "Add a h u > y"}, "m", "v", "u", NULL},
    {{"Gemm g x w2 b5 > y"}, "g", "w2", "", NULL}, // one value for five outputs is no bias that is trained
    {{"MatMul m x w2 > h", "Reshape r h b > i", "Add a i b > j", "HardSwish s j > y"}, "m", "w2", "b", NULL},
    {{"MatMul m x w2 > h", "Relu r h > i", "Add a i b > y"}, "m", "w2", "", NULL},
    {{"MatMul m x w2 > h", "Softsign k b > v", "Mul a h v > y"}, NULL, NULL, NULL, "'a' (Mul) is in the way"},
    {{"MatMul m w2 x > y"}, NULL, NULL, NULL, "'m' (MatMul) has its constant on the left"},
    {{"Softsign r w2 > v", "Gemm g x v > y"}, NULL, NULL, NULL, "the weight 'v' of 'g' (Gemm) is not constant"},
    {{"Cast k w2 > v", "Gemm g x z > y"}, NULL, NULL, NULL, "not constant: value 'z' is an input of the graph"},
    {{"Gemm g x w2 > h", "ArgMax a h > y"}, NULL, NULL, NULL, "name an output of scores with --output-name"},
    {{"MatMul m x w1 > y"}, NULL, NULL, NULL, "has rank 1, not 2"},
    {{"Gemm g x w2 > h", "Add a h x > y"}, NULL, NULL, NULL, "'a' (Add) is in the way"},
    {{"Gemm g x w2 > h", "Resize t h > y"}, NULL, NULL, NULL, "'t' (Resize) is in the way"},
    {{"Relu r x > y"}, NULL, NULL, NULL, "no Gemm, MatMul or 1x1 Conv is before the output"},
};

static void test_endings(void)
{
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        struct lorac_error error = {0};
        struct lorac_last_layer layer;
        struct lorac_model *model = build(endings[i].lines);
        if (CHECK_OK(lorac_match_last_layer(model, NULL, &layer, &error), error)) {
            if (!endings[i].node) {
                CHECKF(!layer.node && strstr(layer.reason, endings[i].reason), "row %zu: %s", i, layer.reason);
            } else if (CHECKF(layer.node != NULL, "row %zu: %s", i, layer.reason)) {
                CHECK_STRING(lorac_node_name(layer.node), endings[i].node);
                CHECK_STRING(layer.weight, endings[i].weight);
                CHECKF(strcmp(layer.bias ? layer.bias : "", endings[i].bias) == 0, "row %zu: bias %s", i, layer.bias);
            }
        }
        lorac_model_free(model);
    }
}

static const struct {
    const char *lines[6];
    const char *first; // NULL: none
} beginnings[] = {
    {{"Conv c x w4 > h", "Conv d h w4 > y"}, "c"},
    {{"Relu r x > h", "Conv c h w4 > i", "Conv d h w4 > j", "Add a i j > y"}, "c"},
    // Neither the other input's convolution nor one over constants counts.
    {{"Conv o z w4 > v", "Conv k k3 w4 > u", "Conv c x w4 > h", "Sum s h v u > y"}, "c"},
    {{"Conv o z w4 > v", "Relu r v > y"}, NULL},
    {{"Gemm g x w2 > y"}, NULL},
    // Nor one that the output does not read.
    {{"Conv dead x w4 > h", "Conv c x w4 > y"}, "c"},
    {{"Conv dead x w4 > h", "Relu r x > y"}, NULL},
};

static void test_beginnings(void)
{
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        struct lorac_error error = {0};
        const Onnx__NodeProto *first;
        struct lorac_model *model = build(beginnings[i].lines);
        struct lorac_reach reach;
        CHECK_OK(lorac_match_reach(model, NULL, &reach, &error), error);
        if (CHECK_OK(lorac_match_first_conv(model, &reach, &first, &error), error)) {
            const char *name = first ? lorac_node_name(first) : "none";
            CHECK_STRING(name, beginnings[i].first ? beginnings[i].first : "none");
        }
        lorac_model_free(model);
    }
}

static void test_registry(void)
{
    size_t count;
    const struct lorac_pass *const *all = lorac_pass_all(&count);
    for (size_t i = 0; i < count; i++) {
        CHECK(lorac_pass_find(all[i]->name) == all[i]);
        CHECK(all[i]->summary && *all[i]->summary && all[i]->run && all[i]->applies);
    }
    CHECK(count == 7 && lorac_pass_find("inject") && lorac_pass_find("merge") && !lorac_pass_find("nothing"));
}

int main(void)
{
    test_endings();
    test_beginnings();
    test_registry();
    return check_report();
}
