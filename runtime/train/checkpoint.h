// A checkpoint: a file from which a training run goes on bit for bit (docs/checkpoints.md).
//
// It is a safetensors file. Its tensors are the parts of a snapshot (snapshot.h), the numbers that training changes; its
// texts say where the run stands and what it depends on. The last 16 bytes are the tensor "xxh3_128", a checksum of all
// bytes before it.
//
//     trained:NAME  statistic:NAME  optimizer.0:NAME  optimizer.1:NAME      the snapshot
//     best:NAME                                                             of the best validation, where there is one
//     broken_images  broken_validation_images                               that could not be read so far
#ifndef LORAC_CHECKPOINT_H
#define LORAC_CHECKPOINT_H

#include "loop.h"
#include "snapshot.h"

enum { LORAC_CHECKPOINT_VERSION = 2 };

// What the result of a run depends on beside its numbers: an option, the images. A run goes on only where all are equal.
struct lorac_checkpoint_fact {
    const char *name, *value;
};

// Sets of images whose broken ones are kept: of training, and of a validation that has its own.
enum lorac_checkpoint_set { LORAC_CHECKPOINT_TRAINING, LORAC_CHECKPOINT_VALIDATION, LORAC_CHECKPOINT_SETS };

// What is kept beside the numbers.
struct lorac_checkpoint {
    struct lorac_loop_position position;
    uint64_t total_steps;
    const struct lorac_validation *validation; // its state and its best values; NULL: none. Not read back here
    struct lorac_loader *loaders[LORAC_CHECKPOINT_SETS]; // of image files; NULL: no such set. Not read back here
    size_t fact_count;
    const struct lorac_checkpoint_fact *facts; // [fact_count]; names differ
};

// The file that holds it, malloc'ed: the snapshot's present values (scope LORAC_SNAPSHOT_RUN), [checkpoint], how many
// updates the optimiser has done, and how each convolution is run. Errors: MEMORY, FORMAT (a name that is not UTF-8).
enum lorac_status lorac_checkpoint_pack(const struct lorac_snapshot *snapshot, const struct lorac_checkpoint *checkpoint,
                                        uint8_t **bytes, size_t *byte_count, struct lorac_error *error);

struct lorac_checkpoint_file; // one that was read

// Errors: IO; FORMAT (cut short, damaged, no checkpoint), UNSUPPORTED (of another version of the format), MEMORY; the
// message starts with the path.
enum lorac_status lorac_checkpoint_file_read(const char *path, struct lorac_checkpoint_file **out,
                                             struct lorac_error *error);
void lorac_checkpoint_file_free(struct lorac_checkpoint_file *file); // accepts NULL

// Its position, steps and facts; good as long as the file.
const struct lorac_checkpoint *lorac_checkpoint_file_record(const struct lorac_checkpoint_file *file);
const char *lorac_checkpoint_file_path(const struct lorac_checkpoint_file *file);
// The kernels, the processor and its instruction set: elsewhere a run goes on too, but may round otherwise. "": not known.
const char *lorac_checkpoint_file_machine(const struct lorac_checkpoint_file *file);
// The same of a prepared net.
void lorac_checkpoint_machine(const struct lorac_net *net, char text[LORAC_KEY_BYTES]);

// The rows of what was measured, to be handed to lorac_prepare for [threads] (0: all processors) on this machine,
// whatever number of threads measured them: [*count], which live as long as the file. Errors: MEMORY, FORMAT.
enum lorac_status lorac_checkpoint_file_choices(struct lorac_checkpoint_file *file, size_t threads,
                                                const struct lorac_choice **choices, size_t *count,
                                                struct lorac_error *error);

// Compares with what this run depends on. MISMATCH names all that differ with both values, as far as there is room.
enum lorac_status lorac_checkpoint_file_check(const struct lorac_checkpoint_file *file,
                                              const struct lorac_checkpoint_fact *facts, size_t fact_count,
                                              struct lorac_error *error);

// Puts the numbers into the net of [snapshot] (scope LORAC_SNAPSHOT_RUN), prepared as the run's was, and the state of the
// validation into [validation] (NULL: there is none, in the checkpoint neither). Errors: MISMATCH (other tensors or
// shapes; images run at once, or a convolution's algorithm, that are not the same), FORMAT, MEMORY; nothing has changed
// then.
enum lorac_status lorac_checkpoint_file_restore(const struct lorac_checkpoint_file *file,
                                                const struct lorac_snapshot *snapshot,
                                                struct lorac_validation *validation, struct lorac_error *error);

// Counts the broken images of then in a dataset of image files that no pass has begun of, the same as then: they are not
// decoded again, and count for the share that may be broken. Nothing for other datasets. Errors: FORMAT, MEMORY.
enum lorac_status lorac_checkpoint_file_restore_broken(const struct lorac_checkpoint_file *file,
                                                       enum lorac_checkpoint_set set,
                                                       const struct lorac_dataset *dataset, struct lorac_error *error);

#endif
