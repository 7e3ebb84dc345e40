// A file read from front to back, gunzipped on the way where it is gzipped. Private to runtime/data.
//
// Messages do not name the file: lorac_array_read puts the path before them.
#ifndef LORAC_STREAM_H
#define LORAC_STREAM_H

#include "proto/lorac_status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

struct lorac_stream {
    gzFile file;
    bool regular;        // an ordinary file: file_bytes is known
    uint64_t file_bytes; // as stored, so compressed for a gzipped file
    uint64_t offset;     // bytes handed out so far
};

// A pipe is taken where it is open already, as /dev/stdin. IO (missing, unreadable, a folder, a pipe with a name or
// another thing that may keep its reader waiting), MEMORY.
enum lorac_status lorac_stream_open(const char *path, struct lorac_stream *out, struct lorac_error *error);
void lorac_stream_close(struct lorac_stream *stream);

// Up to [byte_count] bytes; *got is less only at the end of the file. IO, FORMAT (damaged or truncated gzip), MEMORY.
enum lorac_status lorac_stream_read_some(struct lorac_stream *stream, void *out, size_t byte_count, size_t *got,
                                         struct lorac_error *error);

// Exactly [byte_count] bytes of [what] ("the header"); FORMAT where the file ends before.
enum lorac_status lorac_stream_read(struct lorac_stream *stream, void *out, size_t byte_count, const char *what,
                                    struct lorac_error *error);

// A part of what is left of the file.
struct lorac_stream_part {
    size_t total;       // all that is left must be exactly so many bytes
    size_t begin, size; // what is kept of it
};

// The part, malloc'ed. Errors: IO, MEMORY, FORMAT (damaged gzip, or what is left has another length: with both numbers).
// Only the part is held: what is around it is passed over in an ordinary file, and unpacked piece by piece in a gzipped
// one. A header that promises more than there is costs no memory: the block grows with what was read.
enum lorac_status lorac_stream_read_rest(struct lorac_stream *stream, const struct lorac_stream_part *part, void **out,
                                         struct lorac_error *error);

#endif
