/* The sampling profiler: an NMI to every CPU at a steady rate; each NMI notes where its CPU was, and, where the seed's rule
 * allows it, who called whom in ring 3.
 *
 * Two timers drive it, because a CPU that sent the NMI to itself would only ever be found sending it: CPU 0's rings all others,
 * that of the next online CPU rings CPU 0. The NMI handler is the only writer of its CPU's ring; whoever reads, reads behind it.
 * Nothing here takes a lock, and an NMI that may not read user memory says why instead. */
#pragma once

#include "kernel/nmi.h"

#define PROFILE_DEPTH  8u
#define PROFILE_HZ_MIN 10u
#define PROFILE_HZ_MAX 10000u

struct profile_sample {
    u64 rip;
    u64 user_rip;             /* where ring 3 was, or will go on; 0: not known */
    u64 stack[PROFILE_DEPTH]; /* return addresses of ring 3, the innermost first */
    u32 process;              /* its number; ~0: none */
    bool in_kernel;
    u8 depth;   /* words of stack[] */
    u8 refusal; /* enum user_refusal: why there is no stack, or why it ends early (USER_FAULT) */
};

struct profile_totals {
    u64 samples, kernel, user; /* user: of these, in ring 3 */
    u64 stacks, frames;        /* samples with at least one frame of ring 3; frames in all */
    u64 refused[USER_REFUSALS];
    u64 dropped; /* NMIs that found their CPU's ring full */
};

/* Allocates the rings and starts. ERR_UNSUPPORTED: one CPU only, or no timer; ERR_RANGE: hz; ERR_EXIST: it runs; ERR_NOMEM. hz 0:
 * no timer, only profile_ask. THREAD. */
err_t profile_start(u32 hz) MUST_CHECK;
/* No more samples from the return on; those taken stay until profile_free. THREAD. */
void profile_stop(void);
void profile_free(void);
bool profile_runs(void);

/* One sample of that CPU, now: for tests. Any context but NMI. */
void profile_ask(cpu_t cpu);

/* Takes all samples out of all rings, and gives each to fn. THREAD. */
void profile_drain(void (*fn)(cpu_t cpu, const struct profile_sample *s, void *arg), void *arg);
u64 profile_dropped(void);

/* Adds one sample to *t. */
void profile_count(struct profile_totals *t, const struct profile_sample *s);

/* Drains, and prints what was found: functions, call paths of ring 3, refusals; and a `profile` record. THREAD. */
void profile_report(void);

/* profile= on the command line: around everything else that it asks for. */
void profile_begin_if_asked(void);
void profile_end_if_asked(void);
