#include "resident.h"

#include <stdio.h>
#include <sys/resource.h>

// Linux: what getrusage says of a new program begins with the peak of the process that started it (a large Python, for
// example); VmHWM does not.
static size_t status_peak(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long long kib = 0;
    if (!file)
        return 0;
    while (kib == 0 && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %llu kB", &kib) != 1)
            kib = 0;
    fclose(file);
    return (size_t)kib * 1024;
}

size_t lorac_resident_peak(void)
{
    struct rusage usage;
    size_t bytes = status_peak();
    if (bytes == 0 && getrusage(RUSAGE_SELF, &usage) == 0)
        bytes = (size_t)usage.ru_maxrss * 1024;
    return bytes;
}
