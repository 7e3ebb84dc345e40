// Folders and .csv files give the same pictures in the same order everywhere; what is unclear is refused by name.
#include "data_files.h"

#include "runtime/data/image_list.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>

static const char root[] = "test_image_list.dir";
static struct bytes bytes;

static void make_path(const char *name, char path[256])
{
    snprintf(path, 256, "%s/%s", root, name);
}

// An empty file, or with a slash at its end a folder; the folders above it are made too. "a -> b" is a link.
static void make(const char *name)
{
    char path[256], *slash;
    make_path(name, path);
    for (slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    char *arrow = strstr(path, " -> ");
    if (arrow) {
        *arrow = '\0';
        REQUIRE(symlink(arrow + 4, path) == 0);
    } else if (path[strlen(path) - 1] != '/') {
        FILE *file = fopen(path, "wb");
        REQUIRE(file != NULL && fclose(file) == 0);
    }
}

static void remove_all(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", root);
    REQUIRE(system(command) == 0);
}

static void make_all(const char *const *names)
{
    remove_all();
    for (; *names; names++)
        make(*names);
}

static const char *const model_names[] = {"tiger", "cat", "crane", "dog", "crane", "7"};
static const struct lorac_class_names model = {6, model_names};

// The list as one text: "name:label name:label | class class".
static const char *describe(const struct lorac_image_list *list)
{
    static char text[2048];
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < list->count && used < sizeof text; i++) {
        const char *name = list->paths[i];
        if (strncmp(name, root, strlen(root)) == 0)
            name += strlen(root) + 1;
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? " " : "", name);
        if (list->labels && used < sizeof text)
            used += (size_t)snprintf(text + used, sizeof text - used, ":%d", (int)list->labels[i]);
    }
    for (size_t i = 0; list->class_names && i < list->class_count && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? " " : " | ", list->class_names[i]);
    return text;
}

static void check_list(const char *path, const struct lorac_class_names *known, const char *expected)
{
    struct lorac_image_list list;
    struct lorac_error error = {0};
    if (CHECK_OK(lorac_image_list_open(path, known, &list, &error), error)) {
        CHECK_STRING(describe(&list), expected);
        lorac_image_list_clear(&list);
    }
}

static void check_refused(const char *path, const struct lorac_class_names *known, enum lorac_status status,
                          const char *fragment)
{
    struct lorac_image_list list = {0};
    struct lorac_error error = {0};
    CHECKF(lorac_image_list_open(path, known, &list, &error) == status, "%s: status %d: %s", fragment, error.status,
           error.message);
    CHECKF(strstr(error.message, fragment), "'%s' lacks '%s'", error.message, fragment);
    CHECKF(strstr(error.message, path), "'%s' lacks the path", error.message);
    CHECK(lorac_image_list_open(path, known, &list, NULL) == status); // nobody listens: refused all the same
    CHECK(!list.paths && !list.arena);
}

static const struct folder_row {
    const char *names[12];
    const struct lorac_class_names *known;
    const char *expected; // NULL: refused
    enum lorac_status status;
    const char *fragment;
    size_t other_count, empty_count;
} folder_rows[] = {
    {{"dog/b.jpg", "dog/a.PNG", "cat/z.jpeg", "cat/10.jpg", "cat/9.jpg"},
     NULL,
     "cat/10.jpg:0 cat/9.jpg:0 cat/z.jpeg:0 dog/a.PNG:1 dog/b.jpg:1 | cat dog",
     0,
     NULL,
     0,
     0},
    // capital letters come first, as bytes
    {{"b/1.jpg", "B/1.jpg", "a/1.jpg"}, NULL, "B/1.jpg:0 a/1.jpg:1 b/1.jpg:2 | B a b", 0, NULL, 0, 0},
    // without class folders there are no labels
    {{"b.jpg", "a.JPG", "notes.txt", ".hidden.jpg"}, NULL, "a.JPG b.jpg", 0, NULL, 1, 0},
    // hidden things, other files, pictures beside folders, an empty class
    {{"b/1.jpg", "b/.x.jpg", "b/readme", "a/", ".git/x.jpg", "stray.jpg", "Thumbs.db", "b/jpg", "b/.jpg"},
     NULL,
     "b/1.jpg:1 | a b",
     0,
     NULL,
     4,
     1},
    // below class folders
    {{"a/monday/2.jpg", "a/1.jpg", "b/deep/er/1.jpg"},
     NULL,
     "a/1.jpg:0 a/monday/2.jpg:0 b/deep/er/1.jpg:1 | a b",
     0,
     NULL,
     0,
     0},
    // links: to a file, to a folder, and to nothing, which reading will name
    {{"a/1.jpg", "b/2.jpg -> ../a/1.jpg", "c -> a", "a/gone.jpg -> nowhere"},
     NULL,
     "a/1.jpg:0 a/gone.jpg:0 b/2.jpg:1 c/1.jpg:2 c/gone.jpg:2 | a b c",
     0,
     NULL,
     0,
     0},
    // the model's classes: their numbers, and the order by them
    {{"dog/1.jpg", "cat/1.jpg", "tiger/1.jpg"},
     &model,
     "tiger/1.jpg:0 cat/1.jpg:1 dog/1.jpg:3 | tiger cat crane dog crane 7",
     0,
     NULL,
     0,
     0},
    {{"7/a/1.jpg", "junk/", "cat/2.jpg"},
     &model,
     "cat/2.jpg:1 7/a/1.jpg:5 | tiger cat crane dog crane 7",
     0,
     NULL,
     0,
     1},
    {{"cat/1.jpg", "Tigre/1.jpg"},
     &model,
     NULL,
     LORAC_ERROR_MISMATCH,
     "no class of the model is called 'Tigre'; the nearest is 'tiger'. The model's 6 classes: tiger, cat, crane",
     0,
     0},
    {{"lorry/1.jpg"},
     &model,
     NULL,
     LORAC_ERROR_MISMATCH,
     "no class of the model is called 'lorry'. The model's 6 classes: tiger, cat, crane",
     0,
     0},
    {{"crane/1.jpg"}, &model, NULL, LORAC_ERROR_MISMATCH, "2 classes of the model are called 'crane'", 0, 0},
    {{"train/cat/1.jpg", "val/cat/1.jpg"},
     NULL,
     NULL,
     LORAC_ERROR_ARGUMENT,
     "folders of folders of pictures, and which of them are the classes is not clear: give the folder that holds the "
     "class folders ('test_image_list.dir/train'?)",
     0,
     0},
    {{"a/1.gif", "b/2.bmp"},
     NULL,
     NULL,
     LORAC_ERROR_ARGUMENT,
     "holds no pictures (.jpg, .jpeg or .png): 2 folders, 2 "
     "other files, the first 'test_image_list.dir/a/1.gif'",
     0,
     0},
    {{""}, NULL, NULL, LORAC_ERROR_ARGUMENT, "0 folders, 0 other files", 0, 0},
    {{"a/1.jpg", "a/loop -> .."}, NULL, NULL, LORAC_ERROR_FORMAT, "leads back to a folder above it", 0, 0},
    {{"a/1.jpg", "self -> ."}, NULL, NULL, LORAC_ERROR_FORMAT, "leads back to a folder above it", 0, 0},
};

static void test_folders(void)
{
    for (size_t r = 0; r < sizeof folder_rows / sizeof folder_rows[0]; r++) {
        const struct folder_row *row = &folder_rows[r];
        make_all(row->names);
        if (!row->expected) {
            check_refused(root, row->known, row->status, row->fragment);
            continue;
        }
        check_list(root, row->known, row->expected);
        struct lorac_image_list list;
        struct lorac_error error = {0};
        if (!CHECK_OK(lorac_image_list_open("test_image_list.dir/", row->known, &list, &error), error))
            continue;
        CHECKF(list.other_count == row->other_count, "row %zu: %zu others, first '%s'", r, list.other_count,
               list.first_other ? list.first_other : "");
        CHECK((list.first_other != NULL) == (row->other_count > 0));
        CHECKF(list.empty_count == row->empty_count, "row %zu: %zu empty", r, list.empty_count);
        CHECK((list.first_empty != NULL) == (row->empty_count > 0));
        lorac_image_list_clear(&list);
    }
}

static const struct csv_row {
    const char *text;
    const struct lorac_class_names *known;
    const char *expected; // NULL: refused
    enum lorac_status status;
    const char *fragment;
} csv_rows[] = {
    {"b.jpg,dog\na.jpg,cat\nc.jpg,dog\n", NULL, "b.jpg:1 a.jpg:0 c.jpg:1 | cat dog", 0, NULL},
    {"path,label\nb.jpg,3\na.jpg,0", NULL, "b.jpg:3 a.jpg:0", 0, NULL},
    {"\xef\xbb\xbf"
     "file;name,x\r\n\r\nb.jpg,1\r\n\r\n",
     NULL, "b.jpg:1", 0, NULL},
    {"\"a \"\"b\"\", c.jpg\",\"x,\ny\"\n d.jpg , z \n\"e.jpg\" ,\" z\"\n", NULL,
     "a \"b\", c.jpg:1 d.jpg:2 e.jpg:0 |  z x,\ny z", 0, NULL},
    {"a.jpg,10\nb.jpg,9x\n", NULL, "a.jpg:0 b.jpg:1 | 10 9x", 0, NULL},
    {"a.jpg\nb.jpg\n", NULL, "a.jpg b.jpg", 0, NULL},
    {"path\na.jpg\n", NULL, "a.jpg", 0, NULL},
    {"sub/a.jpg,1\n/abs/b.jpg,0\n./c.jpg,0\nthere,1\n", NULL, "sub/a.jpg:1 /abs/b.jpg:0 ./c.jpg:0 there:1", 0, NULL},
    {"there,1\n", NULL, "there:1", 0, NULL}, // exists, so it is no header
    {"a.jpg,tiger\nb.jpg,3\nc.jpg,7\n", &model, "a.jpg:0 b.jpg:3 c.jpg:5 | tiger cat crane dog crane 7", 0, NULL},
    {"a.jpg,cat\nb.jpg,dgo\n", &model, NULL, LORAC_ERROR_MISMATCH,
     "line 2: no class of the model is called 'dgo'; the nearest is 'dog'"},
    {"a.jpg,6\n", &model, NULL, LORAC_ERROR_MISMATCH, "line 1: label 6 is outside 0 .. 5, the classes of the model"},
    {"a.jpg,crane\n", &model, NULL, LORAC_ERROR_MISMATCH, "2 classes of the model are called 'crane'"},
    {"a.jpg,0\nb.jpg,-1\n", NULL, NULL, LORAC_ERROR_FORMAT, "line 2: label -1 is below 0; classes are counted from 0"},
    {"a.jpg,a\nb.jpg,-1\n", NULL, "a.jpg:1 b.jpg:0 | -1 a", 0, NULL}, // a name, then
    {"a.jpg,1\nb.jpg\n", NULL, NULL, LORAC_ERROR_FORMAT, "line 2: has 1 field, and the lines before have 2"},
    {"a.jpg,1\nb,c.jpg,1\n", NULL, NULL, LORAC_ERROR_FORMAT, "line 2: has 3 fields; path and label are expected"},
    {"a.jpg,1\n\nb.jpg,\n", NULL, NULL, LORAC_ERROR_FORMAT, "line 3: the label is empty"},
    {",1\n", NULL, NULL, LORAC_ERROR_FORMAT, "line 1: the path is empty"},
    {"a.jpg,\"x\n\n", NULL, NULL, LORAC_ERROR_FORMAT, "line 1: the quote is not closed"},
    {"a.jpg,\"x\"y\n", NULL, NULL, LORAC_ERROR_FORMAT, "line 1: there is more behind the closing quote"},
    {"a.jpg;1\nb.jpg;2\n", NULL, NULL, LORAC_ERROR_FORMAT, "line 1: 'a.jpg;1' is no path of a picture; put a comma"},
    {"a.jpg\t1\n", NULL, NULL, LORAC_ERROR_FORMAT, "put a comma between path and label"},
    {"", NULL, NULL, LORAC_ERROR_ARGUMENT, "lists no pictures"},
    {"path,label\n", NULL, NULL, LORAC_ERROR_ARGUMENT, "lists no pictures"},
};

static void test_csv(void)
{
    static const char path[] = "test_image_list.dir/list.csv";
    make_all((const char *const[]){"there", NULL});
    for (size_t r = 0; r < sizeof csv_rows / sizeof csv_rows[0]; r++)
        for (int gzipped = 0; gzipped < 2; gzipped++) {
            const char *name = gzipped ? "test_image_list.dir/list.CSV.gz" : path;
            bytes.count = 0;
            put(&bytes, csv_rows[r].text, strlen(csv_rows[r].text));
            unlink(name); // a new file: writing over one makes some file systems wait for the disk
            (gzipped ? write_gzip : write_plain)(name, &bytes);
            if (csv_rows[r].expected)
                check_list(name, csv_rows[r].known, csv_rows[r].expected);
            else
                check_refused(name, csv_rows[r].known, csv_rows[r].status, csv_rows[r].fragment);
        }
    bytes.count = 0;
    static const char tabs[] = "a, b.jpg\tx y\n c.jpg \tz\n";
    put(&bytes, tabs, sizeof tabs - 1);
    write_plain("test_image_list.dir/list.TSV", &bytes);
    check_list("test_image_list.dir/list.TSV", NULL, "a, b.jpg:0 c.jpg:1 | x y z");
    bytes.count = 0;
    put(&bytes, "a.jpg,\0\n", 8);
    write_plain(path, &bytes);
    check_refused(path, NULL, LORAC_ERROR_FORMAT, "holds zero bytes");
    check_refused("test_image_list.dir/none.csv", NULL, LORAC_ERROR_IO, "cannot open");
}

// Any text ends with a list or a message.
static void test_random_csv(void)
{
    static const char path[] = "test_image_list.dir/list.csv", letters[] = "a,\"\n\r ;\t1.jpg";
    unsigned state = 1, accepted = 0;
    make_all((const char *const[]){"", NULL});
    for (int trial = 0; trial < 600; trial++) {
        bytes.count = 0;
        for (size_t i = 0; i < (size_t)trial % 23; i++) {
            state = state * 1664525u + 1013904223u;
            put(&bytes, &letters[(state >> 16) % (sizeof letters - 1)], 1);
        }
        unlink(path);
        write_plain(path, &bytes);
        struct lorac_image_list list;
        struct lorac_error error = {0};
        if (lorac_image_list_open(path, trial % 2 ? &model : NULL, &list, &error) == LORAC_OK) {
            accepted++;
            CHECK(list.count > 0);
            lorac_image_list_clear(&list);
        }
    }
    CHECK(accepted > 6);
}

// Many files: listed quickly, in little memory.
static void test_many(void)
{
    enum { CLASSES = 20, EACH = 1000 };
    remove_all();
    char first[256], path[256];
    make("class00/picture_00000.jpg");
    make_path("class00/picture_00000.jpg", first);
    for (int i = 1; i < CLASSES * EACH; i++) {
        char name[64];
        snprintf(name, sizeof name, "class%02d/picture_%05d.jpg", i / EACH, (i * 7919) % EACH);
        make_path(name, path);
        if (i % EACH == 0)
            make(name);
        else
            REQUIRE(link(first, path) == 0); // cheaper than a file
    }
    struct timespec begin, end;
    struct lorac_image_list list;
    struct lorac_error error = {0};
    clock_gettime(CLOCK_MONOTONIC, &begin);
    REQUIRE(CHECK_OK(lorac_image_list_open(root, NULL, &list, &error), error));
    clock_gettime(CLOCK_MONOTONIC, &end);
    const double seconds = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    printf("%zu files listed in %.0f ms\n", list.count, 1e3 * seconds);
    CHECKF(seconds < 5.0, "%g s", seconds); // a tenth of a second by itself
    CHECK(list.count == CLASSES * EACH && list.class_count == CLASSES);
    size_t sorted = 0;
    for (size_t i = 1; i < list.count; i++)
        sorted += strcmp(list.paths[i - 1], list.paths[i]) < 0 && list.labels[i] == (int32_t)(i / EACH);
    CHECK(sorted == list.count - 1);
    lorac_image_list_clear(&list);
}

static void test_is(void)
{
    make_all((const char *const[]){"a.csv/", "b.npy", NULL});
    CHECK(lorac_image_list_is(root));
    CHECK(lorac_image_list_is("missing.csv") && lorac_image_list_is("x/y.TSV") && lorac_image_list_is("y.tsv.gz"));
    CHECK(!lorac_image_list_is("test_image_list.dir/b.npy") && !lorac_image_list_is("csv") &&
          !lorac_image_list_is(".csv"));
    check_refused("test_image_list.dir/a.csv", NULL, LORAC_ERROR_ARGUMENT, "holds no pictures");
    check_refused("no such folder.csv", NULL, LORAC_ERROR_IO, "cannot open");
}

int main(void)
{
    test_folders();
    test_csv();
    test_random_csv();
    test_many();
    test_is();
    remove_all();
    return check_report();
}
