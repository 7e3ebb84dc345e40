#include "mutate.h"

#include <string.h>

static size_t below(struct lorac_rng *rng, size_t n)
{
    return n == 0 ? 0 : (size_t)lorac_rng_below(rng, n);
}

int64_t fuzz_integer(struct lorac_rng *rng)
{
    static const int64_t ENDS[] = {0,       -1,        INT8_MAX,  UINT8_MAX,  INT16_MAX, UINT16_MAX, 65536,
                                   1 << 20, INT32_MAX, INT32_MIN, UINT32_MAX, INT64_MAX, INT64_MIN};
    switch (lorac_rng_below(rng, 8)) {
    case 0:
        return ENDS[below(rng, sizeof ENDS / sizeof *ENDS)];
    case 1:
        return (int64_t)((uint64_t)1 << below(rng, 64));
    case 2:
        return -(int64_t)below(rng, 5);
    default:
        return (int64_t)below(rng, 9);
    }
}

static size_t write_varint(uint8_t *out, uint64_t value)
{
    size_t count = 0;
    for (; value >= 0x80; value >>= 7)
        out[count++] = (uint8_t)(value | 0x80);
    out[count++] = (uint8_t)value;
    return count;
}

// [count] bytes are taken out at [at], and [insert_count] others put there.
static size_t replace(uint8_t *bytes, size_t total, size_t capacity, size_t at, size_t count, const uint8_t *insert,
                      size_t insert_count)
{
    if (total - count + insert_count > capacity)
        return total;
    memmove(bytes + at + insert_count, bytes + at + count, total - at - count);
    if (insert_count)
        memcpy(bytes + at, insert, insert_count);
    return total - count + insert_count;
}

// Copies a span to another place, over what is there or between.
static size_t copy_span(struct lorac_rng *rng, uint8_t *bytes, size_t total, size_t capacity)
{
    uint8_t span[256];
    size_t from = below(rng, total), count = 1 + below(rng, sizeof span);
    if (count > total - from)
        count = total - from;
    memcpy(span, bytes + from, count);
    size_t to = below(rng, total), over = below(rng, 2) ? count : 0;
    if (over > total - to)
        over = total - to;
    return replace(bytes, total, capacity, to, over, span, count);
}

static size_t edit_varint(struct lorac_rng *rng, uint8_t *bytes, size_t total, size_t capacity)
{
    uint8_t varint[10];
    size_t at = below(rng, total), old = 1;
    while (at + old < total && old < sizeof varint && bytes[at + old - 1] & 0x80)
        old++;
    return replace(bytes, total, capacity, at, old, varint, write_varint(varint, (uint64_t)fuzz_integer(rng)));
}

size_t fuzz_mutate_bytes(struct lorac_rng *rng, uint8_t *bytes, size_t count, size_t capacity)
{
    for (size_t changes = 1 + below(rng, 4); changes-- > 0 && count > 0;) {
        size_t at = below(rng, count);
        switch (lorac_rng_below(rng, 6)) {
        case 0:
            bytes[at] ^= (uint8_t)(1u << below(rng, 8));
            break;
        case 1:
            bytes[at] = (uint8_t)lorac_rng_next(rng);
            break;
        case 2:
            count = below(rng, 8) ? count : at; // cut short
            break;
        case 3:
            count = replace(bytes, count, capacity, at, 1 + below(rng, count - at < 16 ? count - at : 16), NULL, 0);
            break;
        case 4:
            count = edit_varint(rng, bytes, count, capacity);
            break;
        default:
            count = copy_span(rng, bytes, count, capacity);
        }
    }
    return count;
}
