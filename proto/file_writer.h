// A file being written through a buffer of fixed size, and how one takes the place of another: private to model_*.c.
#ifndef LORAC_FILE_WRITER_H
#define LORAC_FILE_WRITER_H

#include "lorac_status.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

// ---- bytes into an open file

// Also protobuf-c's buffer, so that a model is streamed out without a second copy of it.
struct lorac_file_writer;
struct lorac_storage;

// NULL where memory ran out. Bytes that are in one of the files of [storage] (borrowed; NULL: none) are let go as soon as
// they are written.
struct lorac_file_writer *lorac_file_writer_create(int fd, const struct lorac_storage *storage);
ProtobufCBuffer *lorac_file_writer_buffer(struct lorac_file_writer *writer);
void lorac_file_writer_append(struct lorac_file_writer *writer, const void *bytes, size_t byte_count);

// Flushes and frees. 0, or the errno of the first write that failed; ENOMEM where not [byte_count] bytes were appended
// (some versions of protobuf-c drop bytes without a word where memory runs out). [fd] stays open.
int lorac_file_writer_finish(struct lorac_file_writer *writer, uint64_t byte_count);

// ---- one file in the place of another

struct lorac_replacement {
    const char *path; // as the user gave it, for messages; borrowed
    char *target;     // the file that it names, through links
    bool exists;
    struct stat old; // where it exists
    bool done;       // the new file is in its place
};

// Looks where [path] leads, and whether a file may be put there. Nothing is touched. Errors: IO, MEMORY.
enum lorac_status lorac_replacement_open(const char *path, struct lorac_replacement *out, struct lorac_error *error);
void lorac_replacement_close(struct lorac_replacement *replacement);

// What is to be written: a model of [byte_count] bytes, or bytes.
struct lorac_file_content {
    const ProtobufCMessage *message;     // NULL: the bytes
    const struct lorac_storage *storage; // the files that the message's bytes lie in; NULL: none
    const uint8_t *bytes;
    size_t byte_count;
};

// Writes a temporary file, syncs it and renames it over the target. Errors: IO, MEMORY; where only the folder could not
// be synced, the new file is there all the same (done).
enum lorac_status lorac_replacement_write(struct lorac_replacement *replacement,
                                          const struct lorac_file_content *content, struct lorac_error *error);

// The message for errno [failure], LORAC_OK for 0.
enum lorac_status lorac_write_failure(const char *path, int failure, struct lorac_error *error);

// The folder of [path] with its slash ("" for the current one), malloc'ed with [extra] bytes of room behind it; NULL
// where memory ran out.
char *lorac_folder_of(const char *path, size_t extra);

// A rename is on the disk only when its folder is: syncs the folder of [path]. 0 or errno.
int lorac_folder_sync(const char *path);

#endif
