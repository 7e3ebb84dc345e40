// Items taken by the threads of a pool: each once, and no two at a time in the name of the same thread.
#include "check.h"
#include "runtime/kernels/parallel.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

enum { MAX_ITEMS = 1000, MAX_THREADS = 80 };

struct job {
    size_t threads;
    atomic_int runs[MAX_ITEMS];
    atomic_bool busy[MAX_THREADS];
    atomic_size_t wrong;
};

static void run(void *context, size_t thread, size_t i)
{
    struct job *job = context;
    if (thread >= job->threads || atomic_exchange(&job->busy[thread], true))
        atomic_fetch_add(&job->wrong, 1);
    atomic_fetch_add(&job->runs[i], 1);
    for (volatile int wait = 0; wait < (i % 7 == 0 ? 2000 : 10);) // so that some are late and others take theirs
        wait++;
    atomic_store(&job->busy[thread], false);
}

static void check_items(size_t threads, size_t count)
{
    static struct job job;
    int failed;
    struct pthreadpool *pool = lorac_parallel_create(threads, &failed);
    REQUIRE(!failed);
    memset(&job, 0, sizeof job);
    job.threads = lorac_parallel_threads(pool);
    CHECK(job.threads == threads);
    for (int repeat = 1; repeat <= 3; repeat++) {
        lorac_parallel_items(pool, run, &job, count);
        for (size_t i = 0; i < MAX_ITEMS; i++)
            CHECKF(atomic_load(&job.runs[i]) == (i < count ? repeat : 0), "%zu threads, %zu items: item %zu ran %d times",
                   threads, count, i, atomic_load(&job.runs[i]));
    }
    CHECKF(atomic_load(&job.wrong) == 0, "%zu threads, %zu items: %zu ran in the name of a busy thread", threads, count,
           atomic_load(&job.wrong));
    lorac_parallel_free(pool);
}

int main(void)
{
    const size_t threads[] = {1, 2, 3}, counts[] = {0, 1, 2, 3, 7, 64, MAX_ITEMS};
    for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++)
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++)
            check_items(threads[t], counts[c]);
    check_items(MAX_THREADS, 200); // more than there are ranges
    return check_report();
}
