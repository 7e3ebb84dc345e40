#include "arena.h"

#include "size.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

// Small pieces share chunks; a piece over a quarter of a chunk (a weight) gets a block of its own, so that
// little is wasted.
enum { CHUNK_BYTES = 64 * 1024 };

struct block {
    struct block *next;
    size_t used;
    size_t size;
    alignas(max_align_t) unsigned char bytes[];
};

struct lorac_arena {
    struct block *chunks; // the first one is being filled
    struct block *large;
    size_t bytes; // of the pieces handed out
};

struct lorac_arena *lorac_arena_create(void)
{
    return calloc(1, sizeof(struct lorac_arena));
}

static void free_list(struct block *block)
{
    while (block) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
}

void lorac_arena_free(struct lorac_arena *arena)
{
    if (!arena)
        return;
    free_list(arena->chunks);
    free_list(arena->large);
    free(arena);
}

static struct block *push_block(struct block **list, size_t size)
{
    size_t total;
    if (!lorac_size_add(size, sizeof(struct block), &total))
        return NULL;
    struct block *block = calloc(1, total);
    if (!block)
        return NULL;
    block->size = size;
    block->next = *list;
    *list = block;
    return block;
}

void *lorac_arena_alloc(struct lorac_arena *arena, size_t bytes)
{
    size_t rounded;
    if (!lorac_size_add(bytes, alignof(max_align_t) - 1, &rounded))
        return NULL;
    rounded -= rounded % alignof(max_align_t);
    if (rounded > CHUNK_BYTES / 4) {
        struct block *block = push_block(&arena->large, rounded);
        arena->bytes += block ? rounded : 0;
        return block ? block->bytes : NULL;
    }
    struct block *chunk = arena->chunks;
    if (!chunk || chunk->size - chunk->used < rounded)
        chunk = push_block(&arena->chunks, CHUNK_BYTES);
    if (!chunk)
        return NULL;
    void *piece = chunk->bytes + chunk->used;
    chunk->used += rounded;
    arena->bytes += rounded;
    return piece;
}

void *lorac_arena_alloc_array(struct lorac_arena *arena, size_t count, size_t bytes_each)
{
    size_t bytes;
    return lorac_size_multiply(count, bytes_each, &bytes) ? lorac_arena_alloc(arena, bytes) : NULL;
}

char *lorac_arena_strdup(struct lorac_arena *arena, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = lorac_arena_alloc(arena, bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

size_t lorac_arena_bytes(const struct lorac_arena *arena)
{
    return arena->bytes;
}
