#include "picture_check.h"

#include "runtime/data/loader.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    NAMED_BROKEN = 3,  // in the message
    MOST_DOUBTED = 64, // of cameras that write something behind each picture: their ends tell nothing
};

// What is known so far.
struct findings {
    size_t broken;
    size_t doubted; // pictures with a wrong end that can be read
    bool readable;  // there is one
    char names[LORAC_ERROR_MESSAGE_BYTES];
    size_t length; // of names
};

static bool has(int file, off_t at, const char *bytes, size_t count)
{
    char read[8];
    return at >= 0 && pread(file, read, count, at) == (ssize_t)count && memcmp(read, bytes, count) == 0;
}

// A picture from its first bytes to its last; the end is only looked at with [to_the_end].
static bool looks_whole(const char *path, bool to_the_end)
{
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // opening a pipe would wait for a writer
    struct stat about;
    bool whole = false;
    if (file < 0)
        return false;
    if (fstat(file, &about) == 0 && S_ISREG(about.st_mode)) {
        const bool jpeg = has(file, 0, "\xff\xd8\xff", 3), png = has(file, 0, "\x89PNG\r\n\x1a\n", 8);
        const bool ends = jpeg ? has(file, about.st_size - 2, "\xff\xd9", 2) : has(file, about.st_size - 8, "IEND", 4);
        whole = (jpeg || png) && (ends || !to_the_end);
    }
    close(file);
    return whole;
}

static enum lorac_status decode(const char *path, const struct lorac_image_target *target, struct findings *findings,
                                struct lorac_error *error)
{
    struct lorac_stored_image image;
    const enum lorac_status status = lorac_image_file_read(path, target, &image, error);
    if (status == LORAC_OK) {
        free(image.pixels);
        findings->doubted += findings->readable;
        findings->readable = true;
        return LORAC_OK;
    }
    if (status != LORAC_ERROR_IO && status != LORAC_ERROR_FORMAT && status != LORAC_ERROR_UNSUPPORTED)
        return status;
    if (findings->broken++ < NAMED_BROKEN && findings->length < sizeof findings->names)
        findings->length +=
            (size_t)snprintf(findings->names + findings->length, sizeof findings->names - findings->length, "%s%s",
                             findings->length > 0 ? "; " : "", error->message);
    return LORAC_OK;
}

enum lorac_status lorac_picture_check(const struct lorac_picture_check *check, struct lorac_error *error)
{
    const struct lorac_dataset *dataset = check->dataset;
    const struct lorac_image_target target = {
        .channels = dataset->channels, .height = dataset->height, .width = dataset->width, .resize = check->resize};
    const size_t count = check->images ? check->count : dataset->count;
    const size_t limit = dataset->loader ? lorac_loader_broken_limit(dataset->loader) : 0;
    struct findings findings = {0};
    for (size_t i = 0; dataset->loader && i < count && findings.broken <= limit; i++) {
        const char *path = lorac_dataset_path(dataset, check->images ? check->images[i] : i);
        if (!findings.readable || !looks_whole(path, findings.doubted < MOST_DOUBTED))
            LORAC_TRY(decode(path, &target, &findings, error));
    }
    const char *more = findings.broken > NAMED_BROKEN ? "; ..." : "";
    if (findings.broken > limit)
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "%zu of the %zu images cannot be read, more than a share of %g, which may be: %s%s",
                               findings.broken, dataset->count, check->broken_share, findings.names, more);
    return !dataset->loader || findings.readable
               ? LORAC_OK
               : lorac_error_set(error, LORAC_ERROR_FORMAT, "none of the %zu images can be read: %s%s", count,
                                 findings.names, more);
}
