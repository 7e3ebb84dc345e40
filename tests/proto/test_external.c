#include "build_model.h"

#include "proto/external.h"
#include "proto/model_edit.h"
#include "proto/tensor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])
#define FLOAT ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT

enum { VALUES = 512 }; // floats in the data file: value i is i + 0.25

// ---- files

static char FOLDER[] = "/tmp/lorac_test_external_XXXXXX";

static const char *in_folder(const char *name)
{
    enum { COUNT = 16 }; // so many can be in use at a time
    static char paths[COUNT][1024];
    static unsigned next;
    char *path = paths[next++ % COUNT];
    snprintf(path, sizeof paths[0], "%s/%s", FOLDER, name);
    return path;
}

static void write_bytes(const char *name, const void *bytes, size_t byte_count)
{
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(lorac_file_write(in_folder(name), bytes, byte_count, &error), error));
}

static void write_data(const char *name)
{
    static float values[VALUES];
    for (size_t i = 0; i < VALUES; i++)
        values[i] = (float)i + 0.25f;
    write_bytes(name, values, sizeof values);
}

// The names in the folder, sorted, with blanks between; hidden ones too.
static const char *list_folder(void)
{
    static char text[1024];
    struct dirent **entries;
    int count = scandir(FOLDER, &entries, NULL, alphasort);
    REQUIRE(count >= 0);
    *text = '\0';
    for (int i = 0; i < count; i++) {
        if (strcmp(entries[i]->d_name, ".") != 0 && strcmp(entries[i]->d_name, "..") != 0) {
            strncat(text, entries[i]->d_name, sizeof text - strlen(text) - 2);
            strcat(text, " ");
        }
        free(entries[i]);
    }
    free(entries);
    return text;
}

static void empty_folder(void)
{
    DIR *folder = opendir(FOLDER);
    REQUIRE(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        if (entry->d_name[0] != '.' || strncmp(entry->d_name, ".lorac", 6) == 0)
            unlink(in_folder(entry->d_name));
    closedir(folder);
}

// ---- models

struct external {
    Onnx__StringStringEntryProto entries[5], *list[5];
};

static void add_entry(struct external *external, Onnx__TensorProto *tensor, const char *key, const char *value)
{
    size_t i = tensor->n_external_data++;
    onnx__string_string_entry_proto__init(&external->entries[i]);
    external->entries[i].key = (char *)(uintptr_t)key;
    external->entries[i].value = (char *)(uintptr_t)value;
    external->list[i] = &external->entries[i];
    tensor->external_data = external->list;
}

// NULL entries are left out.
static void make_external(struct external *external, Onnx__TensorProto *tensor, const char *location,
                          const char *offset, const char *length)
{
    tensor->has_raw_data = false;
    tensor->has_data_location = true;
    tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    if (location)
        add_entry(external, tensor, "location", location);
    if (offset)
        add_entry(external, tensor, "offset", offset);
    if (length)
        add_entry(external, tensor, "length", length);
}

// x -> Conv with w -> y
static Onnx__TensorProto *start_model(struct build *build)
{
    build_init(build);
    build_input(build, (char *)"x");
    build_output(build, (char *)"y");
    build_node(build, (char *)"Conv", (char *)"conv", "x w", "y");
    return build_tensor(build, (char *)"w", 4);
}

static void write_model(const char *name, const struct build *build)
{
    size_t byte_count;
    uint8_t *bytes = build_pack(build, &byte_count);
    write_bytes(name, bytes, byte_count);
    free(bytes);
}

static struct lorac_model *load(const char *name)
{
    struct lorac_error error = {0};
    struct lorac_model *model = NULL;
    REQUIRE(CHECK_OK(lorac_model_load(in_folder(name), &model, &error), error));
    return model;
}

static float value_at(const Onnx__TensorProto *tensor, size_t i)
{
    static float values[VALUES];
    struct lorac_error error = {0};
    size_t count = 0;
    REQUIRE(CHECK_OK(lorac_tensor_count(tensor, &count, &error), error) && count <= VALUES && i < count);
    REQUIRE(CHECK_OK(lorac_tensor_to_float(tensor, values, count, &error), error));
    return values[i];
}

static void add_one(struct lorac_model *model, Onnx__TensorProto *tensor)
{
    static float values[VALUES];
    struct lorac_error error = {0};
    size_t count = 0;
    REQUIRE(lorac_tensor_count(tensor, &count, &error) == LORAC_OK && count <= VALUES);
    REQUIRE(lorac_tensor_to_float(tensor, values, count, &error) == LORAC_OK);
    for (size_t i = 0; i < count; i++)
        values[i] += 1;
    CHECK_OK(lorac_tensor_set_float(model, tensor, values, count, &error), error);
}

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

// ---- saving

static float large_values[VALUES];

// w [4] inline, v [VALUES] inline, both in m.onnx; AUTO, INLINE and EXTERNAL start from here.
static void write_inline_model(const char *name)
{
    static int64_t dims[] = {VALUES};
    struct build build;
    start_model(&build);
    Onnx__TensorProto *v = build_tensor(&build, (char *)"v", 4);
    for (size_t i = 0; i < VALUES; i++)
        large_values[i] = 2 * (float)i;
    v->dims = dims;
    v->raw_data.data = (uint8_t *)large_values;
    v->raw_data.len = sizeof large_values;
    write_model(name, &build);
}

static struct lorac_saved saved; // of the last save_as

static void save_as(const struct lorac_model *model, const char *name, enum lorac_data_place place)
{
    struct lorac_error error = {0};
    CHECK_OK(lorac_model_save_check(model, in_folder(name), place, &error), error);
    CHECK_OK(lorac_model_save_as(model, in_folder(name), place, &saved, &error), error);
}

static void check_v(const char *name, bool external, float first)
{
    struct lorac_model *model = load(name);
    const Onnx__TensorProto *v = lorac_model_initializer(model, "v"), *w = lorac_model_initializer(model, "w");
    CHECKF(lorac_tensor_is_external(v) == external && !lorac_tensor_is_external(w), "%s", name);
    CHECK(value_at(v, 0) == first && value_at(v, 100) == first + 200 && value_at(w, 1) == 1.5f);
    lorac_model_free(model);
}

static void test_places(void)
{
    write_inline_model("in.onnx");
    struct lorac_model *model = load("in.onnx");
    save_as(model, "auto.onnx", LORAC_DATA_AUTO);
    save_as(model, "inline.onnx", LORAC_DATA_INLINE);
    save_as(model, "out.onnx", LORAC_DATA_EXTERNAL);
    CHECK_STRING(list_folder(), "auto.onnx in.onnx inline.onnx out.onnx out.onnx.data ");
    check_v("auto.onnx", false, 0);
    check_v("inline.onnx", false, 0);
    check_v("out.onnx", true, 0);
    // In memory nothing changed.
    CHECK(!lorac_tensor_is_external(lorac_model_initializer(model, "v")));
    lorac_model_free(model);
    // From external: AUTO keeps, INLINE brings the very bytes back.
    model = load("out.onnx");
    save_as(model, "auto.onnx", LORAC_DATA_AUTO);
    save_as(model, "inline.onnx", LORAC_DATA_INLINE);
    check_v("auto.onnx", true, 0);
    check_v("inline.onnx", false, 0);
    CHECK_STRING(list_folder(), "auto.onnx auto.onnx.data in.onnx inline.onnx out.onnx out.onnx.data ");
    uint8_t *bytes = NULL, *packed = NULL;
    size_t count = 0, packed_count = 0;
    struct lorac_error error = {0};
    struct lorac_model *original = load("in.onnx");
    CHECK_OK(lorac_model_pack(original, &bytes, &count, &error), error);
    CHECK_OK(lorac_model_pack(model, &packed, &packed_count, &error), error);
    CHECK(count == packed_count && memcmp(bytes, packed, count) == 0);
    free(bytes);
    free(packed);
    lorac_model_free(original);
    lorac_model_free(model);
    empty_folder();
}

// ---- what is replaced, and what stays

// [unused]: what the old pair leaves.
static void check_saved(struct lorac_model *model, const char *name, enum lorac_data_place place, const char *listing,
                        const char *unused)
{
    save_as(model, name, place);
    CHECK_STRING(list_folder(), listing);
    CHECK_STRING(saved.unused, unused);
}

static void test_names(void)
{
    struct lorac_error error = {0};
    write_inline_model("in.onnx");
    struct lorac_model *model = load("in.onnx");
    check_saved(model, "out.onnx", LORAC_DATA_EXTERNAL, "in.onnx out.onnx out.onnx.data ", "");
    // A copy of the old pair's model still names the data file: it stays, and its name is not free.
    REQUIRE(link(in_folder("out.onnx"), in_folder("copy.onnx")) == 0);
    check_saved(model, "out.onnx", LORAC_DATA_EXTERNAL, "copy.onnx in.onnx out.onnx out.onnx.data out.onnx.data.1 ",
                "out.onnx.data");
    check_v("copy.onnx", true, 0);
    check_v("out.onnx", true, 0);
    unlink(in_folder("copy.onnx"));
    // One that was deleted gives its name back.
    unlink(in_folder("out.onnx.data"));
    check_saved(model, "out.onnx", LORAC_DATA_EXTERNAL, "in.onnx out.onnx out.onnx.data out.onnx.data.1 ",
                "out.onnx.data.1");
    check_v("out.onnx", true, 0);
    check_saved(model, "out.onnx", LORAC_DATA_INLINE, "in.onnx out.onnx out.onnx.data out.onnx.data.1 ",
                "out.onnx.data");
    unlink(in_folder("out.onnx.data"));
    unlink(in_folder("out.onnx.data.1"));
    // A stranger of that name is neither touched nor spoken of.
    write_bytes("out.onnx.data", "stranger", 8);
    check_saved(model, "out.onnx", LORAC_DATA_EXTERNAL, "in.onnx out.onnx out.onnx.data out.onnx.data.1 ", "");
    unlink(in_folder("out.onnx.data.1"));
    check_saved(model, "out.onnx", LORAC_DATA_INLINE, "in.onnx out.onnx out.onnx.data ", ""); // gone already
    unlink(in_folder("out.onnx.data"));
    lorac_model_free(model);
    // In place, twice; what is in memory stays readable.
    model = load("in.onnx");
    save_as(model, "both.onnx", LORAC_DATA_EXTERNAL);
    lorac_model_free(model);
    model = load("both.onnx");
    add_one(model, lorac_model_initializer(model, "v"));
    check_saved(model, "both.onnx", LORAC_DATA_AUTO, "both.onnx both.onnx.data both.onnx.data.1 in.onnx out.onnx ",
                "both.onnx.data");
    check_v("both.onnx", true, 1);
    unlink(in_folder("both.onnx.data"));
    add_one(model, lorac_model_initializer(model, "v"));
    check_saved(model, "both.onnx", LORAC_DATA_AUTO, "both.onnx both.onnx.data both.onnx.data.1 in.onnx out.onnx ",
                "both.onnx.data.1");
    check_v("both.onnx", true, 2);
    unlink(in_folder("both.onnx.data.1"));
    lorac_model_free(model);
    // The input names the data file that lies beside the output.
    REQUIRE(rename(in_folder("both.onnx"), in_folder("moved.onnx")) == 0);
    model = load("moved.onnx");
    struct build build;
    struct external external;
    make_external(&external, start_model(&build), "both.onnx.data", NULL, NULL);
    write_model("both.onnx", &build);
    check_saved(model, "both.onnx", LORAC_DATA_INLINE, "both.onnx both.onnx.data in.onnx moved.onnx out.onnx ", "");
    check_v("moved.onnx", true, 2);
    check_v("both.onnx", false, 2);
    // The output may not be the input's data file.
    CHECK(lorac_model_save_check(model, in_folder("both.onnx.data"), LORAC_DATA_AUTO, &error) == LORAC_ERROR_IO);
    CHECK(lorac_model_save(model, in_folder("both.onnx.data"), &error) == LORAC_ERROR_IO);
    CHECK(strstr(error.message, "own external data are in it"));
    check_v("moved.onnx", true, 2);
    lorac_model_free(model);
    empty_folder();
}

static void test_links(void)
{
    struct lorac_error error = {0};
    struct stat info;
    write_inline_model("in.onnx");
    struct lorac_model *model = load("in.onnx");
    REQUIRE(symlink("real.onnx", in_folder("near.onnx")) == 0 && symlink("sub/real.onnx", in_folder("far.onnx")) == 0);
    save_as(model, "near.onnx", LORAC_DATA_EXTERNAL);
    CHECK_STRING(list_folder(), "far.onnx in.onnx near.onnx real.onnx real.onnx.data sub ");
    check_v("near.onnx", true, 0);
    CHECK(lorac_model_save_check(model, in_folder("far.onnx"), LORAC_DATA_EXTERNAL, &error) == LORAC_ERROR_IO);
    CHECK(lorac_model_save_as(model, in_folder("far.onnx"), LORAC_DATA_EXTERNAL, NULL, &error) == LORAC_ERROR_IO);
    CHECKF(strstr(error.message, "a link into another folder"), "%s", error.message);
    CHECK(lstat(in_folder("sub/real.onnx"), &info) != 0 && lstat(in_folder("sub/real.onnx.data"), &info) != 0);
    save_as(model, "far.onnx", LORAC_DATA_INLINE);
    check_v("far.onnx", false, 0);
    unlink(in_folder("sub/real.onnx"));
    lorac_model_free(model);
    empty_folder();
}

// Entries of other kinds stay; a checksum does until the tensor changes. The offsets are multiples of 64, the bytes of
// typed fields come as raw ones.
static void test_entries(void)
{
    static int64_t dims[] = {VALUES};
    struct build build;
    struct external external[2];
    Onnx__TensorProto *w = start_model(&build), *v = build_tensor(&build, (char *)"v", 4),
                      *typed = build_tensor(&build, (char *)"typed", 4);
    make_external(&external[0], w, "data.bin", "20", "16");
    add_entry(&external[0], w, "checksum", "abc");
    add_entry(&external[0], w, "vendor", "note");
    make_external(&external[1], v, "data.bin", "40", "16");
    add_entry(&external[1], v, "checksum", "def");
    typed->dims = dims;
    typed->has_raw_data = false;
    typed->float_data = large_values;
    typed->n_float_data = VALUES;
    write_data("data.bin");
    write_model("m.onnx", &build);
    struct lorac_model *model = load("m.onnx");
    add_one(model, lorac_model_initializer(model, "v"));
    save_as(model, "out.onnx", LORAC_DATA_AUTO);
    save_as(model, "all.onnx", LORAC_DATA_EXTERNAL);
    lorac_model_free(model);
    model = load("out.onnx");
    const Onnx__TensorProto *tensor = lorac_model_initializer(model, "w");
    CHECK(value_at(tensor, 0) == 5.25f && tensor->n_external_data == 5);
    CHECK_STRING(lorac_external_entry(tensor, "location"), "out.onnx.data");
    CHECK_STRING(lorac_external_entry(tensor, "offset"), "0");
    CHECK_STRING(lorac_external_entry(tensor, "length"), "16");
    CHECK_STRING(lorac_external_entry(tensor, "checksum"), "abc");
    CHECK_STRING(lorac_external_entry(tensor, "vendor"), "note");
    tensor = lorac_model_initializer(model, "v");
    CHECK(value_at(tensor, 0) == 11.25f && tensor->n_external_data == 3);
    CHECK_STRING(lorac_external_entry(tensor, "offset"), "64");
    CHECK(!lorac_tensor_is_external(lorac_model_initializer(model, "typed")));
    lorac_model_free(model);
    model = load("all.onnx");
    tensor = lorac_model_initializer(model, "typed");
    CHECK(lorac_tensor_is_external(tensor) && value_at(tensor, 7) == large_values[7]);
    CHECK(!lorac_tensor_is_external(lorac_model_initializer(model, "w")));
    lorac_model_free(model);
    empty_folder();
}

// ---- interrupted at any instant

// The link options of this test put these in front of the library's calls.
int __real_rename(const char *from, const char *to);
int __real_fsync(int fd);
int __real_unlink(const char *path);
ssize_t __real_write(int fd, const void *bytes, size_t count);
int __wrap_rename(const char *from, const char *to);
int __wrap_fsync(int fd);
int __wrap_unlink(const char *path);
ssize_t __wrap_write(int fd, const void *bytes, size_t count);

enum { INTERRUPTED = 9, NEVER = -1 };
static int calls_left = NEVER; // until the program dies, before the call or (a write) in the middle of it
static int failing_errno;      // not 0: the call fails instead

static bool call_fails(void)
{
    if (calls_left == NEVER || calls_left-- > 0)
        return false;
    if (!failing_errno)
        _exit(INTERRUPTED);
    errno = failing_errno;
    calls_left = NEVER;
    return true;
}

int __wrap_rename(const char *from, const char *to)
{
    return call_fails() ? -1 : __real_rename(from, to);
}

int __wrap_fsync(int fd)
{
    return call_fails() ? -1 : __real_fsync(fd);
}

int __wrap_unlink(const char *path)
{
    return call_fails() ? -1 : __real_unlink(path);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t count)
{
    if (calls_left == 0)
        __real_write(fd, bytes, count / 2);
    return call_fails() ? -1 : __real_write(fd, bytes, count);
}

// Saves in place with one added to every value of v, in a process that dies at the [calls]-th call. True where it
// lived to the end.
static bool save_and_die(int calls, enum lorac_data_place place)
{
    pid_t child = fork();
    int status = 0;
    REQUIRE(child >= 0);
    if (child == 0) {
        struct lorac_error error = {0};
        struct lorac_model *model = load("m.onnx");
        add_one(model, lorac_model_initializer(model, "v"));
        calls_left = calls;
        _exit(lorac_model_save_as(model, in_folder("m.onnx"), place, NULL, &error) == LORAC_OK ? 0 : 1);
    }
    REQUIRE(waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECKF(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == INTERRUPTED, "exit code %d", WEXITSTATUS(status));
    return WEXITSTATUS(status) == 0;
}

// All values of v belong together: those of the old pair, or of the new one.
static float check_pair(const char *name)
{
    struct lorac_model *model = load(name);
    const Onnx__TensorProto *v = lorac_model_initializer(model, "v");
    float first = value_at(v, 0);
    for (size_t i = 0; i < VALUES; i += 37)
        CHECK(value_at(v, i) == first + 2 * (float)i);
    lorac_model_free(model);
    return first;
}

static void start_pair(void)
{
    empty_folder();
    write_inline_model("in.onnx");
    struct lorac_model *model = load("in.onnx");
    save_as(model, "m.onnx", LORAC_DATA_EXTERNAL);
    lorac_model_free(model);
}

static void test_interrupted(void)
{
    static const enum lorac_data_place places[] = {LORAC_DATA_AUTO, LORAC_DATA_INLINE};
    for (size_t p = 0; p < COUNT_OF(places); p++) {
        bool ended = false;
        size_t old = 0, new = 0;
        for (int calls = 0; !ended && calls < 100; calls++) {
            start_pair();
            ended = save_and_die(calls, places[p]);
            float first = check_pair("m.onnx");
            CHECK(first == 0 || first == 1);
            CHECK(!ended || first == 1);
            old += first == 0;
            new += first == 1;
        }
        CHECKF(ended && old >= 3 && new >= 2, "%zu times the old pair, %zu times the new one", old, new);
        // What is left over is in nobody's way.
        struct lorac_model *model = load("m.onnx");
        save_as(model, "m.onnx", LORAC_DATA_AUTO);
        lorac_model_free(model);
        check_pair("m.onnx");
    }
    empty_folder();
}

// A call that fails leaves the old pair and nothing else, or the new pair.
static void test_failing_calls(void)
{
    bool done = false;
    failing_errno = ENOSPC;
    for (int calls = 0; !done && calls < 100; calls++) {
        struct lorac_error error = {0};
        start_pair();
        struct lorac_model *model = load("m.onnx");
        add_one(model, lorac_model_initializer(model, "v"));
        calls_left = calls;
        enum lorac_status status = lorac_model_save(model, in_folder("m.onnx"), &error);
        done = calls_left != NEVER;
        calls_left = NEVER;
        float first = check_pair("m.onnx");
        CHECKF(status == LORAC_OK ? first == 1 : status == LORAC_ERROR_IO && strstr(error.message, strerror(ENOSPC)),
               "call %d: %s", calls, error.message);
        if (first == 0)
            CHECK_STRING(list_folder(), "in.onnx m.onnx m.onnx.data ");
        lorac_model_free(model);
    }
    failing_errno = 0;
    CHECK(done);
    empty_folder();
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
    test_links();
    test_large();
    CHECK(rmdir(in_folder("sub")) == 0);
    test_places();
    test_names();
    test_entries();
    test_interrupted();
    test_failing_calls();
    CHECK(rmdir(FOLDER) == 0);
    return check_report();
}
