// Constant arithmetic: each row is a small graph of constants (tests/ref/graph.h) and what its last value is, written
// as type, dims and elements; or the reason why it is refused.
#include "check.h"
#include "ref/graph.h"
#include "proto/constant.h"

#include <inttypes.h>

struct row {
    const char *text, *expect;
};

static const struct row rows[] = {
    // Shape and Gather: what exporters make of x.view(x.size(0), -1)
    {"y=Shape(d[2,3,5,7])", "int64[4] 2 3 5 7"},
    {"y=Shape(d[2,3,5,7]) start=1", "int64[3] 3 5 7"},
    {"y=Shape(d[2,3,5,7]) start=-3 end=-1", "int64[2] 3 5"},
    {"y=Shape(d[2,3,5,7]) start=3 end=1", "int64[0]"},
    {"y=Shape(d[2,3]) start=-9 end=9", "int64[2] 2 3"},
    {"y=Shape(d<1.0>)", "int64[0]"},
    {"s=Shape(d[2,3,5,7]); y=Gather(s, i{0}[])", "int64[] 2"},
    {"s=Shape(d[2,3,5,7]); y=Gather(s, i{-1}[])", "int64[] 7"},
    {"y=Gather(d{10,20,30}, i{2,0,-2})", "int64[3] 30 10 20"},
    {"y=Gather(d{1,2,3,4,5,6}[2,3], i{1})", "int64[1,3] 4 5 6"},
    {"y=Gather(d{1,2,3,4,5,6}[2,3], i{2,0}[1,2]) axis=1", "int64[2,1,2] 3 1 6 4"},
    {"y=Gather(d{1,2,3,4,5,6}[2,3], i{0}[]) axis=-1", "int64[2] 1 4"},
    {"y=Gather(d<0.5,1.5,2.5>, i{1}[])", "float[] 1.5"},
    {"y=Gather(d{1,2,3}, i{3})", "refused: node 'n_y' (Gather): an index is outside the axis"},
    {"y=Gather(d{1,2,3}, i{-4})", "refused: an index is outside"},
    {"y=Gather(d{1,2,3}, i{0}) axis=1", "refused: axis outside the rank"},

    // Unsqueeze and Squeeze, axes as attribute (before opset 13) and as input
    {"y=Unsqueeze(d{5}[]) axes=[0]", "int64[1] 5"},
    {"y=Unsqueeze(d{5}[], a{0})", "int64[1] 5"},
    {"y=Unsqueeze(d{5,6}, a{0,2})", "int64[1,2,1] 5 6"},
    {"y=Unsqueeze(d{5,6}, a{-1})", "int64[2,1] 5 6"},
    {"y=Unsqueeze(d{5,6}, a{1,1})", "refused: n_y"},
    {"y=Unsqueeze(d{5,6}, a{3})", "refused: n_y"},
    {"y=Squeeze(d{5}[1,1,1])", "int64[] 5"},
    {"y=Squeeze(d{5,6}[1,2,1])", "int64[2] 5 6"},
    {"y=Squeeze(d{5,6}[1,2,1]) axes=[2]", "int64[1,2] 5 6"},
    {"y=Squeeze(d{5,6}[1,2,1], a{0})", "int64[2,1] 5 6"},
    {"y=Squeeze(d{5,6}[1,2,1], a{-3,-1})", "int64[2] 5 6"},
    {"y=Squeeze(d{5,6}[1,2,1], a{1})", "refused: n_y"},

    {"y=Concat(a{1}, b{-1}) axis=0", "int64[2] 1 -1"},
    {"y=Concat(a{1,2}[1,2], b{3,4}[1,2], c{5,6}[1,2]) axis=0", "int64[3,2] 1 2 3 4 5 6"},
    {"y=Concat(a{1,2}[2,1], b{3,4,5,6}[2,2]) axis=-1", "int64[2,3] 1 3 4 2 5 6"},
    {"y=Concat(a<1.5>[1], b<2.5,3.5>) axis=0", "float[3] 1.5 2.5 3.5"},
    {"y=Concat(a{1,2}[2,1], b{3,4,5}[3,1]) axis=1", "refused: n_y"},
    {"y=Concat(a{1,2}, b{3,4}[1,2]) axis=0", "refused: n_y"},
    {"y=Concat(a{1}, b{2}) axis=1", "refused: axis outside the rank"},

    // Cast truncates towards zero; types 1 float, 6 int32, 7 int64, 9 bool, 11 double
    {"y=Cast(d<1.75,-1.75,0.>) to=7", "int64[3] 1 -1 0"},
    {"y=Cast(d<1.75,-1.75,0.>) to=6", "int32[3] 1 -1 0"},
    {"y=Cast(d<0.25,0.,-3.>) to=9", "bool[3] 1 0 1"},
    {"y=Cast(d{3,0,-2}) to=9", "bool[3] 1 0 1"},
    {"y=Cast(d{3,-2}) to=1", "float[2] 3 -2"},
    {"y=Cast(d{16777217}) to=1", "float[1] 16777216"},
    {"y=Cast(d{16777217}) to=11", "double[1] 16777217"},
    {"y=Cast(d<1e30>) to=7", "refused: n_y"},
    {"y=Cast(d<1.0>) to=8", "refused: n_y"},

    {"y=ConstantOfShape(s{3})", "float[3] 0 0 0"},
    {"y=ConstantOfShape(s{2,2}) value={7}", "int64[2,2] 7 7 7 7"},
    {"y=ConstantOfShape(s{2}) value=<0.5>[1]", "float[2] 0.5 0.5"},
    {"y=ConstantOfShape(s{0}) value={7}", "int64[0]"},
    {"y=ConstantOfShape(s{-1}) value={7}", "refused: negative"},
    {"y=ConstantOfShape(s{2}) value={7,8}", "refused: n_y"},

    // Slice: attributes up to opset 9, inputs after
    {"y=Slice(d{0,1,2,3,4}) starts=[1] ends=[3]", "int64[2] 1 2"},
    {"y=Slice(d{0,1,2,3,4}) starts=[-2] ends=[9223372036854775807]", "int64[2] 3 4"},
    {"y=Slice(d{1,2,3,4,5,6}[2,3]) starts=[1] ends=[3] axes=[1]", "int64[2,2] 2 3 5 6"},
    {"y=Slice(d{0,1,2,3,4}, s{1}, e{max})", "int64[4] 1 2 3 4"},
    {"y=Slice(d{0,1,2,3,4}, s{min}, e{max})", "int64[5] 0 1 2 3 4"},
    {"y=Slice(d{0,1,2,3,4}, s{-1}, e{min}, a{0}, t{-1})", "int64[5] 4 3 2 1 0"},
    {"y=Slice(d{0,1,2,3,4}, s{max}, e{min}, a{0}, t{-2})", "int64[3] 4 2 0"},
    {"y=Slice(d{0,1,2,3,4}, s{3}, e{0}, a{0}, t{-1})", "int64[3] 3 2 1"},
    {"y=Slice(d{0,1,2,3,4}, s{0}, e{5}, a{0}, t{2})", "int64[3] 0 2 4"},
    {"y=Slice(d{0,1,2,3,4}, s{0}, e{4}, a{0}, t{2})", "int64[2] 0 2"},
    {"y=Slice(d{0,1,2,3,4}, s{0}, e{5}, a{-1}, t{3})", "int64[2] 0 3"},
    {"y=Slice(d{0,1,2,3,4}, s{4}, e{2})", "int64[0]"},
    {"y=Slice(d{0,1,2,3,4}, s{7}, e{9})", "int64[0]"},
    {"y=Slice(d{0,1,2,3,4}, s{0}, e{-1})", "int64[4] 0 1 2 3"},
    {"y=Slice(d{0,1,2,3,4}, s{0}, e{5}, a{0}, t{max})", "int64[1] 0"},
    {"y=Slice(d{0,1,2,3,4}, s{4}, e{min}, a{0}, t{-9})", "int64[1] 4"},
    {"y=Slice(d{1,2,3,4,5,6,7,8}[2,2,2], s{0,1}, e{1,2}, a{2,0})", "int64[1,2,1] 5 7"},
    {"y=Slice(d{1,2,3,4,5,6}[2,3], s{1,2}, e{min,min}, a{0,1}, t{-1,-1})", "int64[2,3] 6 5 4 3 2 1"},
    {"y=Slice(d{0,1,2}, s{0}, e{3}, a{0}, t{0})", "refused: n_y"},
    {"y=Slice(d{0,1,2}, s{0}, e{3}, a{1})", "refused: n_y"},
    {"y=Slice(d{0,1,2}, s{0,1}, e{3})", "refused: n_y"},

    {"y=Reshape(d{1,2,3,4,5,6}, s{2,3})", "int64[2,3] 1 2 3 4 5 6"},
    {"y=Reshape(d{1,2,3,4,5,6}, s{-1,2})", "int64[3,2] 1 2 3 4 5 6"},
    {"y=Reshape(d{1,2,3,4,5,6}[2,3], s{0,-1,1})", "int64[2,3,1] 1 2 3 4 5 6"},
    {"y=Reshape(d{1,2,3,4,5,6}[2,3], s{-1})", "int64[6] 1 2 3 4 5 6"},
    {"y=Reshape(d{7}[1,1], s{}[0])", "int64[] 7"},
    {"y=Reshape(d{}[0,3], s{0,5}) allowzero=1", "int64[0,5]"},
    {"y=Reshape(d{}[0,3], s{3,0})", "refused: n_y"},
    {"y=Reshape(d{1,2,3,4}, s{-1,-1})", "refused: n_y"},
    {"y=Reshape(d{1,2,3,4}, s{3,-1})", "refused: n_y"},
    {"y=Reshape(d{1,2,3,4}, s{5})", "refused: n_y"},
    {"y=Reshape(d{1,2,3,4}, s{1,0})", "refused: n_y"},
    {"y=Reshape(d{1,2,3,4}, s{-2,-2})", "refused: n_y"},

    {"y=Transpose(d{1,2,3,4,5,6}[2,3])", "int64[3,2] 1 4 2 5 3 6"},
    {"y=Transpose(d{1,2,3,4,5,6}[1,2,3]) perm=[2,0,1]", "int64[3,1,2] 1 4 2 5 3 6"},
    {"y=Transpose(d{1,2,3,4,5,6}[1,2,3]) perm=[1,2,0]", "int64[2,3,1] 1 2 3 4 5 6"},
    {"y=Transpose(d{1,2}[1,2]) perm=[0,0]", "refused: n_y"},
    {"y=Transpose(d{1,2}[1,2]) perm=[0]", "refused: n_y"},

    {"y=Add(a{1,2,3}, b{10}[])", "int64[3] 11 12 13"},
    {"y=Add(a{1,2}[2,1], b{10,20,30})", "int64[2,3] 11 21 31 12 22 32"},
    {"y=Sub(a{1,2,3}, b{3,2,1})", "int64[3] -2 0 2"},
    {"y=Mul(a{1,2,3,4}[2,2], b{10,100})", "int64[2,2] 10 200 30 400"},
    {"y=Div(a{7,-7,7,-7}, b{2,2,-2,-2})", "int64[4] 3 -3 -3 3"},
    {"y=Div(a{6}, b{0})", "refused: zero"},
    {"y=Div(a{min}, b{-1})", "refused: n_y"},
    {"y=Add(a{max}, b{1})", "int64[1] -9223372036854775808"},
    {"y=Div(a<1.0>, b<4.0>)", "float[] 0.25"},
    {"y=Mul(a<0.5,1.5>, b<2.0>)", "float[2] 1 3"},
    {"y=Add(a<16777216.0>, b<1.0>)", "float[] 16777216"},
    {"y=Sub(a<1.0>, b{1}[])", "refused: n_y"},
    {"y=Add(a{1,2}, b{1,2,3})", "refused: n_y"},

    {"y=Identity(d{1,2}[2,1])", "int64[2,1] 1 2"},
    {"y=MatMul(a<1.,2.,3.,4.,5.,6.>[2,3], b<1.,0.,2.,1.,0.,3.>[3,2])", "float[2,2] 5 11 14 23"},
    {"y=MatMul(a<1.,2.>[1,2], b<1.,2.,3.>[3,1])", "refused: n_y"},
    {"s=Shape(d[3,5,4,4]); b=Gather(s, i{0}[]); u=Unsqueeze(b, a{0}); y=Concat(u, m{-1}) axis=0", "int64[2] 3 -1"},
    {"s=Shape(d[1,2,1,1]); t=Slice(s, b{1}, e{2}); h=Div(t, two{2}); z=ConstantOfShape(h) value={9}; "
     "y=Concat(z, t) axis=0", "int64[2] 9 2"},
    {"y=Relu(d<-1.0>)", "refused: n_y"},
};

// Ops that a build may know: checked where it does, and refused by name where it does not.
static const struct row optional_rows[] = {
    {"y=Range(a{0}[], b{10}[], c{3}[])", "int64[4] 0 3 6 9"},
    {"y=Range(a{5}[], b{0}[], c{-2}[])", "int64[3] 5 3 1"},
    {"y=Range(a{5}[], b{5}[], c{1}[])", "int64[0]"},
    {"y=Range(a{0}[], b{5}[], c{0}[])", "refused: n_y"},
    {"y=Range(a<0.>, b<1.>, c<0.5>)", "float[2] 0 0.5"},
    {"y=Equal(a{1,2,3}, b{2}[])", "bool[3] 0 1 0"},
    {"c=Equal(a{-1,4}, b{-1}); y=Where(c, p{7,7}, a)", "int64[2] 7 4"},
    {"c=Cast(m{1,0}[2,1]) to=9; y=Where(c, p{1,2,3}, q{7}[])", "int64[2,3] 1 2 3 7 7 7"},
};

static const char *type_text(int32_t type)
{
    switch (type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
        return "float";
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        return "double";
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        return "int64";
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
        return "int32";
    case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL:
        return "bool";
    default:
        return "other";
    }
}

static void format(const struct lorac_constant *value, char *out, size_t bytes)
{
    int at = snprintf(out, bytes, "%s[", type_text(value->data_type));
    for (size_t i = 0; i < value->rank; i++)
        at += snprintf(out + at, bytes - (size_t)at, "%s%" PRId64, i ? "," : "", value->dims[i]);
    at += snprintf(out + at, bytes - (size_t)at, "]");
    for (size_t i = 0; i < value->count && (size_t)at + 40 < bytes; i++) {
        if (value->floating)
            at += snprintf(out + at, bytes - (size_t)at, " %.17g", value->floats[i]);
        else
            at += snprintf(out + at, bytes - (size_t)at, " %" PRId64, value->ints[i]);
    }
}

struct known {
    const char *name;
    struct lorac_constant value;
};

// Evaluates the nodes in order; the last one's value, or the first failure.
static enum lorac_status evaluate(struct graph *graph, struct lorac_constant *out, struct lorac_error *error)
{
    const Onnx__GraphProto *proto = graph->model->proto->graph;
    struct lorac_arena *arena = graph->model->arena;
    struct known known[64];
    size_t count = 0;
    for (size_t i = 0; i < proto->n_initializer; i++) {
        known[count].name = proto->initializer[i]->name;
        LORAC_TRY(lorac_constant_from_tensor(proto->initializer[i], arena, &known[count++].value, error));
    }
    for (size_t i = 0; i < proto->n_node; i++) {
        const Onnx__NodeProto *node = proto->node[i];
        const struct lorac_constant *inputs[16] = {NULL};
        for (size_t k = 0; k < node->n_input; k++)
            for (size_t j = 0; j < count; j++)
                if (strcmp(known[j].name, node->input[k]) == 0)
                    inputs[k] = &known[j].value;
        struct known *next = &known[count++];
        next->name = node->output[0];
        LORAC_TRY(lorac_constant_evaluate(graph->model, node, inputs, node->n_input, arena, &next->value, error));
    }
    *out = known[count - 1].value;
    return LORAC_OK;
}

static void run(const struct row *row, bool must_be_known)
{
    struct graph graph = graph_build(&(struct graph_spec){.text = row->text, .dims = {1, 1, 1, 1}});
    const Onnx__GraphProto *proto = graph.model->proto->graph;
    struct lorac_constant value = {0};
    struct lorac_error error = {0};
    char got[512];
    enum lorac_status status = evaluate(&graph, &value, &error);
    bool known = true;
    for (size_t i = 0; i < proto->n_node; i++)
        known = known && lorac_constant_knows(proto->node[i]);
    if (!known && !must_be_known) {
        CHECKF(status == LORAC_ERROR_UNSUPPORTED, "%s: an unknown operator gave status %d", row->text, (int)status);
    } else if (strncmp(row->expect, "refused: ", 9) == 0) {
        CHECKF(status != LORAC_OK && strstr(error.message, row->expect + 9) != NULL, "%s: status %d, message \"%s\"",
               row->text, (int)status, error.message);
    } else if (CHECKF(status == LORAC_OK, "%s: %s", row->text, error.message)) {
        format(&value, got, sizeof got);
        CHECKF(strcmp(got, row->expect) == 0, "%s: got \"%s\", expected \"%s\"", row->text, got, row->expect);
        for (size_t i = 0; i < value.count; i++)
            CHECK(!value.floating || lorac_constant_int(&value, i) == (int64_t)value.floats[i]);
    }
    graph_free(&graph);
}

int main(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        run(&rows[i], true);
    for (size_t i = 0; i < sizeof optional_rows / sizeof optional_rows[0]; i++)
        run(&optional_rows[i], false);
    return check_report();
}
