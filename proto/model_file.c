// Reading and writing whole files. A written file holds either its old content or all of the new one, whatever
// happens: a temporary file in the same folder, synced, then renamed over it.
#define _XOPEN_SOURCE 700 // realpath

#include "model.h"

#include "model_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- reading

static enum lorac_status read_all(int fd, uint8_t *bytes, size_t byte_count, struct lorac_error *error)
{
    size_t done = 0;
    while (done < byte_count) {
        ssize_t got = read(fd, bytes + done, byte_count - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return lorac_error_set(error, LORAC_ERROR_IO, "cannot read: %s", strerror(errno));
        if (got == 0)
            return lorac_error_set(error, LORAC_ERROR_IO, "shrank from %zu to %zu bytes while it was read", byte_count,
                                   done);
        done += (size_t)got;
    }
    return LORAC_OK;
}

static enum lorac_status read_open_file(int fd, uint8_t **bytes, size_t *byte_count, struct lorac_error *error)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return lorac_error_set(error, LORAC_ERROR_IO, "cannot read: %s", strerror(errno));
    if (S_ISDIR(info.st_mode))
        return lorac_error_set(error, LORAC_ERROR_IO, "is a folder, not a file");
    if (!S_ISREG(info.st_mode))
        return lorac_error_set(error, LORAC_ERROR_IO, "is not a regular file");
    if (info.st_size == 0)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "the file is empty");
    if (info.st_size > INT32_MAX)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "the file has %lld bytes: an ONNX file is smaller than 2 GiB",
                               (long long)info.st_size);
    size_t size = (size_t)info.st_size;
    uint8_t *block = malloc(size);
    if (!block)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the %zu bytes of the file", size);
    enum lorac_status status = read_all(fd, block, size, error);
    if (status != LORAC_OK) {
        free(block);
        return status;
    }
    *bytes = block;
    *byte_count = size;
    return LORAC_OK;
}

enum lorac_status lorac_file_read(const char *path, uint8_t **bytes, size_t *byte_count, struct lorac_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // not blocking: opening a pipe would wait for a writer
    if (fd < 0)
        return lorac_error_set(error, LORAC_ERROR_IO, "cannot open: %s", strerror(errno));
    enum lorac_status status = read_open_file(fd, bytes, byte_count, error);
    close(fd);
    return status;
}

// ---- writing

enum { WRITER_BYTES = 64 * 1024 };

// A file being written, also as protobuf-c's buffer, so that a model is streamed out without a second copy of it.
struct writer {
    ProtobufCBuffer base;
    int fd;
    int failure; // errno of the first write that failed, 0: none
    size_t total;
    size_t used;
    uint8_t buffer[WRITER_BYTES];
};

static void write_out(struct writer *writer, const uint8_t *bytes, size_t count)
{
    while (count > 0 && !writer->failure) {
        ssize_t done = write(writer->fd, bytes, count);
        if (done < 0) {
            if (errno != EINTR)
                writer->failure = errno;
            continue;
        }
        bytes += done;
        count -= (size_t)done;
    }
}

static void flush(struct writer *writer)
{
    write_out(writer, writer->buffer, writer->used);
    writer->used = 0;
}

static void append(ProtobufCBuffer *base, size_t count, const uint8_t *bytes)
{
    struct writer *writer = (struct writer *)base;
    writer->total += count;
    if (count > WRITER_BYTES - writer->used)
        flush(writer);
    if (count > WRITER_BYTES) {
        write_out(writer, bytes, count);
    } else if (count > 0) {
        memcpy(writer->buffer + writer->used, bytes, count);
        writer->used += count;
    }
}

// What is to be written: a model, or bytes.
struct content {
    const Onnx__ModelProto *proto; // NULL: the bytes
    const uint8_t *bytes;
    size_t byte_count;
};

static int write_content(int fd, const struct content *content)
{
    struct writer *writer = malloc(sizeof *writer);
    if (!writer)
        return ENOMEM;
    writer->base.append = append;
    writer->fd = fd;
    writer->failure = 0;
    writer->total = writer->used = 0;
    if (content->proto)
        protobuf_c_message_pack_to_buffer(&content->proto->base, &writer->base);
    else
        append(&writer->base, content->byte_count, content->bytes);
    flush(writer);
    int failure = writer->failure;
    // Some versions of protobuf-c drop bytes without a word where memory runs out.
    if (!failure && writer->total != content->byte_count)
        failure = ENOMEM;
    free(writer);
    return failure;
}

// The folder of [path] with its slash ("" for the current one), malloc'ed with [extra] bytes of room behind it.
static char *folder_of(const char *path, size_t extra)
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
    char *name = folder_of(path, NAME_BYTES);
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

// A rename is on the disk only when its folder is. File systems that cannot sync a folder say EINVAL.
static int sync_folder(const char *path)
{
    char *folder = folder_of(path, 1);
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
static int finish(int fd, const char *temporary, const char *path, const struct content *content,
                  const struct stat *old)
{
    int failure = write_content(fd, content);
    if (!failure && old && fchmod(fd, old->st_mode & 07777) != 0)
        failure = errno;
    if (!failure && fsync(fd) != 0)
        failure = errno;
    if (close(fd) != 0 && !failure)
        failure = errno;
    if (!failure && rename(temporary, path) != 0)
        failure = errno;
    return failure;
}

// The target of the link [path], malloc'ed, where it is not there yet. NULL with errno set.
static char *read_link(const char *path)
{
    enum { LINK_BYTES = 4096 };
    char *target = folder_of(path, LINK_BYTES);
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

static enum lorac_status write_file(const char *path, const struct content *content, struct lorac_error *error)
{
    struct stat old;
    bool exists = stat(path, &old) == 0;
    if (exists && S_ISDIR(old.st_mode))
        return lorac_error_set(error, LORAC_ERROR_IO, "cannot write '%s': it is a folder", path);
    if (exists && !S_ISREG(old.st_mode))
        return lorac_error_set(error, LORAC_ERROR_IO, "cannot write '%s': it is not a regular file", path);
    if (exists && access(path, W_OK) != 0)
        return lorac_error_set(error, LORAC_ERROR_IO, "cannot write '%s': %s", path, strerror(errno));
    char *temporary = NULL, *target = resolve(path, exists);
    int fd = target ? create_beside(target, &temporary) : -1;
    int failure = fd < 0 ? errno : 0;
    if (fd >= 0) {
        failure = finish(fd, temporary, target, content, exists ? &old : NULL);
        if (failure)
            unlink(temporary);
        else
            failure = sync_folder(target);
    }
    free(temporary);
    free(target);
    if (!failure)
        return LORAC_OK;
    if (failure == ENOMEM)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "cannot write '%s': out of memory", path);
    return lorac_error_set(error, LORAC_ERROR_IO, "cannot write '%s': %s", path, strerror(failure));
}

enum lorac_status lorac_file_write(const char *path, const void *bytes, size_t byte_count, struct lorac_error *error)
{
    struct content content = {NULL, bytes, byte_count};
    return write_file(path, &content, error);
}

enum lorac_status lorac_model_save(const struct lorac_model *model, const char *path, struct lorac_error *error)
{
    struct content content = {model->proto, NULL, 0};
    enum lorac_status status = lorac_model_packed_size(model, &content.byte_count, error);
    if (status != LORAC_OK) {
        lorac_error_prefix(error, "cannot write '%s': ", path);
        return status;
    }
    return write_file(path, &content, error);
}

bool lorac_file_same(const char *a, const char *b)
{
    struct stat first, second;
    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}
