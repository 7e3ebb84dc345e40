#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BUFFER_BYTES = 128 * 1024,
    FIRST_BLOCK_BYTES = 1024 * 1024,
    READ_BYTES = 1 << 24, // gzread counts in int
};

enum lorac_status lorac_stream_open(const char *path, struct lorac_stream *out, struct lorac_error *error)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return lorac_error_set(error, LORAC_ERROR_IO, "cannot open: %s", strerror(errno));
    struct stat about;
    enum lorac_status status = LORAC_OK;
    if (fstat(descriptor, &about) != 0)
        status = lorac_error_set(error, LORAC_ERROR_IO, "cannot look at it: %s", strerror(errno));
    else if (S_ISDIR(about.st_mode))
        status = lorac_error_set(error, LORAC_ERROR_IO, "is a folder; give a file");
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

enum lorac_status lorac_stream_read_rest(struct lorac_stream *stream, size_t byte_count, void **out,
                                         struct lorac_error *error)
{
    bool length_known = stream->regular && gzdirect(stream->file);
    if (length_known && stream->file_bytes - stream->offset != byte_count)
        return wrong_length(stream->file_bytes - stream->offset, byte_count, error);

    enum lorac_status status = LORAC_OK;
    unsigned char *bytes = NULL;
    size_t done = 0, capacity = length_known || byte_count < FIRST_BLOCK_BYTES ? byte_count : FIRST_BLOCK_BYTES;
    do {
        unsigned char *larger = realloc(bytes, capacity > 0 ? capacity : 1);
        if (!larger) {
            status = lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for %zu bytes of data", capacity);
            goto failed;
        }
        bytes = larger;
        size_t got;
        LORAC_TRY_GOTO(status, lorac_stream_read_some(stream, bytes + done, capacity - done, &got, error), failed);
        done += got;
        if (done < capacity) {
            status = wrong_length(done, byte_count, error);
            goto failed;
        }
        capacity = capacity < byte_count / 2 ? capacity * 2 : byte_count;
    } while (done < byte_count);
    LORAC_TRY_GOTO(status, check_end(stream, byte_count, error), failed);
    *out = bytes;
    return LORAC_OK;

failed:
    free(bytes);
    return status;
}
