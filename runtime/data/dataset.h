// A labelled set of images, as the user's files hold them, and how one batch of it becomes the numbers a model takes.
//
// A folder of images, or a list of them (image_list.h), is a set of files: they are decoded when they are wanted, as
// uint8 (loader.h). All else lies in memory, and is of two kinds, told apart by the file's type:
//   uint8   pixels, [N, H, W, C] (or [N, H, W], read as one channel), RGB. Normalised: x = (value*scale - mean)/std.
//   float32 [N, ...] in the model's own input layout ([N, C, H, W] or [N, H, W, C]), taken as it is.
// Formats: .npy (versions 1 to 3, C or Fortran order) and IDX, gzipped or not, recognised by their first bytes; the
// binary files of CIFAR, which have labels too, by their names.
// Labels: one integer per image, any integer type or bool.
//
// There is no state but in the structs: reading, corrupting and batching may run in several threads at once, on
// different images of one set too.
#ifndef LORAC_DATASET_H
#define LORAC_DATASET_H

#include "augment.h"
#include "proto/lorac_status.h"
#include "proto/adapter_meta.h" // struct lorac_input_meta

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lorac_element { LORAC_ELEMENT_U8, LORAC_ELEMENT_F32 };

enum { LORAC_ARRAY_MAX_RANK = 8 };

// An array as read from a file: row-major (Fortran order is transposed on reading).
struct lorac_array {
    char dtype;        // 'u' unsigned, 'i' signed, 'f' floating, 'b' bool
    size_t item_bytes; // 1, 2, 4, 8 (floating: 4, 8; bool: 1)
    size_t rank;       // 0 .. LORAC_ARRAY_MAX_RANK
    int64_t dims[LORAC_ARRAY_MAX_RANK];
    void *data; // malloc'ed, native byte order; never NULL after reading, also where there are no elements
    size_t byte_count;
};

// Reads a .npy or an IDX file, gzipped or not. Errors: IO, FORMAT (truncated, trailing bytes, bad header, not one of
// the formats), UNSUPPORTED (float16, complex, text, object or structured dtype; more than 8 dimensions), MEMORY; the
// message starts with the path. A header that promises more data than the file has costs no memory.
enum lorac_status lorac_array_read(const char *path, struct lorac_array *out, struct lorac_error *error);
void lorac_array_clear(struct lorac_array *array);

// Writes float32 [rows, columns] as .npy version 1 (atomically). Errors: as lorac_file_write.
enum lorac_status lorac_npy_write_f32(const char *path, const float *values, size_t rows, size_t columns,
                                      struct lorac_error *error);

struct lorac_loader;         // loader.h
struct lorac_loader_options; // the same
struct lorac_image_files;    // image_files.h

struct lorac_dataset {
    enum lorac_element element;
    size_t count;       // images, after the range was taken
    size_t first_index; // index in the file of image 0
    size_t channels, height, width;
    const void *pixels;             // u8 [count, H, W, C]; f32 [count, C, H, W], or as u8 where channels_last; NULL in
                                    // a set of files, whose images the loader gives
    struct lorac_loader *loader;    // owned; NULL: the set lies in memory
    struct lorac_image_files *files; // owned; NULL: the same
    size_t class_count;              // 0: the set has no names for its classes, or they are those of the options
    char **class_names;              // [class_count], in the order of the labels; they belong to the set
    bool channels_last;             // of f32
    const int32_t *labels;          // [count], or NULL where none were given
    struct lorac_array image_array; // owns pixels; dims[0] is count, images outside the range are not kept
    int32_t *label_storage;         // owns labels, but for those of a list of files
    struct lorac_arena *name_storage; // owns class_names and source_files of a set in memory
    size_t source_count;              // of CIFAR's files
    char **source_files;              // [source_count]
    size_t other_count, empty_count;  // of a folder: files that are no pictures, classes without any
    const char *first_other, *first_empty;
    const char *missing_file; // the first of CIFAR's files that the folder lacks; NULL: none
};

struct lorac_dataset_options {
    const char *images_path;
    const char *labels_path; // NULL: none
    bool has_range;          // images [range_begin, range_end)
    size_t range_begin, range_end;
    // What the model takes; a set that differs is refused (MISMATCH) with both shapes.
    size_t channels, height, width;
    bool channels_last; // the model's own layout, which float images have, is [N, H, W, C]; else [N, C, H, W]
    size_t classes; // labels must be in 0 .. classes-1; 0: in 0 .. INT32_MAX
    // Of sets of files alone:
    size_t class_count;             // 0: the names are the set's own, sorted by bytes
    const char *const *class_names; // what the model calls its classes: others are refused
    size_t resize;                  // as struct lorac_image_target's
    const struct lorac_loader_options *loading; // NULL: such sets are refused
};

// Errors as lorac_array_read, and MISMATCH (shape, counts of images and labels, a label outside the classes: first
// offending index in the file and its value), ARGUMENT (no images, range empty or outside the images), UNSUPPORTED
// (images that are neither uint8 nor float32, labels that are not integers, over 2^32 images). [N, H, W] is taken where
// channels == 1, for both kinds. Labels are [N] or [N, 1] and belong to the whole images file: the range applies to
// both, and only labels inside it are checked.
enum lorac_status lorac_dataset_open(const struct lorac_dataset_options *options, struct lorac_dataset *out,
                                     struct lorac_error *error);
void lorac_dataset_clear(struct lorac_dataset *dataset);

// The file of image [i] of a set of files, as long as the set is open; NULL for a set in memory.
const char *lorac_dataset_path(const struct lorac_dataset *dataset, size_t i);

// Every file that the set was read from, or is: the [i]-th, also of pictures outside the range; the files of CIFAR, and
// their names' file. NULL past the last, and at once for other sets in memory, whose files are those of the options.
const char *lorac_dataset_file(const struct lorac_dataset *dataset, size_t i);

// What it holds in memory, or may hold at most: pixels, labels, lists, what is decoded ahead and kept, with so many threads
// of a loader (0: those that it has).
size_t lorac_dataset_bytes(const struct lorac_dataset *dataset, size_t loader_threads);

// That a set which has its own names of classes has as many as the model, [classes] (0: not known yet): which is which
// follows from their order alone. Errors: MISMATCH.
enum lorac_status lorac_dataset_check_classes(const struct lorac_dataset *dataset, size_t classes,
                                              struct lorac_error *error);

// ---- corruption (runtime/data/corrupt.c): the published CIFAR-10-C recipe (Hendrycks & Dietterich 2019) for small
// images, with this project's own random numbers: the same distribution of images, not the same images. Any number of
// channels; larger images than 32x32 get a larger fog map (the next power of two), so their fog is coarser.

enum lorac_corruption { LORAC_CORRUPT_NONE, LORAC_CORRUPT_FOG, LORAC_CORRUPT_GAUSSIAN_NOISE };
struct lorac_corrupt {
    enum lorac_corruption kind;
    int severity; // 1 .. 5
};

// "fog:3", "gaussian_noise:5"; ARGUMENT names the values there are.
enum lorac_status lorac_corrupt_parse(const char *text, struct lorac_corrupt *out, struct lorac_error *error);

// Replaces the pixels of image [index] (u8 [H, W, C], in place) by corrupted ones: a function of (seed, kind, index)
// and the image alone; LORAC_CORRUPT_NONE leaves them. Errors: ARGUMENT (severity), MEMORY.
enum lorac_status lorac_corrupt_image(const struct lorac_corrupt *corrupt, uint8_t *pixels, size_t height, size_t width,
                                      size_t channels, uint64_t seed, uint64_t index, struct lorac_error *error);

// Corrupts a whole uint8 set in place (float sets are refused, ARGUMENT). The image index counts in the file, not in
// the range, so that ranges do not change what an image looks like.
enum lorac_status lorac_dataset_corrupt(struct lorac_dataset *dataset, const struct lorac_corrupt *corrupt,
                                        uint64_t seed, struct lorac_error *error);

// ---- batches (runtime/data/batch.c)

// How pixels become numbers, made once from the model's record and the user's flags. A pixel has only 256 values: the
// table holds (value*scale - mean[c]) / std[c] worked out in double and rounded once, which a float multiply and add is
// not.
struct lorac_normalize {
    float table[LORAC_MAX_CHANNELS][256]; // [the model's channel c][value]
    bool reverse_channels;                // the model takes BGR: its channel c is the pixel's channel C-1-c
};

// From scale, mean, std, bgr ([input]->given is not looked at). ARGUMENT: channels not 1 .. LORAC_MAX_CHANNELS; counts
// of mean and std other than 0, 1 or channels; scale 0 or not finite, std not > 0, a result that float cannot hold;
// bgr where there are not three channels.
enum lorac_status lorac_normalize_init(struct lorac_normalize *normalize, const struct lorac_input_meta *input,
                                       size_t channels, struct lorac_error *error);

struct lorac_batch_source {
    const struct lorac_dataset *dataset;
    struct lorac_normalize normalize; // used for uint8 sets only
    uint64_t seed;
    struct lorac_augment augment; // all zero: none
    // Where augment needs it (lorac_augment_scratch_create; lorac_loop_run makes its own), for as many threads as call
    // lorac_batch_image at once; else NULL.
    struct lorac_augment_scratch *scratch;
};

// The order of images in [epoch]: order[i] for i < count. A Fisher-Yates shuffle from (seed, "shuffle", epoch), or
// 0, 1, 2, ... where [shuffle] is false. [count] fits in 32 bits, as lorac_dataset_open sees to.
void lorac_batch_order(uint64_t seed, uint64_t epoch, bool shuffle, size_t count, uint32_t *order);

// The pixels of one image, as its set holds them.
struct lorac_image {
    const void *pixels; // as struct lorac_dataset's, of one image
    size_t height, width;
};

// Image [index] of a set in memory.
struct lorac_image lorac_dataset_image(const struct lorac_dataset *dataset, size_t index);

// Writes [image], which is the set's number [index] and at least as large as the model's H x W, to out[H, W, C] (channels
// last, float): augmented as source->augment says, else its middle (of rows that are left over, an odd one at the
// bottom; of columns on the right), and normalised. Cannot fail; may be called by several threads at once.
void lorac_batch_image(const struct lorac_batch_source *source, const struct lorac_image *image, size_t index,
                       uint64_t epoch, float *out);

#endif
