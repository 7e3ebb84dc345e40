// XXH3-128 of bytes that come in pieces: tells contents apart and finds damage; no protection against forgery.
#ifndef LORAC_DIGEST_H
#define LORAC_DIGEST_H

#include "lorac_status.h"

#include <stddef.h>
#include <stdint.h>

enum { LORAC_DIGEST_BYTES = 16, LORAC_DIGEST_TEXT = 33 };

struct lorac_digest; // opaque

struct lorac_digest *lorac_digest_create(void); // NULL where memory ran out
void lorac_digest_free(struct lorac_digest *digest);
void lorac_digest_add(struct lorac_digest *digest, const void *bytes, size_t byte_count);
void lorac_digest_add_number(struct lorac_digest *digest, uint64_t number); // 8 bytes, little endian
void lorac_digest_add_text(struct lorac_digest *digest, const char *text);  // with its terminating 0

// Of what was added so far: the canonical (big-endian) bytes, and 32 lower-case hex digits.
void lorac_digest_bytes(const struct lorac_digest *digest, uint8_t out[LORAC_DIGEST_BYTES]);
void lorac_digest_text(const struct lorac_digest *digest, char out[LORAC_DIGEST_TEXT]);

// Of a block.
void lorac_digest_block(const void *bytes, size_t byte_count, uint8_t out[LORAC_DIGEST_BYTES]);

// Adds all bytes of a file, read piece by piece so that they take no memory. Errors: IO.
enum lorac_status lorac_digest_add_file(struct lorac_digest *digest, const char *path, struct lorac_error *error);

#endif
