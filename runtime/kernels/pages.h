// Large blocks of memory.
#ifndef LORAC_PAGES_H
#define LORAC_PAGES_H

#include <stddef.h>

// Says, before a block is first written, that it will be used as a whole: the system may then give it in pages of 2 MB,
// which are had and found faster. Nothing where the block is small, or the system has no such pages.
void lorac_pages_advise_huge(void *block, size_t bytes);

#endif
