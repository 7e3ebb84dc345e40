// What the readers of the single formats share. Private to runtime/data.
#ifndef LORAC_ARRAY_H
#define LORAC_ARRAY_H

#include "dataset.h"
#include "stream.h"

// The first bytes of a file, by which its format is known; the readers below go on after them.
enum { LORAC_MAGIC_BYTES = 4 };

// Rows [begin, end) along the first dimension, cut to those that there are.
struct lorac_rows {
    size_t begin, end;
};

// lorac_array_read, holding only the rows: [out]'s dims are the file's, its data and byte_count those of the rows. What
// is around them in an ordinary file is not read. (In Fortran order rows do not lie together: all is read first.)
enum lorac_status lorac_array_read_rows(const char *path, const struct lorac_rows *rows, struct lorac_array *out,
                                        struct lorac_error *error);

enum lorac_status lorac_npy_read(struct lorac_stream *stream, const struct lorac_rows *rows, struct lorac_array *out,
                                 struct lorac_error *error);
enum lorac_status lorac_idx_read(struct lorac_stream *stream, const uint8_t magic[LORAC_MAGIC_BYTES],
                                 const struct lorac_rows *rows, struct lorac_array *out, struct lorac_error *error);

// Reads rows of an array whose type and shape are filled in; its data must be the rest of the file. Bytes are put into
// native order.
enum lorac_status lorac_array_read_data(struct lorac_stream *stream, bool big_endian, const struct lorac_rows *rows,
                                        struct lorac_array *array, struct lorac_error *error);

// Lets go of all but the rows of an array that was read as a whole.
void lorac_array_keep_rows(struct lorac_array *array, const struct lorac_rows *rows);

bool lorac_host_is_big_endian(void);

// "[60000, 28, 28]", terminated and cut to [text_bytes]; LORAC_SHAPE_TEXT_BYTES is always enough. Returns text.
enum { LORAC_SHAPE_TEXT_BYTES = 192 };
const char *lorac_shape_text(const int64_t *dims, size_t rank, char *text, size_t text_bytes);

#endif
