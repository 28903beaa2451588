/* Whether the CPUs' time-stamp counters show the same time: what decides if a time taken on one CPU may be
 * compared with one taken on another. Measured by round trips over one cache line between CPU 0 and each of the
 * others. */
#pragma once
#include "lib/types.h"

/* CPUs compared with CPU 0 at most; on larger machines as many are chosen, evenly spread over the indices. Where
 * one package's counters are reset apart, whole packages differ, so that a sample shows it. */
#define TSC_SYNC_CPUS_MAX 16u

struct tsc_probe {
    s64 offset; /* this CPU's counter less CPU 0's, in ticks, true to within `doubt` */
    u64 doubt;  /* half the quickest round trip */
    u64 warp; /* ticks by which a stamp lay outside the round trip that enclosed it: nonzero proves that they differ */
    u64 adjust; /* its IA32_TSC_ADJUST; 0 if there is none */
    u32 rounds; /* round trips made, at least 1 */
};

struct tsc_sync {
    u32 compared, online; /* CPUs compared with CPU 0; CPUs online, CPU 0 included */
    u64 max_offset;       /* largest magnitude, and the CPU that had it (0 if none) */
    cpu_t max_offset_cpu;
    u64 max_doubt, max_warp;
    bool adjust_differs; /* firmware has moved the CPUs' counters apart, or one of them */
    bool failed;         /* a CPU did not answer, or was busy: nothing can be said */
};

/* Measures all chosen CPUs and logs a line. A few microseconds a CPU on hardware, at most about 20 ms where a busy
 * host disturbs it. CPU 0, THREAD, workers idle. */
struct tsc_sync tsc_sync_measure(void);
struct tsc_sync tsc_sync_last(void); /* what it returned last; all 0 before */
/* The last measurement found every compared CPU in step: no warp, and offsets known to within 100 us. False before
 * the first. Any context. */
bool tsc_is_synchronised(void);

/* One CPU; `skew` is added to its stamps, so that a test can see a warp found. ERR_EXIST: it has
 * other work, or the CPU probed before still has; ERR_ABSENT, ERR_INVAL as worker_start; ERR_TIMEOUT. CPU 0, THREAD. */
err_t tsc_sync_probe(cpu_t cpu, s64 skew, struct tsc_probe *out) MUST_CHECK;
