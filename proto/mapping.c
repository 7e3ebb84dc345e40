#define _DEFAULT_SOURCE // madvise, MADV_DONTNEED

#include "mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static enum lorac_status map_file(int fd, struct lorac_mapping *out, struct lorac_error *error)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return lorac_error_set(error, LORAC_ERROR_IO, "cannot read: %s", strerror(errno));
    if (S_ISDIR(info.st_mode))
        return lorac_error_set(error, LORAC_ERROR_IO, "is a folder, not a file");
    if (!S_ISREG(info.st_mode))
        return lorac_error_set(error, LORAC_ERROR_IO, "is not a regular file");
    struct lorac_mapping mapping = {NULL, (size_t)info.st_size, info.st_dev, info.st_ino};
    if (info.st_size < 0 || (uintmax_t)info.st_size > SIZE_MAX)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "has %lld bytes: too large for this machine",
                               (long long)info.st_size);
    if (mapping.byte_count > 0) {
        void *bytes = mmap(NULL, mapping.byte_count, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED)
            return lorac_error_set(error, errno == ENOMEM ? LORAC_ERROR_MEMORY : LORAC_ERROR_IO, "cannot map: %s",
                                   strerror(errno));
        mapping.bytes = bytes;
    }
    *out = mapping;
    return LORAC_OK;
}

enum lorac_status lorac_mapping_open(int folder, const char *name, bool no_link, struct lorac_mapping *out,
                                     struct lorac_error *error)
{
    // Not blocking: opening a pipe would wait for a writer.
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (no_link ? O_NOFOLLOW : 0));
    if (fd < 0 && no_link && errno == ELOOP)
        return lorac_error_set(error, LORAC_ERROR_IO, "is a symbolic link: not allowed");
    if (fd < 0)
        return lorac_error_set(error, LORAC_ERROR_IO, "cannot open: %s", strerror(errno));
    enum lorac_status status = map_file(fd, out, error);
    close(fd);
    return status;
}

void lorac_mapping_close(struct lorac_mapping *mapping)
{
    if (mapping->bytes)
        munmap(mapping->bytes, mapping->byte_count);
    *mapping = (struct lorac_mapping){0};
}

// madvise wants whole pages. Those at the ends may hold other bytes as well: these come back like the rest.
void lorac_mapping_release(const struct lorac_mapping *mapping, size_t first, size_t count)
{
    const long page = sysconf(_SC_PAGESIZE);
    if (count == 0 || page <= 0)
        return;
    const size_t before = first % (size_t)page; // the mapping begins on a page
    (void)madvise(mapping->bytes + (first - before), count + before, MADV_DONTNEED);
}

bool lorac_mapping_is(const struct lorac_mapping *mapping, const struct stat *info)
{
    return mapping->inode == info->st_ino && mapping->device == info->st_dev && mapping->inode != 0;
}
