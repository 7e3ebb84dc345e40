#include "parallel.h"

#include <pthreadpool.h>
#include <stdatomic.h>

enum { MAX_RANGES = 64 }; // more threads share them

struct range_call {
    void (*body)(void *context, size_t begin, size_t end);
    void *context;
};

void lorac_parallel_for(struct pthreadpool *pool, void (*body)(void *context, size_t i), void *context, size_t count)
{
    if (count == 1 || !pool) {
        for (size_t i = 0; i < count; i++)
            body(context, i);
        return;
    }
    pthreadpool_parallelize_1d(pool, body, context, count, 0);
}

static void run_range(void *context, size_t begin, size_t size)
{
    const struct range_call *call = context;
    call->body(call->context, begin, begin + size);
}

void lorac_parallel_ranges(struct pthreadpool *pool, void (*body)(void *context, size_t begin, size_t end),
                           void *context, size_t count, size_t tile)
{
    struct range_call call = {body, context};
    pthreadpool_parallelize_1d_tile_1d(pool, run_range, &call, count, tile, 0);
}

// What is left of a thread's range. On a cache line of its own: others look at it at the end only.
struct left {
    _Alignas(64) atomic_size_t next;
    size_t end;
};

struct items_call {
    void (*body)(void *context, size_t thread, size_t i);
    void *context;
    size_t ranges;
    struct left left[MAX_RANGES];
};

static void run_items(void *context, size_t thread)
{
    struct items_call *call = context;
    for (size_t i = 0; i < call->ranges; i++) {
        struct left *left = &call->left[(thread + i) % call->ranges];
        size_t item;
        while ((item = atomic_fetch_add(&left->next, 1)) < left->end)
            call->body(call->context, thread, item);
    }
}

void lorac_parallel_items(struct pthreadpool *pool, void (*body)(void *context, size_t thread, size_t i), void *context,
                          size_t count)
{
    const size_t threads = lorac_parallel_threads(pool);
    struct items_call call;
    if (count == 0)
        return;
    call.body = body;
    call.context = context;
    call.ranges = threads < MAX_RANGES ? threads : MAX_RANGES;
    for (size_t i = 0; i < call.ranges; i++) {
        atomic_init(&call.left[i].next, i * count / call.ranges);
        call.left[i].end = (i + 1) * count / call.ranges;
    }
    lorac_parallel_for(pool, run_items, &call, threads);
}

size_t lorac_parallel_threads(struct pthreadpool *pool)
{
    return pthreadpool_get_threads_count(pool); // 1 for NULL
}

struct pthreadpool *lorac_parallel_create(size_t threads, int *failed)
{
    *failed = 0;
    if (threads <= 1)
        return NULL;
    struct pthreadpool *pool = pthreadpool_create(threads);
    *failed = !pool;
    return pool;
}

void lorac_parallel_free(struct pthreadpool *pool)
{
    if (pool)
        pthreadpool_destroy(pool);
}
