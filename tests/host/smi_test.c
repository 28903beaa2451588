/* The loop that looks for stolen time, on a clock of our own.
 *
 *     sources: kernel/smi_loop.c
 *     sanitize: address,undefined
 */
#include "kernel/smi.h"
#include "tests/host/host.h"

static u64 clock, reading, steal_at, steal;

static u64 now(void)
{
    clock += 20 + (reading++ == steal_at ? steal : 0);
    return clock;
}

static struct smi_watch watch(u64 at, u64 ticks)
{
    struct smi_watch w = {0};
    clock = 1000;
    reading = 0;
    steal_at = at;
    steal = ticks;
    smi_watch_loop(now, 100000, 500, &w);
    return w;
}

HOST_TEST(gaps_are_found)
{
    struct smi_watch w = watch(~0ull, 0);
    HOST_CHECK(w.gaps == 0 && w.longest == 20 && w.ticks == 100000, "%lu gaps, longest %lu in %lu", w.gaps,
               w.longest, w.ticks);
    w = watch(100, 40000);
    HOST_CHECK(w.gaps == 1 && w.longest == 40020, "%lu gaps, longest %lu", w.gaps, w.longest);
    w = watch(100, 400);
    HOST_CHECK(w.gaps == 0 && w.longest == 420, "%lu gaps, longest %lu", w.gaps, w.longest);
    w = watch(100, 1000000);
    HOST_CHECK(w.gaps == 1 && w.ticks >= 1000000, "a gap longer than the whole: %lu", w.ticks);
}
