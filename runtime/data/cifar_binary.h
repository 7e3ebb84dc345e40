// The binary files of CIFAR-10 and CIFAR-100: records of a label (CIFAR-100: a coarse and a fine one, of which the fine
// one is taken) and 32 x 32 bytes of red, of green and of blue. Private to runtime/data.
//
// Given as a file (data_batch_1.bin, test_batch.bin; train.bin, test.bin; any file that ends in .bin and has whole
// records), or as the folder that holds them: then the training images, data_batch_1.bin to data_batch_5.bin, one
// behind the other, or train.bin. The last ones may be missing, but none before one that is there. Class names are read from batches.meta.txt or fine_label_names.txt
// beside them, where there is such a file. Not gzipped: nobody stores them so.
#ifndef LORAC_CIFAR_BINARY_H
#define LORAC_CIFAR_BINARY_H

#include "array.h"

struct lorac_cifar {
    struct lorac_array images; // u8 [N, 32, 32, 3]: dims[0] is that of the files, data and byte_count those of the rows
    int32_t *labels;           // of the rows, malloc'ed
    size_t class_count;        // 10 or 100
    char **class_names;        // [class_count]; NULL: none
    const char *missing;       // the first of a folder's files that is not there, "data_batch_3.bin"; NULL: none
    size_t file_count;         // that were read, with that of the names
    char **files;              // [file_count]
    struct lorac_arena *arena; // owns the texts
};

// Is it a file or a folder for lorac_cifar_read? A file by its name and size, a folder by the names in it.
bool lorac_cifar_is(const char *path);

// Reads the rows of the images. Errors: IO, MEMORY, FORMAT (a part of a record, a label outside the classes, files of
// both kinds, a file missing before another, names that are not one for each class). The message names the file.
enum lorac_status lorac_cifar_read(const char *path, const struct lorac_rows *rows, struct lorac_cifar *out,
                                   struct lorac_error *error);
void lorac_cifar_clear(struct lorac_cifar *cifar); // a zeroed one is fine

#endif
