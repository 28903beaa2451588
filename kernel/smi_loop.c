/* Gaps between readings of a clock. */
#include "kernel/smi.h"

void smi_watch_loop(u64 (*now)(void), u64 ticks, u64 limit, struct smi_watch *w)
{
    u64 start = now(), last = start;
    while (last - start < ticks) {
        u64 next = now(), gap = next - last;
        if (gap > w->longest)
            w->longest = gap;
        w->gaps += gap > limit;
        last = next;
    }
    w->ticks = last - start;
}
