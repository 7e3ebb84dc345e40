// How many threads can run at once here. Of the processors that the machine has, this process may be allowed only some
// (taskset, containers): the pool's threads wait for one another by spinning, so one thread too many costs far more
// than its share (measured: two threads on one processor were 17 times as slow as one).
#if defined(__linux__)
#define _GNU_SOURCE // sched_getaffinity
#include <sched.h>
#endif

#include "parallel.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

size_t lorac_parallel_processors(void)
{
#if defined(__linux__)
    cpu_set_t allowed; // of 1024 processors; with more the call fails, and the machine's count is the best guess
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 0)
        return (size_t)CPU_COUNT(&allowed);
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (size_t)online : 1;
}

// Linux says it in the first lines: "model name" where the processor has one, on ARM the number of its part.
void lorac_parallel_processor_name(char *text, size_t bytes)
{
    static const char *const fields[] = {"model name", "CPU part", "uarch"};
    char line[256];
    snprintf(text, bytes, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "r");
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file))
        for (size_t i = 0; !found && i < sizeof fields / sizeof *fields; i++) {
            const char *value = strncmp(line, fields[i], strlen(fields[i])) == 0 ? strchr(line, ':') : NULL;
            if (!value)
                continue;
            value += 1 + strspn(value + 1, " \t");
            snprintf(text, bytes, "%.*s", (int)strcspn(value, "\n"), value);
            found = true;
        }
    if (file)
        fclose(file);
}
