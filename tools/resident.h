// How much memory the process has.
#ifndef LORAC_TOOLS_RESIDENT_H
#define LORAC_TOOLS_RESIDENT_H

#include <stddef.h>

// The most that was resident so far, in bytes; 0 where the system does not say.
size_t lorac_resident_peak(void);

#endif
