// Work spread over the thread pool. The only face of pthreadpool outside kernels/.
//
// Equal bits for any number of threads follow from one rule: what item [i] computes, and the order in which results are
// added, depend on the sizes alone, never on who runs it.
#ifndef LORAC_PARALLEL_H
#define LORAC_PARALLEL_H

#include <stddef.h>

struct pthreadpool;

// Runs body(context, i) for i in 0 .. count-1, each once, in any order, on the threads of [pool] (NULL: this one).
void lorac_parallel_for(struct pthreadpool *pool, void (*body)(void *context, size_t i), void *context, size_t count);

// The same over ranges: body(context, begin, end) for consecutive ranges of [tile] elements (the last may be shorter).
void lorac_parallel_ranges(struct pthreadpool *pool, void (*body)(void *context, size_t begin, size_t end),
                           void *context, size_t count, size_t tile);

// Runs body(context, thread, i) for i in 0 .. count-1, each once, on as many threads as the pool has: [thread], below
// lorac_parallel_threads, is held by one caller at a time, for memory of its own. Each thread has a range of neighbours
// and goes through it from its beginning; then it takes what others have left. Layer after layer the same thread has the
// same images, so that what it reads is mostly what it wrote.
void lorac_parallel_items(struct pthreadpool *pool, void (*body)(void *context, size_t thread, size_t i), void *context,
                          size_t count);

// A pool of [threads] threads; NULL for one thread as well as where none can be made (see *failed).
struct pthreadpool *lorac_parallel_create(size_t threads, int *failed);
void lorac_parallel_free(struct pthreadpool *pool); // accepts NULL

// Threads of [pool], at least 1 (NULL: 1).
size_t lorac_parallel_threads(struct pthreadpool *pool);

// The processors that this process may use, at least 1 (processors.c).
size_t lorac_parallel_processors(void);

// What the first processor calls itself, in [text] of [bytes], cut where it is longer: "AMD EPYC"; "unknown" where the
// system does not say.
void lorac_parallel_processor_name(char *text, size_t bytes);

#endif
