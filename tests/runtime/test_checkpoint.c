// Checkpoints: what is written comes back, a file that is not whole is never taken, and neither is another run's.
#include "check.h"
#include "net_fixture.h"
#include "own_folder.h"

#include "proto/arena.h"
#include "proto/digest.h"
#include "proto/model.h"
#include "proto/safetensors.h"
#include "runtime/train/checkpoint_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct tiny_options TINY = {.text = TINY_BN_TEXT, .pixels = true, .bn = LORAC_BN_TRAIN};

static void write_file(const char *path, const uint8_t *bytes, size_t byte_count)
{
    FILE *file = fopen(path, "wb");
    REQUIRE(file != NULL);
    REQUIRE(fwrite(bytes, 1, byte_count, file) == byte_count);
    REQUIRE(fclose(file) == 0);
}

// A net after some steps, its snapshot, and a record to keep.
struct run {
    struct lorac_net *net;
    struct lorac_snapshot snapshot;
    struct lorac_checkpoint record;
};

static const struct lorac_checkpoint_fact facts[] = {{"--seed", "7"}, {"the images", "22 of abc"}};

static void run_open(struct run *run, size_t steps)
{
    struct lorac_error error = {0};
    memset(run, 0, sizeof *run);
    run->net = open_prepared(&TINY, true);
    train_steps(run->net, steps);
    CHECK_OK(lorac_snapshot_init(&run->snapshot, run->net, LORAC_SNAPSHOT_RUN, &error), error);
    run->record = (struct lorac_checkpoint){
        .position = {.step = steps, .loss_sum = 1.0 / 3, .correct_sum = 11}, .total_steps = 15, .fact_count = 2, .facts = facts};
}

static void run_close(struct run *run)
{
    lorac_snapshot_clear(&run->snapshot);
    lorac_close(run->net);
}

static uint8_t *pack(const struct run *run, size_t *byte_count)
{
    struct lorac_error error = {0};
    uint8_t *bytes = NULL;
    CHECK_OK(lorac_checkpoint_pack(&run->snapshot, &run->record, &bytes, byte_count, &error), error);
    REQUIRE(bytes != NULL);
    return bytes;
}

static struct lorac_checkpoint_file *read_good(const char *path)
{
    struct lorac_error error = {0};
    struct lorac_checkpoint_file *file = NULL;
    CHECK_OK(lorac_checkpoint_file_read(path, &file, &error), error);
    REQUIRE(file != NULL);
    return file;
}

// ---- there and back

static void test_round_trip(void)
{
    struct lorac_error error = {0};
    struct run from, to;
    size_t byte_count;
    run_open(&from, 3);
    run_open(&to, 0);
    uint8_t *bytes = pack(&from, &byte_count);
    write_file(in_folder("one"), bytes, byte_count);
    struct lorac_checkpoint_file *file = read_good(in_folder("one"));
    const struct lorac_checkpoint *record = lorac_checkpoint_file_record(file);
    CHECK(memcmp(&record->position, &from.record.position, sizeof record->position) == 0);
    CHECK(record->total_steps == 15 && record->fact_count == 2 && lorac_checkpoint_file_machine(file)[0]);
    CHECK_OK(lorac_checkpoint_file_check(file, facts, 2, &error), error);
    CHECK_OK(lorac_checkpoint_file_restore(file, &to.snapshot, NULL, &error), error);
    CHECK(lorac_train_state_step(to.net->train) == 3);
    train_steps(from.net, 4);
    train_steps(to.net, 4);
    CHECK(same_bytes(from.net, to.net));
    lorac_checkpoint_file_free(file);
    free(bytes);
    run_close(&from);
    run_close(&to);
}

// With a validation: its state and the best values come along.
static void test_best(void)
{
    struct lorac_error error = {0};
    struct run from, to;
    struct lorac_validation was = {0}, is = {0};
    size_t byte_count;
    run_open(&from, 3);
    run_open(&to, 0);
    CHECK_OK(lorac_best_create(&was.best, from.net, &error), error);
    CHECK_OK(lorac_best_create(&is.best, to.net, &error), error);
    from.record.validation = &was;
    for (int round = 0; round < 2; round++) { // before the first validation, and after it
        const struct lorac_best_mark mark = {.epoch = 2, .step = 10, .images = 9, .correct = 8, .loss = 0.1};
        if (round == 1) {
            was.epoch = 3;
            was.stops = true;
            CHECK(lorac_best_offer(&was.best, &mark));
            train_steps(from.net, 1);
        }
        uint8_t *bytes = pack(&from, &byte_count);
        write_file(in_folder("best"), bytes, byte_count);
        struct lorac_checkpoint_file *file = read_good(in_folder("best"));
        CHECK(lorac_checkpoint_file_restore(file, &to.snapshot, NULL, &error) == LORAC_ERROR_MISMATCH &&
              strstr(error.message, "validation") != NULL);
        CHECK_OK(lorac_checkpoint_file_restore(file, &to.snapshot, &is, &error), error);
        const struct lorac_validation_state a = lorac_validation_state(&was), b = lorac_validation_state(&is);
        CHECK(memcmp(&a, &b, sizeof a) == 0);
        CHECK(same_bytes(from.net, to.net));
        lorac_checkpoint_file_free(file);
        free(bytes);
    }
    CHECK(is.epoch == 3 && is.stops && was.best.snapshot.value_count == is.best.snapshot.value_count);
    CHECK(memcmp(was.best.values, is.best.values, is.best.snapshot.value_count * sizeof(float)) == 0);
    lorac_best_restore(&was.best);
    lorac_best_restore(&is.best);
    CHECK(same_bytes(from.net, to.net));
    lorac_best_clear(&was.best);
    lorac_best_clear(&is.best);
    run_close(&from);
    run_close(&to);
}

// ---- what is not whole

static void check_bad(enum lorac_status status, const char *what)
{
    struct lorac_error error = {0};
    struct lorac_checkpoint_file *file = NULL;
    CHECKF(lorac_checkpoint_file_read(in_folder("bad"), &file, &error) == status && !file, "%s: %s", what,
           file ? "it was read" : error.message);
    CHECKF(strstr(error.message, "/bad'") != NULL, "%s: %s", what, error.message);
    lorac_checkpoint_file_free(file);
}

static void check_refused(const uint8_t *bytes, size_t byte_count, enum lorac_status status, const char *what)
{
    write_file(in_folder("bad"), bytes, byte_count);
    check_bad(status, what);
}

static void test_damage(void)
{
    struct run run;
    size_t byte_count;
    char what[64];
    run_open(&run, 2);
    uint8_t *bytes = pack(&run, &byte_count);
    write_file(in_folder("bad"), bytes, byte_count);
    const int fd = open(in_folder("bad"), O_WRONLY);
    REQUIRE(fd >= 0);
    for (size_t i = 0; i < byte_count; i++) {
        const uint8_t damaged = bytes[i] ^ (uint8_t)(1 << i % 8);
        snprintf(what, sizeof what, "byte %zu of %zu", i, byte_count);
        REQUIRE(pwrite(fd, &damaged, 1, (off_t)i) == 1);
        check_bad(LORAC_ERROR_FORMAT, what);
        REQUIRE(pwrite(fd, &bytes[i], 1, (off_t)i) == 1);
    }
    close(fd);
    for (size_t i = 0; i < byte_count; i += i < 40 ? 1 : 97) {
        snprintf(what, sizeof what, "cut to %zu of %zu", i, byte_count);
        check_refused(bytes, i, LORAC_ERROR_FORMAT, what);
    }
    bytes = realloc(bytes, byte_count + 1);
    REQUIRE(bytes != NULL);
    bytes[byte_count] = 0;
    check_refused(bytes, byte_count + 1, LORAC_ERROR_FORMAT, "one byte too many");
    free(bytes);
    run_close(&run);
}

// With a checksum that fits: what somebody wrote who knows the format.
static void test_hostile(void)
{
    static const struct {
        const char *from, *to; // of the same length, in the header
        enum lorac_status status;
    } rows[] = {
        {"lorac-checkpoint", "lorac-chickpoint", LORAC_ERROR_FORMAT},
        {"\"version\":\"2\"", "\"version\":\"1\"", LORAC_ERROR_UNSUPPORTED},
        {"\"version\":\"2\"", "\"version\":\"x\"", LORAC_ERROR_FORMAT},
        {"\"total_steps\":\"15\"", "\"total_steps\":\"-5\"", LORAC_ERROR_FORMAT},
        {"\"total_steps\":\"15\"", "\"total_steps\":\"01\"", LORAC_ERROR_FORMAT},
        {"\"total_steps\":\"15\"", "\"total_stops\":\"15\"", LORAC_ERROR_FORMAT},
        {"\"epoch_loss_sum\"", "\"epoch_loss_som\"", LORAC_ERROR_FORMAT},
        {"\"dtype\":\"F64\"", "\"dtype\":\"I64\"", LORAC_ERROR_FORMAT},
    };
    struct run run;
    size_t byte_count;
    run_open(&run, 2);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t *bytes = pack(&run, &byte_count);
        bool found = false;
        const size_t length = strlen(rows[i].from);
        for (size_t k = 0; !found && k + length < byte_count; k++)
            if (memcmp(bytes + k, rows[i].from, length) == 0) {
                memcpy(bytes + k, rows[i].to, length);
                found = true;
            }
        CHECKF(found, "'%s' is not in the file", rows[i].from);
        lorac_digest_block(bytes, byte_count - 16, bytes + byte_count - 16);
        check_refused(bytes, byte_count, rows[i].status, rows[i].to);
        free(bytes);
    }
    run_close(&run);
}

// ---- another run's

static void test_facts(void)
{
    static const struct {
        struct lorac_checkpoint_fact facts[3];
        size_t count;
        const char *expected; // NULL: the same run
    } rows[] = {
        {{{"the images", "22 of abc"}, {"--seed", "7"}}, 2, NULL},
        {{{"the images", "22 of abc"}, {"--seed", "8"}}, 2, "--seed is 8, and was 7"},
        {{{"the images", "23 of abc"}, {"--seed", "8"}}, 2,
         "the images is 23 of abc, and was 22 of abc; --seed is 8, and was 7"},
        {{{"--seed", "7"}}, 1, "the images is nothing, and was 22 of abc"},
        {{{"the images", "22 of abc"}, {"--seed", "7"}, {"--new", "on"}}, 3, "--new is on, and was nothing"},
    };
    struct run run;
    size_t byte_count;
    run_open(&run, 1);
    uint8_t *bytes = pack(&run, &byte_count);
    write_file(in_folder("facts"), bytes, byte_count);
    struct lorac_checkpoint_file *file = read_good(in_folder("facts"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lorac_error error = {0};
        enum lorac_status status = lorac_checkpoint_file_check(file, rows[i].facts, rows[i].count, &error);
        CHECKF(status == (rows[i].expected ? LORAC_ERROR_MISMATCH : LORAC_OK), "row %zu: %s", i, error.message);
        CHECKF(!rows[i].expected || strstr(error.message, rows[i].expected), "row %zu: %s", i, error.message);
    }
    lorac_checkpoint_file_free(file);
    free(bytes);
    run_close(&run);
}

static void check_other_net(const char *what, struct lorac_net *net, const char *expected)
{
    struct lorac_error error = {0};
    struct lorac_snapshot snapshot;
    struct lorac_checkpoint_file *file = read_good(in_folder("other"));
    CHECK_OK(lorac_snapshot_init(&snapshot, net, LORAC_SNAPSHOT_RUN, &error), error);
    float *before = calloc(snapshot.value_count, sizeof *before), *after = calloc(snapshot.value_count, sizeof *after);
    REQUIRE(before != NULL && after != NULL);
    lorac_snapshot_copy_out(&snapshot, before);
    CHECKF(lorac_checkpoint_file_restore(file, &snapshot, NULL, &error) == LORAC_ERROR_MISMATCH, "%s", what);
    CHECKF(strstr(error.message, expected) != NULL, "%s: %s", what, error.message);
    lorac_snapshot_copy_out(&snapshot, after);
    CHECKF(memcmp(before, after, snapshot.value_count * sizeof *after) == 0, "%s: values changed", what);
    free(before);
    free(after);
    lorac_checkpoint_file_free(file);
    lorac_snapshot_clear(&snapshot);
    lorac_close(net);
}

static struct lorac_net *open_with(const struct tiny_options *tiny, const struct lorac_prepare_options *options)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_tiny(tiny);
    CHECK_OK(lorac_prepare(net, options, &error), error);
    return net;
}

// The checkpoint is of TINY with SGD.
static void test_other_nets(void)
{
    struct run run;
    size_t byte_count;
    run_open(&run, 1);
    uint8_t *bytes = pack(&run, &byte_count);
    write_file(in_folder("other"), bytes, byte_count);
    struct lorac_prepare_options options = training(2);
    options.optimizer.kind = LORAC_ADAMW;
    check_other_net("another optimiser", open_with(&TINY, &options), "no tensor 'optimizer.1:");
    options = training(2);
    check_other_net("another model", open_with(&(struct tiny_options){.pixels = true}, &options), "tensors");
    check_other_net("frozen statistics", open_with(&(struct tiny_options){.text = TINY_BN_TEXT, .pixels = true}, &options),
                    "tensors");
    check_other_net("other shapes", open_with(&(struct tiny_options){.text = TINY_FROZEN_TEXT, .pixels = true}, &options),
                    "shape");
    options.form_policy = LORAC_FORM_POLICY_BRANCH;
    check_other_net("another form", open_with(&TINY, &options), "convolution '");
    options.form_policy = LORAC_FORM_POLICY_AUTO;
    options.batch = 2;
    check_other_net("other images at once", open_with(&TINY, &options), "2 images are run at once here, and were 4");
    free(bytes);
    run_close(&run);
}

// What was measured for two threads is handed in for one as well: the same algorithms.
static void test_choices(void)
{
    struct lorac_error error = {0};
    const struct tiny_options tiny = {.pixels = true};
    struct lorac_prepare_options options = training(2);
    options.tune = true;
    struct run run = {.net = open_with(&tiny, &options)};
    CHECK_OK(lorac_snapshot_init(&run.snapshot, run.net, LORAC_SNAPSHOT_RUN, &error), error);
    size_t byte_count;
    uint8_t *bytes = pack(&run, &byte_count);
    write_file(in_folder("tuned"), bytes, byte_count);
    struct lorac_checkpoint_file *file = read_good(in_folder("tuned"));
    options = training(1);
    size_t count = 0;
    CHECK_OK(lorac_checkpoint_file_choices(file, 1, &options.choices, &options.choice_count, &error), error);
    count = options.choice_count;
    CHECKF(count == lorac_convolution_count(run.net), "%zu rows", count);
    struct lorac_net *net = open_with(&tiny, &options);
    for (size_t i = 0; i < lorac_convolution_count(net); i++) {
        struct lorac_convolution was, is;
        CHECK_OK(lorac_get_convolution(run.net, i, &was, &error), error);
        CHECK_OK(lorac_get_convolution(net, i, &is, &error), error);
        CHECKF(is.chosen == LORAC_CHOSEN_GIVEN && strcmp(was.forward, is.forward) == 0, "convolution %zu", i);
    }
    struct lorac_snapshot snapshot;
    CHECK_OK(lorac_snapshot_init(&snapshot, net, LORAC_SNAPSHOT_RUN, &error), error);
    CHECK_OK(lorac_checkpoint_file_restore(file, &snapshot, NULL, &error), error);
    lorac_snapshot_clear(&snapshot);
    lorac_close(net);
    lorac_checkpoint_file_free(file);
    free(bytes);
    run_close(&run);
}

// ---- lorac.h

static void test_states(void)
{
    struct lorac_error error = {0};
    struct lorac_net *from = open_prepared(&TINY, true), *to = open_prepared(&TINY, true),
                     *other = open_prepared(&(struct tiny_options){.pixels = true}, true),
                     *untrained = open_prepared(&TINY, false), *unprepared = open_tiny(&TINY);
    uint64_t steps = 0;
    train_steps(from, 3);
    CHECK_OK(lorac_save_state(from, in_folder("state"), 77, &error), error);
    CHECK_OK(lorac_load_state(to, in_folder("state"), &steps, &error), error);
    CHECK(steps == 77);
    CHECK_OK(lorac_load_state(to, in_folder("state"), NULL, &error), error);
    train_steps(from, 4);
    CHECK_OK(lorac_save(from, in_folder("saved.onnx"), &error), error); // the state is still that of the base
    train_steps(to, 4);
    CHECK(same_bytes(from, to));
    CHECK_OK(lorac_save_state(from, in_folder("state"), 0, &error), error);
    CHECK_OK(lorac_load_state(to, in_folder("state"), &steps, &error), error);
    CHECK(steps == 0);
    CHECK(lorac_load_state(other, in_folder("state"), &steps, &error) == LORAC_ERROR_MISMATCH &&
          strstr(error.message, "the base model is") != NULL);
    CHECK(lorac_load_state(to, in_folder("nothing"), &steps, &error) == LORAC_ERROR_IO);
    CHECK(lorac_save_state(from, in_folder("no/where"), 1, &error) == LORAC_ERROR_IO);
    CHECK(lorac_save_state(untrained, in_folder("state"), 1, &error) == LORAC_ERROR_ARGUMENT);
    CHECK(lorac_load_state(unprepared, in_folder("state"), &steps, &error) == LORAC_ERROR_ARGUMENT);
    CHECK(lorac_load_state(NULL, in_folder("state"), &steps, &error) == LORAC_ERROR_ARGUMENT);
    lorac_close(from);
    lorac_close(to);
    lorac_close(other);
    lorac_close(untrained);
    lorac_close(unprepared);
}

// ---- folders

static size_t count_files(const char *path)
{
    size_t count = 0;
    DIR *entries = opendir(path);
    REQUIRE(entries != NULL);
    for (struct dirent *entry; (entry = readdir(entries));)
        count += entry->d_name[0] != '.' || strstr(entry->d_name, ".tmp") != NULL;
    closedir(entries);
    return count;
}

static struct lorac_checkpoint_folder *open_good(const char *path)
{
    struct lorac_error error = {0};
    struct lorac_checkpoint_folder *opened = NULL;
    CHECK_OK(lorac_checkpoint_folder_open(path, 2, &opened, &error), error);
    REQUIRE(opened != NULL);
    return opened;
}

// The step of the checkpoint that is taken; -1: none.
static long newest(struct lorac_checkpoint_folder *opened, struct lorac_error *damaged)
{
    struct lorac_error error = {0};
    struct lorac_checkpoint_file *file = NULL;
    CHECK_OK(lorac_checkpoint_folder_read(opened, &file, damaged, &error), error);
    long step = file ? (long)lorac_checkpoint_file_record(file)->position.step : -1;
    lorac_checkpoint_file_free(file);
    return step;
}

static void write_step(struct lorac_checkpoint_folder *opened, struct run *run, uint64_t step)
{
    struct lorac_error error = {0};
    size_t byte_count;
    run->record.position.step = step;
    uint8_t *bytes = pack(run, &byte_count);
    CHECK_OK(lorac_checkpoint_folder_write(opened, step, bytes, byte_count, &error), error);
    free(bytes);
}

static void test_folder(void)
{
    struct lorac_error error = {0}, damaged = {0};
    struct lorac_checkpoint_folder *second = NULL;
    struct run run;
    run_open(&run, 1);
    struct lorac_checkpoint_folder *opened = open_good(in_folder("ck"));
    CHECK(newest(opened, &damaged) == -1);
    CHECK(lorac_checkpoint_folder_open(in_folder("ck"), 2, &second, &error) == LORAC_ERROR_IO && !second &&
          strstr(error.message, "in use by another run") != NULL);
    for (uint64_t step = 0; step < 5; step++)
        write_step(opened, &run, step);
    CHECK(count_files(in_folder("ck")) == 3 && newest(opened, &damaged) == 4); // two, and the lock
    lorac_checkpoint_folder_close(opened);

    // What a killed run leaves goes; what is damaged is passed over, then it goes too.
    write_file(in_folder("ck/.lorac-123-0.tmp"), (const uint8_t *)"half", 4);
    write_file(in_folder("ck/step-000000000004.safetensors"), (const uint8_t *)"half", 4);
    write_file(in_folder("ck/step-0x4.safetensors"), (const uint8_t *)"ours", 4); // of somebody else
    opened = open_good(in_folder("ck"));
    CHECK(access(in_folder("ck/.lorac-123-0.tmp"), F_OK) != 0);
    CHECK(newest(opened, &damaged) == 3 && damaged.status == LORAC_ERROR_FORMAT &&
          strstr(damaged.message, "step-000000000004") != NULL);
    bool found = false;
    uint64_t step = 0;
    CHECK_OK(lorac_checkpoint_folder_look(opened, &found, &step, &error), error);
    CHECK(found && step == 4);
    write_file(in_folder("ck/step-000000000002.safetensors"), (const uint8_t *)"old", 3);
    write_file(in_folder("ck/step-000000000001.safetensors"), (const uint8_t *)"older", 5);
    lorac_checkpoint_folder_tidy(opened, 3);
    CHECK(access(in_folder("ck/step-000000000001.safetensors"), F_OK) != 0);
    CHECK(newest(opened, &damaged) == 3 && damaged.status == LORAC_ERROR_FORMAT); // the newer one may be good next time
    write_step(opened, &run, 3);
    CHECK(access(in_folder("ck/step-000000000004.safetensors"), F_OK) != 0);
    CHECK(access(in_folder("ck/step-0x4.safetensors"), F_OK) == 0);
    write_file(in_folder("ck/step-000000000003.safetensors"), (const uint8_t *)"half", 4);
    struct lorac_checkpoint_file *file = NULL;
    CHECK(lorac_checkpoint_folder_read(opened, &file, &damaged, &error) == LORAC_ERROR_FORMAT && !file);
    lorac_checkpoint_folder_close(opened);
    run_close(&run);
}

// What bears a checkpoint's name, or nearly, and is none: a pipe without a writer, a folder, another number of digits.
static void test_strange_files(void)
{
    struct lorac_error error = {0}, damaged = {0};
    struct run run;
    bool found = true;
    uint64_t step = 0;
    run_open(&run, 1);
    struct lorac_checkpoint_folder *opened = open_good(in_folder("strange/"));
    static const char *const others[] = {"99", "+00000000099", "0000000000099", "00000000009 ", "99999999999999999999", "0"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char name[64];
        snprintf(name, sizeof name, "strange/step-%s.safetensors", others[i]);
        write_file(in_folder(name), (const uint8_t *)"ours", 4);
    }
    CHECK_OK(lorac_checkpoint_folder_look(opened, &found, &step, &error), error);
    CHECK(!found && newest(opened, &damaged) == -1);
    write_step(opened, &run, 3);
    CHECK(mkfifo(in_folder("strange/step-000000000007.safetensors"), 0666) == 0);
    CHECK(newest(opened, &damaged) == 3 && strstr(damaged.message, "not a regular file") != NULL);
    CHECK(mkdir(in_folder("strange/step-000000000008.safetensors"), 0777) == 0);
    CHECK(newest(opened, &damaged) == 3 && strstr(damaged.message, "not a regular file") != NULL);
    write_step(opened, &run, 4);
    CHECK(newest(opened, &damaged) == 4);
    CHECK(count_files(in_folder("strange")) == sizeof others / sizeof *others + 4); // two, the folder, the lock
    lorac_checkpoint_folder_close(opened);
    run_close(&run);
}

// A disk that is full, as far as a test can have one: files may not grow beyond a limit. The last good one stays.
static void test_full_disk(void)
{
    struct lorac_error error = {0}, damaged = {0};
    struct rlimit limit, old;
    struct run run;
    size_t byte_count;
    run_open(&run, 1);
    struct lorac_checkpoint_folder *opened = open_good(in_folder("full"));
    write_step(opened, &run, 1);
    uint8_t *bytes = pack(&run, &byte_count);
    signal(SIGXFSZ, SIG_IGN);
    REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
    for (size_t room = 0; room < byte_count; room += byte_count / 5) {
        limit = (struct rlimit){room, old.rlim_max};
        REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        enum lorac_status status = lorac_checkpoint_folder_write(opened, 2, bytes, byte_count, &error);
        REQUIRE(setrlimit(RLIMIT_FSIZE, &old) == 0);
        CHECKF(status == LORAC_ERROR_IO && strstr(error.message, "step-000000000002") != NULL, "%zu: %s", room,
               error.message);
        CHECKF(count_files(in_folder("full")) == 2 && newest(opened, &damaged) == 1 && damaged.status == LORAC_OK,
               "%zu: the last good one", room);
    }
    free(bytes);
    lorac_checkpoint_folder_close(opened);
    run_close(&run);
}

static void test_bad_folders(void)
{
    struct lorac_error error = {0};
    struct lorac_checkpoint_folder *opened = NULL;
    write_file(in_folder("file"), (const uint8_t *)"x", 1);
    CHECK(lorac_checkpoint_folder_open(in_folder("file"), 2, &opened, &error) == LORAC_ERROR_IO && !opened &&
          strstr(error.message, "no folder") != NULL);
    CHECK(lorac_checkpoint_folder_open(in_folder("no/where"), 2, &opened, &error) == LORAC_ERROR_IO && !opened);
    if (geteuid() == 0)
        return; // may write anywhere
    CHECK(mkdir(in_folder("closed"), 0555) == 0);
    CHECK(lorac_checkpoint_folder_open(in_folder("closed"), 2, &opened, &error) == LORAC_ERROR_IO && !opened);
}

int main(void)
{
    REQUIRE(mkdtemp(FOLDER));
    make_images();
    test_round_trip();
    test_best();
    test_damage();
    test_hostile();
    test_facts();
    test_other_nets();
    test_choices();
    test_states();
    test_folder();
    test_strange_files();
    test_full_disk();
    test_bad_folders();
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", FOLDER);
    CHECK(system(command) == 0);
    return check_report();
}
