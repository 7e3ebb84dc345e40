// run_corpus FOLDER [MUTATIONS [FIRST]]: every file of the folder, then so many mutations of them, through everything
// (drive.h), with any compiler. The mutations are the same on every machine; a failing one is written to
// fuzz-failure.onnx in the current folder and given as the number from which to run it again.
//
// The work is done in a child, so that a crash can be told from where it happened.
#include "drive.h"
#include "mutate.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    CAPACITY = 64 << 10, // bytes of a mutated model
    MAX_FILES = 512,
    MAX_SECONDS = 10, // of processor time for one input; the checkers of memory make it five times slower
    MAX_WALL_SECONDS = 120,
    MAX_RESIDENT_KIB = 1500 << 10,
};

struct input {
    char *name;
    uint8_t *bytes;
    size_t count;
};

// What the child tells: shared memory.
struct progress {
    unsigned long at; // the input being run: files first, then mutations
    unsigned long stages[FUZZ_STAGES];
    double slowest;
    unsigned long slowest_at;
};

struct run {
    struct input files[MAX_FILES];
    size_t file_count;
    unsigned long mutations, first;
    struct progress *progress;
};

static void stop(const char *what, const char *name)
{
    fprintf(stderr, "run_corpus: %s '%s'\n", what, name);
    exit(1);
}

// ---- the folder

static void read_input(struct input *input, const char *folder, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    input->name = strdup(name);
    input->bytes = malloc(CAPACITY);
    if (!file || !input->name || !input->bytes)
        stop("cannot read", path);
    input->count = fread(input->bytes, 1, CAPACITY, file);
    if (!feof(file) && fgetc(file) != EOF)
        stop("too large:", path);
    fclose(file);
}

static int compare_inputs(const void *a, const void *b)
{
    return strcmp(((const struct input *)a)->name, ((const struct input *)b)->name);
}

static void read_folder(struct run *run, const char *folder)
{
    DIR *open_folder = opendir(folder);
    if (!open_folder)
        stop("cannot open the folder", folder);
    for (struct dirent *entry; (entry = readdir(open_folder));) {
        if (entry->d_name[0] == '.')
            continue;
        if (run->file_count == MAX_FILES)
            stop("too many files in", folder);
        read_input(&run->files[run->file_count++], folder, entry->d_name);
    }
    closedir(open_folder);
    if (run->file_count == 0)
        stop("no file in", folder);
    qsort(run->files, run->file_count, sizeof *run->files, compare_inputs);
}

// ---- inputs

// Input [at] in bytes[CAPACITY].
static size_t make_input(const struct run *run, unsigned long at, uint8_t *bytes)
{
    struct lorac_rng rng;
    size_t which = at;
    lorac_rng_init(&rng, 0, "run_corpus", at, 0);
    if (at >= run->file_count)
        which = (size_t)lorac_rng_below(&rng, run->file_count);
    const struct input *file = &run->files[which];
    size_t count = file->count;
    memcpy(bytes, file->bytes, count);
    if (at < run->file_count)
        return count;
    bool messages = lorac_rng_below(&rng, 4) > 0;
    for (uint64_t changes = 1 + lorac_rng_below(&rng, 2); changes > 0; changes--) {
        size_t changed = messages ? fuzz_mutate_model(&rng, bytes, count, CAPACITY) : 0;
        if (changed == 0)
            changed = fuzz_mutate_bytes(&rng, bytes, count, CAPACITY);
        count = changed;
    }
    return count;
}

static void run_one(const struct run *run, unsigned long at)
{
    // Exactly as large as the input, so that a read behind it is seen.
    uint8_t *room = malloc(CAPACITY);
    if (!room)
        stop("out of memory for", "an input");
    size_t count = make_input(run, at, room);
    uint8_t *exact = malloc(count ? count : 1);
    if (!exact)
        stop("out of memory for", "an input");
    memcpy(exact, room, count);
    free(room);
    run->progress->at = at;
    alarm(MAX_WALL_SECONDS);
    clock_t begin = clock();
    run->progress->stages[fuzz_drive(exact, count)]++;
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    if (seconds > run->progress->slowest) {
        run->progress->slowest = seconds;
        run->progress->slowest_at = at;
    }
    if (seconds > MAX_SECONDS) {
        fprintf(stderr, "took %.1f s\n", seconds);
        abort();
    }
    free(exact);
}

static int run_all(const struct run *run)
{
    for (unsigned long at = run->first; at < run->file_count + run->mutations; at++)
        run_one(run, at);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%.0f MiB at most\n", (double)usage.ru_maxrss / 1024);
    return usage.ru_maxrss > MAX_RESIDENT_KIB;
}

// ---- the parent

static int report_failure(const struct run *run, int status)
{
    static uint8_t bytes[CAPACITY];
    unsigned long at = run->progress->at;
    size_t count = make_input(run, at, bytes);
    FILE *file = fopen("fuzz-failure.onnx", "wb");
    if (file) {
        fwrite(bytes, 1, count, file);
        fclose(file);
    }
    fprintf(stderr, "run_corpus: input %lu (%s) failed with %s %d; it is in fuzz-failure.onnx\n", at,
            at < run->file_count ? run->files[at].name : "a mutation", WIFSIGNALED(status) ? "signal" : "exit code",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return 1;
}

static struct progress *share_progress(void)
{
    FILE *file = tmpfile();
    if (!file || ftruncate(fileno(file), sizeof(struct progress)) != 0)
        return NULL;
    void *memory = mmap(NULL, sizeof(struct progress), PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
    fclose(file);
    return memory == MAP_FAILED ? NULL : memory;
}

int main(int argc, char **argv)
{
    static struct run run;
    if (argc < 2)
        stop("usage: run_corpus FOLDER [MUTATIONS [FIRST]]; not", argc > 0 ? argv[0] : "");
    read_folder(&run, argv[1]);
    run.mutations = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    run.first = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    run.progress = share_progress();
    if (!run.progress)
        stop("cannot share memory with", "the child");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        exit(run_all(&run));
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        stop("cannot start", "the child");
    if (status != 0)
        return report_failure(&run, status);
    const unsigned long *stages = run.progress->stages;
    printf("%zu files and %lu mutations: %lu refused, %lu read, %lu injected, %lu run, %lu trained; slowest %.2f s "
           "(%lu)\n",
           run.file_count, run.mutations, stages[FUZZ_REFUSED], stages[FUZZ_READ], stages[FUZZ_INJECTED],
           stages[FUZZ_RUN], stages[FUZZ_TRAINED], run.progress->slowest, run.progress->slowest_at);
    // Mutations that are all refused would test nothing but the reader.
    return run.mutations > 100 && stages[FUZZ_RUN] + stages[FUZZ_TRAINED] < run.mutations / 50;
}
