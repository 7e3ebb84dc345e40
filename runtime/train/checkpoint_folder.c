#include "checkpoint_folder.h"

#include "proto/file_writer.h"
#include "proto/model.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

// A step's name has 12 digits, and more where it needs more.
enum { NAME_BYTES = 64 };
static const char PREFIX[] = "step-", SUFFIX[] = ".safetensors", LOCK[] = "lock";
// As the library's writer of files names what is not ready yet.
static const char TEMPORARY_PREFIX[] = ".lorac-", TEMPORARY_SUFFIX[] = ".tmp";

struct lorac_checkpoint_folder {
    char *path;
    size_t keep;
    int lock; // -1: none
};

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a folder of checkpoints");
}

// "FOLDER/NAME", malloc'ed.
static char *path_of(const struct lorac_checkpoint_folder *folder, const char *name)
{
    const size_t room = strlen(folder->path) + strlen(name) + 2;
    char *path = malloc(room);
    if (path)
        snprintf(path, room, "%s/%s", folder->path, name);
    return path;
}

static bool begins_and_ends(const char *name, const char *prefix, const char *suffix)
{
    const size_t length = strlen(name), before = strlen(prefix), after = strlen(suffix);
    return length > before + after && strncmp(name, prefix, before) == 0 &&
           strcmp(name + length - after, suffix) == 0;
}

static void name_of(uint64_t step, char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "%s%012" PRIu64 "%s", PREFIX, step, SUFFIX);
}

// Only of names that name_of gives.
static bool step_of(const char *name, uint64_t *step)
{
    char again[NAME_BYTES];
    if (!begins_and_ends(name, PREFIX, SUFFIX))
        return false;
    *step = strtoull(name + strlen(PREFIX), NULL, 10);
    name_of(*step, again);
    return strcmp(name, again) == 0;
}

// ---- what is there

static int newest_first(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left < right) - (left > right);
}

static enum lorac_status cannot(const struct lorac_checkpoint_folder *folder, const char *what, int failure,
                                struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_IO, "the checkpoint folder '%s' cannot be %s: %s", folder->path, what,
                           strerror(failure));
}

// The steps of the checkpoints that are there, malloc'ed, newest first; [clean] removes temporary files by the way.
static enum lorac_status list_steps(const struct lorac_checkpoint_folder *folder, bool clean, uint64_t **out,
                                    size_t *out_count, struct lorac_error *error)
{
    size_t count = 0, capacity = 16;
    uint64_t *steps = malloc(capacity * sizeof *steps);
    DIR *entries = opendir(folder->path);
    const int failure = errno;
    if (!steps || !entries) {
        free(steps);
        if (entries)
            closedir(entries);
        return steps ? cannot(folder, "read", failure, error) : out_of_memory(error);
    }
    for (struct dirent *entry; (entry = readdir(entries));) {
        uint64_t step;
        if (clean && begins_and_ends(entry->d_name, TEMPORARY_PREFIX, TEMPORARY_SUFFIX))
            unlinkat(dirfd(entries), entry->d_name, 0);
        if (!step_of(entry->d_name, &step))
            continue;
        if (count == capacity) {
            uint64_t *larger = realloc(steps, 2 * capacity * sizeof *steps);
            if (!larger) {
                free(steps);
                closedir(entries);
                return out_of_memory(error);
            }
            steps = larger;
            capacity *= 2;
        }
        steps[count++] = step;
    }
    closedir(entries);
    qsort(steps, count, sizeof *steps, newest_first);
    *out = steps;
    *out_count = count;
    return LORAC_OK;
}

static char *checkpoint_path(const struct lorac_checkpoint_folder *folder, uint64_t step)
{
    char name[NAME_BYTES];
    name_of(step, name);
    return path_of(folder, name);
}

// ---- life cycle

static enum lorac_status take_lock(struct lorac_checkpoint_folder *folder, struct lorac_error *error)
{
    char *path = path_of(folder, LOCK);
    if (!path)
        return out_of_memory(error);
    folder->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    int failure = folder->lock < 0 ? errno : 0;
    free(path);
    if (failure)
        return cannot(folder, "written", failure, error);
    while (flock(folder->lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return lorac_error_set(error, LORAC_ERROR_IO,
                                   "the checkpoint folder '%s' is in use by another run: wait for its end, or give "
                                   "another folder",
                                   folder->path);
        if (errno != EINTR)
            return cannot(folder, "locked", errno, error);
    }
    return LORAC_OK;
}

// A new folder is on the disk only when its parent is.
static enum lorac_status sync_parent(const struct lorac_checkpoint_folder *folder, struct lorac_error *error)
{
    char *path = strdup(folder->path);
    if (!path)
        return out_of_memory(error);
    for (size_t length = strlen(path); length > 1 && path[length - 1] == '/'; length--)
        path[length - 1] = '\0'; // "run/" is in the folder of "run"
    const int failure = lorac_folder_sync(path);
    free(path);
    return failure ? cannot(folder, "synced", failure, error) : LORAC_OK;
}

static enum lorac_status open_folder(struct lorac_checkpoint_folder *folder, const char *path,
                                     struct lorac_error *error)
{
    struct stat info;
    uint64_t *steps = NULL;
    size_t count;
    folder->lock = -1;
    folder->path = strdup(path);
    if (!folder->path)
        return out_of_memory(error);
    if (mkdir(path, 0777) == 0)
        LORAC_TRY(sync_parent(folder, error));
    else if (errno != EEXIST)
        return cannot(folder, "made", errno, error);
    if (stat(path, &info) != 0)
        return cannot(folder, "used", errno, error);
    if (!S_ISDIR(info.st_mode))
        return lorac_error_set(error, LORAC_ERROR_IO, "'%s' is no folder: checkpoints need one", path);
    LORAC_TRY(take_lock(folder, error));
    LORAC_TRY(list_steps(folder, true, &steps, &count, error));
    free(steps);
    return LORAC_OK;
}

enum lorac_status lorac_checkpoint_folder_open(const char *path, size_t keep, struct lorac_checkpoint_folder **out,
                                               struct lorac_error *error)
{
    assert(keep > 0);
    struct lorac_checkpoint_folder *folder = calloc(1, sizeof *folder);
    if (!folder)
        return out_of_memory(error);
    folder->keep = keep;
    enum lorac_status status = open_folder(folder, path, error);
    if (status != LORAC_OK) {
        lorac_checkpoint_folder_close(folder);
        return status;
    }
    *out = folder;
    return LORAC_OK;
}

void lorac_checkpoint_folder_close(struct lorac_checkpoint_folder *folder)
{
    if (!folder)
        return;
    if (folder->lock >= 0)
        close(folder->lock);
    free(folder->path);
    free(folder);
}

// ---- reading

enum lorac_status lorac_checkpoint_folder_look(struct lorac_checkpoint_folder *folder, bool *found, uint64_t *step,
                                               struct lorac_error *error)
{
    uint64_t *steps = NULL;
    size_t count;
    LORAC_TRY(list_steps(folder, false, &steps, &count, error));
    *found = count > 0;
    if (count > 0)
        *step = steps[0];
    free(steps);
    return LORAC_OK;
}

// The newest of [steps] that is whole.
static enum lorac_status read_newest(const struct lorac_checkpoint_folder *folder, const uint64_t *steps, size_t count,
                                     struct lorac_checkpoint_file **file, struct lorac_error *damaged,
                                     struct lorac_error *error)
{
    for (size_t i = 0; i < count; i++) {
        char *path = checkpoint_path(folder, steps[i]);
        if (!path)
            return out_of_memory(error);
        enum lorac_status status = lorac_checkpoint_file_read(path, file, error);
        free(path);
        if (status != LORAC_ERROR_FORMAT) // read, or something else is wrong than the file
            return status;
        if (damaged->status == LORAC_OK)
            *damaged = *error;
    }
    if (count == 0)
        return LORAC_OK;
    *error = *damaged;
    return LORAC_ERROR_FORMAT;
}

enum lorac_status lorac_checkpoint_folder_read(struct lorac_checkpoint_folder *folder,
                                               struct lorac_checkpoint_file **file, struct lorac_error *damaged,
                                               struct lorac_error *error)
{
    struct lorac_error own_error = {0};
    uint64_t *steps = NULL;
    size_t count;
    if (!error)
        error = &own_error;
    *file = NULL;
    *damaged = (struct lorac_error){0};
    LORAC_TRY(list_steps(folder, false, &steps, &count, error));
    enum lorac_status status = read_newest(folder, steps, count, file, damaged, error);
    free(steps);
    return status;
}

// ---- writing

// Best effort: one too many does no harm. What is no regular file is somebody else's: a folder stays, by unlink.
static void tidy(const struct lorac_checkpoint_folder *folder, uint64_t step, bool newer)
{
    uint64_t *steps = NULL;
    size_t count, older = 0;
    if (list_steps(folder, false, &steps, &count, NULL) != LORAC_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        older += steps[i] < step;
        if (steps[i] == step || (steps[i] < step ? older < folder->keep : !newer))
            continue;
        char *path = checkpoint_path(folder, steps[i]);
        if (path)
            unlink(path);
        free(path);
    }
    free(steps);
}

void lorac_checkpoint_folder_tidy(const struct lorac_checkpoint_folder *folder, uint64_t step)
{
    tidy(folder, step, false);
}

enum lorac_status lorac_checkpoint_folder_write(struct lorac_checkpoint_folder *folder, uint64_t step,
                                                const uint8_t *bytes, size_t byte_count, struct lorac_error *error)
{
    char *path = checkpoint_path(folder, step);
    if (!path)
        return out_of_memory(error);
    enum lorac_status status = lorac_file_write(path, bytes, byte_count, error);
    free(path);
    if (status == LORAC_OK)
        tidy(folder, step, true);
    return status;
}
