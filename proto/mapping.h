// A file mapped into memory to be read: its pages come when they are read, and can be let go at any time, since nobody
// can have written into them. The file must not be cut short while it is mapped (reading past its new end raises
// SIGBUS); files that this library writes are replaced, never changed in place.
#ifndef LORAC_MAPPING_H
#define LORAC_MAPPING_H

#include "lorac_status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

// Zero-initialised: no file.
struct lorac_mapping {
    uint8_t *bytes; // NULL where the file is empty
    size_t byte_count;
    dev_t device; // which file it is, also after it was renamed
    ino_t inode;
};

// Maps the file [name] in the open folder [folder] (or AT_FDCWD). With [no_link] a symbolic link is refused.
// Errors: IO (also for what is no regular file), MEMORY; the message does not name the file.
enum lorac_status lorac_mapping_open(int folder, const char *name, bool no_link, struct lorac_mapping *out,
                                     struct lorac_error *error);

// Undoes open; a zero-initialised mapping is fine.
void lorac_mapping_close(struct lorac_mapping *mapping);

// Lets the pages of [count] bytes from byte [first] on go, which must be in the file. They take no memory then until they
// are read again.
void lorac_mapping_release(const struct lorac_mapping *mapping, size_t first, size_t count);

// Is [info] that of the mapped file?
bool lorac_mapping_is(const struct lorac_mapping *mapping, const struct stat *info);

#endif
