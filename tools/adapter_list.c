#include "adapter_list.h"

#include "passes/apply.h"
#include "passes/combine.h"
#include "passes/merge.h"
#include "proto/model_inline.h"

#include <stdlib.h>
#include <string.h>

// ---- the texts

static enum lorac_status read_item(const char *text, struct lorac_adapter_item *out, struct lorac_error *error)
{
    static const struct lorac_option weight = {.name = "adapter", .type = LORAC_OPTION_DOUBLE, .value = "WEIGHT"};
    const char *sign = strrchr(text, '=');
    size_t length = sign ? (size_t)(sign - text) : strlen(text);
    out->weight = 1;
    if (sign && lorac_option_set_value(&weight, &out->weight, sign + 1, NULL) != LORAC_OK)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "--adapter %s: what follows the last '=' is the file's weight and must be a number", text);
    if (length == 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--adapter '%s': must begin with the name of a file", text);
    out->path = malloc(length + 1);
    if (!out->path)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory");
    memcpy(out->path, text, length);
    out->path[length] = '\0';
    return LORAC_OK;
}

enum lorac_status lorac_adapter_list_read(const struct lorac_texts *texts, struct lorac_adapter_list *out,
                                          struct lorac_error *error)
{
    for (size_t i = 0; i < texts->count; i++) {
        LORAC_TRY(read_item(texts->values[i], &out->items[i], error));
        out->count++;
    }
    return LORAC_OK;
}

enum lorac_status lorac_adapter_list_open(struct lorac_adapter_list *list, struct lorac_error *error)
{
    for (size_t i = 0; i < list->count; i++)
        LORAC_TRY(lorac_adapter_file_open(list->items[i].path, &list->items[i].file, error));
    return LORAC_OK;
}

void lorac_adapter_list_clear(struct lorac_adapter_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        lorac_adapter_file_close(list->items[i].file);
        free(list->items[i].path);
    }
    *list = (struct lorac_adapter_list){0};
}

// ---- the models

static enum lorac_status make_plain(struct lorac_model *model, struct lorac_error *error)
{
    struct lorac_pass_report report;
    struct lorac_meta meta;
    LORAC_TRY(lorac_model_inline(model, NULL, error));
    LORAC_TRY(lorac_meta_read(model, &meta, error));
    return meta.injected ? lorac_pass_merge.run(model, NULL, &report, error) : LORAC_OK;
}

// The base model, plain; with [item]: that adapter applied to it.
static enum lorac_status load(const char *base, const struct lorac_adapter_item *item, struct lorac_model **out,
                              struct lorac_error *error)
{
    struct lorac_model *model = NULL;
    struct lorac_pass_report report;
    LORAC_TRY(lorac_model_load(base, &model, error));
    enum lorac_status status = make_plain(model, error);
    if (status == LORAC_OK && item) {
        const struct lorac_apply_options options = {item->file, item->path};
        status = lorac_pass_apply.run(model, &options, &report, error);
    }
    if (status == LORAC_OK)
        *out = model;
    else
        lorac_model_free(model);
    return status;
}

static enum lorac_status combine(const struct lorac_adapter_list *list, const char *base,
                                 struct lorac_combine_part *parts, struct lorac_model **out, struct lorac_error *error)
{
    const struct lorac_combine_options options = {list->count, parts};
    struct lorac_pass_report report;
    struct lorac_model *model = NULL;
    for (size_t i = 0; i < list->count; i++) {
        parts[i].name = list->items[i].path;
        parts[i].weight = list->items[i].weight;
        LORAC_TRY(load(base, &list->items[i], &parts[i].model, error));
    }
    LORAC_TRY(load(base, NULL, &model, error));
    enum lorac_status status = lorac_pass_combine.run(model, &options, &report, error);
    if (status == LORAC_OK)
        *out = model;
    else
        lorac_model_free(model);
    return status;
}

enum lorac_status lorac_adapter_list_apply(const struct lorac_adapter_list *list, const char *base,
                                           struct lorac_model **out, struct lorac_error *error)
{
    struct lorac_combine_part parts[LORAC_TEXTS_MAX] = {{0}};
    if (list->count == 1 && list->items[0].weight == 1)
        return load(base, &list->items[0], out, error);
    enum lorac_status status = combine(list, base, parts, out, error);
    for (size_t i = 0; i < list->count; i++)
        lorac_model_free(parts[i].model);
    return status;
}
