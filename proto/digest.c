#include "digest.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

static XXH3_state_t *state_of(struct lorac_digest *digest)
{
    return (XXH3_state_t *)digest;
}

struct lorac_digest *lorac_digest_create(void)
{
    XXH3_state_t *state = XXH3_createState();
    if (state)
        XXH3_128bits_reset(state);
    return (struct lorac_digest *)state;
}

void lorac_digest_free(struct lorac_digest *digest)
{
    XXH3_freeState(state_of(digest));
}

void lorac_digest_add(struct lorac_digest *digest, const void *bytes, size_t byte_count)
{
    XXH3_128bits_update(state_of(digest), bytes, byte_count);
}

void lorac_digest_add_number(struct lorac_digest *digest, uint64_t number)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(number >> (8 * i));
    lorac_digest_add(digest, bytes, sizeof bytes);
}

void lorac_digest_add_text(struct lorac_digest *digest, const char *text)
{
    lorac_digest_add(digest, text, strlen(text) + 1);
}

void lorac_digest_bytes(const struct lorac_digest *digest, uint8_t out[LORAC_DIGEST_BYTES])
{
    XXH128_canonical_t canonical; // big endian: the order in which the hash is usually printed
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest((const XXH3_state_t *)digest));
    memcpy(out, canonical.digest, LORAC_DIGEST_BYTES);
}

void lorac_digest_text(const struct lorac_digest *digest, char out[LORAC_DIGEST_TEXT])
{
    uint8_t bytes[LORAC_DIGEST_BYTES];
    lorac_digest_bytes(digest, bytes);
    for (size_t i = 0; i < LORAC_DIGEST_BYTES; i++) {
        out[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    out[LORAC_DIGEST_TEXT - 1] = '\0';
}

void lorac_digest_block(const void *bytes, size_t byte_count, uint8_t out[LORAC_DIGEST_BYTES])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes, byte_count));
    memcpy(out, canonical.digest, LORAC_DIGEST_BYTES);
}

enum lorac_status lorac_digest_add_file(struct lorac_digest *digest, const char *path, struct lorac_error *error)
{
    enum { PIECE_BYTES = 32 << 10 };
    uint8_t piece[PIECE_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lorac_error_set(error, LORAC_ERROR_IO, "cannot read '%s': %s", path, strerror(errno));
    ssize_t count;
    while ((count = read(fd, piece, sizeof piece)) > 0 || (count < 0 && errno == EINTR))
        if (count > 0)
            lorac_digest_add(digest, piece, (size_t)count);
    int failure = count < 0 ? errno : 0;
    close(fd);
    return failure ? lorac_error_set(error, LORAC_ERROR_IO, "cannot read '%s': %s", path, strerror(failure)) : LORAC_OK;
}
