#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BUFFER_BYTES = 128 * 1024,
    FIRST_BLOCK_BYTES = 1024 * 1024,
    READ_BYTES = 1 << 24, // gzread counts in int
    SKIP_BYTES = 16 * 1024,
};

// /dev/stdin and the shell's <(...) have a writer; nobody may ever open the other end of a pipe with a name.
static bool is_open_already(const char *path)
{
    return strncmp(path, "/dev/", 5) == 0 || strncmp(path, "/proc/", 6) == 0;
}

enum lorac_status lorac_stream_open(const char *path, struct lorac_stream *out, struct lorac_error *error)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        return lorac_error_set(error, LORAC_ERROR_IO, "cannot open: %s", strerror(errno));
    struct stat about;
    enum lorac_status status = LORAC_OK;
    if (fstat(descriptor, &about) != 0)
        status = lorac_error_set(error, LORAC_ERROR_IO, "cannot look at it: %s", strerror(errno));
    else if (S_ISDIR(about.st_mode))
        status = lorac_error_set(error, LORAC_ERROR_IO, "is a folder; give a file");
    else if (!S_ISREG(about.st_mode) && !(S_ISFIFO(about.st_mode) && is_open_already(path)))
        status = lorac_error_set(error, LORAC_ERROR_IO, "is not an ordinary file");
    else if (fcntl(descriptor, F_SETFL, 0) != 0)
        status = lorac_error_set(error, LORAC_ERROR_IO, "cannot use it: %s", strerror(errno));
    gzFile file = status == LORAC_OK ? gzdopen(descriptor, "rb") : NULL;
    if (!file) {
        close(descriptor);
        return status != LORAC_OK ? status : lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory opening it");
    }
    gzbuffer(file, BUFFER_BYTES);
    *out =
        (struct lorac_stream){.file = file, .regular = S_ISREG(about.st_mode), .file_bytes = (uint64_t)about.st_size};
    return LORAC_OK;
}

void lorac_stream_close(struct lorac_stream *stream)
{
    if (stream->file)
        gzclose_r(stream->file);
    stream->file = NULL;
}

// zlib's own sentence would name a file descriptor.
static enum lorac_status stream_failure(struct lorac_stream *stream, struct lorac_error *error)
{
    int code, saved_errno = errno;
    gzerror(stream->file, &code);
    switch (code) {
    case Z_OK:
    case Z_STREAM_END:
        return LORAC_OK;
    case Z_ERRNO:
        return lorac_error_set(error, LORAC_ERROR_IO, "cannot read: %s", strerror(saved_errno));
    case Z_MEM_ERROR:
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory reading it");
    case Z_BUF_ERROR:
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "gzip data is truncated: the file ends after %" PRIu64 " unpacked bytes; copy it again",
                               stream->offset);
    default:
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "gzip data is damaged after %" PRIu64 " unpacked bytes; copy it again", stream->offset);
    }
}

enum lorac_status lorac_stream_read_some(struct lorac_stream *stream, void *out, size_t byte_count, size_t *got,
                                         struct lorac_error *error)
{
    size_t done = 0;
    while (done < byte_count) {
        size_t wanted = byte_count - done < READ_BYTES ? byte_count - done : READ_BYTES;
        int count = gzread(stream->file, (unsigned char *)out + done, (unsigned)wanted);
        if (count > 0) {
            done += (size_t)count;
            stream->offset += (uint64_t)count;
        }
        // A truncated gzip gives what there was first, and 0 with an error set after that.
        if (count <= 0) {
            LORAC_TRY(stream_failure(stream, error));
            break;
        }
    }
    *got = done;
    return LORAC_OK;
}

enum lorac_status lorac_stream_read(struct lorac_stream *stream, void *out, size_t byte_count, const char *what,
                                    struct lorac_error *error)
{
    size_t got;
    LORAC_TRY(lorac_stream_read_some(stream, out, byte_count, &got, error));
    if (got < byte_count)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "is truncated: it ends after %zu of the %zu bytes of %s", got,
                               byte_count, what);
    return LORAC_OK;
}

static enum lorac_status wrong_length(uint64_t there, size_t declared, struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_FORMAT,
                           "holds %" PRIu64 " bytes of data after its header, which declares %zu: %s", there, declared,
                           there < declared ? "the file is truncated" : "there are trailing bytes");
}

static enum lorac_status check_end(struct lorac_stream *stream, size_t byte_count, struct lorac_error *error)
{
    unsigned char extra;
    size_t got;
    // Also where a gzipped file's checksum is compared.
    LORAC_TRY(lorac_stream_read_some(stream, &extra, 1, &got, error));
    if (got > 0)
        return lorac_error_set(
            error, LORAC_ERROR_FORMAT,
            "holds more than the %zu bytes of data that its header declares: there are trailing bytes", byte_count);
    return LORAC_OK;
}

// The rest of a file, from where its header ends.
struct rest {
    struct lorac_stream *stream;
    uint64_t start; // the stream's offset there
    size_t total;
    bool length_known; // and compared: an ordinary file that is not gzipped
};

static enum lorac_status skip(const struct rest *rest, size_t byte_count, struct lorac_error *error)
{
    struct lorac_stream *stream = rest->stream;
    unsigned char piece[SKIP_BYTES];
    // zlib counts in long where files are not large ones by default.
    if (rest->length_known && stream->file_bytes <= LONG_MAX) {
        if (byte_count > 0 && gzseek(stream->file, (z_off_t)byte_count, SEEK_CUR) < 0)
            return lorac_error_set(error, LORAC_ERROR_IO, "cannot pass over %zu bytes of it: %s", byte_count,
                                   strerror(errno));
        stream->offset += byte_count;
        return LORAC_OK;
    }
    while (byte_count > 0) {
        size_t wanted = byte_count < sizeof piece ? byte_count : sizeof piece, got;
        LORAC_TRY(lorac_stream_read_some(stream, piece, wanted, &got, error));
        if (got < wanted)
            return wrong_length(stream->offset - rest->start, rest->total, error);
        byte_count -= got;
    }
    return LORAC_OK;
}

static enum lorac_status read_block(const struct rest *rest, size_t size, unsigned char **bytes,
                                    struct lorac_error *error)
{
    size_t done = 0, capacity = rest->length_known || size < FIRST_BLOCK_BYTES ? size : FIRST_BLOCK_BYTES;
    do {
        unsigned char *larger = realloc(*bytes, capacity > 0 ? capacity : 1);
        if (!larger)
            return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for %zu bytes of data", capacity);
        *bytes = larger;
        size_t got;
        LORAC_TRY(lorac_stream_read_some(rest->stream, larger + done, capacity - done, &got, error));
        done += got;
        if (done < capacity)
            return wrong_length(rest->stream->offset - rest->start, rest->total, error);
        capacity = capacity < size / 2 ? capacity * 2 : size;
    } while (done < size);
    return LORAC_OK;
}

enum lorac_status lorac_stream_read_rest(struct lorac_stream *stream, const struct lorac_stream_part *part, void **out,
                                         struct lorac_error *error)
{
    const struct rest rest = {.stream = stream,
                              .start = stream->offset,
                              .total = part->total,
                              .length_known = stream->regular && gzdirect(stream->file)};
    if (rest.length_known && stream->file_bytes - stream->offset != part->total)
        return wrong_length(stream->file_bytes - stream->offset, part->total, error);

    unsigned char *bytes = NULL;
    enum lorac_status status = skip(&rest, part->begin, error);
    if (status == LORAC_OK)
        status = read_block(&rest, part->size, &bytes, error);
    if (status == LORAC_OK)
        status = skip(&rest, part->total - part->begin - part->size, error);
    if (status == LORAC_OK)
        status = check_end(stream, part->total, error);
    if (status != LORAC_OK) {
        free(bytes);
        return status;
    }
    *out = bytes;
    return LORAC_OK;
}
