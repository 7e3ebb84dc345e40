// The file in which --tune keeps what it measured: JSON,
//     {"format": "lorac-onnx tune cache", "version": 1,
//      "choices": {KEY: {"forward": "winograd4", "gradient": "gemm", "form": "branch"}, ...}}
// where KEY is lorac_convolution.key, and "gradient" and "form" are left out where there is none. One file serves all
// models and machines: a key says where it belongs. It is replaced as a whole, and what others wrote meanwhile stays. A file is one of ours by
// its "format", which the writer puts first: what is damaged behind it is still ours, and may be replaced; any other
// file that is not empty may not.
#ifndef LORAC_TOOLS_TUNE_CACHE_H
#define LORAC_TOOLS_TUNE_CACHE_H

#include "runtime/net.h"

#include <jansson.h>

struct lorac_tune_cache {
    char *path;   // owned; NULL: nowhere, because the environment names no folder
    bool is_own;  // the default path, whose folders are made
    json_t *root; // what was read, NULL: nothing
    struct lorac_choice *choices; // [count], owned; their texts are of [root]
    size_t count;
};

// [path] NULL: the user's own file. Errors: MEMORY.
enum lorac_status lorac_tune_cache_init(struct lorac_tune_cache *cache, const char *path, struct lorac_error *error);
void lorac_tune_cache_clear(struct lorac_tune_cache *cache);

// Whether a cache may be kept at [path], of which nothing is touched: nothing is there, an empty file, or one of ours,
// damaged or not, that may be replaced. Its folder is not looked at. Errors: IO, MISMATCH (another file), MEMORY.
enum lorac_status lorac_tune_cache_check(const char *path, struct lorac_error *error);

// Fills choices; a file that is not there, or empty, holds none, and rows that can be none of ours are left out.
// Errors (choices are none then): FORMAT (one of ours, but damaged or of another version: writing replaces it), MISMATCH
// (another file), IO (also where there is no path), MEMORY.
enum lorac_status lorac_tune_cache_read(struct lorac_tune_cache *cache, struct lorac_error *error);

// Adds what [net]'s prepare measured to what the file holds now; to be called where reading gave OK or FORMAT.
// Errors: IO, MISMATCH (another file is there now), MEMORY.
enum lorac_status lorac_tune_cache_write(const struct lorac_tune_cache *cache, const struct lorac_net *net,
                                         struct lorac_error *error);

#endif
