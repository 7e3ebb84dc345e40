// The lorac.* metadata: what is written is read back, what is malformed is refused by key; pixels; the base hash
// against a hash of bytes laid out by hand.
#include "small_model.h"

#include "proto/adapter_meta.h"
#include "proto/model_edit.h"

#include <xxhash.h>

#define DIMS(...) (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)

static void build_plain(struct small_model *small)
{
    small_init(small, 8, 13);
    small_input(small, "x", DIMS(1, 3, 8, 8));
    small_output(small, "y");
    small_tensor(small, "w", DIMS(4, 3, 3, 3));
    small_tensor(small, "a", DIMS(2, 9));
    small_tensor(small, "b", DIMS(12, 2));
    small_tensor(small, "a2", DIMS(2, 9));
    small_tensor(small, "b2", DIMS(12, 2));
    small_constant(small, "c", DIMS(2));
    small_node(small, "Conv", "conv", "x w", "y");
    small_node(small, "Conv", "other", "x w", "z");
    small->tensors[small->graph.n_initializer++] =
        small_make_tensor(small, "i", ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 8, DIMS(2));
}

static struct lorac_model *plain_model(void)
{
    struct small_model small;
    build_plain(&small);
    return small_load(&small);
}

static const char HASH[] = "0123456789abcdef0123456789abcdef";

static void write_record(struct lorac_model *model, struct lorac_meta *meta)
{
    static struct lorac_adapter adapters[2];
    static const char *trainable[] = {"b", "a2", "b2", "c"};
    static const char *classes[] = {"cat", "d\"og", "\xc3\xa9tang"};
    struct lorac_error error = {0};
    adapters[0] = (struct lorac_adapter){"conv", "w", "a", "b", 4, 8, LORAC_RANK_KERNEL, LORAC_FORM_WEIGHT, true};
    adapters[1] = (struct lorac_adapter){"other", "w", "a2", "b2", 65536, -0.1, LORAC_RANK_PLAIN, LORAC_FORM_WEIGHT,
                                         false};
    *meta = (struct lorac_meta){.injected = true,
                                .base_hash = HASH,
                                .adapter_count = 2,
                                .adapters = adapters,
                                .trainable_count = 4,
                                .trainable = trainable,
                                .bn = LORAC_BN_TRAIN,
                                .seed = UINT64_MAX,
                                .input = {.given = true, .scale = 1.0 / 255, .mean_count = 1, .mean = {0.1},
                                          .std_count = 3, .std = {0.229, 1.0 / 3, 1e-300}, .bgr = true},
                                .class_count = 3,
                                .classes = classes,
                                .tool = "lorac-onnx 0.1.0"};
    REQUIRE(CHECK_OK(lorac_meta_write(model, meta, &error), error));
}

// ---- there and back

static void check_adapter(const struct lorac_adapter *got, const struct lorac_adapter *expected)
{
    CHECK_STRING(got->conv, expected->conv);
    CHECK_STRING(got->weight, expected->weight);
    CHECK_STRING(got->a, expected->a);
    CHECK_STRING(got->b, expected->b);
    CHECK(got->rank == expected->rank && got->alpha == expected->alpha && got->setting == expected->setting &&
          got->form == expected->form && got->freeze_a == expected->freeze_a);
}

static void test_round_trip(void)
{
    struct lorac_error error = {0};
    struct lorac_meta meta, got;
    struct lorac_model *model = plain_model();
    write_record(model, &meta);
    if (CHECK_OK(lorac_meta_read(model, &got, &error), error)) {
        CHECK(got.injected && got.bn == LORAC_BN_TRAIN && got.seed == UINT64_MAX);
        CHECK_STRING(got.base_hash, HASH);
        CHECK_STRING(got.tool, "lorac-onnx 0.1.0");
        REQUIRE(got.adapter_count == 2 && got.trainable_count == 4 && got.class_count == 3);
        for (size_t i = 0; i < 2; i++)
            check_adapter(&got.adapters[i], &meta.adapters[i]);
        for (size_t i = 0; i < 4; i++)
            CHECK_STRING(got.trainable[i], meta.trainable[i]);
        for (size_t i = 0; i < 3; i++)
            CHECK_STRING(got.classes[i], meta.classes[i]);
        CHECK(got.input.given && got.input.bgr && got.input.scale == 1.0 / 255);
        CHECK(got.input.mean_count == 1 && got.input.mean[0] == 0.1 && got.input.std_count == 3);
        CHECK(memcmp(got.input.std, meta.input.std, 3 * sizeof(double)) == 0);
    }
    lorac_model_free(model);
}

// The texts are a contract: docs/format.md shows them.
static void test_texts(void)
{
    static const char *const texts[][2] = {
        {"lorac.format", "1"},
        {"lorac.base_hash", "0123456789abcdef0123456789abcdef"},
        {"lorac.adapters",
         "[{\"conv\":\"conv\",\"weight\":\"w\",\"A\":\"a\",\"B\":\"b\",\"rank\":4,\"alpha\":8.0,\"setting\":\"kernel\","
         "\"form\":\"weight\",\"freeze_a\":true},"
         "{\"conv\":\"other\",\"weight\":\"w\",\"A\":\"a2\",\"B\":\"b2\",\"rank\":65536,\"alpha\":-0.1,\"setting\":"
         "\"plain\",\"form\":\"weight\",\"freeze_a\":false}]"},
        {"lorac.trainable", "[\"b\",\"a2\",\"b2\",\"c\"]"},
        {"lorac.bn", "train"},
        {"lorac.seed", "18446744073709551615"},
        {"lorac.classes", "[\"cat\",\"d\\\"og\",\"\xc3\xa9tang\"]"},
        {"lorac.tool", "lorac-onnx 0.1.0"},
    };
    struct lorac_meta meta;
    struct lorac_model *model = plain_model();
    write_record(model, &meta);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *text = lorac_model_metadata(model, texts[i][0]);
        CHECK_STRING(text ? text : "(missing)", texts[i][1]);
    }
    lorac_model_free(model);
}

// A reader of version 1 does not know the branch form, copies, and weights that are computed or of another type; what it
// knows is still written for it. What is written is read, whatever its number.
static void test_form_and_version(void)
{
    static const struct {
        const char *version;
        enum lorac_adapter_form form;
        const char *weight, *trained, *copy;
    } rows[] = {
        {"1", LORAC_FORM_WEIGHT, "w", "c", NULL},      {"2", LORAC_FORM_BRANCH, "w", "c", NULL},
        {"2", LORAC_FORM_WEIGHT, "w", "c", "b3"},      {"2", LORAC_FORM_WEIGHT, "h", "c", NULL},
        {"2", LORAC_FORM_WEIGHT, "h.copy", "c", NULL}, {"2", LORAC_FORM_WEIGHT, "w", "h", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lorac_error error = {0};
        struct small_model small;
        struct lorac_meta meta, got;
        struct lorac_meta_copy copy = {.copy = rows[i].copy, .of = "x"};
        build_plain(&small);
        small.tensors[small.graph.n_initializer++] =
            small_make_tensor(&small, "h", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, 2, DIMS(4, 3, 3, 3));
        small_tensor(&small, "b3", DIMS(4));
        small_node(&small, "Identity", "copy", "w", "h.copy");
        struct lorac_model *model = small_load(&small);
        write_record(model, &meta);
        meta.adapters[1].form = rows[i].form;
        meta.adapters[1].weight = rows[i].weight;
        meta.trainable[3] = rows[i].trained;
        meta.copies = &copy;
        meta.copy_count = rows[i].copy != NULL;
        CHECK_OK(lorac_meta_write(model, &meta, &error), error);
        CHECK_STRING(lorac_model_metadata(model, "lorac.format"), rows[i].version);
        for (int version = 1; version <= 2; version++) {
            CHECK_OK(lorac_model_set_metadata(model, "lorac.format", version == 1 ? "1" : "2", &error), error);
            if (CHECK_OK(lorac_meta_read(model, &got, &error), error))
                CHECK(got.adapters[0].form == LORAC_FORM_WEIGHT && got.adapters[1].form == rows[i].form &&
                      got.copy_count == meta.copy_count);
        }
        lorac_model_free(model);
        meta.trainable[3] = "c"; // it is static
    }
}

static void test_erase(void)
{
    struct lorac_error error = {0};
    struct lorac_meta meta, got;
    struct lorac_model *model = plain_model();
    write_record(model, &meta);
    lorac_meta_erase(model);
    CHECK(model->proto->n_metadata_props == 2);
    if (CHECK_OK(lorac_meta_read(model, &got, &error), error))
        CHECK(!got.injected && got.adapter_count == 0 && got.input.given && got.class_count == 3);
    lorac_model_erase_metadata(model, "lorac.input");
    lorac_model_erase_metadata(model, "lorac.classes");
    if (CHECK_OK(lorac_meta_read(model, &got, &error), error))
        CHECK(!got.injected && !got.input.given && got.class_count == 0);
    lorac_model_free(model);
}

// Which output: the wanted one, else the record's, else the first. The record may be in any model, and outlives merge.
static void test_output(void)
{
    struct lorac_error error = {0};
    struct small_model small;
    struct lorac_meta meta;
    const char *output = NULL;
    build_plain(&small);
    small_output(&small, "z");
    struct lorac_model *model = small_load(&small);
    CHECK_OK(lorac_meta_output(model, NULL, NULL, &output, &error), error);
    CHECK_STRING(output, "y");
    write_record(model, &meta);
    meta.output = "z";
    CHECK_OK(lorac_meta_write(model, &meta, &error), error);
    lorac_meta_erase(model);
    CHECK_OK(lorac_meta_read(model, &meta, &error), error);
    CHECK_OK(lorac_meta_output(model, &meta, NULL, &output, &error), error);
    CHECK_STRING(output, "z");
    CHECK_OK(lorac_meta_output(model, &meta, "y", &output, &error), error);
    CHECK_STRING(output, "y");
    CHECK(lorac_meta_output(model, &meta, "x", &output, &error) == LORAC_ERROR_ARGUMENT);
    CHECK_STRING(error.message, "the model has no output 'x'; it has 'y', 'z'");
    CHECK_STRING(output, "y");
    lorac_model_free(model);
}

// ---- refusals

#define ENTRY(conv, a, b, rank, alpha, setting, form, freeze)                                                       \
    "{\"conv\":" conv ",\"weight\":\"w\",\"A\":" a ",\"B\":" b ",\"rank\":" rank ",\"alpha\":" alpha ",\"setting\":" \
    setting ",\"form\":" form ",\"freeze_a\":" freeze "}"
#define GOOD ENTRY("\"conv\"", "\"a\"", "\"b\"", "4", "8", "\"kernel\"", "\"weight\"", "false")

static const struct {
    const char *key;
    const char *value; // NULL: the key is taken out
    enum lorac_status status;
    const char *message; // a part; the key is looked for too
} malformed[] = {
    {"lorac.format", "3", LORAC_ERROR_UNSUPPORTED, "use a newer lorac-onnx"},
    {"lorac.format", "99999999999999999999", LORAC_ERROR_FORMAT, "version number"},
    {"lorac.format", "0", LORAC_ERROR_FORMAT, "version number"},
    {"lorac.format", "1.0", LORAC_ERROR_FORMAT, "version number"},
    {"lorac.format", "", LORAC_ERROR_FORMAT, "version number"},
    {"lorac.format", NULL, LORAC_ERROR_FORMAT, "is there without 'lorac.format'"},
    {"lorac.base_hash", NULL, LORAC_ERROR_FORMAT, "is missing"},
    {"lorac.base_hash", "0123", LORAC_ERROR_FORMAT, "32 lower-case hex"},
    {"lorac.base_hash", "0123456789ABCDEF0123456789abcdef", LORAC_ERROR_FORMAT, "32 lower-case hex"},
    {"lorac.adapters", NULL, LORAC_ERROR_FORMAT, "is missing"},
    {"lorac.adapters", "", LORAC_ERROR_FORMAT, "not valid JSON"},
    {"lorac.adapters", "[", LORAC_ERROR_FORMAT, "not valid JSON"},
    {"lorac.adapters", "[" GOOD "] x", LORAC_ERROR_FORMAT, "not valid JSON"},
    {"lorac.adapters", "[{\"conv\":\"a\",\"conv\":\"b\"}]", LORAC_ERROR_FORMAT, "not valid JSON"},
    {"lorac.adapters", GOOD, LORAC_ERROR_FORMAT, "must be a JSON array"},
    {"lorac.adapters", "[" GOOD ",7]", LORAC_ERROR_FORMAT, "entry 1: must be a JSON object"},
    {"lorac.adapters", "[{}]", LORAC_ERROR_FORMAT, "entry 0: 'conv'"},
    {"lorac.adapters", "[" ENTRY("\"\"", "\"a\"", "\"b\"", "4", "8", "\"kernel\"", "\"weight\"", "false") "]",
     LORAC_ERROR_FORMAT, "'conv'"},
    {"lorac.adapters", "[" ENTRY("\"c\"", "3", "\"b\"", "4", "8", "\"kernel\"", "\"weight\"", "false") "]",
     LORAC_ERROR_FORMAT, "'A'"},
    {"lorac.adapters", "[" ENTRY("\"c\"", "\"a\"", "null", "4", "8", "\"kernel\"", "\"weight\"", "false") "]",
     LORAC_ERROR_FORMAT, "'B'"},
    {"lorac.adapters", "[" ENTRY("\"c\"", "\"a\"", "\"b\"", "0", "8", "\"kernel\"", "\"weight\"", "false") "]",
     LORAC_ERROR_FORMAT, "'rank'"},
    {"lorac.adapters", "[" ENTRY("\"c\"", "\"a\"", "\"b\"", "65537", "8", "\"kernel\"", "\"weight\"", "false") "]",
     LORAC_ERROR_FORMAT, "'rank'"},
    {"lorac.adapters", "[" ENTRY("\"c\"", "\"a\"", "\"b\"", "4.0", "8", "\"kernel\"", "\"weight\"", "false") "]",
     LORAC_ERROR_FORMAT, "'rank'"},
    {"lorac.adapters", "[" ENTRY("\"c\"", "\"a\"", "\"b\"", "4", "\"8\"", "\"kernel\"", "\"weight\"", "false") "]",
     LORAC_ERROR_FORMAT, "'alpha'"},
    {"lorac.adapters", "[" ENTRY("\"c\"", "\"a\"", "\"b\"", "4", "0.0", "\"kernel\"", "\"weight\"", "false") "]",
     LORAC_ERROR_FORMAT, "'alpha'"},
    {"lorac.adapters", "[" ENTRY("\"c\"", "\"a\"", "\"b\"", "4", "1e999", "\"kernel\"", "\"weight\"", "false") "]",
     LORAC_ERROR_FORMAT, "not valid JSON"},
    {"lorac.adapters", "[" ENTRY("\"c\"", "\"a\"", "\"b\"", "4", "8", "\"paper\"", "\"weight\"", "false") "]",
     LORAC_ERROR_FORMAT, "'setting'"},
    {"lorac.adapters", "[" ENTRY("\"c\"", "\"a\"", "\"b\"", "4", "8", "\"kernel\"", "\"Branch\"", "false") "]",
     LORAC_ERROR_UNSUPPORTED, "form 'Branch'"},
    {"lorac.adapters", "[" ENTRY("\"c\"", "\"a\"", "\"b\"", "4", "8", "\"kernel\"", "1", "false") "]",
     LORAC_ERROR_FORMAT, "'form'"},
    {"lorac.adapters", "[" ENTRY("\"c\"", "\"a\"", "\"b\"", "4", "8", "\"kernel\"", "\"weight\"", "0") "]",
     LORAC_ERROR_FORMAT, "'freeze_a'"},
    {"lorac.adapters", "[" GOOD "," GOOD "]", LORAC_ERROR_FORMAT, "names 'a' twice"},
    {"lorac.adapters", "[" ENTRY("\"c\"", "\"a\"", "\"a\"", "4", "8", "\"kernel\"", "\"weight\"", "false") "]",
     LORAC_ERROR_FORMAT, "names 'a' twice"},
    {"lorac.trainable", NULL, LORAC_ERROR_FORMAT, "is missing"},
    {"lorac.trainable", "{}", LORAC_ERROR_FORMAT, "array of strings"},
    {"lorac.trainable", "[\"b\",3]", LORAC_ERROR_FORMAT, "entry 1"},
    {"lorac.trainable", "[\"\"]", LORAC_ERROR_FORMAT, "entry 0"},
    {"lorac.trainable", "[\"b\",\"b\"]", LORAC_ERROR_FORMAT, "names 'b' twice"},
    {"lorac.trainable", "[\"nobody\"]", LORAC_ERROR_MISMATCH, "names 'nobody', which is no floating"},
    {"lorac.trainable", "[\"i\"]", LORAC_ERROR_MISMATCH, "names 'i', which is no floating"},
    {"lorac.trainable", "[\"x\"]", LORAC_ERROR_MISMATCH, "names 'x', which is no floating"},
    {"lorac.trainable", "[\"b\",\"a\"]", LORAC_ERROR_FORMAT, "is frozen (freeze_a)"},
    {"lorac.trainable", "[\"a2\",\"b2\"]", LORAC_ERROR_FORMAT, "lacks 'b', the B of 'lorac.adapters' entry 0 ('conv')"},
    {"lorac.trainable", "[\"b\",\"b2\"]", LORAC_ERROR_FORMAT, "lacks 'a2', the A of 'lorac.adapters' entry 1 ('other')"},
    {"lorac.trainable", "[\"b\",\"a2\"]", LORAC_ERROR_FORMAT, "lacks 'b2', the B of 'lorac.adapters' entry 1"},
    {"lorac.trainable", "[]", LORAC_ERROR_FORMAT, "lacks 'b'"},
    {"lorac.trainable", "[\"b\",\"a2\",\"b2\",\"w\"]", LORAC_ERROR_FORMAT, "names 'w', the weight that"},
    {"lorac.adapters", "[" ENTRY("\"y\"", "\"a2\"", "\"b2\"", "4", "8", "\"kernel\"", "\"weight\"", "false") "]",
     LORAC_ERROR_MISMATCH, "names convolution 'y', which the model does not have (another tool may have renamed nodes)"},
    {"lorac.bn", NULL, LORAC_ERROR_FORMAT, "is missing"},
    {"lorac.bn", "folded", LORAC_ERROR_FORMAT, "'frozen' or 'train'"},
    {"lorac.seed", NULL, LORAC_ERROR_FORMAT, "is missing"},
    {"lorac.seed", "-1", LORAC_ERROR_FORMAT, "decimal number"},
    {"lorac.seed", "18446744073709551616", LORAC_ERROR_FORMAT, "decimal number"},
    {"lorac.seed", "", LORAC_ERROR_FORMAT, "decimal number"},
    {"lorac.tool", NULL, LORAC_ERROR_FORMAT, "is missing"},
    {"lorac.copies", "{}", LORAC_ERROR_FORMAT, "array of objects"},
    {"lorac.copies", "[\"w\"]", LORAC_ERROR_FORMAT, "entry 0: 'copy' must be a string"},
    {"lorac.copies", "[{\"copy\":\"w\"}]", LORAC_ERROR_FORMAT, "entry 0: 'of' must be a string"},
    {"lorac.copies", "[{\"copy\":\"nobody\",\"of\":\"w\"}]", LORAC_ERROR_MISMATCH, "'nobody', which is no initialiser"},
    {"lorac.copies", "[{\"copy\":\"w\",\"of\":\"x\"},{\"copy\":\"w\",\"of\":\"y\"}]", LORAC_ERROR_FORMAT,
     "names 'w' twice"},
    {"lorac.copies", "[{\"copy\":\"w\",\"of\":\"w\"}]", LORAC_ERROR_FORMAT, "entry 0: 'w' is of 'w', which is a copy itself"},
    {"lorac.copies", "[{\"copy\":\"w\",\"of\":\"x\"},{\"copy\":\"i\",\"of\":\"w\"}]", LORAC_ERROR_FORMAT,
     "entry 1: 'i' is of 'w', which is a copy itself"},
    {"lorac.copies", "[{\"copy\":\"a\",\"of\":\"w\"}]", LORAC_ERROR_FORMAT,
     "names 'a', which belongs to the adapter of 'conv'"},
    {"lorac.copies", "[{\"copy\":\"w\",\"of\":\"b2\"}]", LORAC_ERROR_FORMAT,
     "names 'b2', which belongs to the adapter of 'other'"},
    {"lorac.classes", "\"cat\"", LORAC_ERROR_FORMAT, "not valid JSON"},
    {"lorac.classes", "{\"cat\":1}", LORAC_ERROR_FORMAT, "array of strings"},
    {"lorac.classes", "[\"cat\",null]", LORAC_ERROR_FORMAT, "entry 1"},
    {"lorac.output", "z", LORAC_ERROR_MISMATCH, "is 'z', which is no output of the model"},
    {"lorac.input", "[]", LORAC_ERROR_FORMAT, "JSON object"},
    {"lorac.input", "{\"scale\":\"1\"}", LORAC_ERROR_FORMAT, "'scale'"},
    {"lorac.input", "{\"scale\":0}", LORAC_ERROR_FORMAT, "scale is 0"},
    {"lorac.input", "{\"mean\":\"x\"}", LORAC_ERROR_FORMAT, "'mean'"},
    {"lorac.input", "{\"mean\":[1,\"x\"]}", LORAC_ERROR_FORMAT, "'mean' entry 1"},
    {"lorac.input", "{\"mean\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}", LORAC_ERROR_FORMAT, "at most 16"},
    {"lorac.input", "{\"std\":[1,0]}", LORAC_ERROR_FORMAT, "std value 1 is 0"},
    {"lorac.input", "{\"std\":-1}", LORAC_ERROR_FORMAT, "std value 0 is -1"},
    {"lorac.input", "{\"channel_order\":\"RGB\"}", LORAC_ERROR_FORMAT, "'channel_order'"},
    {"lorac.input", "{\"mena\":1}", LORAC_ERROR_FORMAT, "unknown member 'mena'"},
};

static void test_malformed(void)
{
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        struct lorac_error error = {0};
        struct lorac_meta meta, got = {.seed = 5};
        struct lorac_model *model = plain_model();
        write_record(model, &meta);
        if (malformed[i].value)
            REQUIRE(CHECK_OK(lorac_model_set_metadata(model, malformed[i].key, malformed[i].value, &error), error));
        else
            lorac_model_erase_metadata(model, malformed[i].key);
        enum lorac_status status = lorac_meta_read(model, &got, &error);
        CHECKF(status == malformed[i].status && error.status == status && strstr(error.message, malformed[i].key) &&
                   strstr(error.message, malformed[i].message),
               "row %zu (%s = %s): %d %s", i, malformed[i].key, malformed[i].value ? malformed[i].value : "missing",
               (int)status, error.message);
        CHECK(got.seed == 5); // written only on success
        lorac_model_free(model);
    }
}

// A key that is there twice is refused, whatever it says; one of others may be.
static void test_repeated_keys(void)
{
    static const char *const keys[] = {"lorac.format", "lorac.base_hash", "lorac.adapters", "lorac.trainable",
                                       "lorac.bn",     "lorac.seed",      "lorac.tool",     "lorac.input",
                                       "lorac.classes", "lorac.output",   "other"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct lorac_error error = {0};
        struct lorac_meta meta, got;
        struct lorac_model *model = plain_model();
        write_record(model, &meta);
        REQUIRE(CHECK_OK(lorac_model_set_metadata(model, "other", "1", &error), error));
        REQUIRE(CHECK_OK(lorac_model_set_metadata(model, "lorac.output", "y", &error), error));
        REQUIRE(CHECK_OK(lorac_model_set_metadata(model, "last", "1", &error), error));
        Onnx__ModelProto *proto = model->proto;
        Onnx__StringStringEntryProto *last = proto->metadata_props[proto->n_metadata_props - 1];
        last->key = (char *)(uintptr_t)keys[i];
        last->value = (char *)(uintptr_t)lorac_model_metadata(model, keys[i]);
        enum lorac_status status = lorac_meta_read(model, &got, &error);
        if (strcmp(keys[i], "other") == 0)
            CHECK(status == LORAC_OK);
        else
            CHECKF(status == LORAC_ERROR_FORMAT && strstr(error.message, keys[i]) && strstr(error.message, "2 times"),
                   "%s: %d %s", keys[i], (int)status, error.message);
        lorac_model_free(model);
    }
}

// A name that JSON cannot hold is refused, not mangled.
static void test_not_utf8(void)
{
    struct lorac_error error = {0};
    const char *trainable[] = {"\xff\xfe"};
    struct lorac_model *model = plain_model();
    struct lorac_meta meta = {.injected = true, .base_hash = HASH, .tool = "t", .trainable_count = 1,
                              .trainable = trainable};
    CHECK(lorac_meta_write(model, &meta, &error) == LORAC_ERROR_FORMAT && strstr(error.message, "not UTF-8"));
    lorac_model_free(model);
}

// ---- pixels

static void test_input(void)
{
    static const struct {
        const char *given, *printed;
    } table[] = {
        {"{}", "{\"scale\":0.00392156862745098,\"channel_order\":\"rgb\"}"},
        {"{\"scale\":1}", "{\"scale\":1.0,\"channel_order\":\"rgb\"}"},
        {"{\"mean\":0.5,\"std\":2}",
         "{\"scale\":0.00392156862745098,\"mean\":[0.5],\"std\":[2.0],\"channel_order\":\"rgb\"}"},
        {"{\"channel_order\":\"bgr\",\"std\":[0.229,0.224,0.225],\"mean\":[0.485,0.456,0.406]}",
         "{\"scale\":0.00392156862745098,\"mean\":[0.485,0.456,0.406],\"std\":[0.229,0.224,0.225],\"channel_order\":"
         "\"bgr\"}"},
        {"{\"mean\":[]}", "{\"scale\":0.00392156862745098,\"channel_order\":\"rgb\"}"},
        // 17 digits where fewer do not read back equal
        {"{\"scale\":0.30000000000000004}", "{\"scale\":0.30000000000000004,\"channel_order\":\"rgb\"}"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct lorac_error error = {0};
        struct lorac_input_meta input;
        char *text = NULL;
        if (CHECK_OK(lorac_input_meta_parse(table[i].given, &input, &error), error) &&
            CHECK_OK(lorac_input_meta_format(&input, &text, &error), error))
            CHECK_STRING(text, table[i].printed);
        free(text);
    }
    struct lorac_error error = {0};
    struct lorac_input_meta bad = {.given = true, .scale = (double)NAN};
    char *text = NULL;
    CHECK(lorac_input_meta_format(&bad, &text, &error) == LORAC_ERROR_ARGUMENT && !text);
    bad = (struct lorac_input_meta){.scale = 1, .mean_count = 17};
    CHECK(lorac_input_meta_check(&bad, 0, &error) == LORAC_ERROR_ARGUMENT);
    bad.mean_count = 3;
    CHECK(lorac_input_meta_check(&bad, 4, &error) == LORAC_ERROR_ARGUMENT);
    CHECK_OK(lorac_input_meta_check(&bad, 3, &error), error);
}

// ---- the base hash

// The layout of docs/format.md, written down again without the library.
static size_t lay_out(unsigned char *out, const char *name, int32_t type, const int64_t *dims, size_t dim_count,
                      const void *bytes, size_t byte_count)
{
    int64_t rank = (int64_t)dim_count;
    size_t used = strlen(name) + 1;
    memcpy(out, name, used);
    memcpy(out + used, &type, 4);
    memcpy(out + used + 4, &rank, 8);
    memcpy(out + used + 12, dims, 8 * dim_count);
    memcpy(out + used + 12 + 8 * dim_count, bytes, byte_count);
    return used + 12 + 8 * dim_count + byte_count;
}

static void test_hash_layout(void)
{
    struct lorac_error error = {0};
    struct small_model small;
    unsigned char bytes[512];
    char expected[33], got[33] = "";
    const float c[] = {0.125f, 0.25f}, z[] = {0.125f, 0.25f, 0.375f};
    const int64_t i[] = {0};
    small_init(&small, 8, 13);
    small_input(&small, "x", DIMS(1));
    small_output(&small, "y");
    small_tensor(&small, "z", DIMS(3, 1));
    small_constant(&small, "c", DIMS(2));
    small.tensors[small.graph.n_initializer++] =
        small_make_tensor(&small, "Z", ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 8, DIMS(1));
    small_node(&small, "Identity", "id", "x", "y");
    // Strings count with a 0 after each.
    Onnx__TensorProto *text = small_make_tensor(&small, "text", ONNX__TENSOR_PROTO__DATA_TYPE__STRING, 0, DIMS(2));
    ProtobufCBinaryData strings[] = {{2, (uint8_t *)"ab"}, {0, NULL}};
    text->has_raw_data = 0;
    text->raw_data = (ProtobufCBinaryData){0, NULL};
    text->string_data = strings;
    text->n_string_data = 2;
    small.tensors[small.graph.n_initializer++] = text;
    struct lorac_model *model = small_load(&small);

    size_t used = lay_out(bytes, "Z", 7, (const int64_t[]){1}, 1, i, 8);
    used += lay_out(bytes + used, "c", 1, (const int64_t[]){2}, 1, c, 8);
    used += lay_out(bytes + used, "text", 8, (const int64_t[]){2}, 1, "ab\0", 4);
    used += lay_out(bytes + used, "z", 1, (const int64_t[]){3, 1}, 2, z, 12);
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes, used));
    for (size_t k = 0; k < 16; k++)
        snprintf(expected + 2 * k, 3, "%02x", canonical.digest[k]);
    CHECK_OK(lorac_base_hash(model, NULL, got, &error), error);
    CHECK_STRING(got, expected);
    lorac_model_free(model);
}

// The field in which the numbers are stored does not count; each of name, type, dims and bytes does.
static void test_hash_sensitivity(void)
{
    enum { SAME, FIELD, NAME, DIMENSIONS, VALUE, CASES };
    char hashes[CASES][33];
    for (int which = 0; which < CASES; which++) {
        struct lorac_error error = {0};
        struct small_model small;
        build_plain(&small);
        Onnx__TensorProto *w = small.tensors[0];
        if (which == FIELD) {
            w->n_float_data = w->raw_data.len / 4;
            w->float_data = (float *)(void *)w->raw_data.data;
            w->has_raw_data = 0;
            w->raw_data = (ProtobufCBinaryData){0, NULL};
        }
        if (which == NAME)
            small.tensors[1]->name = small_text(&small, "a1");
        if (which == DIMENSIONS) {
            small.tensors[1]->dims[0] = 9;
            small.tensors[1]->dims[1] = 2;
        }
        if (which == VALUE)
            w->raw_data.data[4 * 107] ^= 1;
        struct lorac_model *model = small_load(&small);
        CHECK_OK(lorac_base_hash(model, NULL, hashes[which], &error), error);
        lorac_model_free(model);
        int same = strcmp(hashes[which], hashes[SAME]) == 0;
        CHECKF(same == (which == SAME || which == FIELD), "case %d", which);
    }
}

static void test_inner(void)
{
    CHECK(lorac_adapter_inner(4, LORAC_RANK_KERNEL, 3, 3) == 12);
    CHECK(lorac_adapter_inner(4, LORAC_RANK_KERNEL, 1, 7) == 28);
    CHECK(lorac_adapter_inner(4, LORAC_RANK_KERNEL, 7, 1) == 28);
    CHECK(lorac_adapter_inner(4, LORAC_RANK_PLAIN, 7, 1) == 4);
    CHECK(lorac_adapter_inner(4, LORAC_RANK_KERNEL, INT64_MAX / 2, 1) == 0);
    CHECK(lorac_adapter_inner(0, LORAC_RANK_KERNEL, 3, 3) == 0);
}

int main(void)
{
    test_round_trip();
    test_texts();
    test_form_and_version();
    test_erase();
    test_output();
    test_malformed();
    test_repeated_keys();
    test_not_utf8();
    test_input();
    test_hash_layout();
    test_hash_sensitivity();
    test_inner();
    return check_report();
}
