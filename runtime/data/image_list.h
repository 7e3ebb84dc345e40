// Which picture files make a set, in which order, and their labels: from a folder, or from a .csv or .tsv file. No
// picture is opened here.
//
// A folder of class folders: each folder is a class, numbered in the order of their names' bytes (torchvision's
// ImageFolder); its pictures are all files below it that end in .jpg, .jpeg or .png, in any case. An empty class folder
// is a class all the same, so that numbers do not depend on what was photographed already. A folder without folders in
// it is a set without labels. Names that begin with a dot are passed over; other files, and pictures beside class
// folders, are counted (other_count). Symbolic links are followed.
//
// A .csv (commas) or .tsv (tabs) file: path,label in each line, paths relative to the file's folder; or only paths,
// without labels. Fields as RFC 4180 has them ("a ""b"", c" is a "b", c; spaces around fields without quotes do not
// count). A first line is a header where its path does not end like a picture and no such file exists. Labels are
// class numbers where all of them are numbers from 0; otherwise names, numbered in the order of their bytes.
//
// Order: as in the .csv; of folders by class, then by the bytes of the path. Nothing depends on the file system's
// order.
#ifndef LORAC_IMAGE_LIST_H
#define LORAC_IMAGE_LIST_H

#include "proto/lorac_status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The names of a model's classes, by number.
struct lorac_class_names {
    size_t count;
    const char *const *names;
};

struct lorac_image_list {
    size_t count;
    char **paths;       // [count], with the folder's path, or the .csv's folder, in front
    int32_t *labels;    // [count]; NULL: none
    size_t class_count; // with labels: all are below
    char **class_names; // [class_count], all different; those of the model where it has some; NULL: none
    size_t other_count; // files that were not taken
    const char *first_other;
    size_t empty_count; // class folders without a picture
    const char *first_empty;
    struct lorac_arena *arena; // owns every text
};

// Is [path] a folder, or does it end in .csv or .tsv (also .gz behind it)? Then it is for lorac_image_list_open.
bool lorac_image_list_is(const char *path);

// Does it end in .jpg, .jpeg or .png, in any case?
bool lorac_image_list_is_picture(const char *name);

// [known]: the classes of the model; NULL or count 0: not known. With them, a folder or label that is the name of a
// class has its number, labels that are no names may be numbers below known->count, and a class folder with pictures
// whose name is not known is MISMATCH (named, with the nearest and those that there are). Errors: IO, MEMORY,
// ARGUMENT (no pictures; folders of folders of pictures, where one of them is meant: only without known names), FORMAT
// (a line of the .csv, by its number; a link that leads back to a folder above it), MISMATCH. Messages name the path.
enum lorac_status lorac_image_list_open(const char *path, const struct lorac_class_names *known,
                                        struct lorac_image_list *out, struct lorac_error *error);
void lorac_image_list_clear(struct lorac_image_list *list); // a zeroed one is fine

#endif
