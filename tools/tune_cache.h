// The file in which --tune keeps what it measured: JSON,
//     {"format": "lorac-onnx tune cache", "version": 1,
//      "choices": {KEY: {"forward": "winograd4", "gradient": "gemm", "form": "branch"}, ...}}
// where KEY is lorac_convolution.key, and "gradient" and "form" are left out where there is none. One file serves all
// models and machines: a key says where it belongs. It is replaced as a whole, and what others wrote meanwhile stays.
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

// Fills choices; a file that is not there holds none. Errors: IO, FORMAT (no such file, or of another version: choices
// are none then), MEMORY.
enum lorac_status lorac_tune_cache_read(struct lorac_tune_cache *cache, struct lorac_error *error);

// Adds what [net]'s prepare measured to what the file holds now. Errors: IO, MEMORY.
enum lorac_status lorac_tune_cache_write(const struct lorac_tune_cache *cache, const struct lorac_net *net,
                                         struct lorac_error *error);

#endif
