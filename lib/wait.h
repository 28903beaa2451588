/* The one way to spin: bounded, named, with PAUSE.
 *
 *   struct wait w = WAIT("an AP's arrival", wait_ms(100));
 *   while (!atomic_load_acquire(&arrived))
 *       if (!wait_spin(&w))
 *           return ERR_TIMEOUT;
 *
 * The fast path costs PAUSE, a decrement and a branch; the clock is looked at every WAIT_SPINS_PER_LOOK turns. */
#pragma once

#include "lib/types.h"
#include "lib/x86/cpu.h"

/* TSC ticks per second. 0 until kernel/clock.c has calibrated; waits use a guess of 4 GHz until then (too long, never
 * too short). Write-once. */
extern u64 tsc_hz;
/* Emulators stretch time: limits are multiplied by this (1 on hardware, 20 under an emulator). Write-once. */
extern u32 wait_scale;

/* Turns between two looks at the clock: RDTSC may trap under a hypervisor, and a few microseconds of lateness do not
 * matter to a limit of milliseconds. */
#define WAIT_SPINS_PER_LOOK 256u

struct wait {
    const char *what; /* completes "waited N ms for ..." */
    u64 start;        /* TSC at the first look; 0 before it */
    u64 limit;        /* TSC ticks; 0: no limit */
    u32 left;         /* turns until the next look */
};

#define WAIT(what_, limit_)                                                                                  \
    {                                                                                                        \
        .what = (what_), .start = 0, .limit = (limit_), .left = WAIT_SPINS_PER_LOOK                          \
    }

u64 wait_ms(u64 ms); /* milliseconds as TSC ticks, times wait_scale */
u64 tsc_from_us(u64 us);
u64 tsc_to_ns(u64 ticks);

bool wait_look(struct wait *w); /* the slow path: false once the limit has passed */
void delay_us(u64 us);          /* busy wait by the TSC, with PAUSE; not scaled */

static ALWAYS_INLINE bool wait_spin(struct wait *w)
{
    cpu_pause();
    if (likely(--w->left))
        return true;
    return wait_look(w);
}
