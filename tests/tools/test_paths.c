// Names of files against one another: as texts, as files, and where there is no file yet.
#include "check.h"

#include "tools/paths.h"

#include <sys/stat.h>
#include <unistd.h>

// In a folder with a.bin, near (a link to it), sub/, sub/a.bin, and far (a link to sub).
static void make_files(void)
{
    static const char *const files[] = {"a.bin", "sub/a.bin"};
    REQUIRE(mkdir("sub", 0700) == 0);
    for (size_t i = 0; i < 2; i++) {
        FILE *file = fopen(files[i], "w");
        REQUIRE(file && fclose(file) == 0);
    }
    REQUIRE(symlink("a.bin", "near") == 0 && symlink("sub", "far") == 0);
}

static void remove_files(void)
{
    static const char *const files[] = {"a.bin", "near", "sub/a.bin", "far"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        CHECK(unlink(files[i]) == 0);
    CHECK(rmdir("sub") == 0);
}

static void test_parts(void)
{
    static const struct {
        const char *path, *folder, *name;
    } rows[] = {{"a", ".", "a"}, {"./a", ".", "a"}, {"/a", "/", "a"}, {"b/c/a", "b/c", "a"}, {"b/", "b", ""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *folder = lorac_path_folder(rows[i].path);
        REQUIRE(folder);
        CHECK_STRING(folder, rows[i].folder);
        CHECK_STRING(lorac_path_name(rows[i].path), rows[i].name);
        free(folder);
    }
}

static void test_two(void)
{
    static const struct {
        const char *a, *b;
        bool same, same_name, same_folder;
    } rows[] = {
        {"a.bin", "a.bin", true, true, true},
        {"a.bin", "./a.bin", true, true, true},
        {"a.bin", "near", true, true, true},
        {"a.bin", "sub/a.bin", false, false, false},
        {"far/a.bin", "sub/a.bin", true, true, true},
        {"new", "new", true, true, true},
        {"new", "./new", false, true, true},
        {"sub/new", "far/new", false, true, true},
        {"sub/new", "far/newer", false, false, true},
        {"no/new", "no/new", true, true, true},
        {"no/new", "./no/new", false, false, false}, // nobody knows
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECKF(lorac_path_same(rows[i].a, rows[i].b) == rows[i].same, "row %zu", i);
        CHECKF(lorac_path_same_name(rows[i].a, rows[i].b) == rows[i].same_name, "row %zu, by name", i);
        CHECKF(lorac_path_same_folder(rows[i].a, rows[i].b) == rows[i].same_folder, "row %zu, the folder", i);
    }
}

static void test_folders(void)
{
    static const struct {
        const char *path, *folder;
        bool is_in, is_below;
    } rows[] = {
        {"new", ".", true, true},       {"sub/new", "sub", true, true},   {"sub/new", "./sub/", true, true},
        {"far/new", "sub", true, true}, {"sub/new", ".", false, true},    {"new", "sub", false, false},
        {"near", "sub", false, false},  {"subnew", "sub", false, false},  {"new", "/", false, true},
        {"no/new", "no", true, false},  {"no/new", "./no", true, false},  {"sub/no/new", "sub", false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECKF(lorac_path_is_in(rows[i].path, rows[i].folder) == rows[i].is_in, "row %zu", i);
        CHECKF(lorac_path_is_below(rows[i].path, rows[i].folder) == rows[i].is_below, "row %zu, below", i);
    }
}

int main(void)
{
    char folder[] = "/tmp/lorac_test_paths_XXXXXX";
    REQUIRE(mkdtemp(folder) && chdir(folder) == 0);
    make_files();
    test_parts();
    test_two();
    test_folders();
    remove_files();
    CHECK(chdir("/") == 0 && rmdir(folder) == 0);
    return check_report();
}
