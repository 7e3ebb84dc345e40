// External data as it is read: where it may lie, what is refused, that writes stay private, and more than 2 GiB of it.
#include "external_files.h"

#include <fcntl.h>
#include <sys/stat.h>

// ---- reading

static void test_locations(void)
{
    static const struct {
        const char *location, *offset, *length;
        enum lorac_status status;
        const char *words; // of the message
        float first;       // where it is read
    } rows[] = {
        {"data.bin", NULL, NULL, LORAC_OK, "", 0.25f},
        {"data.bin", "0", "16", LORAC_OK, "", 0.25f},
        {"data.bin", "32", NULL, LORAC_OK, "", 8.25f},
        {"data.bin", "2032", "16", LORAC_OK, "", 508.25f},
        {"./data.bin", "16", NULL, LORAC_OK, "", 4.25f},
        {"sub/data.bin", "16", NULL, LORAC_OK, "", 4.25f},
        {"sub//./data.bin", "16", NULL, LORAC_OK, "", 4.25f},
        {NULL, NULL, NULL, LORAC_ERROR_FORMAT, "has no location", 0},
        {"", NULL, NULL, LORAC_ERROR_FORMAT, "has no location", 0},
        {"../data.bin", NULL, NULL, LORAC_ERROR_FORMAT, "'..' is not allowed", 0},
        {"sub/../data.bin", NULL, NULL, LORAC_ERROR_FORMAT, "'..' is not allowed", 0},
        {"sub/..", NULL, NULL, LORAC_ERROR_FORMAT, "'..' is not allowed", 0},
        {"/etc/passwd", NULL, NULL, LORAC_ERROR_FORMAT, "an absolute path is not allowed", 0},
        {"link.bin", NULL, NULL, LORAC_ERROR_IO, "is a symbolic link", 0},
        {"sublink/data.bin", NULL, NULL, LORAC_ERROR_IO, "symbolic links are not followed", 0},
        {"missing.bin", NULL, NULL, LORAC_ERROR_IO, "cannot open: No such file", 0},
        {"no/data.bin", NULL, NULL, LORAC_ERROR_IO, "cannot open the folder 'no': No such file", 0},
        {"data.bin/x", NULL, NULL, LORAC_ERROR_IO, "cannot open the folder 'data.bin'", 0},
        {"sub", NULL, NULL, LORAC_ERROR_IO, "is a folder", 0},
        {"sub/", NULL, NULL, LORAC_ERROR_IO, "cannot open", 0},
        {"pipe", NULL, NULL, LORAC_ERROR_IO, "is not a regular file", 0},
        {"short.bin", NULL, NULL, LORAC_ERROR_FORMAT, "needs 16 bytes from byte 0 on, but the file has 8", 0},
        {"empty.bin", NULL, NULL, LORAC_ERROR_FORMAT, "needs 16 bytes from byte 0 on, but the file has 0", 0},
        {"data.bin", "2033", NULL, LORAC_ERROR_FORMAT, "needs 16 bytes from byte 2033", 0},
        {"data.bin", "2049", NULL, LORAC_ERROR_FORMAT, "needs 16 bytes from byte 2049", 0},
        {"data.bin", "18446744073709551615", NULL, LORAC_ERROR_FORMAT, "needs 16 bytes from byte", 0},
        {"data.bin", "18446744073709551616", NULL, LORAC_ERROR_FORMAT, "is not a number of bytes", 0},
        {"data.bin", "-16", NULL, LORAC_ERROR_FORMAT, "offset '-16' is not a number of bytes", 0},
        {"data.bin", "0x10", NULL, LORAC_ERROR_FORMAT, "is not a number of bytes", 0},
        {"data.bin", "", NULL, LORAC_ERROR_FORMAT, "offset is empty", 0},
        {"data.bin", NULL, "15", LORAC_ERROR_FORMAT, "its length is 15 bytes, but type FLOAT and dims [4] take 16", 0},
        {"data.bin", NULL, "32", LORAC_ERROR_FORMAT, "its length is 32 bytes", 0},
        {"data.bin", NULL, "18446744073709551615", LORAC_ERROR_FORMAT, "its length is", 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct build build;
        struct external external;
        struct lorac_error error = {0};
        struct lorac_model *model = NULL;
        make_external(&external, start_model(&build), rows[i].location, rows[i].offset, rows[i].length);
        write_model("m.onnx", &build);
        enum lorac_status status = lorac_model_load(in_folder("m.onnx"), &model, &error);
        CHECKF(status == rows[i].status && strstr(error.message, rows[i].words), "row %zu: %d %s", i, (int)status,
               error.message);
        CHECKF(status == LORAC_OK || (strstr(error.message, "m.onnx': tensor 'w' in the file '") && !model),
               "row %zu: %s", i, error.message);
        if (model) {
            CHECK(value_at(lorac_model_initializer(model, "w"), 0) == rows[i].first);
            CHECK(value_at(lorac_model_initializer(model, "w"), 3) == rows[i].first + 3);
            CHECK(model->rewrites_unchanged);
        }
        lorac_model_free(model);
    }
}

static void with_data(struct external *external, Onnx__TensorProto *tensor)
{
    static float one[4];
    (void)external;
    tensor->float_data = one;
    tensor->n_float_data = 4;
}
static void twice(struct external *external, Onnx__TensorProto *tensor)
{
    add_entry(external, tensor, "offset", "0");
}
static void checksum(struct external *external, Onnx__TensorProto *tensor)
{
    add_entry(external, tensor, "checksum", "0000");
}
static void strings(struct external *external, Onnx__TensorProto *tensor)
{
    (void)external;
    tensor->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__STRING;
}
static void newer_type(struct external *external, Onnx__TensorProto *tensor)
{
    (void)external;
    tensor->data_type = 99;
}
static void in_segments(struct external *external, Onnx__TensorProto *tensor)
{
    static Onnx__TensorProto__Segment segment;
    (void)external;
    onnx__tensor_proto__segment__init(&segment);
    tensor->segment = &segment;
}
static void huge(struct external *external, Onnx__TensorProto *tensor)
{
    static int64_t dims[] = {INT64_MAX / 4, 3};
    (void)external;
    tensor->dims = dims;
    tensor->n_dims = 2;
}
static void no_elements(struct external *external, Onnx__TensorProto *tensor)
{
    static int64_t dims[] = {0};
    (void)external;
    tensor->dims = dims;
}

static void test_odd_tensors(void)
{
    static const struct {
        void (*change)(struct external *external, Onnx__TensorProto *tensor);
        const char *words; // NULL: it is read
        size_t bytes;
    } rows[] = {
        {with_data, "has elements in the model as well", 0},
        {twice, "has 2 entries 'offset'", 0},
        {strings, "holds strings", 0},
        {in_segments, "is stored in segments", 0},
        {huge, "is too large", 0},
        {checksum, NULL, 16},
        {newer_type, NULL, VALUES * sizeof(float) - 16}, // the rest of the file
        {no_elements, NULL, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct build build;
        struct external external;
        struct lorac_error error = {0};
        struct lorac_model *model = NULL;
        Onnx__TensorProto *tensor = start_model(&build);
        make_external(&external, tensor, "data.bin", "16", NULL);
        rows[i].change(&external, tensor);
        write_model("m.onnx", &build);
        enum lorac_status status = lorac_model_load(in_folder("m.onnx"), &model, &error);
        CHECKF((status == LORAC_OK) == (rows[i].words == NULL), "row %zu: %s", i, error.message);
        if (rows[i].words)
            CHECKF(strstr(error.message, rows[i].words), "row %zu: %s", i, error.message);
        if (model) {
            size_t byte_count = 99;
            CHECK(lorac_tensor_canonical_view(lorac_model_initializer(model, "w"), &byte_count));
            CHECKF(byte_count == rows[i].bytes, "row %zu: %zu bytes", i, byte_count);
        }
        lorac_model_free(model);
    }
}

// An If whose branch has an external initialiser, and a Constant with an external value.
static void build_nested(struct build *build, struct external external[3], const char *files[3])
{
    static Onnx__AttributeProto value, branch, *values[] = {&value}, *branches[] = {&branch};
    static Onnx__TensorProto constant, inner, *inners[] = {&inner};
    static Onnx__GraphProto graph;
    static Onnx__ValueInfoProto output, *outputs[] = {&output};
    static int64_t four = 4;
    make_external(&external[0], start_model(build), files[0], NULL, NULL);
    onnx__tensor_proto__init(&constant);
    constant.dims = &four;
    constant.n_dims = 1;
    constant.has_data_type = true;
    constant.data_type = FLOAT;
    inner = constant;
    inner.name = (char *)"inner";
    make_external(&external[1], &constant, files[1], "16", "16");
    make_external(&external[2], &inner, files[2], "32", "16");
    onnx__attribute_proto__init(&value);
    value.name = (char *)"value";
    value.has_type = true;
    value.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
    value.t = &constant;
    onnx__value_info_proto__init(&output);
    output.name = (char *)"inner";
    onnx__graph_proto__init(&graph);
    graph.initializer = inners;
    graph.n_initializer = 1;
    graph.output = outputs;
    graph.n_output = 1;
    onnx__attribute_proto__init(&branch);
    branch.name = (char *)"then_branch";
    branch.has_type = true;
    branch.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH;
    branch.g = &graph;
    Onnx__NodeProto *node = build_node(build, (char *)"Constant", NULL, "", "c");
    node->attribute = values;
    node->n_attribute = 1;
    node = build_node(build, (char *)"If", NULL, "c", "d");
    node->attribute = branches;
    node->n_attribute = 1;
}

// The three tensors of build_nested.
static Onnx__TensorProto *nested(const struct lorac_model *model, size_t i)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    if (i == 0)
        return graph->initializer[0];
    return i == 1 ? graph->node[1]->attribute[0]->t : graph->node[2]->attribute[0]->g->initializer[0];
}

static void test_everywhere(void)
{
    const char *files[2][3] = {{"data.bin", "data.bin", "data.bin"}, {"data.bin", "sub/data.bin", "data.bin"}};
    for (size_t f = 0; f < 2; f++) {
        struct build build;
        struct external external[3];
        build_nested(&build, external, files[f]);
        write_model("m.onnx", &build);
        struct lorac_model *model = load("m.onnx");
        for (size_t i = 0; i < 3; i++)
            CHECK(value_at(nested(model, i), 0) == 0.25f + 4 * (float)i);
        CHECK(model->storage->locations.count == f + 1); // each file is mapped once
        lorac_model_free(model);
    }
}

// ---- private pages

// Tensors that lie over one another do not share what is written, and the file never changes.
static void test_writes_stay_private(void)
{
    struct build build;
    struct external external[3];
    Onnx__TensorProto *w = start_model(&build), *same = build_tensor(&build, (char *)"same", 4),
                      *over = build_tensor(&build, (char *)"over", 4);
    make_external(&external[0], w, "data.bin", "16", NULL);
    make_external(&external[1], same, "data.bin", "16", NULL);
    make_external(&external[2], over, "data.bin", "24", NULL);
    write_model("m.onnx", &build);
    for (size_t changed = 0; changed < 3; changed++) {
        struct lorac_model *model = load("m.onnx"), *again;
        const char *const names[] = {"w", "same", "over"};
        const float firsts[] = {4.25f, 4.25f, 6.25f};
        add_one(model, lorac_model_initializer(model, names[changed]));
        again = load("m.onnx");
        for (size_t i = 0; i < 3; i++) {
            float wanted = firsts[i] + (i == changed);
            CHECK(value_at(lorac_model_initializer(model, names[i]), 0) == wanted);
            CHECK(value_at(lorac_model_initializer(model, names[i]), 3) == wanted + 3);
            CHECK(value_at(lorac_model_initializer(again, names[i]), 0) == firsts[i]);
        }
        lorac_model_free(model);
        lorac_model_free(again);
    }
}

static void test_overlap_is_bounded(void)
{
    for (size_t count = 4; count <= 5; count++) {
        struct build build;
        struct external external[5];
        struct lorac_error error = {0};
        struct lorac_model *model = NULL;
        static int64_t dims[] = {VALUES};
        start_model(&build);
        for (size_t i = 0; i < count; i++) {
            static char names[5][2] = {"a", "b", "c", "d", "e"};
            Onnx__TensorProto *tensor = build_tensor(&build, names[i], 4);
            tensor->dims = dims;
            make_external(&external[i], tensor, "data.bin", NULL, NULL);
        }
        write_model("m.onnx", &build);
        enum lorac_status status = lorac_model_load(in_folder("m.onnx"), &model, &error);
        CHECKF(status == (count == 4 ? LORAC_OK : LORAC_ERROR_FORMAT), "%zu: %s", count, error.message);
        CHECK(count == 4 || strstr(error.message, "take more than 4 times the 2048 bytes"));
        lorac_model_free(model);
    }
}

// ---- over 2 GiB

enum { SMALL_AT_MIB = 2100 };

// A model of a sparse data file: [large] bytes, and w far behind them. False where the disk cannot hold that.
static bool write_large_model(void)
{
    static int64_t dims[] = {(int64_t)SMALL_AT_MIB << 20};
    static const float four[] = {1, 2, 3, 4};
    struct build build;
    struct external external[2];
    struct stat info;
    char offset[32];
    Onnx__TensorProto *w = start_model(&build), *large = build_tensor(&build, (char *)"large", 4);
    snprintf(offset, sizeof offset, "%lld", (long long)dims[0]);
    large->dims = dims;
    large->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT8;
    make_external(&external[0], large, "large.bin", NULL, NULL);
    make_external(&external[1], w, "large.bin", offset, "16");
    write_model("large.onnx", &build);
    int fd = open(in_folder("large.bin"), O_WRONLY | O_CREAT | O_EXCL, 0600);
    bool ok = fd >= 0 && ftruncate(fd, (off_t)dims[0]) == 0 &&
              pwrite(fd, four, sizeof four, (off_t)dims[0]) == (ssize_t)sizeof four && fstat(fd, &info) == 0 &&
              info.st_blocks < 2048; // holes are holes
    if (fd >= 0)
        close(fd);
    return ok;
}

static void test_large(void)
{
    struct lorac_error error = {0};
    struct lorac_model *model = NULL;
    if (sizeof(void *) < 8 || !write_large_model()) {
        printf("models over 2 GiB: not tried, no sparse files or no room\n");
        empty_folder();
        return;
    }
    REQUIRE(CHECK_OK(lorac_model_load(in_folder("large.onnx"), &model, &error), error));
    CHECK(value_at(lorac_model_initializer(model, "w"), 3) == 4);
    CHECK(lorac_model_save_as(model, in_folder("out.onnx"), LORAC_DATA_INLINE, NULL, &error) == LORAC_ERROR_UNSUPPORTED);
    CHECKF(strstr(error.message, "must be smaller than 2 GiB"), "%s", error.message);
    CHECK_STRING(list_folder(), "large.bin large.onnx sub ");
    const char *full = getenv("LORAC_FULL_SIZE");
    if (full && *full) {
        // As if the pass had made it: AUTO must find out that it does not fit.
        Onnx__TensorProto *large = lorac_model_initializer(model, "large");
        large->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT;
        large->n_external_data = 0;
        CHECK_OK(lorac_model_save(model, in_folder("out.onnx"), &error), error);
        lorac_model_free(model);
        model = load("out.onnx");
        CHECK(value_at(lorac_model_initializer(model, "w"), 3) == 4);
        CHECK(lorac_tensor_is_external(lorac_model_initializer(model, "large")));
    }
    lorac_model_free(model);
    empty_folder();
}

int main(void)
{
    REQUIRE(mkdtemp(FOLDER));
    REQUIRE(mkdir(in_folder("sub"), 0700) == 0);
    write_data("data.bin");
    write_data("sub/data.bin");
    write_bytes("short.bin", "12345678", 8);
    write_bytes("empty.bin", "", 0);
    REQUIRE(symlink("data.bin", in_folder("link.bin")) == 0 && symlink("sub", in_folder("sublink")) == 0);
    REQUIRE(mkfifo(in_folder("pipe"), 0600) == 0);
    test_locations();
    test_odd_tensors();
    test_everywhere();
    test_writes_stay_private();
    test_overlap_is_bounded();
    empty_folder();
    unlink(in_folder("sub/data.bin"));
    test_large();
    CHECK(rmdir(in_folder("sub")) == 0);
    CHECK(rmdir(FOLDER) == 0);
    return check_report();
}
