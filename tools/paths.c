#define _DEFAULT_SOURCE // realpath
#include "paths.h"

#include "proto/model.h"

#include <stdlib.h>
#include <string.h>

const char *lorac_path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *lorac_path_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    const size_t length = slash ? (size_t)(slash - path) + (slash == path) : 1;
    char *folder = malloc(length + 1);
    if (folder) {
        memcpy(folder, slash ? path : ".", length);
        folder[length] = '\0';
    }
    return folder;
}

char *lorac_path_true_folder(const char *path)
{
    char *file = realpath(path, NULL);
    char *written = lorac_path_folder(file ? file : path);
    char *folder = written ? realpath(written, NULL) : NULL;
    free(file);
    free(written);
    return folder;
}

bool lorac_path_same(const char *a, const char *b)
{
    return strcmp(a, b) == 0 || lorac_file_same(a, b);
}

bool lorac_path_same_name(const char *a, const char *b)
{
    return lorac_path_same(a, b) || (strcmp(lorac_path_name(a), lorac_path_name(b)) == 0 && lorac_path_same_folder(a, b));
}

bool lorac_path_same_folder(const char *a, const char *b)
{
    char *first = lorac_path_folder(a), *second = lorac_path_folder(b);
    const bool same = first && second && lorac_path_same(first, second);
    free(first);
    free(second);
    return same;
}

bool lorac_path_is_in(const char *path, const char *folder)
{
    char *own = lorac_path_folder(path);
    const bool is = own && lorac_path_same_name(own, folder);
    free(own);
    return is;
}

bool lorac_path_is_below(const char *path, const char *folder)
{
    char *inner = lorac_path_true_folder(path), *outer = realpath(folder, NULL);
    const size_t length = outer ? strlen(outer) : 0;
    const bool is = inner && outer && strncmp(inner, outer, length) == 0 &&
                    (inner[length] == '\0' || inner[length] == '/' || length == 1);
    free(inner);
    free(outer);
    return is;
}
