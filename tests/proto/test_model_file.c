#include "build_model.h"
#include "own_folder.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

// ---- round trips

static uint8_t *read_file(const char *path, size_t *byte_count)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    REQUIRE(fseek(file, 0, SEEK_END) == 0);
    long size = ftell(file);
    rewind(file);
    uint8_t *bytes = malloc((size_t)size + 1);
    REQUIRE(size >= 0 && bytes && fread(bytes, 1, (size_t)size, file) == (size_t)size);
    fclose(file);
    *byte_count = (size_t)size;
    return bytes;
}

static void check_round_trip(const char *path)
{
    struct lorac_error error = {0};
    struct lorac_model *model = NULL;
    size_t file_count = 0, byte_count = 0;
    uint8_t *file = read_file(path, &file_count), *bytes = NULL;
    REQUIRE(file);
    if (CHECK_OK(lorac_model_load(path, &model, &error), error)) {
        CHECK_OK(lorac_model_pack(model, &bytes, &byte_count, &error), error);
        bool same = byte_count == file_count && memcmp(bytes, file, byte_count) == 0;
        CHECKF(same, "%s is not written as it was read", path);
        CHECKF(model->rewrites_unchanged == same, "%s: rewrites_unchanged is %d", path, model->rewrites_unchanged);
    }
    lorac_model_free(model);
    free(bytes);
    free(file);
}

// Every .onnx file in [folder]; returns how many there were.
static int check_folder(const char *folder)
{
    int count = 0;
    DIR *directory = opendir(folder);
    if (!directory)
        return 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        size_t length = strlen(entry->d_name);
        char path[1024];
        if (length < 5 || strcmp(entry->d_name + length - 5, ".onnx") != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        check_round_trip(path);
        count++;
    }
    closedir(directory);
    return count;
}

// ---- files

static size_t files_in_folder(void)
{
    size_t count = 0;
    DIR *directory = opendir(FOLDER);
    REQUIRE(directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(directory);
    return count;
}

static void check_content(const char *path, const void *expected, size_t expected_count)
{
    size_t byte_count = 0;
    uint8_t *bytes = read_file(path, &byte_count);
    if (CHECKF(bytes != NULL, "%s is not there", path))
        CHECKF(byte_count == expected_count && memcmp(bytes, expected, byte_count) == 0, "%s has %zu bytes, not %zu",
               path, byte_count, expected_count);
    free(bytes);
}

static void test_unreadable_files(void)
{
    struct lorac_error error = {0};
    CHECK_OK(lorac_file_write(in_folder("empty"), "", 0, &error), error);
    CHECK_OK(lorac_file_write(in_folder("text"), "hello, world\n", 13, &error), error);
    CHECK_OK(lorac_file_write(in_folder("zeros"), "\0\0\0\0", 4, &error), error);
    REQUIRE(mkfifo(in_folder("pipe"), 0600) == 0);
    static const struct {
        const char *name; // "": the folder
        enum lorac_status status;
        const char *words;
    } rows[] = {
        {"missing", LORAC_ERROR_IO, "missing': cannot open: No such file"},
        {"", LORAC_ERROR_IO, "/': is a folder"},
        {"empty", LORAC_ERROR_FORMAT, "empty': the file is empty"},
        {"text", LORAC_ERROR_FORMAT, "text': not an ONNX model, or cut short"},
        {"zeros", LORAC_ERROR_FORMAT, "zeros': not an ONNX model"},
        {"pipe", LORAC_ERROR_IO, "pipe': is not a regular file"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct lorac_model *model = NULL;
        enum lorac_status status = lorac_model_load(in_folder(rows[i].name), &model, &error);
        CHECKF(status == rows[i].status && !model && strstr(error.message, rows[i].words), "row %zu: %d %s", i, status,
               error.message);
        CHECKF(lorac_model_load(in_folder(rows[i].name), &model, NULL) == status && !model, "row %zu without a record", i);
    }
    unlink(in_folder("empty"));
    unlink(in_folder("text"));
    unlink(in_folder("zeros"));
    unlink(in_folder("pipe"));
}

static void test_save(void)
{
    struct lorac_error error = {0};
    struct lorac_model *model = NULL;
    struct stat info;
    size_t byte_count;
    uint8_t *bytes = build_small(&byte_count);
    REQUIRE(lorac_model_parse(bytes, byte_count, &model, &error) == LORAC_OK);
    const char *path = in_folder("a.onnx");
    umask(022);
    CHECK_OK(lorac_model_save(model, path, &error), error);
    check_content(path, bytes, byte_count);
    CHECK(stat(path, &info) == 0 && (info.st_mode & 0777) == 0644);
    // Over an existing file: its mode stays; through a link: the link stays.
    CHECK_OK(lorac_file_write(path, "old", 3, &error), error);
    CHECK(chmod(path, 0640) == 0 && symlink("a.onnx", in_folder("link")) == 0);
    CHECK_OK(lorac_model_save(model, in_folder("link"), &error), error);
    check_content(path, bytes, byte_count);
    CHECK(stat(path, &info) == 0 && (info.st_mode & 0777) == 0640);
    CHECK(lstat(in_folder("link"), &info) == 0 && S_ISLNK(info.st_mode));
    CHECK(files_in_folder() == 2);
    CHECK(lorac_file_same(path, in_folder("link")) && lorac_file_same(path, path));
    CHECK(!lorac_file_same(path, FOLDER) && !lorac_file_same(in_folder("no"), in_folder("no")));
    unlink(in_folder("link"));
    // A bare name, in the current folder.
    REQUIRE(chdir(FOLDER) == 0);
    CHECK_OK(lorac_model_save(model, "bare.onnx", &error), error);
    check_content(in_folder("bare.onnx"), bytes, byte_count);
    unlink("bare.onnx");
    unlink(path);
    CHECK(files_in_folder() == 0);
    lorac_model_free(model);
    free(bytes);
}

// A link to a file that is not there yet stays too, and the file is made where it points: a name beside it, a path
// from the root. Links that end nowhere are refused.
static void test_dangling_links(void)
{
    struct lorac_error error = {0};
    struct stat info;
    REQUIRE(mkdir(in_folder("sub"), 0700) == 0);
    const struct {
        const char *target;
        const char *made; // NULL: refused
        const char *words;
    } rows[] = {
        {"target", in_folder("target"), ""},
        {"sub/target", in_folder("sub/target"), ""},
        {in_folder("rooted"), in_folder("rooted"), ""},
        {"no/target", NULL, strerror(ENOENT)},
        {"link", NULL, strerror(ELOOP)},
        {"other", NULL, strerror(ELOOP)},
    };
    REQUIRE(symlink("nothing", in_folder("other")) == 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *link = in_folder("link");
        REQUIRE(symlink(rows[i].target, link) == 0);
        size_t before = files_in_folder();
        enum lorac_status status = lorac_file_write(link, "new", 3, &error);
        CHECKF(status == (rows[i].made ? LORAC_OK : LORAC_ERROR_IO), "row %zu: %d %s", i, (int)status, error.message);
        if (rows[i].made)
            check_content(rows[i].made, "new", 3);
        else
            CHECKF(strstr(error.message, rows[i].words) && files_in_folder() == before, "row %zu: %s", i,
                   error.message);
        CHECKF(lstat(link, &info) == 0 && S_ISLNK(info.st_mode), "row %zu: the link is gone", i);
        if (rows[i].made)
            unlink(rows[i].made);
        unlink(link);
    }
    unlink(in_folder("other"));
    rmdir(in_folder("sub"));
}

static void test_large_write(void)
{
    // More than the writer's buffer, in one piece.
    struct lorac_error error = {0};
    enum { BYTES = 300000 };
    uint8_t *bytes = malloc(BYTES);
    REQUIRE(bytes);
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (uint8_t)(i * 7 >> 3);
    CHECK_OK(lorac_file_write(in_folder("large"), bytes, BYTES, &error), error);
    check_content(in_folder("large"), bytes, BYTES);
    unlink(in_folder("large"));
    free(bytes);
}

// A write that fails says why and leaves the old content and nothing else.
static void check_failed_write(const char *path, const char *words)
{
    struct lorac_error error = {0};
    static uint8_t bytes[200000];
    size_t before = files_in_folder();
    enum lorac_status status = lorac_file_write(path, bytes, sizeof bytes, &error);
    CHECKF(status == LORAC_ERROR_IO && strstr(error.message, words) && strstr(error.message, path), "%s: %d %s", path,
           status, error.message);
    CHECKF(files_in_folder() == before, "%s: a temporary file was left", path);
}

static void test_failed_writes(void)
{
    struct lorac_error error = {0};
    struct rlimit old, limit;
    check_failed_write(in_folder("no/such/file"), "No such file");
    check_failed_write(FOLDER, "is a folder");
    check_failed_write("/dev/null", "not a regular file");
    CHECK_OK(lorac_file_write(in_folder("old"), "old", 3, &error), error);
    check_failed_write(in_folder("old/file"), "Not a directory");
    // The disk is full, as far as the program can tell.
    signal(SIGXFSZ, SIG_IGN);
    REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
    limit = old;
    limit.rlim_cur = 100000;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    check_failed_write(in_folder("new"), strerror(EFBIG));
    check_failed_write(in_folder("old"), strerror(EFBIG));
    REQUIRE(setrlimit(RLIMIT_FSIZE, &old) == 0);
    check_content(in_folder("old"), "old", 3);
    if (geteuid() == 0) {
        printf("running as root: folders and files without write permission are not tried\n");
    } else {
        chmod(in_folder("old"), 0400);
        check_failed_write(in_folder("old"), strerror(EACCES));
        chmod(FOLDER, 0500);
        check_failed_write(in_folder("new"), strerror(EACCES));
        chmod(FOLDER, 0700);
    }
    unlink(in_folder("old"));
}

int main(void)
{
    REQUIRE(mkdtemp(FOLDER));
    test_unreadable_files();
    test_save();
    test_dangling_links();
    test_large_write();
    test_failed_writes();
    CHECK(rmdir(FOLDER) == 0);
    int own = check_folder(LORAC_SOURCE_DIR "/models"), shared = check_folder(LORAC_SHARED_DIR "/models");
    printf("round trips: %d of models/, %d of the shared models%s\n", own, shared,
           shared ? "" : " (skipped: the folder is not there)");
    return check_report();
}
