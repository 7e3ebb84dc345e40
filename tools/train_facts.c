#include "train_facts.h"

#include "paths.h"
#include "proto/adapter_meta.h"
#include "proto/arena.h"
#include "proto/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for what a checkpoint depends on");
}

void lorac_facts_clear(struct lorac_facts *facts)
{
    free(facts->rows);
    lorac_arena_free(facts->arena);
    *facts = (struct lorac_facts){0};
}

enum lorac_status lorac_facts_add(struct lorac_facts *facts, const char *name, const char *value,
                                  struct lorac_error *error)
{
    if (!facts->arena && !(facts->arena = lorac_arena_create()))
        return out_of_memory(error);
    if (facts->count == facts->capacity) {
        const size_t larger = facts->capacity ? 2 * facts->capacity : 64;
        struct lorac_checkpoint_fact *rows = realloc(facts->rows, larger * sizeof *rows);
        if (!rows)
            return out_of_memory(error);
        facts->rows = rows;
        facts->capacity = larger;
    }
    struct lorac_checkpoint_fact *fact = &facts->rows[facts->count];
    fact->name = lorac_arena_strdup(facts->arena, name);
    fact->value = lorac_arena_strdup(facts->arena, value);
    if (!fact->name || !fact->value)
        return out_of_memory(error);
    facts->count++;
    return LORAC_OK;
}

// ---- options

// Options that change no bit of the result, or whose effect is a fact of its own, however it was asked for: the steps in
// all, the learning rate, the images that are run at once and the algorithms, the sets of images and how pixels become
// numbers, and what lorac_facts_add_resolved has. Options that are paths are left out as well.
static const char *const left_out[] = {
    "threads",          "tune",              "memory-budget",   "micro-batch", "recompute",   "epochs",
    "steps",            "lr",                "external-data",   "quiet",       "help",        "resume",
    "checkpoint-steps", "checkpoint-minutes", "checkpoint-keep", "max-minutes", "preset",      "cache-memory",
    "loader-threads",   "broken-share",      "range",           "val-range",   "mean",        "std",
    "scale",            "channel-order",     "normalize",       "keep",        "output-name", "augment",
    "crop-pad",         "flip",              "random-resized-crop", NULL,
};

static bool is_left_out(const struct lorac_option *option)
{
    for (const char *const *name = left_out; *name; name++)
        if (strcmp(*name, option->name) == 0)
            return true;
    return option->type == LORAC_OPTION_PATH;
}

enum lorac_status lorac_facts_add_options(struct lorac_facts *facts, const struct lorac_call *call,
                                          struct lorac_error *error)
{
    const struct lorac_option_set *set = &call->options;
    size_t row = 0;
    for (const struct lorac_option_group *group = set->groups; group->options; group++)
        for (const struct lorac_option *option = group->options; option->name; option++, row++) {
            char name[64], text[LORAC_OPTION_SETTING_TEXT];
            if (is_left_out(option))
                continue;
            snprintf(name, sizeof name, "--%s", option->name);
            lorac_option_setting_text(option, (const char *)set->settings + group->offset, text);
            // Where a default is no plain value, what the field holds then says nothing.
            const bool by_default = option->fallback_text && !set->given[row];
            LORAC_TRY(lorac_facts_add(facts, name, by_default ? "not given" : *text ? text : "not given", error));
        }
    return LORAC_OK;
}

enum lorac_status lorac_facts_add_resolved(struct lorac_facts *facts, const struct lorac_net *net,
                                           const struct lorac_loop_options *loop, struct lorac_error *error)
{
    const struct lorac_augment *augment = &loop->source.augment;
    const bool keeps_best = loop->validation && loop->validation->options.keep_values;
    const char *output;
    char text[96];
    snprintf(text, sizeof text, "%zu", augment->crop_pad);
    LORAC_TRY(lorac_facts_add(facts, "--crop-pad", text, error));
    LORAC_TRY(lorac_facts_add(facts, "--flip", augment->flip ? "on" : "off", error));
    snprintf(text, sizeof text, "%.9g:%.9g", augment->area.low, augment->area.high);
    LORAC_TRY(lorac_facts_add(facts, "--random-resized-crop", augment->area.high > 0 ? text : "not given", error));
    LORAC_TRY(lorac_facts_add(facts, "--keep", keeps_best ? "best" : "last", error));
    LORAC_TRY(lorac_meta_output(net->model, &net->meta, NULL, &output, error));
    return lorac_facts_add(facts, "--output-name", output, error);
}

// ---- model

static void add_values(struct lorac_digest *digest, const struct lorac_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->part_count; i++) {
        const struct lorac_snapshot_part *part = &snapshot->parts[i];
        if (part->kind == LORAC_PART_OPTIMIZER)
            continue;
        lorac_digest_add_text(digest, part->name);
        lorac_digest_add(digest, part->values, part->count * sizeof *part->values);
    }
}

// The file itself, for the graph and what it says about itself; the weights, which may lie in other files, are in the
// base's hash, and what is trained is among the values.
enum lorac_status lorac_facts_add_model(struct lorac_facts *facts, const char *path,
                                        const struct lorac_snapshot *snapshot, struct lorac_error *error)
{
    static const char trained[] = " (layers of it were trained since)"; // then the hash is not that of the record
    char base[LORAC_DIGEST_TEXT + sizeof trained], text[LORAC_DIGEST_TEXT];
    struct lorac_net *net = snapshot->net;
    LORAC_TRY(lorac_base_hash(net->model, &net->meta, base, error));
    if (net->meta.base_hash && strcmp(base, net->meta.base_hash) != 0)
        strcat(base, trained);
    LORAC_TRY(lorac_facts_add(facts, "the base model", base, error));
    struct lorac_digest *digest = lorac_digest_create();
    if (!digest)
        return out_of_memory(error);
    add_values(digest, snapshot);
    enum lorac_status status = lorac_digest_add_file(digest, path, error);
    lorac_digest_text(digest, text);
    lorac_digest_free(digest);
    return status == LORAC_OK ? lorac_facts_add(facts, "the injected model", text, error) : status;
}

// ---- images

// Files by their names, without the folders, and lengths: to read a set that does not fit into memory takes minutes.
static void add_files(struct lorac_digest *digest, const struct lorac_dataset *dataset)
{
    for (size_t i = 0; i < dataset->count; i++) {
        const char *path = lorac_dataset_path(dataset, i);
        struct stat about;
        lorac_digest_add_text(digest, lorac_path_name(path));
        lorac_digest_add_number(digest, stat(path, &about) == 0 ? (uint64_t)about.st_size : UINT64_MAX);
    }
}

static void add_images(struct lorac_digest *digest, const struct lorac_batch_source *source)
{
    const struct lorac_dataset *dataset = source->dataset;
    const size_t sizes[] = {dataset->count, dataset->channels, dataset->height, dataset->width};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        lorac_digest_add_number(digest, sizes[i]);
    lorac_digest_add_number(digest, (uint64_t)dataset->element);
    if (dataset->loader) {
        add_files(digest, dataset);
        return;
    }
    const size_t element_bytes = dataset->element == LORAC_ELEMENT_F32 ? sizeof(float) : 1;
    const size_t values = dataset->count * dataset->channels * dataset->height * dataset->width; // in memory
    lorac_digest_add(digest, dataset->pixels, values * element_bytes);
}

// How pixels become numbers belongs to the images: it may come from the model or from the command line.
static void add_normalization(struct lorac_digest *digest, const struct lorac_batch_source *source)
{
    if (source->dataset->element != LORAC_ELEMENT_U8)
        return;
    for (size_t c = 0; c < source->dataset->channels; c++)
        lorac_digest_add(digest, source->normalize.table[c], sizeof source->normalize.table[c]);
    lorac_digest_add_number(digest, source->normalize.reverse_channels);
}

static enum lorac_status add_digest(struct lorac_facts *facts, const char *what, struct lorac_digest *digest,
                                    size_t count, struct lorac_error *error)
{
    char text[LORAC_DIGEST_TEXT], value[LORAC_DIGEST_TEXT + 32], name[96];
    lorac_digest_text(digest, text);
    snprintf(value, sizeof value, "%zu of %s", count, text);
    snprintf(name, sizeof name, "the set of %s", what);
    return lorac_facts_add(facts, name, value, error);
}

enum lorac_status lorac_facts_add_images(struct lorac_facts *facts, const char *what,
                                         const struct lorac_batch_source *source, struct lorac_error *error)
{
    const struct lorac_dataset *dataset = source->dataset;
    char labels[64];
    struct lorac_digest *digest = lorac_digest_create(), *label_digest = lorac_digest_create();
    enum lorac_status status = digest && label_digest ? LORAC_OK : out_of_memory(error);
    if (status == LORAC_OK) {
        add_images(digest, source);
        add_normalization(digest, source);
        lorac_digest_add(label_digest, dataset->labels, dataset->count * sizeof *dataset->labels);
        snprintf(labels, sizeof labels, "labels of the %s", what);
        status = add_digest(facts, what, digest, dataset->count, error);
    }
    if (status == LORAC_OK)
        status = add_digest(facts, labels, label_digest, dataset->count, error);
    lorac_digest_free(digest);
    lorac_digest_free(label_digest);
    return status;
}

enum lorac_status lorac_facts_add_validation(struct lorac_facts *facts, const struct lorac_loop_options *loop,
                                             struct lorac_error *error)
{
    if (!loop->validation)
        return LORAC_OK;
    const struct lorac_validation_options *options = &loop->validation->options;
    if (options->source->dataset != loop->source.dataset)
        return lorac_facts_add_images(facts, "validation images", options->source, error);
    struct lorac_digest *digest = lorac_digest_create();
    if (!digest)
        return out_of_memory(error);
    lorac_digest_add(digest, loop->images, loop->image_count * sizeof *loop->images);
    lorac_digest_add(digest, options->images, options->count * sizeof *options->images);
    enum lorac_status status = add_digest(facts, "images to train on", digest, loop->image_count, error);
    lorac_digest_free(digest);
    return status;
}
