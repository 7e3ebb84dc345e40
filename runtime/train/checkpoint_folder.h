// A folder of checkpoints: the last few of one run.
//
//     step-000000000120.safetensors     after 120 steps
//     lock                              held by the run that writes here (flock): let go when the process ends
//
// A checkpoint is written to a temporary file, synced, renamed, and the folder is synced: whatever happens, what has a
// name like the above is whole, but for storage that loses what it said it kept. Against that there is the checksum, and
// the one before.
#ifndef LORAC_CHECKPOINT_FOLDER_H
#define LORAC_CHECKPOINT_FOLDER_H

#include "checkpoint.h"

struct lorac_checkpoint_folder; // opaque

// Makes the folder [path] where it is not there (its parent must be), takes the lock, and removes temporary files that a
// killed run left. [keep], at least 1: how many checkpoints stay. Errors: IO (names the folder; also where another run
// has the lock), MEMORY.
enum lorac_status lorac_checkpoint_folder_open(const char *path, size_t keep, struct lorac_checkpoint_folder **out,
                                               struct lorac_error *error);
// Lets the lock go; accepts NULL.
void lorac_checkpoint_folder_close(struct lorac_checkpoint_folder *folder);

// The steps of the newest checkpoint, by the names of the files. Returns whether there is one. Errors: IO, MEMORY.
enum lorac_status lorac_checkpoint_folder_look(struct lorac_checkpoint_folder *folder, bool *found, uint64_t *step,
                                               struct lorac_error *error);

// Reads the newest checkpoint that can be read: *file is NULL where there is none at all. Those that are damaged are
// passed over, and [damaged] says what was wrong with the first of them (LORAC_OK: none was). Errors: FORMAT (there are
// some, and all are damaged), IO, UNSUPPORTED, MEMORY.
enum lorac_status lorac_checkpoint_folder_read(struct lorac_checkpoint_folder *folder,
                                               struct lorac_checkpoint_file **file, struct lorac_error *damaged,
                                               struct lorac_error *error);

// Removes what is older than the last [keep] up to that of [step]: a run that goes on makes up for a kill that came before.
void lorac_checkpoint_folder_tidy(const struct lorac_checkpoint_folder *folder, uint64_t step);

// Writes the checkpoint after [step] steps, and tidies. What is newer goes as well: it could not be read, or this run would
// not have come from before it; until now it might have been read another time, where it was the disk that failed. Where
// writing fails, what was there stays. Errors: IO, MEMORY.
enum lorac_status lorac_checkpoint_folder_write(struct lorac_checkpoint_folder *folder, uint64_t step,
                                                const uint8_t *bytes, size_t byte_count, struct lorac_error *error);

#endif
