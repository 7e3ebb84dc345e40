// The memory plan: first use, last use and bytes of each buffer give its offset in one block. Arithmetic only; knows no
// operator and runs nothing.
//
//   offset
//     ^   +-----------+
//     |   |  buffer 2 |        +--------+
//     |   +--+--------+----+   |        |
//     |      | buffer 1    |   | 3      |
//     +------+-------------+---+--------+--> time
//
// Two buffers that live at the same time, in [first, last] or in a second life, never share a byte.
#ifndef LORAC_PLAN_H
#define LORAC_PLAN_H

#include "program.h"

// Sets each buffer's offset (a multiple of LORAC_BUFFER_ALIGNMENT; LORAC_EXTRA_BYTES are kept readable behind each)
// and *total_bytes of the block. Larger buffers are placed first, each at the lowest offset where it fits: within a few
// percent of the largest sum of live bytes on ResNets. A buffer with bytes == 0 gets offset 0.
// Errors: MEMORY (also where a size overflows).
enum lorac_status lorac_plan(struct lorac_buffer *buffers, size_t count, size_t *total_bytes,
                             struct lorac_error *error);

#endif
