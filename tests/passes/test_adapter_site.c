// lorac_adapter_locate refuses a graph that is not as the format says, and names what is off.
#include "many_convs.h"

#include "passes/inject.h"
#include "proto/model_edit.h"
#include "proto/tensor.h"

static Onnx__NodeProto *node_named(struct lorac_model *model, const char *name)
{
    for (size_t i = 0; i < model->proto->graph->n_node; i++)
        if (strcmp(lorac_node_name(model->proto->graph->node[i]), name) == 0)
            return model->proto->graph->node[i];
    REQUIRE(!"the node is there");
    return NULL;
}

// What is done to the model before looking: [node]'s input becomes [value], or a tensor's field changes.
struct spoil {
    const char *node; // NULL: nothing
    size_t input;
    const char *value;
    const char *tensor; // NULL: nothing
    int32_t type;       // 0: leave
    int64_t dim0;       // -1: leave
    const char *erase;  // an initialiser, NULL: none
};

static void spoil_model(struct lorac_model *model, const struct spoil *spoil)
{
    struct lorac_error error = {0};
    if (spoil->node)
        REQUIRE(CHECK_OK(lorac_model_set_node_input(model, node_named(model, spoil->node), spoil->input, spoil->value,
                                                    &error), error));
    if (spoil->tensor) {
        Onnx__TensorProto *tensor = lorac_model_initializer(model, spoil->tensor);
        REQUIRE(tensor);
        if (spoil->type)
            tensor->data_type = spoil->type;
        if (spoil->dim0 >= 0)
            tensor->dims[0] = spoil->dim0;
    }
    if (spoil->erase)
        lorac_model_erase_initializer(model, spoil->erase);
}

static const struct {
    const char *title;
    struct spoil spoil;
    const char *message; // NULL: found
} table[] = {
    {"as injected", {.dim0 = -1}, NULL},
    {"the order of MatMul's inputs is turned",
     {.node = "c1/lora_MatMul", .input = 1, .value = "c1/lora_B", .dim0 = -1},
     "'c1/lora_A' must be used once, as input 1 of a MatMul"},
    {"A has another user", {.node = "pw/lora_MatMul", .input = 0, .value = "c1/lora_A", .dim0 = -1},
     "'c1/lora_A' must be used once"},
    {"the product has another user", {.node = "pw/lora_Mul", .input = 0, .value = "c1/lora_Reshape_output", .dim0 = -1},
     "'c1/lora_Reshape_output' must be used once, as input 0 of a Mul"},
    {"the scale is shared", {.node = "pw/lora_Mul", .input = 1, .value = "c1/lora_scale", .dim0 = -1},
     "'c1/lora_scale' is used elsewhere too"},
    {"the Conv takes its old weight", {.node = "c1", .input = 1, .value = "c1.w", .dim0 = -1},
     "'c1/lora_Add_output' must be used once, as input 1 of a Conv"},
    {"the sum goes to another Conv", {.node = "dw", .input = 1, .value = "c1/lora_Add_output", .dim0 = -1},
     "'c1/lora_Add_output' must be used once"},
    {"the Add takes another weight", {.node = "c1/lora_Add", .input = 0, .value = "dw.w", .dim0 = -1},
     "the weight is 'dw.w' in the graph and 'c1.w' in the metadata"},
    {"the B of another", {.node = "c1/lora_MatMul", .input = 0, .value = "stem.b", .dim0 = -1},
     "'stem.b' is used elsewhere too"},
    {"no shape", {.erase = "c1/lora_shape", .dim0 = -1}, "'c1/lora_shape', is no initialiser"},
    {"no weight", {.erase = "c1.w", .dim0 = -1}, "the weight 'c1.w' is not constant"},
    {"A too small", {.tensor = "c1/lora_A", .dim0 = 11}, "'c1/lora_A' is [11,12]; it must be [12,12]"},
    {"B too large", {.tensor = "c1/lora_B", .dim0 = 13}, "'c1/lora_B' is [13,12]; it must be [12,12]"},
    {"A of another type", {.tensor = "c1/lora_A", .type = ONNX__TENSOR_PROTO__DATA_TYPE__INT32, .dim0 = -1},
     "'c1/lora_A' is INT32; it must be FLOAT"},
    {"W0 of another type", {.tensor = "c1.w", .type = ONNX__TENSOR_PROTO__DATA_TYPE__INT32, .dim0 = -1},
     "the weight 'c1.w' is INT32"},
    {"the shape of another type",
     {.tensor = "c1/lora_shape", .type = ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE, .dim0 = -1},
     "'c1/lora_shape' must be INT64 [4]"},
    {"an empty weight", {.tensor = "c1.w", .dim0 = 0}, "the weight 'c1.w' is empty"},
};

static void test_table(void)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct lorac_error error = {0};
        struct lorac_pass_report report = {0};
        struct lorac_meta meta;
        struct lorac_adapter_site site;
        struct lorac_model *model = many_convs(8, "Gemm");
        REQUIRE(CHECK_OK(lorac_pass_inject.run(model, NULL, &report, &error), error));
        REQUIRE(CHECK_OK(lorac_meta_read(model, &meta, &error), error));
        spoil_model(model, &table[i].spoil);
        enum lorac_status status = lorac_adapter_locate(model, &meta.adapters[0], model->arena, &site, &error);
        if (!table[i].message)
            CHECK_OK(status, error);
        else
            CHECKF(status == LORAC_ERROR_MISMATCH && strstr(error.message, table[i].message) &&
                       strncmp(error.message, "adapter of 'c1': ", 17) == 0,
                   "%s: %d %s", table[i].title, (int)status, error.message);
        lorac_model_free(model);
    }
}

// The record and the graph disagree about the numbers.
static void test_record(void)
{
    struct lorac_error error = {0};
    struct lorac_pass_report report = {0};
    struct lorac_meta meta;
    struct lorac_adapter_site site;
    struct lorac_model *model = many_convs(8, "Gemm");
    REQUIRE(CHECK_OK(lorac_pass_inject.run(model, NULL, &report, &error), error));
    REQUIRE(CHECK_OK(lorac_meta_read(model, &meta, &error), error));
    struct lorac_adapter right = meta.adapters[0], rank = right, alpha = right, conv = right;
    struct lorac_adapter setting = right, b = right;
    rank.rank = 2;
    rank.alpha = 4;
    alpha.alpha = 9;
    conv.conv = "c2";
    setting.setting = LORAC_RANK_PLAIN;
    b.b = "pw/lora_B";
    if (CHECK_OK(lorac_adapter_locate(model, &right, model->arena, &site, &error), error)) {
        CHECK(site.M == 4 && site.Cg == 4 && site.kh == 3 && site.kw == 3 && site.R == 12 && site.s == 2);
        CHECK_STRING(site.conv->name, "c1");
        CHECK_STRING(site.weight.value, "c1.w");
    }
    const struct {
        const struct lorac_adapter *adapter;
        const char *message;
    } wrong[] = {{&rank, "'c1/lora_A' is [12,12]; it must be [6,12]"},
                 {&alpha, "'c1/lora_scale' holds 2, but alpha/rank is 2.25"},
                 {&conv, "its nodes end at 'c1'"},
                 {&setting, "'c1/lora_A' is [12,12]; it must be [4,12]"},
                 {&b, "B is 'c1/lora_B' in the graph and 'pw/lora_B' in the metadata"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECKF(lorac_adapter_locate(model, wrong[i].adapter, model->arena, &site, &error) == LORAC_ERROR_MISMATCH &&
                   strstr(error.message, wrong[i].message), "row %zu: %s", i, error.message);
    lorac_model_free(model);
}

int main(void)
{
    test_table();
    test_record();
    return check_report();
}
