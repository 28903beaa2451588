/* Which frequency to believe. Measured time wins over a claim that contradicts it, because waits are meant for
 * devices and people: Bochs claims 1.5 GHz by CPUID and runs its clocks as if 100 million ticks were a second. */
#include "kernel/clock_choose.h"

bool clock_agree(u64 a, u64 b)
{
    u64 low = MIN(a, b), high = MAX(a, b);
    return (high - low) * 100 <= low * CLOCK_AGREE_PERCENT;
}

u32 clock_choose(const struct clock_reading *r, u32 n, u32 *confirmed_by)
{
    for (u32 i = 0; i < n; i++)
        for (u32 k = 0; k < n; k++)
            if (k != i && (r[i].measured || r[k].measured) && clock_agree(r[i].hz, r[k].hz)) {
                *confirmed_by = k;
                return i;
            }
    *confirmed_by = n;
    for (u32 i = 0; i < n; i++)
        if (r[i].measured)
            return i;
    return n ? 0 : n;
}

static u64 window_hz(const struct clock_window *w, u64 ref_hz)
{
    return w->tsc * ref_hz / w->ref;
}

/* Reading the reference takes a microsecond on hardware; under an emulator the host may take the CPU away in
 * between for milliseconds. A window's ends are known to within `doubt`, so the crisp windows are the good ones.
 * Among them the median is safe even from a reference that wrapped unseen in a few. */
u64 clock_windows_hz(struct clock_window *w, u32 n, u64 ref_hz)
{
    u64 best = ~0ull;
    u32 kept = 0;
    for (u32 i = 0; i < n; i++)
        best = MIN(best, w[i].doubt);
    for (u32 i = 0; i < n; i++) {
        if (w[i].doubt > 2 * best)
            continue;
        /* Insertion sort by frequency, in place: at most as many are kept as were read. */
        struct clock_window now = w[i];
        u32 at = kept++;
        for (; at > 0 && window_hz(&w[at - 1], ref_hz) > window_hz(&now, ref_hz); at--)
            w[at] = w[at - 1];
        w[at] = now;
    }
    return window_hz(&w[kept / 2], ref_hz);
}
