/* What gcc calls for __builtin_popcountll, as not every x86-64 CPU has POPCNT. libgcc's own is not linked: it may use
 * the red zone and vector registers. */
#include "lib/types.h"

int __popcountdi2(u64 v);

/* Counts in pairs, then in fours, then in bytes, all at once; the multiplication adds the eight bytes up. */
int __popcountdi2(u64 v)
{
    v -= v >> 1 & 0x5555555555555555ull;
    v = (v & 0x3333333333333333ull) + (v >> 2 & 0x3333333333333333ull);
    v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0full;
    return (int)(v * 0x0101010101010101ull >> 56);
}
