/* Limits in time-stamp ticks, and what happens every WAIT_SPINS_PER_LOOK turns. */
#include "lib/wait.h"

u64 tsc_hz;
u32 wait_scale = 1;

/* Above every x86 CPU's time-stamp frequency, so that a limit computed before calibration is too long, never too
 * short. */
#define TSC_HZ_GUESS 4000000000ull
#define US_PER_S     1000000ull
#define NS_PER_S     1000000000ull

static u64 hz(void)
{
    return tsc_hz ? tsc_hz : TSC_HZ_GUESS;
}

static u64 saturating_mul(u64 a, u64 b)
{
    u64 r;
    return __builtin_mul_overflow(a, b, &r) ? ~0ull : r;
}

/* Whole seconds and the rest apart: the rest times the frequency stays below 1e6 * 2^34, so nothing overflows at any
 * frequency up to 17 GHz. */
u64 tsc_from_us(u64 us)
{
    u64 whole = saturating_mul(us / US_PER_S, hz()), rest = us % US_PER_S * hz() / US_PER_S;
    return whole > ~0ull - rest ? ~0ull : whole + rest;
}

/* Likewise: the rest is below 2^34 ticks, times 1e9 < 2^30 fits in 64 bits. */
u64 tsc_to_ns(u64 ticks)
{
    return ticks / hz() * NS_PER_S + ticks % hz() * NS_PER_S / hz();
}

u64 wait_ms(u64 ms)
{
    return saturating_mul(tsc_from_us(saturating_mul(ms, 1000)), wait_scale);
}

bool wait_look(struct wait *w)
{
    u64 now = rdtsc();
    w->left = WAIT_SPINS_PER_LOOK;
    if (w->start == 0) {
        w->start = now ? now : 1; /* 0 means "not looked yet" */
        return true;
    }
    /* A clock that went back (a hypervisor moved us) has not reached any limit. */
    return w->limit == 0 || now < w->start || now - w->start < w->limit;
}

void delay_us(u64 us)
{
    u64 start = rdtsc(), ticks = tsc_from_us(us);
    while (rdtsc() - start < ticks)
        cpu_pause();
}
