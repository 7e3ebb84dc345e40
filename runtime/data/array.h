// What the readers of the single formats share. Private to runtime/data.
#ifndef LORAC_ARRAY_H
#define LORAC_ARRAY_H

#include "dataset.h"
#include "stream.h"

// The first bytes of a file, by which its format is known; the readers below go on after them.
enum { LORAC_MAGIC_BYTES = 4 };

enum lorac_status lorac_npy_read(struct lorac_stream *stream, struct lorac_array *out, struct lorac_error *error);
enum lorac_status lorac_idx_read(struct lorac_stream *stream, const uint8_t magic[LORAC_MAGIC_BYTES],
                                 struct lorac_array *out, struct lorac_error *error);

// Reads the data of an array whose type and shape are filled in; they must be the rest of the file. Bytes are put into
// native order.
enum lorac_status lorac_array_read_data(struct lorac_stream *stream, bool big_endian, struct lorac_array *array,
                                        struct lorac_error *error);

bool lorac_host_is_big_endian(void);

// "[60000, 28, 28]", terminated and cut to [text_bytes]; LORAC_SHAPE_TEXT_BYTES is always enough. Returns text.
enum { LORAC_SHAPE_TEXT_BYTES = 192 };
const char *lorac_shape_text(const int64_t *dims, size_t rank, char *text, size_t text_bytes);

#endif
