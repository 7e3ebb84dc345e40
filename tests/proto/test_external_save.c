// External data as it is saved: where it goes, what is replaced and what stays, and a save that ends at any instant.
#include "external_files.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>

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

int main(void)
{
    REQUIRE(mkdtemp(FOLDER));
    REQUIRE(mkdir(in_folder("sub"), 0700) == 0);
    test_links();
    CHECK(rmdir(in_folder("sub")) == 0);
    test_places();
    test_names();
    test_entries();
    test_interrupted();
    test_failing_calls();
    CHECK(rmdir(FOLDER) == 0);
    return check_report();
}
