/* The registers that the kernel never uses, x87, SSE, AVX and AVX-512: each thread of ring 3 has its own.
 *
 * They are saved when a thread of ring 3 stops running, and loaded before another one runs: never later, by a #NM, because until that
 * trap speculation can read what the last thread left there (CVE-2018-3665). Only if nobody else has had the registers since, is
 * nothing loaded. */
#pragma once

#include "kernel/thread.h"

/* Room for what of XSAVE's standard format is used: all up to AVX-512 (SDM volume 1, section 13.4; CPUID leaf 0Dh). */
#define FPU_BYTES_MAX 2688u

/* Boot CPU, once, after features_init_cpu: chooses components and instructions, by CPUID. */
void fpu_init(void);
/* Each CPU, interrupts off: XCR0, and registers that hold nothing. */
void fpu_init_cpu(void);
/* Bytes of a thread's area, at most FPU_BYTES_MAX, to be aligned to 64. */
u32 fpu_bytes(void);
/* The registers as a new thread finds them, into an area of zeros. */
void fpu_init_area(void *area);
const char *fpu_name(void); /* "xsaveopt: x87 sse avx", ... */

/* Whose registers this CPU holds; NULL: nobody's. They are if the thread's fpu_cpu agrees. */
DECLARE_PERCPU(struct thread *, fpu_owner);

/* prev has run for now (or for ever), next is to run. Interrupts off. */
void fpu_save(struct thread *prev);
void fpu_load(struct thread *next);
static ALWAYS_INLINE void fpu_switch(struct thread *prev, struct thread *next)
{
    if (prev->fpu)
        fpu_save(prev);
    if (next->fpu && (this_cpu(fpu_owner) != next || next->fpu_cpu != cpu_self()))
        fpu_load(next);
}
