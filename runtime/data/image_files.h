// A set of image files: the list of them, and how one becomes the pixels that are stored for it. What a dataset has in
// place of pixels in memory; its loader (loader.h) decodes by it. Private to runtime/data.
#ifndef LORAC_IMAGE_FILES_H
#define LORAC_IMAGE_FILES_H

#include "image_list.h"
#include "loader.h"

struct lorac_image_files {
    struct lorac_image_list list;
    struct lorac_image_target target;
    size_t first; // in the list, of image 0 of the set
    struct lorac_corrupt corrupt;
    uint64_t corrupt_seed;
};

// Lists the images of options->images_path; nothing is decoded. Errors: as lorac_image_list_open and
// lorac_image_target_check.
enum lorac_status lorac_image_files_open(const struct lorac_dataset_options *options, struct lorac_image_files **out,
                                         struct lorac_error *error);
void lorac_image_files_free(struct lorac_image_files *files); // accepts NULL

// A loader of [count] images from files->first on; it must be freed before [files]. Errors: MEMORY.
enum lorac_status lorac_image_files_load(struct lorac_image_files *files, size_t count,
                                         const struct lorac_loader_options *options, struct lorac_loader **out,
                                         struct lorac_error *error);

#endif
