#include "file_writer.h"

#include "external.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER_BYTES = 64 * 1024, PIECE_BYTES = 1 << 20 };

struct lorac_file_writer {
    ProtobufCBuffer base;
    int fd;
    const struct lorac_storage *storage;
    int failure; // errno of the first write that failed, 0: none
    uint64_t total;
    size_t used;
    uint8_t buffer[BUFFER_BYTES];
};

static void write_out(struct lorac_file_writer *writer, const uint8_t *bytes, size_t count)
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

// In pieces: of what comes from a mapped file no more than one is in memory.
static void write_through(struct lorac_file_writer *writer, const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        const size_t piece = count < PIECE_BYTES ? count : PIECE_BYTES;
        write_out(writer, bytes, piece);
        if (writer->storage)
            lorac_storage_release(writer->storage, bytes, piece);
        bytes += piece;
        count -= piece;
    }
}

static void flush(struct lorac_file_writer *writer)
{
    write_out(writer, writer->buffer, writer->used);
    writer->used = 0;
}

static void append(ProtobufCBuffer *base, size_t count, const uint8_t *bytes)
{
    struct lorac_file_writer *writer = (struct lorac_file_writer *)base;
    writer->total += count;
    if (count > BUFFER_BYTES - writer->used)
        flush(writer);
    if (count > BUFFER_BYTES) {
        write_through(writer, bytes, count);
    } else if (count > 0) {
        memcpy(writer->buffer + writer->used, bytes, count);
        writer->used += count;
    }
}

struct lorac_file_writer *lorac_file_writer_create(int fd, const struct lorac_storage *storage)
{
    struct lorac_file_writer *writer = malloc(sizeof *writer);
    if (!writer)
        return NULL;
    writer->base.append = append;
    writer->fd = fd;
    writer->storage = storage;
    writer->failure = 0;
    writer->total = 0;
    writer->used = 0;
    return writer;
}

ProtobufCBuffer *lorac_file_writer_buffer(struct lorac_file_writer *writer)
{
    return &writer->base;
}

void lorac_file_writer_append(struct lorac_file_writer *writer, const void *bytes, size_t byte_count)
{
    append(&writer->base, byte_count, bytes);
}

int lorac_file_writer_finish(struct lorac_file_writer *writer, uint64_t byte_count)
{
    flush(writer);
    int failure = writer->failure;
    if (!failure && writer->total != byte_count)
        failure = ENOMEM;
    free(writer);
    return failure;
}
