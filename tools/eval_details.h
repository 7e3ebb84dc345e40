// What eval says beyond the accuracy: which classes are taken for which (eval_confusion.c), and which images are the most
// wrong (eval_wrong.c).
#ifndef LORAC_EVAL_DETAILS_H
#define LORAC_EVAL_DETAILS_H

#include "runtime/train/loop.h"

#include <jansson.h>

// Borrowed: a labelled set, and what the model said about its images, [dataset->count].
struct lorac_eval_details {
    const struct lorac_net *net; // prepared
    const struct lorac_dataset *dataset;
    const struct lorac_prediction *predictions;
};

// The name of class [i]: the model's, else the set's own; NULL where there is none.
const char *lorac_eval_class_name(const struct lorac_eval_details *details, size_t i);

// The confusion matrix, true classes as rows; of more than LORAC_CONFUSION_TABLE classes only the most frequent
// confusions. Errors: MEMORY.
enum { LORAC_CONFUSION_TABLE = 20 };
enum lorac_status lorac_confusion_print(const struct lorac_eval_details *details, struct lorac_error *error);
// An array of the true classes that there are images of; NULL where memory runs out.
json_t *lorac_confusion_json(const struct lorac_eval_details *details);

// The wrong images with the largest loss, at most [most] of them, largest first. Errors: MEMORY.
enum lorac_status lorac_wrong_print(const struct lorac_eval_details *details, size_t most, struct lorac_error *error);
json_t *lorac_wrong_json(const struct lorac_eval_details *details, size_t most); // NULL where memory runs out

#endif
