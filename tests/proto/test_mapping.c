// Weights that lie in a mapped file: which of its pages are in memory, and that letting them go loses nothing.
#include "build_model.h"

#include "proto/adapter_meta.h"
#include "proto/external.h"
#include "proto/tensor.h"

#include <unistd.h>

#define FLOAT ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT

// What may stay: the system maps some pages around the one that is read.
enum { COUNT = 1 << 20, WEIGHT_BYTES = COUNT * sizeof(float), MOST_BYTES = 256 * 1024 };

static float weight[COUNT], read_back[COUNT];
static char path[] = "test_mapping_XXXXXX";

// Bytes of the mapped file [name] that are in memory.
static size_t resident_bytes(const char *name)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[4096];
    size_t sum = 0, kib;
    unsigned long begin, end;
    bool ours = false;
    REQUIRE(file);
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "Rss: %zu kB", &kib) == 1)
            sum += ours ? kib * 1024 : 0;
        else if (sscanf(line, "%lx-%lx ", &begin, &end) == 2) // the next mapping, of a file or of none
            ours = strstr(line, name) != NULL;
    }
    fclose(file);
    return sum;
}

// x -> Conv with w -> y, the weight between two small tensors; the name of the first moves it by a byte.
static void write_model(size_t name_length)
{
    static struct build build;
    static int64_t dims[] = {COUNT};
    char name[8] = "aaaaaaa";
    struct lorac_error error = {0};
    size_t byte_count;
    name[name_length] = '\0';
    build_init(&build);
    build_input(&build, (char *)"x");
    build_output(&build, (char *)"y");
    build_node(&build, (char *)"Conv", (char *)"conv", "x w", "y");
    build_tensor(&build, name, 4);
    Onnx__TensorProto *tensor = build_tensor(&build, (char *)"w", 4);
    build_tensor(&build, (char *)"z", 4);
    for (size_t i = 0; i < COUNT; i++)
        weight[i] = (float)i + 0.5f;
    tensor->dims = dims;
    tensor->raw_data.data = (uint8_t *)weight;
    tensor->raw_data.len = sizeof weight;
    uint8_t *bytes = build_pack(&build, &byte_count);
    REQUIRE(CHECK_OK(lorac_file_write(path, bytes, byte_count, &error), error));
    free(bytes);
}

static struct lorac_model *load(void)
{
    struct lorac_error error = {0};
    struct lorac_model *model = NULL;
    REQUIRE(CHECK_OK(lorac_model_load(path, &model, &error), error));
    return model;
}

static bool reads(const Onnx__TensorProto *tensor, const float *expected)
{
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(lorac_tensor_to_float(tensor, read_back, COUNT, &error), error));
    return memcmp(read_back, expected, WEIGHT_BYTES) == 0;
}

#define CHECK_LET_GO(what) \
    CHECKF(resident_bytes(path) <= MOST_BYTES, "after %s: %zu bytes", what, resident_bytes(path))

static void test_pages(void)
{
    struct lorac_error error = {0};
    struct lorac_model *model = load();
    const Onnx__TensorProto *tensor = lorac_model_initializer(model, "w");
    char hash[33], again[33];
    CHECK_LET_GO("loading");
    CHECK(reads(tensor, weight));
    CHECKF(resident_bytes(path) >= WEIGHT_BYTES, "after reading: %zu bytes", resident_bytes(path));
    lorac_tensor_release(model, tensor);
    CHECK_LET_GO("release");
    CHECK(reads(tensor, weight));
    CHECK_OK(lorac_base_hash(model, NULL, hash, &error), error);
    CHECK_LET_GO("hashing");
    CHECK_OK(lorac_base_hash(model, NULL, again, &error), error);
    CHECK(strcmp(hash, again) == 0);
    CHECK(reads(tensor, weight));
    CHECK_OK(lorac_model_save_as(model, "test_mapping_copy.onnx", LORAC_DATA_INLINE, NULL, &error), error);
    CHECK_LET_GO("saving");
    CHECK(reads(tensor, weight));
    CHECK_OK(lorac_model_save_as(model, "test_mapping_copy.onnx", LORAC_DATA_EXTERNAL, NULL, &error), error);
    CHECK_LET_GO("saving external data");
    CHECK(unlink("test_mapping_copy.onnx") == 0 && unlink("test_mapping_copy.onnx.data") == 0);
    lorac_model_free(model);
}

// What was written is not lost with the file's pages, and does not reach the file.
static void test_written(void)
{
    struct lorac_error error = {0};
    struct lorac_model *model = load();
    Onnx__TensorProto *tensor = lorac_model_initializer(model, "w");
    static float changed[COUNT];
    const uint8_t *in_file = tensor->raw_data.data;
    CHECK_OK(lorac_tensor_set_float(model, tensor, weight, COUNT, &error), error);
    CHECK(tensor->raw_data.data == in_file); // nothing changed
    memcpy(changed, weight, sizeof changed);
    changed[COUNT - 1] = -1;
    CHECK_OK(lorac_tensor_set_float(model, tensor, changed, COUNT, &error), error);
    CHECK_LET_GO("writing");
    lorac_tensor_release(model, tensor);
    lorac_model_release(model);
    CHECK(reads(tensor, changed));
    const uint8_t *own = tensor->raw_data.data;
    CHECK_OK(lorac_tensor_set_float(model, tensor, weight, COUNT, &error), error);
    CHECK(own != in_file && tensor->raw_data.data == own); // moved once
    CHECK(reads(tensor, weight));
    CHECK_OK(lorac_tensor_set_float(model, tensor, changed, COUNT, &error), error);
    lorac_model_free(model);
    model = load();
    CHECK(reads(lorac_model_initializer(model, "w"), weight));
    lorac_model_free(model);
}

// Of four places that are a byte apart, one is that of a float.
static void test_views(void)
{
    size_t views = 0;
    for (size_t name_length = 1; name_length <= 4; name_length++) {
        write_model(name_length);
        struct lorac_model *model = load();
        const Onnx__TensorProto *tensor = lorac_model_initializer(model, "w");
        const float *view = lorac_tensor_float_view(model, tensor, COUNT, 16);
        views += view != NULL;
        CHECK(!view || memcmp(view, weight, WEIGHT_BYTES) == 0);
        CHECK(!lorac_tensor_float_view(model, tensor, COUNT - 1, 0));
        CHECK(!lorac_tensor_float_view(model, tensor, COUNT, 4096)); // past the file's end
        lorac_model_free(model);
    }
    CHECKF(views == 1, "%zu views", views);
}

int main(void)
{
    if (access("/proc/self/smaps", R_OK) != 0) {
        printf("skipped: this system does not say which pages are in memory\n");
        return 77;
    }
    int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    close(fd);
    write_model(1);
    test_pages();
    test_written();
    test_views();
    unlink(path);
    return check_report();
}
