/* Time arithmetic without overflow at any frequency, and waits that end when they should.
 *
 *     sources: lib/wait.c
 *     sanitize: address,undefined
 */
#include "lib/wait.h"

#include "tests/host/host.h"

static const u64 frequencies[] = {1000000,    999999,     100000000,  1193182,     1497600000,
                                  2893299000, 3999999999, 4000000000, 10000000000, 17000000000};

HOST_TEST(ticks_to_ns_is_exact)
{
    for (u32 f = 0; f < ARRAY_SIZE(frequencies); f++) {
        tsc_hz = frequencies[f];
        for (u32 shift = 0; shift < 64; shift++) {
            for (s32 off = -1; off <= 1; off++) {
                u64 ticks = (1ull << shift) + (u64)(s64)off;
                unsigned __int128 ns = (unsigned __int128)ticks * 1000000000u / tsc_hz;
                if (ns >> 64 == 0 && tsc_to_ns(ticks) != (u64)ns)
                    HOST_CHECK(false, "%lu ticks at %lu Hz: %lu", ticks, tsc_hz, tsc_to_ns(ticks));
            }
        }
        HOST_CHECK(tsc_to_ns(tsc_hz) == 1000000000u, "a second at %lu Hz", tsc_hz);
    }
    tsc_hz = 0;
}

HOST_TEST(us_to_ticks_is_exact_or_saturates)
{
    for (u32 f = 0; f < ARRAY_SIZE(frequencies); f++) {
        tsc_hz = frequencies[f];
        for (u32 shift = 0; shift < 64; shift++) {
            u64 us = (1ull << shift) - 1 + shift;
            unsigned __int128 ticks = (unsigned __int128)us * tsc_hz / 1000000u;
            u64 expected = ticks >> 64 ? ~0ull : (u64)ticks;
            HOST_CHECK(tsc_from_us(us) == expected, "%lu us at %lu Hz: %lu, expected %lu", us, tsc_hz,
                       tsc_from_us(us), expected);
        }
    }
    tsc_hz = 0;
}

HOST_TEST(limits_are_scaled_and_guessed)
{
    tsc_hz = 0;
    HOST_CHECK(tsc_from_us(1000) == 4000000, "4 GHz is assumed before calibration: %lu", tsc_from_us(1000));
    HOST_CHECK(tsc_to_ns(4000) == 1000, "%lu", tsc_to_ns(4000));
    tsc_hz = 1000000000;
    HOST_CHECK(wait_ms(3) == 3000000, "%lu", wait_ms(3));
    wait_scale = 20;
    HOST_CHECK(wait_ms(3) == 60000000, "%lu", wait_ms(3));
    HOST_CHECK(tsc_from_us(3000) == 3000000, "plain conversions are not scaled");
    HOST_CHECK(wait_ms(~0ull) == ~0ull, "the longest limit saturates");
    wait_scale = 1;
    tsc_hz = 0;
}

HOST_TEST(a_wait_ends_after_its_limit)
{
    tsc_hz = 1000000000;
    struct wait w = WAIT("nothing", wait_ms(5));
    u64 before = rdtsc(), spins = 0;
    while (wait_spin(&w))
        spins++;
    u64 took = rdtsc() - before;
    HOST_CHECK(took >= wait_ms(5), "%lu ticks, the limit is %lu", took, wait_ms(5));
    HOST_CHECK(spins >= WAIT_SPINS_PER_LOOK, "the first look only records the start: %lu spins", spins);
    HOST_CHECK(!wait_look(&w), "once passed, the limit stays passed");
    tsc_hz = 0;
}

HOST_TEST(the_first_look_records_the_start)
{
    struct wait w = WAIT("nothing", 1);
    for (u32 i = 0; i < WAIT_SPINS_PER_LOOK - 1; i++)
        if (!wait_spin(&w) || w.start != 0)
            HOST_CHECK(false, "spin %u looked at the clock", i);
    HOST_CHECK(wait_spin(&w), "a limit of one tick has not passed at the first look");
    HOST_CHECK(w.start != 0 && w.left == WAIT_SPINS_PER_LOOK, "start %lu", w.start);
    HOST_CHECK(!wait_look(&w), "it has at the second");
}

HOST_TEST(no_limit_and_backward_clocks)
{
    struct wait w = WAIT("ever", 0);
    for (u32 i = 0; i < 4; i++)
        HOST_CHECK(wait_look(&w), "look %u", i);
    struct wait future = WAIT("a clock that went back", 10);
    future.start = rdtsc() + (1ull << 40);
    HOST_CHECK(wait_look(&future), "a start in the future is no expired limit");
}

HOST_TEST(delays_last)
{
    tsc_hz = 1000000000;
    u64 before = rdtsc();
    delay_us(2000);
    u64 took = rdtsc() - before;
    HOST_CHECK(took >= 2000000, "%lu ticks", took);
    tsc_hz = 0;
}
