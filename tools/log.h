// The log of a run: JSON, one object a line, written as things happen. What lines and keys there are is log_key_list.h.
#ifndef LORAC_TOOLS_LOG_H
#define LORAC_TOOLS_LOG_H

#include "proto/lorac_status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

enum { LORAC_LOG_FORMAT = 1 };

enum lorac_log_type { LORAC_LOG_TEXT, LORAC_LOG_INTEGER, LORAC_LOG_NUMBER, LORAC_LOG_LIST, LORAC_LOG_OBJECT };
enum lorac_log_presence { LORAC_LOG_ALWAYS, LORAC_LOG_SOMETIMES };
struct lorac_log_key {
    const char *event, *key; // see log_key_list.h
    enum lorac_log_type type;
    enum lorac_log_presence presence;
    const char *meaning;
};

struct lorac_log { // zero-initialised: no log
    FILE *file;
    const char *path; // borrowed
    bool failed;      // a line could not be written: the log ends before it
};

// [path] NULL: no log, and the functions below do nothing. The file is emptied, or lines come behind what it has.
// Errors: IO.
enum lorac_status lorac_log_open(struct lorac_log *log, const char *path, bool append, struct lorac_error *error);

// Errors: IO (not everything could be written).
enum lorac_status lorac_log_close(struct lorac_log *log, struct lorac_error *error);

// Writes {"event": event, ...members} and flushes it, so that the file can be followed and survives whatever comes.
// Takes [members] over; NULL stands for memory that ran out while it was made. Keys that log_key_list.h does not have, of
// that type, are broken promises of this program.
void lorac_log_write(struct lorac_log *log, const char *event, json_t *members);

// The list of keys for a reader: "  step.loss  number  Mean over ...".
void lorac_log_print_keys(FILE *file);

#endif
