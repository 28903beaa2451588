/* Which source of the TSC's frequency is believed, and what several windows of measuring amount to.
 *
 *     sources: kernel/clock_choose.c
 *     sanitize: address,undefined
 */
#include "kernel/clock_choose.h"

#include "tests/host/host.h"

#define CLAIM(hz_)                                                                                           \
    (struct clock_reading)                                                                                   \
    {                                                                                                        \
        .source = "claim", .hz = (hz_), .measured = false                                                    \
    }
#define MEASURED(hz_)                                                                                        \
    (struct clock_reading)                                                                                   \
    {                                                                                                        \
        .source = "measured", .hz = (hz_), .measured = true                                                  \
    }

static void expect(const struct clock_reading *r, u32 n, u32 chosen, u32 confirmed_by, const char *what)
{
    u32 by;
    u32 got = clock_choose(r, n, &by);
    HOST_CHECK(got == chosen && by == confirmed_by, "%s: chose %u confirmed by %u, expected %u by %u", what,
               got, by, chosen, confirmed_by);
}

HOST_TEST(choice_of_source)
{
    struct clock_reading hardware[] = {CLAIM(2899200000), MEASURED(2899350000), CLAIM(2900000000)};
    expect(hardware, 3, 0, 1, "an exact claim that a measurement confirms");
    /* 15h and 16h agree with each other in Bochs, but they are one claim: its clocks say otherwise. */
    struct clock_reading bochs[] = {CLAIM(1497600000), MEASURED(100003000), MEASURED(99998000),
                                    CLAIM(1500000000)};
    expect(bochs, 4, 1, 2, "two measurements against two claims");
    struct clock_reading tcg[] = {MEASURED(2893000000), MEASURED(2901000000)};
    expect(tcg, 2, 0, 1, "no claim");
    struct clock_reading odd_timer[] = {CLAIM(3000000000), MEASURED(1500000000), MEASURED(3001000000)};
    expect(odd_timer, 3, 0, 2, "one broken timer");
    struct clock_reading quarrel[] = {CLAIM(3000000000), MEASURED(1000000000)};
    expect(quarrel, 2, 1, 2, "what was measured wins over a lone claim");
    struct clock_reading both_bad[] = {MEASURED(1000000000), MEASURED(1100000000)};
    expect(both_bad, 2, 0, 2, "two measurements that differ");
    struct clock_reading claims[] = {CLAIM(2400000000), CLAIM(2400000000)};
    expect(claims, 2, 0, 2, "claims alone confirm nothing");
    expect(claims, 0, 0, 0, "nothing");
}

HOST_TEST(agreement)
{
    HOST_CHECK(clock_agree(1000000, 1020000) && clock_agree(1020000, 1000000), "2 %%");
    HOST_CHECK(!clock_agree(1000000, 1020001) && !clock_agree(1020001, 1000000), "a little more");
    HOST_CHECK(clock_agree(CLOCK_HZ_MAX, CLOCK_HZ_MAX), "the same");
}

/* A window of 2.5 ms at 3 GHz by the PM timer, read with the given doubt, off by `error` ticks. */
static struct clock_window window(u64 doubt, s64 error)
{
    u64 ref = 8949;
    u64 tsc = (u64)((s64)(ref * 3000000000u / 3579545) + error);
    return (struct clock_window){tsc, ref, doubt};
}

HOST_TEST(windows)
{
    struct clock_window one[] = {window(3000, 0)};
    u64 hz = clock_windows_hz(one, 1, 3579545);
    HOST_CHECK(hz > 2999900000 && hz < 3000100000, "one window: %lu", hz);

    /* The host took the CPU away in most windows: those were read badly and do not count. */
    struct clock_window busy[] = {window(900000, 700000),  window(3000, 1000),  window(90000, -80000),
                                  window(4000, -1000),     window(3500, 0),     window(2000000, 1900000),
                                  window(700000, -690000), window(20000, 19000)};
    hz = clock_windows_hz(busy, 8, 3579545);
    HOST_CHECK(hz > 2999500000 && hz < 3000500000, "busy host: %lu", hz);

    /* The counter wrapped unseen in two windows whose ends were read crisply. */
    struct clock_window wrapped[] = {window(3000, 0), window(3000, 200000000), window(3000, 10),
                                     window(3000, 5), window(3000, 150000000)};
    hz = clock_windows_hz(wrapped, 5, 3579545);
    HOST_CHECK(hz > 2999900000 && hz < 3000100000, "wrapped: %lu", hz);

    struct clock_window long_one[] = {{.tsc = ~0u, .ref = 1, .doubt = 0}};
    hz = clock_windows_hz(long_one, 1, 3579545);
    HOST_CHECK(hz == (u64)~0u * 3579545, "the longest window does not overflow: %lu", hz);
}
