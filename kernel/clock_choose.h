/* Which of several claims about the TSC's frequency to believe. Pure functions; the host tests them. */
#pragma once
#include "lib/types.h"

/* Sources that differ by more than this contradict each other. Measuring against the PM timer or the PIT for 2.5
 * ms is good to about 0.1 % on hardware, and to 1 % on an emulator whose host is busy. */
#define CLOCK_AGREE_PERCENT 2u
/* What lib/wait.c can compute with, and more than any x86 machine or emulator has shown. */
#define CLOCK_HZ_MIN 1000000ull
#define CLOCK_HZ_MAX 17000000000ull

struct clock_reading {
    const char *source;
    u64 hz;
    bool measured; /* against another clock; else firmware or hypervisor says so */
};

bool clock_agree(u64 hz_a, u64 hz_b);

/* Readings in order of trust: the first that an independent one confirms; if there is none, the first measured
 * one; if nothing was measured, the first. Independent: another one, and one of the two was measured (what CPUID
 * says in two leaves is one claim). Returns its index, n if n is 0; *confirmed_by is the confirming one's index,
 * or n. */
u32 clock_choose(const struct clock_reading *r, u32 n, u32 *confirmed_by);

/* One comparison of the TSC with a reference clock. */
struct clock_window {
    u64 tsc;   /* TSC ticks from start to end, below 2^32 */
    u64 ref;   /* reference ticks in the same time, not 0 */
    u64 doubt; /* TSC ticks that reading the reference took, both ends together */
};
/* The TSC's frequency by several windows, the reference running at ref_hz: the median of those whose ends were read
 * about as crisply as the best. n > 0. */
u64 clock_windows_hz(struct clock_window *w, u32 n, u64 ref_hz);
