/* System-management interrupts: firmware's, invisible, not maskable, and what makes the slowest figures of a machine. A loop that
 * does nothing but read the TSC shows when something else ran; Intel's processors also count them. */
#pragma once

#include "lib/types.h"

struct smi_watch {
    u64 ticks;         /* how long was watched */
    u64 longest, gaps; /* longest time between two readings; how many were above the limit */
    bool counted;      /* MSR_SMI_COUNT exists */
    u64 count_before, count_after;
};

/* A gap beyond this is called one: a reading takes some ten ns, a cache miss a hundred, an SMI ten to hundreds of microseconds. */
#define SMI_GAP_US 5u

/* Watches for `ms` milliseconds, with interrupts off: on hardware, whatever ran then was none of ours. Under an emulator gaps are the
 * host's doing. Any CPU, THREAD. */
struct smi_watch smi_watch(u32 ms);

/* The loop alone: readings of `now` until `ticks` have passed. Pure. */
void smi_watch_loop(u64 (*now)(void), u64 ticks, u64 limit, struct smi_watch *w);

/* How many SMIs this CPU has taken; false: it does not count. */
bool smi_count(u64 *count);
