// What the writer and the reader of a checkpoint agree on: private to checkpoint*.c.
#ifndef LORAC_CHECKPOINT_INTERNAL_H
#define LORAC_CHECKPOINT_INTERNAL_H

#include "checkpoint.h"

#define LORAC_CHECKPOINT_FORMAT "lorac-checkpoint"
#define LORAC_CHECKPOINT_CHECKSUM "xxh3_128"      // the last tensor, uint8 [16]
#define LORAC_CHECKPOINT_LOSS_SUM "epoch_loss_sum" // a tensor, double []
#define LORAC_CHECKPOINT_BEST_LOSS "best_loss"     // the same, with a validation
#define LORAC_CHECKPOINT_BROKEN {"broken_images", "broken_validation_images"} // uint32 [...], by lorac_checkpoint_set
#define LORAC_CHECKPOINT_FACT "run."               // before a fact's name
#define LORAC_CHECKPOINT_CONVOLUTION "convolution." // before its number

// A part's tensor in a checkpoint, or that of its best values, malloc'ed; NULL where memory ran out.
char *lorac_checkpoint_part_name(const struct lorac_snapshot_part *part, bool best);

// The part has best values too.
static inline bool lorac_checkpoint_has_best(const struct lorac_snapshot_part *part)
{
    return part->kind != LORAC_PART_OPTIMIZER;
}

// The whole numbers of a struct lorac_validation_state: text and member.
#define LORAC_CHECKPOINT_NUMBERS(X)                                                                                    \
    X("validation_epoch", epoch)                                                                                       \
    X("validation_stops", stops)                                                                                       \
    X("best_epoch", best.epoch)                                                                                        \
    X("best_step", best.step)                                                                                          \
    X("best_images", best.images)                                                                                      \
    X("best_correct", best.correct)

#endif
