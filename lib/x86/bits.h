/* Bit scans. Instead of __builtin_ctzll where every instruction counts: that one returns an int, which costs a sign
 * extension before it can index, and gcc clears the result first. */
#pragma once

#include "lib/types.h"

/* Index of the lowest set bit; v is not 0. TZCNT, which CPUs without BMI1 execute as BSF: the same result for v not 0
 * (SDM volume 2, TZCNT). */
static ALWAYS_INLINE u64 lowest_bit(u64 v)
{
    u64 index;
    __asm__("rep bsfq %1, %0" : "=r"(index) : "rm"(v) : "cc");
    return index;
}
