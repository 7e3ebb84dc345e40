// Counts allocations by standing before the C library's own entry points, where it has them and no sanitizer stands
// there already. Included by one file of a program.
#ifndef LORAC_TEST_COUNT_ALLOCATIONS_H
#define LORAC_TEST_COUNT_ALLOCATIONS_H

#include <stdatomic.h>
#include <stdlib.h>

static atomic_size_t allocation_count;
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define UNDER_SANITIZER 1
#endif
#if defined(__GLIBC__) && !defined(UNDER_SANITIZER)
enum { COUNTS_ALLOCATIONS = 1 };
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

void *malloc(size_t bytes)
{
    allocation_count++;
    return __libc_malloc(bytes);
}
void *calloc(size_t count, size_t bytes)
{
    allocation_count++;
    return __libc_calloc(count, bytes);
}
void *realloc(void *old, size_t bytes)
{
    allocation_count++;
    return __libc_realloc(old, bytes);
}
void *aligned_alloc(size_t alignment, size_t bytes)
{
    allocation_count++;
    return __libc_memalign(alignment, bytes);
}
int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    allocation_count++;
    *out = __libc_memalign(alignment, bytes);
    return *out == NULL;
}
#else
enum { COUNTS_ALLOCATIONS = 0 };
#endif

#endif
