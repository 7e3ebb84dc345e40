// How many threads can run at once here. Of the processors that the machine has, this process may be allowed only some
// (taskset, containers): the pool's threads wait for one another by spinning, so one thread too many costs far more
// than its share (measured: two threads on one processor were 17 times as slow as one).
#if defined(__linux__)
#define _GNU_SOURCE // sched_getaffinity
#include <sched.h>
#endif

#include "parallel.h"

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
