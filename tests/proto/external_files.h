// A folder of models whose tensors have their data in files beside them, for the tests of external data.
#ifndef LORAC_TEST_EXTERNAL_FILES_H
#define LORAC_TEST_EXTERNAL_FILES_H

#include "build_model.h"
#include "own_folder.h"

#include "proto/external.h"
#include "proto/model_edit.h"
#include "proto/tensor.h"

#include <dirent.h>
#include <unistd.h>

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])
#define FLOAT ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT

enum { VALUES = 512 }; // floats in the data file: value i is i + 0.25

// ---- files

static inline void write_bytes(const char *name, const void *bytes, size_t byte_count)
{
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(lorac_file_write(in_folder(name), bytes, byte_count, &error), error));
}

static inline void write_data(const char *name)
{
    static float values[VALUES];
    for (size_t i = 0; i < VALUES; i++)
        values[i] = (float)i + 0.25f;
    write_bytes(name, values, sizeof values);
}

// The names in the folder, sorted, with blanks between; hidden ones too.
static inline const char *list_folder(void)
{
    static char text[1024];
    struct dirent **entries;
    int count = scandir(FOLDER, &entries, NULL, alphasort);
    REQUIRE(count >= 0);
    *text = '\0';
    for (int i = 0; i < count; i++) {
        if (strcmp(entries[i]->d_name, ".") != 0 && strcmp(entries[i]->d_name, "..") != 0) {
            strncat(text, entries[i]->d_name, sizeof text - strlen(text) - 2);
            strcat(text, " ");
        }
        free(entries[i]);
    }
    free(entries);
    return text;
}

static inline void empty_folder(void)
{
    DIR *folder = opendir(FOLDER);
    REQUIRE(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        if (entry->d_name[0] != '.' || strncmp(entry->d_name, ".lorac", 6) == 0)
            unlink(in_folder(entry->d_name));
    closedir(folder);
}

// ---- models

struct external {
    Onnx__StringStringEntryProto entries[5], *list[5];
};

static inline void add_entry(struct external *external, Onnx__TensorProto *tensor, const char *key, const char *value)
{
    size_t i = tensor->n_external_data++;
    onnx__string_string_entry_proto__init(&external->entries[i]);
    external->entries[i].key = (char *)(uintptr_t)key;
    external->entries[i].value = (char *)(uintptr_t)value;
    external->list[i] = &external->entries[i];
    tensor->external_data = external->list;
}

// NULL entries are left out.
static inline void make_external(struct external *external, Onnx__TensorProto *tensor, const char *location,
                                 const char *offset, const char *length)
{
    tensor->has_raw_data = false;
    tensor->has_data_location = true;
    tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    if (location)
        add_entry(external, tensor, "location", location);
    if (offset)
        add_entry(external, tensor, "offset", offset);
    if (length)
        add_entry(external, tensor, "length", length);
}

// x -> Conv with w -> y
static inline Onnx__TensorProto *start_model(struct build *build)
{
    build_init(build);
    build_input(build, (char *)"x");
    build_output(build, (char *)"y");
    build_node(build, (char *)"Conv", (char *)"conv", "x w", "y");
    return build_tensor(build, (char *)"w", 4);
}

static inline void write_model(const char *name, const struct build *build)
{
    size_t byte_count;
    uint8_t *bytes = build_pack(build, &byte_count);
    write_bytes(name, bytes, byte_count);
    free(bytes);
}

static inline struct lorac_model *load(const char *name)
{
    struct lorac_error error = {0};
    struct lorac_model *model = NULL;
    REQUIRE(CHECK_OK(lorac_model_load(in_folder(name), &model, &error), error));
    return model;
}

static inline float value_at(const Onnx__TensorProto *tensor, size_t i)
{
    static float values[VALUES];
    struct lorac_error error = {0};
    size_t count = 0;
    REQUIRE(CHECK_OK(lorac_tensor_count(tensor, &count, &error), error) && count <= VALUES && i < count);
    REQUIRE(CHECK_OK(lorac_tensor_to_float(tensor, values, count, &error), error));
    return values[i];
}

static inline void add_one(struct lorac_model *model, Onnx__TensorProto *tensor)
{
    static float values[VALUES];
    struct lorac_error error = {0};
    size_t count = 0;
    REQUIRE(lorac_tensor_count(tensor, &count, &error) == LORAC_OK && count <= VALUES);
    REQUIRE(lorac_tensor_to_float(tensor, values, count, &error) == LORAC_OK);
    for (size_t i = 0; i < count; i++)
        values[i] += 1;
    CHECK_OK(lorac_tensor_set_float(model, tensor, values, count, &error), error);
}

#endif
