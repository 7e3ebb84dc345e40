// Reading a checkpoint: strictly, since anybody may have written the file, and only what is whole.
#include "checkpoint_internal.h"

#include "proto/arena.h"
#include "proto/digest.h"
#include "proto/safetensors.h"
#include "runtime/data/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct lorac_checkpoint_file {
    struct lorac_arena *arena;
    const char *path, *machine;
    uint8_t *bytes; // malloc'ed
    size_t byte_count;
    struct lorac_safetensors content;
    struct lorac_checkpoint record;
    uint64_t optimizer_step, images_at_once;
};

// A convolution's text, taken apart in place.
enum { FORWARD, GRADIENT, WEIGHT_GRADIENT, FORM, CHOSEN, KEY, WORDS };

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a checkpoint");
}

// ---- opening

// 0 or errno.
static int read_all(struct lorac_checkpoint_file *file, int fd, size_t byte_count)
{
    file->bytes = malloc(byte_count > 0 ? byte_count : 1);
    if (!file->bytes)
        return ENOMEM;
    while (file->byte_count < byte_count) {
        const ssize_t count = read(fd, file->bytes + file->byte_count, byte_count - file->byte_count);
        if (count < 0 && errno != EINTR)
            return errno;
        if (count == 0)
            break;
        file->byte_count += count > 0 ? (size_t)count : 0;
    }
    return 0;
}

// Read and not mapped: what a failing disk does not give back is an error then, and no signal. It counts as damage.
static enum lorac_status read_bytes(struct lorac_checkpoint_file *file, const char *path, struct lorac_error *error)
{
    struct stat info;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe would wait for a writer
    if (fd < 0 || fstat(fd, &info) != 0) {
        const int failure = errno;
        if (fd >= 0)
            close(fd);
        return lorac_error_set(error, LORAC_ERROR_IO, "cannot read it: %s", strerror(failure));
    }
    if (!S_ISREG(info.st_mode)) {
        close(fd);
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "it is not a regular file");
    }
    const int failure = read_all(file, fd, (size_t)info.st_size);
    close(fd);
    if (failure == ENOMEM)
        return out_of_memory(error);
    return failure ? lorac_error_set(error, failure == EIO ? LORAC_ERROR_FORMAT : LORAC_ERROR_IO, "cannot read it: %s",
                                     strerror(failure))
                   : LORAC_OK;
}

static enum lorac_status check_bytes(const struct lorac_checkpoint_file *file, struct lorac_error *error)
{
    uint8_t checksum[LORAC_DIGEST_BYTES];
    if (file->byte_count < LORAC_DIGEST_BYTES)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "a file of %zu bytes is no checkpoint", file->byte_count);
    const size_t rest = file->byte_count - LORAC_DIGEST_BYTES;
    lorac_digest_block(file->bytes, rest, checksum);
    if (memcmp(checksum, file->bytes + rest, LORAC_DIGEST_BYTES) != 0)
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "the checksum is wrong: the file is damaged or cut short, or no checkpoint");
    return LORAC_OK;
}

static enum lorac_status read_number(const struct lorac_safetensors *content, const char *key, uint64_t *out,
                                     struct lorac_error *error)
{
    const char *text = lorac_safetensors_text(content, key);
    char *end = NULL;
    if (!text || !*text || text[strspn(text, "0123456789")])
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "'%s' must be a whole number, 0 or more", key);
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (errno)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "'%s' is too large a number", key);
    return LORAC_OK;
}

static enum lorac_status check_version(const struct lorac_safetensors *content, struct lorac_error *error)
{
    const char *format = lorac_safetensors_text(content, "format");
    uint64_t version;
    if (!format || strcmp(format, LORAC_CHECKPOINT_FORMAT) != 0)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "'format' is not '" LORAC_CHECKPOINT_FORMAT "'");
    LORAC_TRY(read_number(content, "version", &version, error));
    if (version != LORAC_CHECKPOINT_VERSION)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "a checkpoint of version %" PRIu64 "; this program reads version %d", version,
                               (int)LORAC_CHECKPOINT_VERSION);
    return LORAC_OK;
}

static const struct lorac_safetensor *find_tensor(const struct lorac_safetensors *content, const char *name)
{
    for (size_t i = 0; i < content->tensor_count; i++)
        if (strcmp(content->tensors[i].name, name) == 0)
            return &content->tensors[i];
    return NULL;
}

static enum lorac_status read_double(const struct lorac_safetensors *content, const char *name, double *out,
                                     struct lorac_error *error)
{
    const struct lorac_safetensor *tensor = find_tensor(content, name);
    if (!tensor || tensor->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE || tensor->byte_count != sizeof *out)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "tensor '%s' must be one F64", name);
    memcpy(out, tensor->bytes, sizeof *out);
    if (!isfinite(*out))
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "tensor '%s' must be finite", name);
    return LORAC_OK;
}

// The part of [text] behind [prefix], NULL where it does not begin so.
static const char *behind(const char *text, const char *prefix)
{
    const size_t length = strlen(prefix);
    return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

static enum lorac_status read_facts(struct lorac_checkpoint_file *file, struct lorac_error *error)
{
    const struct lorac_safetensors *content = &file->content;
    struct lorac_checkpoint_fact *facts = lorac_arena_alloc_array(file->arena, content->text_count, sizeof *facts);
    if (!facts)
        return out_of_memory(error);
    for (size_t i = 0; i < content->text_count; i++) {
        const char *name = behind(content->texts[i].key, LORAC_CHECKPOINT_FACT);
        if (name)
            facts[file->record.fact_count++] = (struct lorac_checkpoint_fact){name, content->texts[i].value};
    }
    file->record.facts = facts;
    return LORAC_OK;
}

static enum lorac_status read_record(struct lorac_checkpoint_file *file, struct lorac_error *error)
{
    const struct lorac_safetensors *content = &file->content;
    struct lorac_checkpoint *record = &file->record;
    LORAC_TRY(check_version(content, error));
    LORAC_TRY(read_number(content, "step", &record->position.step, error));
    LORAC_TRY(read_number(content, "total_steps", &record->total_steps, error));
    LORAC_TRY(read_number(content, "epoch_correct", &record->position.correct_sum, error));
    LORAC_TRY(read_number(content, "optimizer_step", &file->optimizer_step, error));
    LORAC_TRY(read_number(content, "images_at_once", &file->images_at_once, error));
    LORAC_TRY(read_double(content, LORAC_CHECKPOINT_LOSS_SUM, &record->position.loss_sum, error));
    if (record->position.step > record->total_steps)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "'step' is above 'total_steps'");
    const char *machine = lorac_safetensors_text(content, "machine");
    file->machine = machine ? machine : "";
    return read_facts(file, error);
}

static enum lorac_status read_file(struct lorac_checkpoint_file *file, const char *path, struct lorac_error *error)
{
    file->arena = lorac_arena_create();
    if (!file->arena || !(file->path = lorac_arena_strdup(file->arena, path)))
        return out_of_memory(error);
    LORAC_TRY(read_bytes(file, path, error));
    LORAC_TRY(check_bytes(file, error));
    LORAC_TRY(lorac_safetensors_read(file->arena, file->bytes, file->byte_count, &file->content, error));
    return read_record(file, error);
}

enum lorac_status lorac_checkpoint_file_read(const char *path, struct lorac_checkpoint_file **out,
                                             struct lorac_error *error)
{
    struct lorac_checkpoint_file *file = calloc(1, sizeof *file);
    if (!file)
        return out_of_memory(error);
    const enum lorac_status status = read_file(file, path, error);
    if (status != LORAC_OK) {
        lorac_checkpoint_file_free(file);
        return lorac_error_prefix(error, status, "checkpoint '%s': ", path);
    }
    *out = file;
    return LORAC_OK;
}

void lorac_checkpoint_file_free(struct lorac_checkpoint_file *file)
{
    if (!file)
        return;
    free(file->bytes);
    lorac_arena_free(file->arena);
    free(file);
}

const struct lorac_checkpoint *lorac_checkpoint_file_record(const struct lorac_checkpoint_file *file)
{
    return &file->record;
}

const char *lorac_checkpoint_file_path(const struct lorac_checkpoint_file *file)
{
    return file->path;
}

const char *lorac_checkpoint_file_machine(const struct lorac_checkpoint_file *file)
{
    return file->machine;
}

// ---- how convolutions are run

// The text of convolution [i], NULL where there is none.
static const char *find_convolution(const struct lorac_checkpoint_file *file, size_t i)
{
    char key[64];
    snprintf(key, sizeof key, LORAC_CHECKPOINT_CONVOLUTION "%zu", i);
    return lorac_safetensors_text(&file->content, key);
}

// Takes [text] apart, a copy of it in [arena].
static enum lorac_status read_words(struct lorac_arena *arena, const char *text, char *words[WORDS],
                                    struct lorac_error *error)
{
    char *rest = lorac_arena_strdup(arena, text);
    if (!rest)
        return out_of_memory(error);
    for (size_t k = 0; k < WORDS; k++) {
        if (!rest)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "the row '%s' of a convolution is not whole", text);
        words[k] = rest;
        rest = k == KEY ? NULL : strchr(rest, ' ');
        if (rest)
            *rest++ = '\0';
    }
    return LORAC_OK;
}

static const char *or_null(const char *word)
{
    return strcmp(word, "-") == 0 ? NULL : word;
}

// Keys are "MACHINE, N threads: STEP": the same step for the machine and the threads of now. *out is NULL where it is no
// such key.
static enum lorac_status key_here(const struct lorac_checkpoint_file *file, const char *key, const char *machine,
                                  const char **out, struct lorac_error *error)
{
    const char *step = behind(key, file->machine);
    step = step ? strstr(step, LORAC_CHOICE_SEPARATOR) : NULL;
    *out = NULL;
    if (!step)
        return LORAC_OK;
    const size_t room = strlen(machine) + strlen(step) + 1;
    char *text = lorac_arena_alloc(file->arena, room);
    if (!text)
        return out_of_memory(error);
    snprintf(text, room, "%s%s", machine, step);
    *out = text;
    return LORAC_OK;
}

static enum lorac_status list_choices(struct lorac_checkpoint_file *file, const char *machine, struct lorac_choice *rows,
                                      size_t *count, struct lorac_error *error)
{
    const char *text, *key;
    char *words[WORDS];
    *count = 0;
    for (size_t i = 0; (text = find_convolution(file, i)); i++) {
        LORAC_TRY(read_words(file->arena, text, words, error));
        if (strcmp(words[CHOSEN], "rule") == 0)
            continue;
        LORAC_TRY(key_here(file, words[KEY], machine, &key, error));
        if (key)
            rows[(*count)++] = (struct lorac_choice){.key = key,
                                                     .forward = or_null(words[FORWARD]),
                                                     .gradient = or_null(words[GRADIENT]),
                                                     .form = or_null(words[FORM])};
    }
    return LORAC_OK;
}

enum lorac_status lorac_checkpoint_file_choices(struct lorac_checkpoint_file *file, size_t threads,
                                                const struct lorac_choice **choices, size_t *count,
                                                struct lorac_error *error)
{
    struct lorac_choices *here = NULL; // for its machine
    struct lorac_choice *rows =
        lorac_arena_alloc_array(file->arena, file->content.text_count, sizeof *rows); // more than there can be
    if (!rows)
        return out_of_memory(error);
    LORAC_TRY(lorac_choices_create(NULL, 0, lorac_net_threads(threads), &here, error));
    enum lorac_status status = list_choices(file, here->machine, rows, count, error);
    lorac_choices_free(here);
    *choices = rows;
    return status;
}

static const char *or_dash(const char *here)
{
    return here && *here ? here : "-";
}

static bool same_word(const char *word, const char *here)
{
    return strcmp(word, or_dash(here)) == 0;
}

static enum lorac_status check_convolution(char *const words[WORDS], const struct lorac_convolution *here,
                                           struct lorac_error *error)
{
    if (same_word(words[FORWARD], here->forward) && same_word(words[GRADIENT], here->gradient) &&
        same_word(words[WEIGHT_GRADIENT], here->weight_gradient) && same_word(words[FORM], here->form))
        return LORAC_OK;
    return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                           "convolution '%s' is run as %s, %s, %s, %s here (forward, gradients of input and weight, "
                           "adapter), and was as %s, %s, %s, %s: the result would be rounded otherwise; go on with the "
                           "options, the program and the kind of machine of then",
                           here->name, or_dash(here->forward), or_dash(here->gradient), or_dash(here->weight_gradient),
                           or_dash(here->form), words[FORWARD], words[GRADIENT], words[WEIGHT_GRADIENT], words[FORM]);
}

static enum lorac_status check_convolutions(const struct lorac_checkpoint_file *file, const struct lorac_net *net,
                                            struct lorac_error *error)
{
    struct lorac_arena *arena = lorac_arena_create();
    struct lorac_convolution here;
    char *words[WORDS];
    enum lorac_status status = arena ? LORAC_OK : out_of_memory(error);
    for (size_t i = 0; status == LORAC_OK && lorac_get_convolution(net, i, &here, NULL) == LORAC_OK; i++) {
        const char *text = find_convolution(file, i);
        status = text ? read_words(arena, text, words, error)
                      : lorac_error_set(error, LORAC_ERROR_MISMATCH, "it has no convolution %zu, '%s'", i, here.name);
        if (status == LORAC_OK)
            status = check_convolution(words, &here, error);
    }
    lorac_arena_free(arena);
    return status;
}

// ---- what the run depends on

static const char *find_fact(const struct lorac_checkpoint_fact *facts, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(facts[i].name, name) == 0)
            return facts[i].value;
    return NULL;
}

// The sentence about what differs, as long as there is room.
struct differences {
    char text[800];
    size_t length, count;
};

static void add_difference(struct differences *all, const char *name, const char *here, const char *then)
{
    char piece[300];
    all->count++;
    int length = snprintf(piece, sizeof piece, "%s%s is %.80s, and was %.80s", all->length > 0 ? "; " : "", name,
                          here ? here : "nothing", then ? then : "nothing");
    if (length < 0 || (size_t)length >= sizeof piece || all->length + (size_t)length >= sizeof all->text)
        return;
    memcpy(all->text + all->length, piece, (size_t)length + 1);
    all->length += (size_t)length;
}

enum lorac_status lorac_checkpoint_file_check(const struct lorac_checkpoint_file *file,
                                              const struct lorac_checkpoint_fact *facts, size_t fact_count,
                                              struct lorac_error *error)
{
    const struct lorac_checkpoint *record = &file->record;
    struct differences all = {0};
    for (size_t i = 0; i < fact_count; i++) {
        const char *then = find_fact(record->facts, record->fact_count, facts[i].name);
        if (!then || strcmp(then, facts[i].value) != 0)
            add_difference(&all, facts[i].name, facts[i].value, then);
    }
    for (size_t i = 0; i < record->fact_count; i++)
        if (!find_fact(facts, fact_count, record->facts[i].name))
            add_difference(&all, record->facts[i].name, NULL, record->facts[i].value);
    if (all.count == 0)
        return LORAC_OK;
    return lorac_error_set(error, LORAC_ERROR_MISMATCH, "checkpoint '%s' is of another run: %s", file->path, all.text);
}

// ---- the numbers

static enum lorac_status check_part(const struct lorac_snapshot_part *part, const struct lorac_safetensor *tensor,
                                    const char *name, struct lorac_error *error)
{
    if (!tensor)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "it has no tensor '%s'", name);
    bool same = tensor->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT && tensor->rank == part->rank;
    for (size_t i = 0; same && i < part->rank; i++)
        same = tensor->dims[i] == part->dims[i];
    if (!same)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "tensor '%s' has another type or shape than here", name);
    return LORAC_OK;
}

// What is to be restored: checked first, then put in place.
struct restoring {
    const struct lorac_safetensor **values; // [part_count]
    const struct lorac_safetensor **best;   // [part_count], all NULL where there are none
    struct lorac_validation_state state;
};

static enum lorac_status find_part(const struct lorac_checkpoint_file *file, const struct lorac_snapshot_part *part,
                                   bool best, const struct lorac_safetensor **found, struct lorac_error *error)
{
    char *name = lorac_checkpoint_part_name(part, best);
    if (!name)
        return out_of_memory(error);
    *found = find_tensor(&file->content, name);
    enum lorac_status status = check_part(part, *found, name, error);
    free(name);
    return status;
}

// Tensors of the checkpoint that no part asks for.
static enum lorac_status count_tensors(const struct lorac_checkpoint_file *file, size_t expected,
                                       struct lorac_error *error)
{
    size_t count = 0;
    for (size_t i = 0; i < file->content.tensor_count; i++)
        count += strchr(file->content.tensors[i].name, ':') != NULL;
    return count == expected ? LORAC_OK
                             : lorac_error_set(error, LORAC_ERROR_MISMATCH, "it has %zu tensors that are trained or belong "
                                                                            "to them, and %zu are expected",
                                               count, expected);
}

static enum lorac_status find_parts(const struct lorac_checkpoint_file *file, const struct lorac_snapshot *snapshot,
                                    bool best, const struct restoring *restoring, struct lorac_error *error)
{
    size_t expected = snapshot->part_count;
    for (size_t i = 0; i < snapshot->part_count; i++)
        LORAC_TRY(find_part(file, &snapshot->parts[i], false, &restoring->values[i], error));
    for (size_t i = 0; best && i < snapshot->part_count; i++)
        if (lorac_checkpoint_has_best(&snapshot->parts[i])) {
            LORAC_TRY(find_part(file, &snapshot->parts[i], true, &restoring->best[i], error));
            expected++;
        }
    return count_tensors(file, expected, error);
}

static enum lorac_status read_validation(const struct lorac_checkpoint_file *file,
                                         const struct lorac_validation *validation,
                                         struct lorac_validation_state *state, struct lorac_error *error)
{
    const bool was = find_tensor(&file->content, LORAC_CHECKPOINT_BEST_LOSS) != NULL;
    if (was != (validation != NULL))
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "its run %s a validation, and this one %s",
                               was ? "had" : "had not", validation ? "has" : "has not");
    if (!was)
        return LORAC_OK;
#define READ_NUMBER(key, member) LORAC_TRY(read_number(&file->content, key, &state->member, error));
    LORAC_CHECKPOINT_NUMBERS(READ_NUMBER)
#undef READ_NUMBER
    return read_double(&file->content, LORAC_CHECKPOINT_BEST_LOSS, &state->best.loss, error);
}

static enum lorac_status check_all(const struct lorac_checkpoint_file *file, const struct lorac_snapshot *snapshot,
                                   const struct lorac_validation *validation, struct restoring *restoring,
                                   struct lorac_error *error)
{
    const struct lorac_net *net = snapshot->net;
    LORAC_TRY(read_validation(file, validation, &restoring->state, error));
    const bool best = validation && validation->best.values && restoring->state.best.epoch > 0;
    LORAC_TRY(find_parts(file, snapshot, best, restoring, error));
    if (file->images_at_once != net->program->batch)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "%zu images are run at once here, and were %" PRIu64
                               ": the result would be rounded otherwise; go on with the same --micro-batch or "
                               "--memory-budget",
                               net->program->batch, file->images_at_once);
    return check_convolutions(file, net, error);
}

static void put(const struct lorac_checkpoint_file *file, const struct lorac_snapshot *snapshot,
                struct lorac_validation *validation, const struct restoring *restoring)
{
    float *best = validation ? validation->best.values : NULL;
    for (size_t i = 0; i < snapshot->part_count; i++) {
        const struct lorac_snapshot_part *part = &snapshot->parts[i];
        memcpy(part->values, restoring->values[i]->bytes, part->count * sizeof(float));
        if (!restoring->best[i])
            continue;
        memcpy(best, restoring->best[i]->bytes, part->count * sizeof(float));
        best += part->count;
    }
    if (validation)
        lorac_validation_set_state(validation, &restoring->state);
    lorac_train_state_set_step(snapshot->net->train, file->optimizer_step);
    lorac_session_params_changed(snapshot->net->session);
}

enum lorac_status lorac_checkpoint_file_restore(const struct lorac_checkpoint_file *file,
                                                const struct lorac_snapshot *snapshot,
                                                struct lorac_validation *validation, struct lorac_error *error)
{
    const struct lorac_safetensor **found = calloc(2 * snapshot->part_count + 1, sizeof *found);
    struct restoring restoring = {.values = found, .best = found ? found + snapshot->part_count : NULL};
    enum lorac_status status =
        found ? check_all(file, snapshot, validation, &restoring, error) : out_of_memory(error);
    if (status == LORAC_OK)
        put(file, snapshot, validation, &restoring);
    free(found);
    return lorac_error_prefix(error, status, "checkpoint '%s': ", file->path);
}

// ---- broken images

static enum lorac_status count_broken(const struct lorac_safetensor *tensor, const struct lorac_dataset *dataset,
                                      struct lorac_error *error)
{
    char message[LORAC_ERROR_MESSAGE_BYTES];
    uint32_t image;
    if (tensor->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__UINT32 || tensor->rank != 1)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "tensor '%s' must be U32 and have one dimension", tensor->name);
    for (size_t i = 0; i < tensor->byte_count / sizeof image; i++) {
        memcpy(&image, tensor->bytes + i * sizeof image, sizeof image);
        if (image >= dataset->count)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "tensor '%s' names image %" PRIu32 " of %zu", tensor->name,
                                   image, dataset->count);
    }
    for (size_t i = 0; i < tensor->byte_count / sizeof image; i++) {
        memcpy(&image, tensor->bytes + i * sizeof image, sizeof image);
        snprintf(message, sizeof message, "'%s': could not be read before the run was interrupted",
                 lorac_dataset_path(dataset, image));
        LORAC_TRY(lorac_loader_count_broken(dataset->loader, image, message, error));
    }
    return LORAC_OK;
}

enum lorac_status lorac_checkpoint_file_restore_broken(const struct lorac_checkpoint_file *file,
                                                       enum lorac_checkpoint_set set,
                                                       const struct lorac_dataset *dataset, struct lorac_error *error)
{
    static const char *const names[] = LORAC_CHECKPOINT_BROKEN;
    const struct lorac_safetensor *tensor = find_tensor(&file->content, names[set]);
    if (!tensor || !dataset->loader)
        return LORAC_OK;
    return lorac_error_prefix(error, count_broken(tensor, dataset, error), "checkpoint '%s': ", file->path);
}
