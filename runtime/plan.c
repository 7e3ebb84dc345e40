#include "plan.h"

#include "proto/size.h"

#include <stdlib.h>

struct placed {
    const struct lorac_buffer *buffer;
    size_t begin, end; // bytes taken, the readable margin included
};

static const struct lorac_buffer *buffer_at(const void *element)
{
    return *(const struct lorac_buffer *const *)element;
}

// Larger first; equal sizes by time and then by place in the array, so that the plan depends on the program alone.
static int compare_size(const void *a, const void *b)
{
    const struct lorac_buffer *left = buffer_at(a), *right = buffer_at(b);
    if (left->bytes != right->bytes)
        return left->bytes > right->bytes ? -1 : 1;
    if (left->first != right->first)
        return left->first < right->first ? -1 : 1;
    return left < right ? -1 : left > right;
}

static bool overlap(uint32_t a_first, uint32_t a_last, uint32_t b_first, uint32_t b_last)
{
    return a_first <= b_last && b_first <= a_last;
}

static bool live_together(const struct lorac_buffer *a, const struct lorac_buffer *b)
{
    return overlap(a->first, a->last, b->first, b->last) ||
           (a->again_last > 0 && overlap(a->again_first, a->again_last, b->first, b->last)) ||
           (b->again_last > 0 && overlap(a->first, a->last, b->again_first, b->again_last)) ||
           (a->again_last > 0 && b->again_last > 0 &&
            overlap(a->again_first, a->again_last, b->again_first, b->again_last));
}

// [placed] is sorted by begin; walks the gaps between those that live at the same time.
static size_t lowest_fit(const struct placed *placed, size_t count, const struct lorac_buffer *buffer, size_t bytes)
{
    size_t candidate = 0;
    for (size_t i = 0; i < count; i++) {
        if (!live_together(placed[i].buffer, buffer))
            continue;
        if (placed[i].begin >= candidate && placed[i].begin - candidate >= bytes)
            return candidate;
        if (placed[i].end > candidate)
            candidate = placed[i].end;
    }
    return candidate;
}

static void insert_sorted(struct placed *placed, size_t count, struct placed entry)
{
    size_t i = count;
    for (; i > 0 && placed[i - 1].begin > entry.begin; i--)
        placed[i] = placed[i - 1];
    placed[i] = entry;
}

static bool padded_bytes(size_t bytes, size_t *out)
{
    size_t padded;
    if (!lorac_size_add(bytes, LORAC_EXTRA_BYTES + LORAC_BUFFER_ALIGNMENT - 1, &padded))
        return false;
    *out = padded - padded % LORAC_BUFFER_ALIGNMENT;
    return true;
}

enum lorac_status lorac_plan(struct lorac_buffer *buffers, size_t count, size_t *total_bytes, struct lorac_error *error)
{
    struct lorac_buffer **order = calloc(count ? count : 1, sizeof(*order));
    struct placed *placed = calloc(count ? count : 1, sizeof(*placed));
    enum lorac_status status = LORAC_OK;
    size_t total = 0;
    if (!order || !placed) {
        status = lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the plan of %zu buffers", count);
        goto done;
    }
    for (size_t i = 0; i < count; i++)
        order[i] = &buffers[i];
    qsort(order, count, sizeof(*order), compare_size);
    size_t placed_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct lorac_buffer *buffer = order[i];
        buffer->offset = 0;
        if (buffer->bytes == 0)
            continue;
        size_t bytes, end;
        if (!padded_bytes(buffer->bytes, &bytes) ||
            !lorac_size_add(buffer->offset = lowest_fit(placed, placed_count, buffer, bytes), bytes, &end)) {
            status = lorac_error_set(error, LORAC_ERROR_MEMORY, "a buffer of %zu bytes is too large", buffer->bytes);
            goto done;
        }
        insert_sorted(placed, placed_count++, (struct placed){buffer, buffer->offset, end});
        if (end > total)
            total = end;
    }
    *total_bytes = total;
done:
    free(order);
    free(placed);
    return status;
}
