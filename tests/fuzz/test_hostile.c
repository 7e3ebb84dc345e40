// Hostile files, through the program itself: it says what is wrong, in bounded memory and time, does not crash, and
// writes nothing. And small files cut at every byte, with every byte changed, through everything (drive.h).
#include "drive.h"
#include "hostile_models.h"

#include "check.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

// Of processor time, for one command; a checker of memory makes it several times slower, and a loaded machine a little.
// Address space: the checker reserves terabytes, so only the plain build is limited.
enum { MAX_SECONDS = SANITIZED ? 20 : 2, MAX_MIB = 1024, SAID_BYTES = 1 << 16 };

static int verbose;
static char folder[] = "/tmp/lorac-hostile-XXXXXX";

// ---- the program

struct said {
    int status;
    double seconds;
    char text[SAID_BYTES]; // both outputs, cut
};

static double children_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void limit(int resource, size_t value)
{
    setrlimit(resource, &(struct rlimit){value, value});
}

static void run_child(char *const arguments[])
{
    int log = open("said.txt", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    limit(RLIMIT_CPU, 3 * MAX_SECONDS);
    limit(RLIMIT_CORE, 0);
    if (!SANITIZED)
        limit(RLIMIT_AS, (size_t)MAX_MIB << 20);
    execv(LORAC_PROGRAM, arguments);
    _exit(127);
}

static void run_program(char *const arguments[], struct said *said)
{
    double before = children_seconds();
    pid_t child = fork();
    if (child == 0)
        run_child(arguments);
    REQUIRE(child > 0 && waitpid(child, &said->status, 0) == child);
    said->seconds = children_seconds() - before;
    FILE *file = fopen("said.txt", "rb");
    REQUIRE(file);
    said->text[fread(said->text, 1, sizeof said->text - 1, file)] = '\0';
    fclose(file);
}

// What holds for every command on every file.
static void check_manners(const char *what, const char *command, const struct said *said)
{
    CHECKF(WIFEXITED(said->status) && WEXITSTATUS(said->status) <= 2, "%s: %s ended with status %x: %.500s", what,
           command, (unsigned)said->status, said->text);
    CHECKF(said->seconds < MAX_SECONDS, "%s: %s took %.1f s", what, command, said->seconds);
    if (verbose)
        printf("%-45s %-8s %.2f s\n", what, command, said->seconds);
    CHECKF(said->text[0], "%s: %s said nothing", what, command);
    for (const char *c = said->text; *c; c++)
        if ((unsigned char)*c < 0x20 && *c != '\n') {
            CHECKF(0, "%s: %s printed the control character %d", what, command, *c);
            break;
        }
}

static void write_bytes(const char *path, const uint8_t *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");
    REQUIRE(file && fwrite(bytes, 1, count, file) == count && fclose(file) == 0);
}

static size_t count_files(void)
{
    FILE *list = popen("ls -A | wc -l", "r");
    unsigned count = 0;
    REQUIRE(list && fscanf(list, "%u", &count) == 1);
    pclose(list);
    return count;
}

static void test_model(const struct hostile_model *row)
{
    static struct said said;
    size_t byte_count;
    uint8_t *bytes = hostile_bytes(row, &byte_count);
    write_bytes("model.onnx", bytes, byte_count);
    free(bytes);
    unlink("out.onnx");

    char *inspect[] = {(char *)"lorac-onnx", (char *)"inspect", (char *)"model.onnx", NULL};
    run_program(inspect, &said);
    check_manners(row->name, "inspect", &said);
    bool found = row->words && strstr(said.text, row->words);

    char *inject[] = {(char *)"lorac-onnx", (char *)"inject",   (char *)"model.onnx",
                      (char *)"-o",         (char *)"out.onnx", NULL};
    run_program(inject, &said);
    check_manners(row->name, "inject", &said);
    if (row->words && row->refused)
        CHECKF(WEXITSTATUS(said.status) != 0 && strstr(said.text, row->words), "%s: inject says: %.500s", row->name,
               said.text);
    else if (row->words)
        CHECKF(found, "%s: inspect does not say '%s'; inject says: %.500s", row->name, row->words, said.text);
    bool written = access("out.onnx", F_OK) == 0;
    CHECKF(written == (said.status == 0), "%s: status %d, but the file is %s", row->name, said.status,
           written ? "written" : "not written");

    // What came without adapters is refused, what came with a record is merged, or refused for the same reason.
    char *merge[] = {(char *)"lorac-onnx", (char *)"merge",      (char *)"model.onnx",
                     (char *)"-o",         (char *)"merged.onnx", NULL};
    run_program(merge, &said);
    check_manners(row->name, "merge", &said);
    bool merged = unlink("merged.onnx") == 0;
    CHECKF(merged == (said.status == 0), "%s: merge ended with %d, but the file is %s", row->name, said.status,
           merged ? "written" : "not written");
    CHECKF(count_files() == (size_t)(written ? 3 : 2), "%s: another file was left", row->name);
}

// ---- the bytes

enum { FIELD_GRAPH = 7, FIELD_NODE = 1, FIELD_ATTRIBUTE = 5, FIELD_ATTRIBUTE_GRAPH = 6, LENGTH = 2 };

static size_t put_varint(uint8_t *at, uint64_t value)
{
    size_t count = 0;
    for (; value >= 0x80; value >>= 7)
        at[count++] = (uint8_t)(value | 0x80);
    at[count++] = (uint8_t)value;
    return count;
}

// Bytes that are no model, at once through the reader: [count] pieces [piece] inside of nothing.
static void test_pieces(void)
{
    static const struct {
        const char *what;
        uint8_t piece[12];
        size_t bytes;
    } ROWS[] = {
        {"varints of 10 bytes", {0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, 11},
        {"varints of 11 bytes", {0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, 12},
        {"field 0", {0x00, 0x00}, 2},
        {"field 2^29", {0xf8, 0xff, 0xff, 0xff, 0x1f, 0x00}, 6},
        {"groups", {0x3b, 0x3c}, 2},
        {"wire type 7", {0x3f}, 1},
        {"empty graphs", {FIELD_GRAPH << 3 | LENGTH, 0}, 2},
        {"a graph of empty nodes", {FIELD_GRAPH << 3 | LENGTH, 2, FIELD_NODE << 3 | LENGTH, 0}, 4},
        {"unknown fields", {0xf8, 0x07, 0x01}, 3},
        {"a length beyond the end", {FIELD_GRAPH << 3 | LENGTH, 0xff, 0xff, 0xff, 0xff, 0x7f}, 6},
        {"a length of 2^64 - 1",
         {FIELD_GRAPH << 3 | LENGTH, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
         11},
    };
    enum { PIECES = 300000 };
    uint8_t *bytes = malloc(sizeof ROWS->piece * PIECES);
    REQUIRE(bytes);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++)
        for (size_t count = 1; count <= PIECES; count *= 300) {
            struct lorac_error error = {0};
            struct lorac_model *model = NULL;
            for (size_t k = 0; k < count; k++)
                memcpy(bytes + k * ROWS[i].bytes, ROWS[i].piece, ROWS[i].bytes);
            enum lorac_status status = lorac_model_parse(bytes, count * ROWS[i].bytes, &model, &error);
            CHECKF(status == LORAC_ERROR_FORMAT && error.message[0] && !model, "%zu times %s: %d %s", count,
                   ROWS[i].what, (int)status, error.message);
        }
    free(bytes);
}

static void test_every_byte(void)
{
    static const struct hostile_model TINY = {"tiny",
                                              "a=Conv(x, w1[1,2,1,1]); e=Conv(a, w2[1,1,1,1]); f=Flatten(e); "
                                              "y=Gemm(f, hw[2,36]) transB=1",
                                              NULL, NULL, false};
    size_t byte_count, stages[FUZZ_STAGES] = {0};
    uint8_t *bytes = hostile_bytes(&TINY, &byte_count);
    for (size_t i = 0; i < byte_count; i++) {
        // Copies, so that a read behind the end is seen.
        uint8_t *cut = malloc(i ? i : 1);
        REQUIRE(cut);
        memcpy(cut, bytes, i);
        stages[fuzz_drive(cut, i)]++;
        free(cut);
    }
    CHECKF(stages[FUZZ_REFUSED] == byte_count, "%zu of %zu cut models were read", byte_count - stages[FUZZ_REFUSED],
           byte_count);
    for (size_t i = 0; i < byte_count; i++) {
        const uint8_t old = bytes[i];
        const uint8_t values[] = {0, 0xff, (uint8_t)(old ^ 1), (uint8_t)(old ^ 0x80), (uint8_t)(old + 1)};
        for (size_t k = 0; k < sizeof values; k++) {
            bytes[i] = values[k];
            stages[fuzz_drive(bytes, byte_count)]++;
        }
        bytes[i] = old;
    }
    CHECKF(stages[FUZZ_TRAINED] > byte_count / 2, "%zu models were trained", stages[FUZZ_TRAINED]);
    free(bytes);
}

// Subgraphs in subgraphs: refused by the depth, whatever their number.
static void test_depth(void)
{
    enum { LEVELS = 50000, ROOM = 1 << 20 };
    uint8_t *bytes = malloc(ROOM);
    REQUIRE(bytes);
    // From the inside out: each level puts three heads in front of what is there.
    static const uint8_t heads[] = {FIELD_ATTRIBUTE_GRAPH << 3 | LENGTH, FIELD_ATTRIBUTE << 3 | LENGTH,
                                    FIELD_NODE << 3 | LENGTH};
    size_t at = ROOM;
    for (size_t i = 0; i < 3 * LEVELS && at > 16; i++) {
        uint8_t head[12] = {heads[i % 3]};
        size_t count = 1 + put_varint(head + 1, ROOM - at);
        at -= count;
        memcpy(bytes + at, head, count);
    }
    uint8_t head[12] = {FIELD_GRAPH << 3 | LENGTH};
    size_t count = 1 + put_varint(head + 1, ROOM - at);
    at -= count;
    memcpy(bytes + at, head, count);
    struct lorac_error error = {0};
    struct lorac_model *model = NULL;
    CHECK(lorac_model_parse(bytes + at, ROOM - at, &model, &error) == LORAC_ERROR_FORMAT);
    CHECKF(strstr(error.message, "deeper"), "%s", error.message);
    free(bytes);
}

// Those that have [word] in their name.
static void test_models(const struct hostile_model *rows, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++)
        if (strstr(rows[i].name, word))
            test_model(&rows[i]);
}

// test_fuzz_hostile [WORD]: with a word only the models that have it in their name, with their times.
int main(int argc, char **argv)
{
    test_pieces();
    test_depth();
    test_every_byte();
    verbose = argc > 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    REQUIRE(mkdtemp(folder) && chdir(folder) == 0);
    test_models(HOSTILE_MODELS, HOSTILE_MODEL_COUNT, argc > 1 ? argv[1] : "");
    test_models(HOSTILE_CROWDS, HOSTILE_CROWD_COUNT, argc > 1 ? argv[1] : "");
    unlink("said.txt");
    unlink("model.onnx");
    unlink("out.onnx");
    CHECK(chdir("/") == 0 && rmdir(folder) == 0);
    return check_report();
}
