// Groups of options that several commands share, and what they mean.
#ifndef LORAC_GROUPS_H
#define LORAC_GROUPS_H

#include "command.h"
#include "runtime/net.h"

// ---- general: --recipe --preset, -q --quiet, -h --help

struct lorac_general_settings {
    const char *recipe; // NULL: none
    struct lorac_texts presets;
    bool quiet, help;
};
extern const struct lorac_option lorac_general_options[];
extern const struct lorac_option lorac_plain_options[]; // without the first two

// ---- write: --external-data

struct lorac_write_settings {
    int external_data; // enum lorac_data_place
};
extern const struct lorac_option lorac_write_options[];

enum lorac_data_place lorac_write_place(const struct lorac_write_settings *write);

// Says on stderr which data file [output] does not use any more, where there is one.
void lorac_write_note_unused(const struct lorac_call *call, const char *output, const struct lorac_saved *saved);

// ---- optimisers

// The i-th optimiser's name, NULL past the last: choices of an option.
const char *lorac_optimizer_name_at(size_t i);
// In the order of enum lorac_form_policy, NULL past the last.
extern const char *const lorac_form_policy_names[];

// ---- run: --threads --input-size --exact

struct lorac_run_settings {
    int64_t threads;        // 0: all processors
    struct lorac_size size; // used where the model leaves its input size free
    bool exact;
};
extern const struct lorac_option lorac_run_options[];

// Says on stderr where more threads are asked for than there are processors.
void lorac_run_note_threads(const struct lorac_call *call, const struct lorac_run_settings *run);

// Sets threads, size and batch of [options], which must hold the defaults.
void lorac_run_apply(const struct lorac_run_settings *run, int64_t batch, struct lorac_prepare_options *options);

// lorac_prepare with [options]; the message begins with the model's [name], and where memory runs out it ends with what
// to do.
enum lorac_status lorac_run_prepare(struct lorac_net *net, const char *name,
                                    const struct lorac_prepare_options *options, struct lorac_error *error);

// Of a command's rehearse: a net of *model, which is taken over and NULL from then on. Errors: as lorac_open_memory.
enum lorac_status lorac_rehearse_open(struct lorac_model **model, struct lorac_net **net, struct lorac_error *error);

// The size of the images that the model will run on: its own, or what --input-size says where it is free.
// Errors: ARGUMENT (free and not given, or given and another than the model's).
enum lorac_status lorac_run_input_shape(const struct lorac_run_settings *run, const struct lorac_input_shape *declared,
                                        struct lorac_input_shape *out, struct lorac_error *error);

// ---- memory: --memory-budget --micro-batch --recompute

struct lorac_memory_settings {
    const char *budget;  // NULL: none
    int64_t micro_batch; // 0: the batch, or what the budget chooses
    int64_t recompute;   // segments; 0: none
};
extern const struct lorac_option lorac_memory_options[];

// ARGUMENT where the micro-batch does not divide the batch, or the budget is no size.
enum lorac_status lorac_memory_check(const struct lorac_memory_settings *memory, int64_t batch,
                                     struct lorac_error *error);
// For settings that were checked.
void lorac_memory_apply(const struct lorac_memory_settings *memory, struct lorac_prepare_options *options);

// "150M", "1.5G", "140MiB", "150000000": K, M and G are powers of 1000, with or without a B; Ki, Mi and Gi of 1024.
// False where it is no such number above 0.
bool lorac_size_parse(const char *text, size_t *bytes);

// What the budget chose, in [text], and what is predicted: "micro-batches of 8, packed weights of at most 524 kB a
// layer; 142 MB predicted of 150 MB"; returns text.
enum { LORAC_BUDGET_TEXT = 200 };
const char *lorac_budget_text(struct lorac_net *net, char text[LORAC_BUDGET_TEXT]);

// "32", or "32 (in micro-batches of 8)": the prepared net's, in [text]; returns text.
enum { LORAC_BATCH_TEXT = 64 };
const char *lorac_batch_text(const struct lorac_net *net, char text[LORAC_BATCH_TEXT]);

// ---- pixels: --scale --mean --std --channel-order --normalize

struct lorac_pixel_settings {
    double scale;
    struct lorac_doubles mean, std;
    int channel_order; // 0 rgb, 1 bgr
    int normalize;     // 0 none; -1 not given
};
extern const struct lorac_option lorac_pixel_options[];

// Whether any of them was given.
bool lorac_pixels_given(const struct lorac_call *call);

// Refuses --normalize none together with flags that say otherwise. Errors: ARGUMENT.
enum lorac_status lorac_pixels_check(const struct lorac_call *call, struct lorac_error *error);

// What the flags and the model's record say together: out->given is false where neither says anything. A flag that is
// not given comes from the record, else from its default.
void lorac_pixels_resolve(const struct lorac_call *call, const struct lorac_pixel_settings *pixels,
                          const struct lorac_input_meta *record, struct lorac_input_meta *out);

// Says that pixel flags were given for float32 images, which are taken as they are.
void lorac_pixels_note_unused(const struct lorac_call *call, const struct lorac_dataset *dataset);

// How [dataset] becomes the numbers that the model takes; for float32 sets nothing is done. Errors: ARGUMENT (uint8 and
// nothing is said; counts that do not fit the channels).
enum lorac_status lorac_pixels_prepare(const struct lorac_call *call, const struct lorac_pixel_settings *pixels,
                                       const struct lorac_input_meta *record, const struct lorac_dataset *dataset,
                                       struct lorac_normalize *out, struct lorac_error *error);

// ---- files

// Checks, before any work, that [path] can be written: its folder exists and takes files, it is no folder itself, no
// picture that is there (by its name or its first bytes), and none of [inputs] (NULL-ended; "" entries are skipped).
// [option] names it ("-o"). Errors: ARGUMENT (a picture, one of the inputs), IO.
enum lorac_status lorac_output_check(const char *option, const char *path, const char *const *inputs,
                                     struct lorac_error *error);

// The same for the files that [model] was read from: its own and those of its external data, which are mapped and must
// not be written into. To be called as soon as the model is there. Errors: ARGUMENT.
enum lorac_status lorac_output_check_model(const char *option, const char *path, const struct lorac_model *model,
                                           struct lorac_error *error);

#endif
