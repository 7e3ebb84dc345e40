#define _DEFAULT_SOURCE // madvise, MADV_HUGEPAGE

#include "pages.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LEAST_BYTES = 4 << 20 }; // below, the rest of the last page would weigh

void lorac_pages_advise_huge(void *block, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    const long page = sysconf(_SC_PAGESIZE);
    if (bytes < LEAST_BYTES || page <= 0)
        return;
    const size_t before = (uintptr_t)block % (size_t)page;
    (void)madvise((unsigned char *)block - before, bytes + before, MADV_HUGEPAGE);
#else
    (void)block;
    (void)bytes;
#endif
}
