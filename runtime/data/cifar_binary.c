#include "cifar_binary.h"

#include "proto/arena.h"
#include "proto/size.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum {
    SIDE = 32,
    PLANE = SIDE * SIDE,
    CHANNELS = 3,
    IMAGE_BYTES = CHANNELS * PLANE,
    MOST_LABELS = 2, // in a record
    MOST_FILES = 5,
    PATH_BYTES = 4096,
    NAME_BYTES = 128,
};

static const struct kind {
    const char *name, *names_file;
    size_t label_bytes, class_count;
    const char *train[MOST_FILES];
} kinds[] = {
    {"CIFAR-10",
     "batches.meta.txt",
     1,
     10,
     {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"}},
    {"CIFAR-100", "fine_label_names.txt", 2, 100, {"train.bin"}},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

struct files {
    const struct kind *kind;
    char folder[PATH_BYTES]; // with the slash, or empty
    char paths[MOST_FILES][PATH_BYTES];
    size_t counts[MOST_FILES]; // records
    size_t count;
    const char *missing; // the first of the folder's that is not there; NULL: none
    bool has_gap;        // one behind it is
};

// ---- which files

static size_t record_bytes(const struct kind *kind)
{
    return kind->label_bytes + IMAGE_BYTES;
}

static bool size_of(const char *path, uint64_t *bytes)
{
    struct stat about;
    if (stat(path, &about) != 0 || !S_ISREG(about.st_mode))
        return false;
    *bytes = (uint64_t)about.st_size;
    return true;
}

// Records of both kinds fit where there are 3073 * 3074 bytes, or a multiple: 3074 images of CIFAR-10. The published
// files of CIFAR-100 have other sizes.
static const struct kind *kind_of_size(uint64_t bytes)
{
    for (size_t k = 0; bytes > 0 && k < KINDS; k++)
        if (bytes % record_bytes(&kinds[k]) == 0)
            return &kinds[k];
    return NULL;
}

static bool ends_in_bin(const char *path)
{
    const size_t length = strlen(path);
    return length > 4 && strcasecmp(path + length - 4, ".bin") == 0;
}

static bool join(char *out, const char *folder, const char *name)
{
    int length = snprintf(out, PATH_BYTES, "%s%s", folder, name);
    return length >= 0 && length < PATH_BYTES;
}

// The training files of a folder; count 0 where there are none.
static void find_in_folder(const char *path, struct files *files)
{
    const size_t length = strlen(path);
    const char *slash = length > 0 && path[length - 1] != '/' ? "/" : "";
    files->count = 0;
    if (!join(files->folder, path, slash))
        return;
    for (size_t k = 0; k < KINDS && files->count == 0; k++) {
        files->kind = &kinds[k];
        files->missing = NULL;
        for (size_t i = 0; i < MOST_FILES && kinds[k].train[i]; i++) {
            uint64_t bytes;
            if (!join(files->paths[files->count], files->folder, kinds[k].train[i]) ||
                !size_of(files->paths[files->count], &bytes)) {
                files->missing = files->missing ? files->missing : kinds[k].train[i];
            } else {
                files->count++;
                files->has_gap = files->missing != NULL;
            }
        }
    }
}

static enum lorac_status find_files(const char *path, struct files *files, struct lorac_error *error)
{
    struct stat about;
    if (stat(path, &about) != 0)
        return lorac_error_set(error, LORAC_ERROR_IO, "'%s': cannot open: %s", path, strerror(errno));
    if (S_ISDIR(about.st_mode)) {
        find_in_folder(path, files);
        if (files->count == 0)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "'%s' holds neither data_batch_1.bin nor train.bin",
                                   path);
        if (files->has_gap)
            return lorac_error_set(error, LORAC_ERROR_FORMAT,
                                   "'%s' lacks %s: copy it, or give one of the files that are there by its name", path,
                                   files->missing);
        return LORAC_OK;
    }
    const char *slash = strrchr(path, '/');
    const size_t folder_bytes = slash ? (size_t)(slash - path) + 1 : 0;
    if (!join(files->paths[0], path, ""))
        return lorac_error_set(error, LORAC_ERROR_IO, "'%s': the path is too long", path);
    memcpy(files->folder, path, folder_bytes);
    files->folder[folder_bytes] = '\0';
    files->count = 1;
    files->kind = kind_of_size((uint64_t)about.st_size);
    return LORAC_OK;
}

// All files have the same kind of whole records.
static enum lorac_status count_records(struct files *files, size_t *total, struct lorac_error *error)
{
    *total = 0;
    for (size_t i = 0; i < files->count; i++) {
        uint64_t bytes = 0;
        const bool there = size_of(files->paths[i], &bytes);
        const size_t record = files->kind ? record_bytes(files->kind) : 1;
        if (!there || !files->kind || bytes == 0 || bytes % record != 0 || bytes / record > SIZE_MAX / 2)
            return lorac_error_set(error, LORAC_ERROR_FORMAT,
                                   "'%s' has %" PRIu64
                                   " bytes, no whole number of records of %zu bytes (CIFAR-10) or %zu "
                                   "(CIFAR-100): copy it again",
                                   files->paths[i], bytes, record_bytes(&kinds[0]), record_bytes(&kinds[1]));
        files->counts[i] = (size_t)(bytes / record);
        *total += files->counts[i];
    }
    return LORAC_OK;
}

bool lorac_cifar_is(const char *path)
{
    uint64_t bytes;
    if (size_of(path, &bytes))
        return ends_in_bin(path) && kind_of_size(bytes);
    struct files *files = calloc(1, sizeof *files);
    if (files)
        find_in_folder(path, files);
    const bool is = files && files->count > 0;
    free(files);
    return is;
}

// ---- records

// From planes to pixels.
static void interleave(const uint8_t *planes, uint8_t *pixels)
{
    for (size_t i = 0; i < PLANE; i++)
        for (size_t c = 0; c < CHANNELS; c++)
            pixels[i * CHANNELS + c] = planes[c * PLANE + i];
}

struct reading {
    const struct kind *kind;
    size_t begin, end; // rows that are kept
    size_t at;         // of the next record, over all files
    uint8_t *pixels;
    int32_t *labels;
};

static enum lorac_status take_record(struct reading *reading, const uint8_t *record, struct lorac_error *error)
{
    const size_t label_bytes = reading->kind->label_bytes;
    const uint8_t label = record[label_bytes - 1]; // the fine one is the last
    if (label >= reading->kind->class_count)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "label %d of image %zu is outside 0 .. %zu: this is not %s",
                               label, reading->at, reading->kind->class_count - 1, reading->kind->name);
    if (reading->at >= reading->begin && reading->at < reading->end) {
        const size_t row = reading->at - reading->begin;
        reading->labels[row] = label;
        interleave(record + label_bytes, reading->pixels + row * IMAGE_BYTES);
    }
    reading->at++;
    return LORAC_OK;
}

static enum lorac_status read_file(struct reading *reading, const char *path, size_t count, struct lorac_error *error)
{
    struct lorac_stream stream = {0};
    uint8_t record[MOST_LABELS + IMAGE_BYTES];
    enum lorac_status status = lorac_stream_open(path, &stream, error);
    for (size_t i = 0; status == LORAC_OK && i < count; i++) {
        status = lorac_stream_read(&stream, record, record_bytes(reading->kind), "a record", error);
        if (status == LORAC_OK)
            status = take_record(reading, record, error);
    }
    lorac_stream_close(&stream);
    return lorac_error_prefix(error, status, "'%s': ", path);
}

// ---- names

// Room for all files is there. False where memory ran out.
static bool add_file(struct lorac_cifar *cifar, const char *path)
{
    cifar->files[cifar->file_count] = lorac_arena_strdup(cifar->arena, path);
    return cifar->files[cifar->file_count] && ++cifar->file_count;
}

static enum lorac_status note_files(const struct files *files, struct lorac_cifar *cifar, struct lorac_error *error)
{
    cifar->arena = lorac_arena_create();
    if (cifar->arena)
        cifar->files = lorac_arena_alloc_array(cifar->arena, files->count + 1, sizeof *cifar->files);
    bool complete = cifar->files != NULL;
    for (size_t i = 0; complete && i < files->count; i++)
        complete = add_file(cifar, files->paths[i]);
    return complete ? LORAC_OK
                    : lorac_error_set(error, LORAC_ERROR_MEMORY, "'%s': out of memory for names", files->paths[0]);
}

// The lines of the file beside, without the empty ones at its end. No file: no names.
static enum lorac_status read_names(const struct files *files, struct lorac_cifar *cifar, struct lorac_error *error)
{
    char path[PATH_BYTES], line[NAME_BYTES];
    FILE *file = join(path, files->folder, files->kind->names_file) ? fopen(path, "r") : NULL;
    if (!file)
        return LORAC_OK;
    size_t count = 0;
    bool complete = add_file(cifar, path);
    cifar->class_names = lorac_arena_alloc_array(cifar->arena, cifar->class_count, sizeof *cifar->class_names);
    while (cifar->class_names && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] == '\0')
            continue;
        if (count < cifar->class_count) {
            cifar->class_names[count] = lorac_arena_strdup(cifar->arena, line);
            complete = complete && cifar->class_names[count];
        }
        count++;
    }
    const bool damaged = ferror(file);
    fclose(file);
    if (!cifar->class_names || !complete)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "'%s': out of memory for names", path);
    if (damaged)
        return lorac_error_set(error, LORAC_ERROR_IO, "'%s': cannot read", path);
    if (count != cifar->class_count)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "'%s' names %zu classes, and %s has %zu", path, count,
                               files->kind->name, cifar->class_count);
    return LORAC_OK;
}

// ---- life cycle

static enum lorac_status read_all(struct files *files, const struct lorac_rows *rows, struct lorac_cifar *cifar,
                                  struct lorac_error *error)
{
    size_t total, bytes = 0;
    LORAC_TRY(count_records(files, &total, error));
    const size_t begin = rows->begin < total ? rows->begin : total, end = rows->end < total ? rows->end : total;
    const size_t count = begin < end ? end - begin : 0;
    if (lorac_size_multiply(count, IMAGE_BYTES, &bytes)) {
        cifar->images.data = malloc(bytes > 0 ? bytes : 1);
        cifar->labels = malloc((count > 0 ? count : 1) * sizeof *cifar->labels);
    }
    if (!cifar->images.data || !cifar->labels)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "'%s': out of memory for %zu images", files->paths[0], count);
    cifar->images.dtype = 'u';
    cifar->images.item_bytes = 1;
    cifar->images.rank = 4;
    const int64_t dims[] = {(int64_t)total, SIDE, SIDE, CHANNELS};
    memcpy(cifar->images.dims, dims, sizeof dims);
    cifar->images.byte_count = bytes;
    cifar->class_count = files->kind->class_count;
    cifar->missing = files->missing;
    struct reading reading = {files->kind, begin, begin + count, 0, cifar->images.data, cifar->labels};
    for (size_t i = 0; i < files->count; i++)
        LORAC_TRY(read_file(&reading, files->paths[i], files->counts[i], error));
    LORAC_TRY(note_files(files, cifar, error));
    return read_names(files, cifar, error);
}

enum lorac_status lorac_cifar_read(const char *path, const struct lorac_rows *rows, struct lorac_cifar *out,
                                   struct lorac_error *error)
{
    struct lorac_cifar cifar = {0};
    struct files *files = calloc(1, sizeof *files); // too large for a thread's stack
    enum lorac_status status = files
                                   ? find_files(path, files, error)
                                   : lorac_error_set(error, LORAC_ERROR_MEMORY, "'%s': out of memory opening it", path);
    if (status == LORAC_OK)
        status = read_all(files, rows, &cifar, error);
    free(files);
    if (status != LORAC_OK)
        lorac_cifar_clear(&cifar);
    else
        *out = cifar;
    return status;
}

void lorac_cifar_clear(struct lorac_cifar *cifar)
{
    lorac_array_clear(&cifar->images);
    free(cifar->labels);
    lorac_arena_free(cifar->arena);
    *cifar = (struct lorac_cifar){0};
}
