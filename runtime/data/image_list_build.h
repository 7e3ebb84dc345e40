// What makes an image list: shared by the folders' and the .csv's readers. Private to runtime/data.
#ifndef LORAC_IMAGE_LIST_BUILD_H
#define LORAC_IMAGE_LIST_BUILD_H

#include "image_list.h"

#include "proto/arena.h"

struct lorac_image_list_build {
    struct lorac_image_list list;
    size_t capacity;                       // of list.paths and list.labels
    const struct lorac_class_names *known; // NULL: none
};

// They read into a build whose list has an arena; messages name the path.
enum lorac_status lorac_class_folders_read(struct lorac_image_list_build *build, const char *path,
                                           struct lorac_error *error);
enum lorac_status lorac_csv_read(struct lorac_image_list_build *build, const char *path, struct lorac_error *error);

// Appends a picture whose path lies in the arena. MEMORY.
enum lorac_status lorac_image_list_add(struct lorac_image_list_build *build, char *path, int32_t label,
                                       struct lorac_error *error);

// "folder/name", in the arena; NULL where memory ran out.
char *lorac_image_list_join(struct lorac_image_list_build *build, const char *folder, size_t folder_bytes,
                            const char *name);

// Copies names (borrowed) to the list's class_names. MEMORY.
enum lorac_status lorac_image_list_set_classes(struct lorac_image_list_build *build, const char *const *names,
                                               size_t count, struct lorac_error *error);

// The number of the known class [name]. MISMATCH: there is none of that name, or two.
enum lorac_status lorac_image_list_find_known(const struct lorac_class_names *known, const char *name, int32_t *label,
                                              struct lorac_error *error);

// For qsort over texts: by their bytes.
int lorac_image_list_compare(const void *a, const void *b);

// Out of memory, said in one place.
enum lorac_status lorac_image_list_no_memory(struct lorac_error *error);

#endif
