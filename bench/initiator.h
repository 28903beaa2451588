/* A process of the program `initiator`: its first thread, on CPU 0, times a system call of its own; one thread on each other CPU answers. The
 * figures are those of ring 3, by RDTSC before the SYSCALL and behind it. For benchmarks of system calls. */
#pragma once

#include "kernel/abi/workload.h"
#include "kernel/process.h"

/* The range lies in a page table that one more page keeps alive, so that no call frees a table. */
#define INITIATOR_RANGE 0x0000300000202000ull /* two pages into a page table */

struct initiator {
    u32 op;     /* enum workload_op */
    u32 cpus;   /* it and its responders */
    u64 pages;  /* 0 for WORKLOAD_NULL */
    u64 rounds; /* the warm-up included, at most WORKLOAD_SAMPLES */

    /* Of initiator_run. */
    struct process *process; /* NULL: could not be created */
    struct workload *w;
};

/* Creates the process and runs it to its end. NULL, or what was wrong, as the end of a sentence. initiator_close whatever it was. THREAD, CPU
 * 0. */
const char *initiator_run(struct initiator *c);
void initiator_close(struct initiator *c);
/* The same twice, in the pass that counts (bench/counts.h): what starting and ending cost is taken off. For operations that leave the range as
 * they found it. */
const char *initiator_count(struct initiator *c);

/* Pages that a CPU has forgotten since boot, a flush of everything counted as `pages`. */
u64 initiator_forgotten(const struct initiator *c, cpu_t cpu);

struct samples;
/* Its samples but for the warm-up. */
void initiator_samples(const struct initiator *c, struct samples *s);
