// Writing whole files. A written file holds either its old content or all of the new one, whatever
// happens: a temporary file in the same folder, synced, then renamed over it.
#define _XOPEN_SOURCE 700 // realpath

#include "model.h"

#include "file_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_content(int fd, const struct lorac_file_content *content)
{
    struct lorac_file_writer *writer = lorac_file_writer_create(fd, content->storage);
    if (!writer)
        return ENOMEM;
    if (content->message)
        protobuf_c_message_pack_to_buffer(content->message, lorac_file_writer_buffer(writer));
    else
        lorac_file_writer_append(writer, content->bytes, content->byte_count);
    return lorac_file_writer_finish(writer, content->byte_count);
}

char *lorac_folder_of(const char *path, size_t extra)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) + 1 : 0;
    char *folder = malloc(length + extra + 1);
    if (folder) {
        memcpy(folder, path, length);
        folder[length] = '\0';
    }
    return folder;
}

// Makes and opens a file that did not exist, beside [path]. Its short name fits wherever that of [path] does. Returns
// the descriptor, or -1 with errno set.
static int create_beside(const char *path, char **temporary)
{
    enum { NAME_BYTES = 64, TRIES = 100 };
    char *name = lorac_folder_of(path, NAME_BYTES);
    if (!name) {
        errno = ENOMEM;
        return -1;
    }
    size_t length = strlen(name);
    int fd = -1;
    for (int i = 0; i < TRIES && fd < 0; i++) {
        snprintf(name + length, NAME_BYTES, ".lorac-%ld-%d.tmp", (long)getpid(), i);
        fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    if (fd < 0) {
        int failure = errno;
        free(name);
        errno = failure;
        return -1;
    }
    *temporary = name;
    return fd;
}

// File systems that cannot sync a folder say EINVAL.
int lorac_folder_sync(const char *path)
{
    char *folder = lorac_folder_of(path, 1);
    if (!folder)
        return ENOMEM;
    int fd = open(*folder ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (fd < 0)
        return errno == EACCES ? 0 : errno; // a folder that may be written but not read
    int failure = fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
    close(fd);
    return failure;
}

// Fills, syncs and renames the open temporary file; 0 or errno. Closes [fd] in any case.
static int finish(int fd, const char *temporary, struct lorac_replacement *replacement,
                  const struct lorac_file_content *content)
{
    int failure = write_content(fd, content);
    if (!failure && replacement->exists && fchmod(fd, replacement->old.st_mode & 07777) != 0)
        failure = errno;
    if (!failure && fsync(fd) != 0)
        failure = errno;
    if (close(fd) != 0 && !failure)
        failure = errno;
    if (!failure && rename(temporary, replacement->target) != 0)
        failure = errno;
    replacement->done = !failure;
    return failure;
}

// The target of the link [path], malloc'ed, where it is not there yet. NULL with errno set.
static char *read_link(const char *path)
{
    enum { LINK_BYTES = 4096 };
    char *target = lorac_folder_of(path, LINK_BYTES);
    if (!target)
        return NULL;
    char *end = target + strlen(target);
    ssize_t length = readlink(path, end, LINK_BYTES);
    if (length < 0 || length == LINK_BYTES) {
        int failure = length < 0 ? errno : ENAMETOOLONG;
        free(target);
        errno = failure;
        return NULL;
    }
    end[length] = '\0';
    if (*end == '/')
        memmove(target, end, (size_t)length + 1);
    return target;
}

// The file that [path] names, malloc'ed: through links, so that they stay. A link to a file that is not there yet
// leads to that file, not in its own place; to another such link it does not. NULL with errno set.
static char *resolve(const char *path, bool exists)
{
    struct stat info;
    if (exists)
        return realpath(path, NULL);
    if (lstat(path, &info) != 0 || !S_ISLNK(info.st_mode))
        return strdup(path);
    char *target = read_link(path);
    if (target && lstat(target, &info) == 0) { // a link again, in a loop or to nothing
        free(target);
        errno = ELOOP;
        return NULL;
    }
    return target;
}

enum lorac_status lorac_write_failure(const char *path, int failure, struct lorac_error *error)
{
    if (!failure)
        return LORAC_OK;
    if (failure == ENOMEM)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "cannot write '%s': out of memory", path);
    return lorac_error_set(error, LORAC_ERROR_IO, "cannot write '%s': %s", path, strerror(failure));
}

enum lorac_status lorac_replacement_open(const char *path, struct lorac_replacement *out, struct lorac_error *error)
{
    struct lorac_replacement found = {.path = path};
    found.exists = stat(path, &found.old) == 0;
    if (found.exists && S_ISDIR(found.old.st_mode))
        return lorac_error_set(error, LORAC_ERROR_IO, "cannot write '%s': it is a folder", path);
    if (found.exists && !S_ISREG(found.old.st_mode))
        return lorac_error_set(error, LORAC_ERROR_IO, "cannot write '%s': it is not a regular file", path);
    if (found.exists && access(path, W_OK) != 0)
        return lorac_write_failure(path, errno, error);
    found.target = resolve(path, found.exists);
    if (!found.target)
        return lorac_write_failure(path, errno, error);
    *out = found;
    return LORAC_OK;
}

void lorac_replacement_close(struct lorac_replacement *replacement)
{
    free(replacement->target);
    replacement->target = NULL;
}

enum lorac_status lorac_replacement_write(struct lorac_replacement *replacement,
                                          const struct lorac_file_content *content, struct lorac_error *error)
{
    char *temporary = NULL;
    int fd = create_beside(replacement->target, &temporary);
    int failure = fd < 0 ? errno : finish(fd, temporary, replacement, content);
    if (fd >= 0 && failure)
        unlink(temporary);
    else if (fd >= 0)
        failure = lorac_folder_sync(replacement->target);
    free(temporary);
    return lorac_write_failure(replacement->path, failure, error);
}

enum lorac_status lorac_file_write(const char *path, const void *bytes, size_t byte_count, struct lorac_error *error)
{
    struct lorac_file_content content = {.bytes = bytes, .byte_count = byte_count};
    struct lorac_replacement replacement;
    LORAC_TRY(lorac_replacement_open(path, &replacement, error));
    enum lorac_status status = lorac_replacement_write(&replacement, &content, error);
    lorac_replacement_close(&replacement);
    return status;
}

bool lorac_file_same(const char *a, const char *b)
{
    struct stat first, second;
    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}
