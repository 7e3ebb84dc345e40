// The passes of a new job: replace_head, small_image_stem, set_input_size. Rows are models as text,
//
//     "Op name in in > out attr=1,2 ; ..."      initialisers: "name=2x3 ..."
//
// and what must stand in the graph afterwards, or the sentence that must come.
#include "check.h"
#include "small_model.h"

#include "passes/new_job.h"
#include "proto/tensor.h"

#include <math.h>

#define DIMS(...) (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)

// ---- from text

static size_t read_list(const char *text, char separator, int64_t *out)
{
    size_t count = 0;
    for (char *end; *text; text = *end == separator ? end + 1 : end)
        out[count++] = strtoll(text, &end, 10);
    return count;
}

static void add_attribute(struct small_model *small, Onnx__NodeProto *node, const char *name, const char *value)
{
    Onnx__AttributeProto **old = node->attribute, **list = small_alloc(small, (node->n_attribute + 1) * sizeof *list);
    size_t count = node->n_attribute;
    bool is_float = *value == 'f';
    Onnx__AttributeProto *attribute =
        small_attribute(small, node, name,
                        is_float             ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT
                        : strchr(value, ',') ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS
                                             : ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    attribute->ints = small_alloc(small, 16 * sizeof *attribute->ints);
    attribute->n_ints = strchr(value, ',') ? read_list(value, ',', attribute->ints) : 0;
    attribute->has_i = !is_float && !strchr(value, ',');
    attribute->i = attribute->has_i ? strtoll(value, NULL, 10) : 0;
    attribute->has_f = is_float;
    attribute->f = is_float ? strtof(value + 1, NULL) : 0;
    if (count > 0)
        memcpy(list, old, count * sizeof *list);
    list[count] = attribute;
    node->attribute = list;
    node->n_attribute = count + 1;
}

static void add_node(struct small_model *small, char *text)
{
    char *rest, *equals, words[256] = "";
    const char *op = strtok_r(text, " ", &rest), *name = strtok_r(NULL, " ", &rest), *output = NULL;
    struct {
        char *name, *value;
    } attributes[8];
    size_t attribute_count = 0;
    for (char *word; (word = strtok_r(NULL, " ", &rest));) {
        if (strcmp(word, ">") == 0) {
            output = strtok_r(NULL, " ", &rest);
        } else if ((equals = strchr(word, '='))) {
            *equals = '\0';
            attributes[attribute_count].name = word;
            attributes[attribute_count++].value = equals + 1;
        } else {
            strcat(strcat(words, word), " ");
        }
    }
    Onnx__NodeProto *node = small_node(small, op, name, words, output);
    for (size_t i = 0; i < attribute_count; i++)
        add_attribute(small, node, attributes[i].name, attributes[i].value);
}

// "name=2x3": float32; "name=[1,-1]": int64 with these values.
static void add_tensor(struct small_model *small, char *word)
{
    int64_t numbers[8];
    char *equals = strchr(word, '=');
    *equals++ = '\0';
    if (*equals != '[') {
        size_t rank = read_list(equals, 'x', numbers);
        small_tensor(small, word, numbers, rank);
        return;
    }
    *strchr(equals, ']') = '\0';
    int64_t count = (int64_t)read_list(equals + 1, ',', numbers);
    Onnx__TensorProto *tensor = small_make_tensor(small, word, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 8, &count, 1);
    memcpy(tensor->raw_data.data, numbers, tensor->raw_data.len);
    small->tensors[small->graph.n_initializer++] = tensor;
}

static struct lorac_model *build(const char *graph, const char *tensors)
{
    struct small_model small;
    char *rest;
    small_init(&small, 8, 17);
    small_input(&small, "x", DIMS(1, 3, 32, 32));
    small.outputs[small.graph.n_output++] = small_value(&small, "y", DIMS(1, 5));
    for (char *word = strtok_r(small_text(&small, tensors), " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        add_tensor(&small, word);
    for (char *node = strtok_r(small_text(&small, graph), ";", &rest); node; node = strtok_r(NULL, ";", &rest))
        add_node(&small, node);
    return small_load(&small);
}

// ---- to text

static void append(char *text, const char *word)
{
    size_t used = strlen(text);
    snprintf(text + used, 1024 - used, "%s%s", used ? " " : "", word);
}

static void append_dims(char *text, const char *name, const int64_t *dims, size_t count)
{
    char word[128];
    size_t used = (size_t)snprintf(word, sizeof word, "%s=", name);
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(word + used, sizeof word - used, "%s%d", i ? "x" : "", (int)dims[i]);
    append(text, word);
}

static void append_attribute(char *text, const Onnx__AttributeProto *attribute)
{
    char word[128];
    size_t used = (size_t)snprintf(word, sizeof word, "%s=", attribute->name);
    if (attribute->n_ints == 0)
        snprintf(word + used, sizeof word - used, "%g", attribute->has_f ? (double)attribute->f : (double)attribute->i);
    for (size_t i = 0; i < attribute->n_ints; i++)
        used += (size_t)snprintf(word + used, sizeof word - used, "%s%d", i ? "," : "", (int)attribute->ints[i]);
    append(text, word);
}

// Nodes and initialisers, as in the rows.
static void print_graph(const struct lorac_model *model, char text[1024])
{
    const Onnx__GraphProto *graph = model->proto->graph;
    *text = '\0';
    for (size_t i = 0; i < graph->n_node; i++) {
        const Onnx__NodeProto *node = graph->node[i];
        append(text, node->op_type);
        append(text, lorac_node_name(node));
        for (size_t k = 0; k < node->n_input; k++)
            append(text, node->input[k]);
        append(text, ">");
        append(text, node->output[0]);
        for (size_t k = 0; k < node->n_attribute; k++)
            append_attribute(text, node->attribute[k]);
        append(text, i + 1 < graph->n_node ? ";" : "|");
    }
    for (size_t i = 0; i < graph->n_initializer; i++)
        append_dims(text, graph->initializer[i]->name, graph->initializer[i]->dims, graph->initializer[i]->n_dims);
}

static void declared(const Onnx__ValueInfoProto *value, char *text)
{
    const Onnx__TensorShapeProto *shape = value->type->tensor_type->shape;
    int64_t dims[8];
    for (size_t i = 0; i < shape->n_dim; i++)
        dims[i] = shape->dim[i]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE
                      ? shape->dim[i]->dim_value
                      : -1;
    *text = '\0';
    append_dims(text, value->name, dims, shape->n_dim);
}

// ---- rows

enum which { HEAD, STEM, SIZE };

struct row {
    enum which which;
    const char *what, *graph, *tensors;
    const char *expected; // as print_graph writes it; or '!' and a part of the message
    const char *output;   // as declared afterwards; NULL: y=1x5
};

#define TAIL "GlobalAveragePool pool c > d ; Flatten flat d > e ; Gemm fc e w v > y transB=1"
#define TAIL_TENSORS " w=5x4 v=5"

static const struct row rows[] = {
    {HEAD, "Gemm, alpha and beta go",
     "Conv c1 x k > c ; GlobalAveragePool p c > d ; Flatten f d > e ; "
     "Gemm fc e w b > y transB=1 alpha=f0.5 beta=f2",
     "k=4x3x3x3 w=5x4 b=5",
     "Conv c1 x k > c ; GlobalAveragePool p c > d ; Flatten f d > e ; Gemm fc e w b > y transB=1 | k=4x3x3x3 w=7x4 b=7",
     "y=1x7"},
    {HEAD, "Gemm, the weight lying", "Flatten f x > e ; Gemm fc e w > y", "w=4x5",
     "Flatten f x > e ; Gemm fc e w > y | w=4x7", "y=1x7"},
    {HEAD, "MatMul and Add, Softmax", "Flatten f x > e ; MatMul fc e w > m ; Add a b m > l ; Softmax s l > y",
     "w=4x5 b=5", "Flatten f x > e ; MatMul fc e w > m ; Add a b m > l ; Softmax s l > y | w=4x7 b=7", "y=1x7"},
    {HEAD, "Conv", "Conv fc x w b > m ; GlobalAveragePool p m > q ; Flatten f q > y", "w=5x3x1x1 b=5",
     "Conv fc x w b > m ; GlobalAveragePool p m > q ; Flatten f q > y | w=7x3x1x1 b=7", "y=1x7"},
    {HEAD, "tensors that another node uses",
     "Flatten f x > e ; Gemm fc e w b > y ; MatMul other e w > z ; Add more z b > o", "w=4x5 b=5",
     "Flatten f x > e ; Gemm fc e w_1 b_1 > y ; MatMul other e w > z ; Add more z b > o | "
     "w=4x5 b=5 w_1=4x7 b_1=7",
     "y=1x7"},
    {HEAD, "a bias of more dimensions", "Flatten f x > e ; MatMul fc e w > m ; Reshape r m s > n ; Add a n b > y",
     "w=4x5 b=1x5x1x1 s=[0,-1,1,1]",
     "Flatten f x > e ; MatMul fc e w > m ; Reshape r m s > n ; Add a n b > y | s=4 w=4x7 b=1x7x1x1", "y=1x7"},
    {HEAD, "weight and bias behind Identity and Cast",
     "Identity i v > w ; Cast t c > b to=1 ; Flatten f x > e ; Gemm fc e w b > y", "v=4x5 c=5",
     "Flatten f x > e ; Gemm fc e w b > y | w=4x7 b=7", "y=1x7"},
    {HEAD, "a bias of one number stays", "Flatten f x > e ; Gemm fc e w b > y", "w=4x5 b=1",
     "Flatten f x > e ; Gemm fc e w b > y | b=1 w=4x7", "y=1x7"},
    {HEAD, "a bias that is computed", "Flatten f x > e ; MatMul q e v > b ; Gemm fc e w b > y", "w=4x5 v=4x5",
     "!the bias 'b' of the last layer 'fc' is neither", NULL},
    {HEAD, "one number for all classes", "Flatten f x > e ; MatMul fc e w > m ; Mul a m s > y", "w=4x5 s=1",
     "Flatten f x > e ; MatMul fc e w > m ; Mul a m s > y | s=1 w=4x7", "y=1x7"},
    {HEAD, "Reshape that names the batch", "Flatten f x > e ; MatMul fc e w > m ; Reshape r m s > y", "w=4x5 s=[1,-1]",
     "Flatten f x > e ; MatMul fc e w > m ; Reshape r m s > y | s=2 w=4x7", "y=1x7"},
    {HEAD, "the same number of classes in the batch's place", "Flatten f x > e ; MatMul fc e w > y", "w=4x1",
     "Flatten f x > e ; MatMul fc e w > y | w=4x7", NULL},
    {HEAD, "Reshape", "Flatten f x > e ; MatMul fc e w > m ; Reshape r m s > y", "w=4x5 s=[-1,5]",
     "!node 'r' (Reshape) behind the last layer 'fc' has the number of the old classes built in (it has 5)", NULL},
    {HEAD, "Reshape to a shape that is joined",
     "Flatten f x > e ; MatMul fc e w > m ; Shape h e > i ; Slice l i z o > j ; Concat q j s > t axis=0 ; Reshape r m "
     "t > y",
     "w=4x5 s=[5,] z=[0,] o=[1,]", "!node 'r' (Reshape) behind the last layer 'fc' has the number of the old classes",
     NULL},
    {HEAD, "Mul", "Flatten f x > e ; MatMul fc e w > m ; Mul a m s > y", "w=4x5 s=5",
     "!node 'a' (Mul) behind the last layer 'fc' has a value for each of the old classes", NULL},
    {HEAD, "what is not known", "Flatten f x > e ; MatMul fc e w > y ; Tile t y s > z", "w=4x5 s=[1,1]",
     "!node 't' (Tile) behind the last layer 'fc' may need the old number", NULL},
    {HEAD, "TopK of too many", "Flatten f x > e ; MatMul fc e w > y ; TopK t y k > z", "w=4x9 k=[8]",
     "!node 't' (TopK) behind the last layer 'fc' picks more", NULL},
    {HEAD, "no last layer", "Relu r x > y", "", "!the last layer cannot be replaced: no Gemm", NULL},

    {STEM, "7x7 and MaxPool",
     "Conv c1 x k > a strides=2,2 pads=3,3,3,3 dilations=1,1 ; Relu r a > b ; MaxPool m b > c strides=2,2 ; " TAIL,
     "k=4x3x7x7" TAIL_TENSORS,
     "Conv c1 x k > a strides=1,1 pads=1,1,1,1 dilations=1,1 kernel_shape=3,3 ; Relu r a > b ; "
     "GlobalAveragePool pool b > d ; Flatten flat d > e ; Gemm fc e w v > y transB=1 | w=5x4 v=5 k=4x3x3x3",
     NULL},
    {STEM, "deep, SiLU, Pad before the pooling",
     "Conv c1 x k > a strides=2,2 ; Sigmoid s a > g ; Mul u a g > h ; Conv c2 h k2 kb > i ; Pad pad i z > j ; "
     "MaxPool m j > c ; Relu r1 c > t ; "
     "GlobalAveragePool pool t > d ; Flatten flat d > e ; Gemm fc e w v > y transB=1",
     "k=4x3x3x3 k2=4x4x3x3 kb=4 z=[0,0,1,1,0,0,1,1]" TAIL_TENSORS,
     "Conv c1 x k > a strides=1,1 dilations=1,1 kernel_shape=3,3 pads=1,1,1,1 ; Sigmoid s a > g ; Mul u a g > h ; "
     "Conv c2 h k2 kb > i ; Relu r1 i > t ; GlobalAveragePool pool t > d ; Flatten flat d > e ; "
     "Gemm fc e w v > y transB=1 | k2=4x4x3x3 kb=4 w=5x4 v=5 k=4x3x3x3",
     NULL},
    {STEM, "channels last, Pad before the convolution, a bias",
     "Transpose t x > n perm=0,3,1,2 ; Pad pad n z > q ; Conv c1 q k kb > c ; " TAIL,
     "k=4x3x7x7 kb=4 z=[0,0,3,3,0,0,3,3]" TAIL_TENSORS,
     "Transpose t x > n perm=0,3,1,2 ; Conv c1 n k kb > c dilations=1,1 kernel_shape=3,3 pads=1,1,1,1 strides=1,1 ; "
     "GlobalAveragePool pool c > d ; Flatten flat d > e ; Gemm fc e w v > y transB=1 | w=5x4 v=5 k=4x3x3x3 kb=4",
     NULL},
    {STEM, "the pooling of a residual block stays",
     "Conv c1 x k > a ; Conv c2 a k2 > b ; MaxPool m a > s ; Add plus b s > c ; " TAIL,
     "k=4x3x3x3 k2=4x4x3x3" TAIL_TENSORS,
     "Conv c1 x k > a dilations=1,1 kernel_shape=3,3 pads=1,1,1,1 strides=1,1 ; Conv c2 a k2 > b ; MaxPool m a > s ; "
     "Add plus b s > c ; GlobalAveragePool pool c > d ; Flatten flat d > e ; Gemm fc e w v > y transB=1 | "
     "k2=4x4x3x3 w=5x4 v=5 k=4x3x3x3",
     NULL},
    {STEM, "the weight is another's too", "Conv c1 x k > a ; Conv c2 x k > b ; Add plus a b > c ; " TAIL,
     "k=4x3x3x3" TAIL_TENSORS,
     "Conv c1 x k_1 > a dilations=1,1 kernel_shape=3,3 pads=1,1,1,1 strides=1,1 ; Conv c2 x k > b ; Add plus a b > c ; "
     "GlobalAveragePool pool c > d ; Flatten flat d > e ; Gemm fc e w v > y transB=1 | k=4x3x3x3 w=5x4 v=5 k_1=4x3x3x3",
     NULL},
    {STEM, "Pad of channels", "Pad pad x z > q ; Conv c1 q k > c ; " TAIL, "k=4x4x7x7 z=[0,0,3,3,0,1,3,3]" TAIL_TENSORS,
     "!node 'pad' (Pad) belongs to the old stem, but cannot be taken out: it pads more than height and width", NULL},
    {STEM, "groups", "Conv c1 x k > c group=3 ; " TAIL, "k=6x1x7x7 w=5x6 v=5", "!the first convolution 'c1' has groups",
     NULL},
    {STEM, "no convolution", "Flatten f x > e ; MatMul fc e w > y", "w=4x5", "!no convolution that depends", NULL},

    {SIZE, "another size", "Flatten f x > e ; MatMul fc e w > y", "w=4x5",
     "Flatten f x > e ; MatMul fc e w > y | w=4x5", NULL},
};

static const struct lorac_pass *const passes[] = {&lorac_pass_replace_head, &lorac_pass_small_image_stem,
                                                  &lorac_pass_set_input_size};

static const struct lorac_replace_head_options head = {.classes = 7, .seed = 3};
static const struct lorac_small_image_stem_options stem = {.replace = true, .seed = 3};
static const struct lorac_set_input_size_options size = {.height = 40, .width = 48};
static const void *const options[] = {&head, &stem, &size};

static void check_twice(const struct row *row, struct lorac_model *model)
{
    struct lorac_error error = {0};
    struct lorac_pass_report report;
    uint8_t *first = NULL, *second = NULL;
    size_t first_bytes = 0, second_bytes = 0;
    CHECK_OK(lorac_model_check(model, &error), error);
    CHECK_OK(lorac_model_pack(model, &first, &first_bytes, &error), error);
    CHECK_OK(passes[row->which]->run(model, options[row->which], &report, &error), error);
    CHECK_OK(lorac_model_pack(model, &second, &second_bytes, &error), error);
    CHECKF(first_bytes == second_bytes, "%s: a second run changes the model", row->what);
    free(first);
    free(second);
}

static void test_row(const struct row *row)
{
    struct lorac_error error = {0};
    struct lorac_pass_report report = {0};
    char text[1024], before[1024], output[128];
    const struct lorac_pass *pass = passes[row->which];
    struct lorac_model *model = build(row->graph, row->tensors);
    print_graph(model, before);
    CHECKF(!pass->applies(model, NULL), "%s: applies without being asked", row->what);
    CHECKF(pass->applies(model, options[row->which]) == (*row->expected != '!'), "%s: applies", row->what);
    enum lorac_status status = pass->run(model, options[row->which], &report, &error);
    print_graph(model, text);
    if (*row->expected == '!') {
        CHECKF(status != LORAC_OK && strstr(error.message, row->expected + 1), "%s: status %d, '%s'", row->what,
               (int)status, error.message);
        CHECKF(strcmp(text, before) == 0, "%s: refused, and changed to\n    %s", row->what, text);
    } else {
        CHECKF(status == LORAC_OK, "%s: %s", row->what, error.message);
        CHECKF(strcmp(text, row->expected) == 0, "%s:\n    %s", row->what, text);
        CHECKF(report.changed > 0, "%s: nothing is reported", row->what);
        declared(model->proto->graph->output[0], output);
        CHECKF(strcmp(output, row->output ? row->output : "y=1x5") == 0, "%s: declared %s", row->what, output);
        declared(model->proto->graph->input[0], output);
        CHECKF(strcmp(output, row->which == SIZE ? "x=1x3x40x48" : "x=1x3x32x32") == 0, "%s: %s", row->what, output);
        check_twice(row, model);
    }
    lorac_model_free(model);
}

// ---- the numbers

static void read_values(struct lorac_model *model, const char *name, float *values, size_t count)
{
    struct lorac_error error = {0};
    const Onnx__TensorProto *tensor = lorac_model_initializer(model, name);
    REQUIRE(tensor);
    REQUIRE(CHECK_OK(lorac_tensor_to_float(tensor, values, count, &error), error));
}

static void replace(struct lorac_model *model, uint64_t seed)
{
    struct lorac_error error = {0};
    struct lorac_pass_report report;
    const struct lorac_replace_head_options with = {.classes = 500, .seed = seed};
    REQUIRE(CHECK_OK(lorac_pass_replace_head.run(model, &with, &report, &error), error));
}

// Uniform in (-1/sqrt(K), 1/sqrt(K)); the same however the layer stores it; another seed, other numbers.
static void test_numbers(void)
{
    enum { K = 16, N = 500 };
    static float standing[N * K], lying[N * K], other[N * K], bias[N];
    struct lorac_model *a = build("Flatten f x > e ; Gemm fc e w b > y transB=1", "w=5x16 b=5");
    struct lorac_model *b = build("Flatten f x > e ; MatMul fc e w > y", "w=16x5");
    struct lorac_model *c = build("Flatten f x > e ; Gemm fc e w b > y transB=1", "w=5x16 b=5");
    replace(a, 3);
    replace(b, 3);
    replace(c, 4);
    read_values(a, "w", standing, N * K);
    read_values(a, "b", bias, N);
    read_values(b, "w", lying, N * K);
    read_values(c, "w", other, N * K);
    double mean = 0, square = 0, bound = 1 / sqrt(K);
    size_t inside = 0, same = 0, equal = 0;
    for (size_t n = 0; n < N; n++)
        for (size_t k = 0; k < K; k++) {
            double value = standing[n * K + k];
            mean += value / (N * K);
            square += value * value / (N * K);
            inside += fabs(value) <= bound;
            same += standing[n * K + k] == lying[k * N + n];
            equal += standing[n * K + k] == other[n * K + k];
        }
    CHECK(inside == N * K && same == N * K && equal < 10);
    // A uniform number's variance is bound^2/3; the mean of 8000 is within 5 standard errors.
    CHECKF(fabs(mean) < 5 * bound / sqrt(3.0 * N * K) && fabs(square * 3 / (bound * bound) - 1) < 0.05,
           "mean %g, square %g", mean, square);
    inside = 0;
    for (size_t n = 0; n < N; n++)
        inside += fabsf(bias[n]) <= (float)bound && bias[n] != 0;
    CHECK(inside == N);
    lorac_model_free(a);
    lorac_model_free(b);
    lorac_model_free(c);
}

// The stem's bias is zero, its weight within 1/sqrt(9*channels).
static void test_stem_numbers(void)
{
    float weight[4 * 27], bias[4];
    struct lorac_error error = {0};
    struct lorac_pass_report report;
    struct lorac_model *model = build("Conv c1 x k kb > c ; " TAIL, "k=4x3x7x7 kb=4" TAIL_TENSORS);
    REQUIRE(CHECK_OK(lorac_pass_small_image_stem.run(model, &stem, &report, &error), error));
    CHECK(report.changed == 1 && report.skipped == 1);
    read_values(model, "k", weight, 4 * 27);
    read_values(model, "kb", bias, 4);
    size_t inside = 0;
    for (size_t i = 0; i < 4 * 27; i++)
        inside += fabs((double)weight[i]) <= 1 / sqrt(27) && weight[i] != weight[(i + 1) % 108];
    CHECK(inside == 4 * 27 && bias[0] == 0 && bias[1] == 0 && bias[2] == 0 && bias[3] == 0);
    lorac_model_free(model);
}

// ---- what is written about the model

static void test_class_names(void)
{
    static const char *const names[] = {"a", "b"};
    struct lorac_error error = {0};
    struct lorac_pass_report report;
    struct lorac_meta meta;
    struct lorac_replace_head_options with = {.classes = 2, .class_names = names};
    struct lorac_model *model = build("Flatten f x > e ; MatMul fc e w > y", "w=4x5");
    CHECK_OK(lorac_pass_replace_head.run(model, &with, &report, &error), error);
    CHECK_OK(lorac_meta_read(model, &meta, &error), error);
    CHECK(meta.class_count == 2 && strcmp(meta.classes[1], "b") == 0);
    with.class_names = NULL;
    CHECK_OK(lorac_pass_replace_head.run(model, &with, &report, &error), error);
    CHECK_OK(lorac_meta_read(model, &meta, &error), error);
    CHECK(meta.class_count == 0);
    lorac_model_free(model);
}

// An injected model is refused: its hash and its adapters belong to what it was.
static void test_injected(void)
{
    for (size_t i = 0; i < 3; i++) {
        struct small_model small;
        struct lorac_error error = {0};
        struct lorac_pass_report report;
        small_init(&small, 8, 17);
        small_input(&small, "x", DIMS(1, 3, 32, 32));
        small_output(&small, "y");
        small_tensor(&small, "w", DIMS(4, 3, 3, 3));
        small_node(&small, "Conv", "c", "x w", "y");
        small_metadata(&small, "lorac.format", "1");
        small_metadata(&small, "lorac.base_hash", "0123456789abcdef0123456789abcdef");
        small_metadata(&small, "lorac.adapters", "[]");
        small_metadata(&small, "lorac.trainable", "[\"w\"]");
        small_metadata(&small, "lorac.bn", "frozen");
        small_metadata(&small, "lorac.seed", "0");
        small_metadata(&small, "lorac.tool", "test");
        struct lorac_model *model = small_load(&small);
        CHECK(passes[i]->run(model, options[i], &report, &error) == LORAC_ERROR_ARGUMENT);
        CHECKF(strstr(error.message, "is injected (by test); merge it first"), "%s", error.message);
        lorac_model_free(model);
    }
}

static void test_channels_last(void)
{
    const struct lorac_set_input_size_options last = {.height = 40, .width = 48, .channels_last = true};
    struct lorac_error error = {0};
    struct lorac_pass_report report;
    char text[128];
    struct lorac_model *model = build("Flatten f x > e ; MatMul fc e w > y", "w=4x5");
    CHECK_OK(lorac_pass_set_input_size.run(model, &last, &report, &error), error);
    declared(model->proto->graph->input[0], text);
    CHECK_STRING(text, "x=1x40x48x32");
    lorac_model_free(model);
}

int main(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        test_row(&rows[i]);
    test_numbers();
    test_stem_numbers();
    test_class_names();
    test_injected();
    test_channels_last();
    return check_report();
}
