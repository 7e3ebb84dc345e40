// Options of a set of images, --data --labels --range --corrupt --seed and those of image files, and opening it.
#ifndef LORAC_DATA_GROUP_H
#define LORAC_DATA_GROUP_H

#include "groups.h"

struct lorac_data_settings {
    const char *data, *labels; // labels stay NULL in commands without the option
    struct lorac_range range;
    const char *corrupt;
    uint64_t seed; // of the corruption, and of whatever else the command draws
    int64_t resize, loader_threads; // 0: not given
    const char *cache;              // NULL: not given; stays so in commands without the option
    double broken_share;
};
extern const struct lorac_option lorac_data_options[];          // all but --labels
extern const struct lorac_option lorac_labelled_data_options[]; // with --labels, without --cache-memory; --data is required
extern const struct lorac_option lorac_training_data_options[]; // with --labels; --data is required

// Refuses options that need --data where there is none, and a bad --corrupt. Errors: ARGUMENT.
enum lorac_status lorac_data_check(const struct lorac_call *call, const struct lorac_data_settings *data,
                                   struct lorac_error *error);

// What a set is opened for.
struct lorac_data_request {
    const struct lorac_call *call; // to name images that cannot be read; it must live as long as the set
    const struct lorac_data_settings *data;
    const struct lorac_input_shape *shape; // what the model takes
    bool labelled;                         // labels are looked at
    size_t classes;                        // of the model; 0: not known yet
    size_t class_count;                    // names for them; 0: none
    const char *const *class_names;
    size_t batch;                          // images that are taken at once, at most
    bool has_budget;                       // of memory: nothing is kept decoded until lorac_data_keep
    bool repeated; // gone through again and again: files stay decoded also where --cache-memory is not given
    size_t cache_taken; // of --cache-memory, by another set
};

// Opens the set, and corrupts it where asked. Errors: as lorac_dataset_open.
enum lorac_status lorac_data_open(const struct lorac_data_request *request, struct lorac_dataset *out,
                                  struct lorac_error *error);

// Keeps images of a set of files decoded in what is left of the prepared net's budget; nothing where it has none.
void lorac_data_keep(const struct lorac_data_settings *data, struct lorac_net *net, struct lorac_dataset *dataset);

// "3.9 MB", or how image files are decoded, in [text]; returns text.
enum { LORAC_DATA_TEXT = 128 };
const char *lorac_data_text(const struct lorac_dataset *dataset, char text[LORAC_DATA_TEXT]);

// Images that could not be read so far.
size_t lorac_data_skipped(const struct lorac_dataset *dataset);

// Says how many of them could not be read, where there were any; [what] is "images" or so.
void lorac_data_note_skipped(const struct lorac_call *call, const struct lorac_dataset *dataset, const char *what);

// The file of images cannot be read, which [error] says: adds what can be.
void lorac_data_explain(const char *path, struct lorac_error *error);

#endif
