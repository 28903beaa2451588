/* Instructions that ring 3 may execute. */
#pragma once

#include "user/lib/types.h"

/* In every loop that waits: the hardware thread beside us, or the emulator's next CPU, runs meanwhile. */
static ALWAYS_INLINE void cpu_pause(void)
{
    __asm__ volatile("pause" ::: "memory");
}

/* The time stamp counter, after all before it has been done and before anything behind it begins (SDM volume 2B, RDTSC). */
static ALWAYS_INLINE u64 rdtsc_ordered(void)
{
    u32 low, high;
    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high)::"memory");
    return (u64)high << 32 | low;
}

static ALWAYS_INLINE u64 touch_read(u64 va)
{
    return *(volatile u64 *)va;
}
static ALWAYS_INLINE void touch_write(u64 va, u64 value)
{
    *(volatile u64 *)va = value;
}
