// What the processor can do at most, measured: the roof that a step's speed is compared with.
#ifndef LORAC_PEAK_H
#define LORAC_PEAK_H

#include <stddef.h>

struct pthreadpool;

// Float32 operations a second (a multiply-add counts two) of [threads] threads of [pool] (NULL: one thread) that do
// nothing but multiply-adds in registers, with the instruction set that the kernels use. The best of several runs of a
// few milliseconds: the limit, not what a busy machine leaves.
double lorac_peak_flops(struct pthreadpool *pool, size_t threads);

// The instruction set's name, as in simd.h: "v4".
const char *lorac_peak_instruction_set(void);

#endif
