// What a node reads as its weight: each row is a small graph of constants (tests/ref/graph.h) and what its last value
// is: where it is, its type, dims and elements; or the reason why it is none.
#include "check.h"
#include "ref/graph.h"
#include "proto/tensor.h"
#include "proto/weight.h"

#include <inttypes.h>

static const struct {
    const char *text, *expect;
} rows[] = {
    {"y=Constant() value=<1.,2.>", "tensor FLOAT[2] 1 2"},
    {"y=Constant() value_float=0.5", "computed FLOAT[] 0.5"},
    {"y=Identity(w<1.,-2.,3.,4.>[2,2])", "computed FLOAT[2,2] 1 -2 3 4"},
    {"y=Transpose(w<1.,2.,3.,4.,5.,6.>[2,3])", "computed FLOAT[3,2] 1 4 2 5 3 6"},
    {"t=Transpose(w<1.,2.,3.,4.,5.,6.>[1,2,3]) perm=[2,0,1]; y=Identity(t)", "computed FLOAT[3,1,2] 1 4 2 5 3 6"},
    {"y=Cast(w<0.1>) to=10", "computed FLOAT16[] 0.0999755859375"},
    {"h=Cast(w<0.1>) to=10; y=Cast(h) to=1", "computed FLOAT[] 0.0999755859375"},
    {"y=Cast(w<2.5>) to=7", "computed INT64[] not floating"},
    {"q=Cast(w{1,-2,3,4}[2,2]) to=3; y=DequantizeLinear(q, s<0.5>)", "computed quantised FLOAT[2,2] 0.5 -1 1.5 2"},
    {"q=Cast(w{1,-2,3,4}[2,2]) to=3; d=DequantizeLinear(q, s<0.5,2.>) axis=0; y=Transpose(d)",
     "computed quantised FLOAT[2,2] 0.5 6 -1 8"},
    {"q=Cast(w{1,2}) to=3; d=DequantizeLinear(q, s<0.5>); y=Mul(d, g<3.>)", "computed quantised FLOAT[2] 1.5 3"},
    {"y=Mul(w<1.,2.>, g<3.>)", "computed FLOAT[2] 3 6"},
    {"y=Reshape(w<1.,2.>, s{1,2,1,1})", "computed FLOAT[1,2,1,1] 1 2"},
    {"y=ConstantOfShape(s{2}) value=<0.5>[1]", "computed FLOAT[2] 0.5 0.5"},
    {"y=ConstantOfShape(s{2})", "computed FLOAT[2] 0 0"},
    {"y=ConstantOfShape(s{2}) value={7}", "computed INT64[2] not floating"},
    {"k=ConstantOfShape(s{1,2}); y=Transpose(k)", "computed FLOAT[2,1] 0 0"},
    {"s=Concat(a{1}, b{2}) axis=0; y=ConstantOfShape(s)", "computed FLOAT[1,2] 0 0"},
    {"y=ConstantOfShape(s{2}) value=<1.,2.>", "refused: its value is not one element"},
    {"y=ConstantOfShape(s{1,1,1,1,1,1,1,1,1})", "refused: more than 8 dimensions"},
    {"y=ConstantOfShape(s{8388609})", "refused: makes 8388609 elements"},
    {"y=MaxPool(x) kernel_shape=[1,1]", "refused: computed by 'n_y' (MaxPool), not from constants"},
    {"y=Identity(x)", "refused: value 'x' is an input of the graph, not a constant"},
    {"y=Transpose(w<1.,2.>[1,2]) perm=[0,0]", "refused: perm is not a permutation"},
    {"y=Div(w<1.>, z<0.>)", "computed FLOAT[] inf not finite"},
    {"y=Constant() value_string=TEXT", "refused: strings"},
};

static void describe(struct lorac_model *model, const struct lorac_weight *weight, char *out, size_t bytes)
{
    struct lorac_error error = {0};
    double values[16];
    float floats[16];
    int at = snprintf(out, bytes, "%s%s %s[", weight->tensor ? "tensor" : "computed",
                      weight->quantised ? " quantised" : "", lorac_tensor_type_name(weight->data_type));
    for (size_t i = 0; i < weight->rank; i++)
        at += snprintf(out + at, bytes - (size_t)at, "%s%" PRId64, i ? "," : "", weight->dims[i]);
    at += snprintf(out + at, bytes - (size_t)at, "]");
    if (!lorac_weight_is_floating(weight)) {
        snprintf(out + at, bytes - (size_t)at, " not floating");
        CHECK(weight->tensor ||
              lorac_weight_to_double(model, weight, values, weight->count, &error) == LORAC_ERROR_UNSUPPORTED);
        return;
    }
    REQUIRE(weight->count <= 16);
    CHECK_OK(lorac_weight_to_double(model, weight, values, weight->count, &error), error);
    CHECK_OK(lorac_weight_to_float(model, weight, floats, weight->count, &error), error);
    for (size_t i = 0; i < weight->count; i++) {
        CHECK(floats[i] == (float)values[i]);
        at += snprintf(out + at, bytes - (size_t)at, " %.17g", values[i]);
    }
    if (lorac_weight_check_finite(model, weight, &error) != LORAC_OK) {
        CHECKF(strstr(error.message, weight->value) != NULL, "%s", error.message);
        snprintf(out + at, bytes - (size_t)at, " not finite");
    }
}

// A copy has the same dims, type and numbers, is a tensor, and is not the original.
static void check_copy(struct lorac_model *model, const struct lorac_weight *weight)
{
    struct lorac_error error = {0};
    struct lorac_weight copy;
    double before[16], after[16];
    REQUIRE(CHECK_OK(lorac_weight_add_copy(model, weight, "copy", &error), error));
    REQUIRE(CHECK_OK(lorac_weight_find(model, "copy", &copy, &error), error));
    CHECK(copy.tensor && copy.tensor != weight->tensor && copy.data_type == weight->data_type && !copy.quantised);
    CHECK(copy.rank == weight->rank && memcmp(copy.dims, weight->dims, copy.rank * sizeof *copy.dims) == 0);
    CHECK_OK(lorac_weight_to_double(model, weight, before, weight->count, &error), error);
    CHECK_OK(lorac_weight_to_double(model, &copy, after, copy.count, &error), error);
    CHECK(memcmp(before, after, copy.count * sizeof *before) == 0);
    CHECK_OK(lorac_model_check(model, &error), error);
}

int main(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct graph graph = graph_build(&(struct graph_spec){.text = rows[i].text, .dims = {1, 1, 1, 1}});
        const Onnx__GraphProto *proto = graph.model->proto->graph;
        const char *last = proto->node[proto->n_node - 1]->output[0], *expect = rows[i].expect;
        struct lorac_error error = {0};
        struct lorac_weight weight;
        char got[512];
        enum lorac_status status = lorac_weight_find(graph.model, last, &weight, &error);
        if (strncmp(expect, "refused: ", 9) == 0) {
            CHECKF(status == LORAC_ERROR_UNSUPPORTED && strstr(error.message, expect + 9), "%s: \"%s\"", rows[i].text,
                   error.message);
        } else if (CHECKF(status == LORAC_OK, "%s: %s", rows[i].text, error.message)) {
            describe(graph.model, &weight, got, sizeof got);
            CHECKF(strcmp(got, expect) == 0, "%s: got \"%s\", expected \"%s\"", rows[i].text, got, expect);
            if (lorac_weight_is_floating(&weight))
                check_copy(graph.model, &weight);
        }
        graph_free(&graph);
    }
    return check_report();
}
