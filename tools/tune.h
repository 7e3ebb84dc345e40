// --tune: how convolutions are run is measured, and kept in a file for the next time.
#ifndef LORAC_TOOLS_TUNE_H
#define LORAC_TOOLS_TUNE_H

#include "command.h"
#include "runtime/net.h"

#include <jansson.h>

// ---- options: --tune --tune-cache

struct lorac_tune_settings {
    bool tune;
    const char *cache; // NULL: the user's own
};
extern const struct lorac_option lorac_tune_options[];

// Refuses --tune-cache without --tune. Errors: ARGUMENT.
enum lorac_status lorac_tune_check_flags(const struct lorac_tune_settings *tune, struct lorac_error *error);

// The same, and refuses a file that is one of [others] (NULL-ended; NULL is not allowed inside, ""
// entries are skipped), which would be overwritten; and one that cannot be written, or is no tune cache. To be called
// before any work. Errors: ARGUMENT, IO, MISMATCH, MEMORY.
enum lorac_status lorac_tune_check(const struct lorac_tune_settings *tune, const char *const *others,
                                   struct lorac_error *error);

// lorac_run_prepare; with --tune, but in a rehearsal, by what the file holds, and what had to be measured is written
// there. Here a file that cannot be read or written is no failure: a note says so. Errors: as lorac_run_prepare, ARGUMENT (the file is
// the model's own).
enum lorac_status lorac_tune_prepare(const struct lorac_call *call, const struct lorac_tune_settings *tune,
                                     struct lorac_net *net, const char *name,
                                     const struct lorac_prepare_options *options, struct lorac_error *error);

// ---- what was chosen

// "convolutions: 14 winograd4, 5 gemm, 1 direct; input gradients: 14 winograd4, 5 gemm; adapters by form: 19 branch" in
// [text]; returns text.
enum { LORAC_CHOICES_TEXT = 512 };
const char *lorac_choices_text(const struct lorac_net *net, char text[LORAC_CHOICES_TEXT]);

// [{"name", "forward", "gradient", "weight_gradient", "form", "chosen"}], a row for each convolution; chosen: "rule",
// "given" (by the file) or "measured"; null where there is no gradient or no adapter. NULL where memory ran out.
json_t *lorac_choices_json(const struct lorac_net *net);

#endif
