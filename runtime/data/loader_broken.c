// Broken images of a loader: known to its threads at once, counted and named when they are taken.
#include "loader_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum lorac_status lorac_loader_note_broken(struct lorac_loader *loader, size_t index, const struct lorac_error *said,
                                           struct lorac_error *error)
{
    const size_t bytes = strlen(said->message) + 1;
    struct broken *broken = malloc(sizeof *broken + bytes);
    if (!broken)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the name of a broken image");
    broken->counted = false;
    memcpy(broken->message, said->message, bytes);
    pthread_mutex_lock(&loader->lock);
    const bool known = loader->broken[index] != NULL; // by another thread, meanwhile
    if (!known)
        loader->broken[index] = broken;
    pthread_mutex_unlock(&loader->lock);
    if (known)
        free(broken);
    return LORAC_OK;
}

// [index] is broken, and nobody knew.
static void count_one(struct lorac_loader *loader, size_t index)
{
    loader->broken[index]->counted = true;
    loader->broken_count++;
    if (loader->named_count < LORAC_LOADER_NAMED)
        loader->named[loader->named_count++] = index;
}

void lorac_loader_count_skipped(struct lorac_loader *loader, size_t position, size_t skipped)
{
    for (size_t i = 0; i < skipped; i++) {
        const size_t index = lorac_loader_index_at(&loader->pass, loader->pass.first + position - loader->begin, i);
        pthread_mutex_lock(&loader->lock);
        struct broken *broken = loader->broken[index];
        pthread_mutex_unlock(&loader->lock);
        if (broken->counted)
            continue;
        count_one(loader, index);
        if (loader->callback)
            loader->callback(loader->callback_context, index, broken->message);
    }
}

enum lorac_status lorac_loader_too_many_broken(struct lorac_loader *loader, struct lorac_error *error)
{
    char names[LORAC_ERROR_MESSAGE_BYTES] = "";
    size_t length = 0;
    pthread_mutex_lock(&loader->lock);
    for (size_t i = 0; i < loader->named_count && length < sizeof names; i++)
        length += (size_t)snprintf(names + length, sizeof names - length, "%s%s", i > 0 ? "; " : "",
                                   loader->broken[loader->named[i]]->message);
    pthread_mutex_unlock(&loader->lock);
    if (loader->broken_count <= loader->broken_limit)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "none of the %zu images can be read: %s", loader->pass.count,
                               names);
    return lorac_error_set(error, LORAC_ERROR_FORMAT,
                           "%zu of the %zu images cannot be read, more than a share of %g, which may be: %s%s",
                           loader->broken_count, loader->source.count, loader->options.broken_share, names,
                           loader->broken_count > loader->named_count ? "; ..." : "");
}

// ---- what callers know and say of them

void lorac_loader_set_broken(struct lorac_loader *loader, lorac_loader_broken callback, void *context)
{
    loader->callback = callback;
    loader->callback_context = context;
}

size_t lorac_loader_broken_limit(const struct lorac_loader *loader)
{
    return loader->broken_limit;
}

size_t lorac_loader_broken_count(const struct lorac_loader *loader)
{
    return loader->broken_count;
}

bool lorac_loader_is_broken(struct lorac_loader *loader, size_t index)
{
    pthread_mutex_lock(&loader->lock);
    const struct broken *broken = loader->broken[index];
    pthread_mutex_unlock(&loader->lock);
    return broken && broken->counted;
}

void lorac_loader_list_broken(struct lorac_loader *loader, uint32_t *indices)
{
    size_t count = 0;
    for (size_t i = 0; i < loader->source.count && count < loader->broken_count; i++)
        if (lorac_loader_is_broken(loader, i))
            indices[count++] = (uint32_t)i;
}

enum lorac_status lorac_loader_count_broken(struct lorac_loader *loader, size_t index, const char *message,
                                            struct lorac_error *error)
{
    struct lorac_error said = {0};
    assert(index < loader->source.count && loader->busy == 0);
    lorac_error_set(&said, LORAC_ERROR_FORMAT, "%s", message);
    LORAC_TRY(lorac_loader_note_broken(loader, index, &said, error));
    if (!loader->broken[index]->counted)
        count_one(loader, index);
    return LORAC_OK;
}
