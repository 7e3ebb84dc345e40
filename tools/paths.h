// Names of files, as the commands compare what they read with what they write: by their text, by the file behind it, and
// where there is no file yet by the folder that it would be in.
#ifndef LORAC_PATHS_H
#define LORAC_PATHS_H

#include <stdbool.h>

// What is behind the last slash; borrowed from [path].
const char *lorac_path_name(const char *path);

// Up to the last slash, "." where there is none; malloc'ed, NULL where there is no memory.
char *lorac_path_folder(const char *path);

// The folder in which the file is, or would be, without links; malloc'ed. NULL: nowhere, or no memory.
char *lorac_path_true_folder(const char *path);

// The same text, or one file by two names.
bool lorac_path_same(const char *a, const char *b);

// One file, or one name for what is not there yet.
bool lorac_path_same_name(const char *a, const char *b);

// Are both, there or not, in one folder?
bool lorac_path_same_folder(const char *a, const char *b);

// Is the file, there or not, directly in [folder], there or not?
bool lorac_path_is_in(const char *path, const char *folder);

// Is the file, there or not, in [folder], which is there, or in a folder below it?
bool lorac_path_is_below(const char *path, const char *folder);

#endif
