#include "parallel.h"

#include <pthreadpool.h>

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
