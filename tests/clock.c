/* Time: the TSC moves as calibrated, waits end, the APIC timer calls, CPUs are in step or said not to be. */
#include "kernel/clock.h"

#include "kernel/clock_choose.h"
#include "kernel/timer.h"
#include "kernel/tsc_sync.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/wait.h"
#include "smp/cpus.h"
#include "tests/test.h"

static void clock_calibrated(struct test *t)
{
    REQUIRE(t, tsc_hz >= CLOCK_HZ_MIN && tsc_hz <= CLOCK_HZ_MAX, "tsc_hz is %lu", tsc_hz);
    CHECK(t, clock_step >= 1, "the step is %lu", clock_step);
    u64 last = rdtsc(), moved = 0;
    for (u32 i = 0; i < 1000; i++) {
        u64 now = rdtsc();
        CHECK(t, now >= last, "the TSC went back by %lu", last - now);
        CHECK(t, (now - last) % clock_step == 0, "a difference of %lu is no multiple of the step %lu",
              now - last, clock_step);
        moved += now - last;
        last = now;
    }
    CHECK(t, moved > 0, "the TSC stands still");
}
TEST(clock_calibrated,
     "the TSC never goes back, moves in multiples of clock_step, and has a plausible frequency");

static void clock_delays(struct test *t)
{
    /* One interval inside the other, so that nothing that happens between two readings can turn them round. */
    u64 tsc = rdtsc(), ns = clock_ns();
    delay_us(1000);
    u64 inner = clock_ns() - ns, outer = tsc_to_ns(rdtsc() - tsc);
    CHECK(t, inner + 2 >= 1000000, "a delay of 1 ms took %lu ns by clock_ns",
          inner); /* 2: rounding down, twice */
    CHECK(t, outer + 2 >= inner, "clock_ns moved by %lu ns inside %lu ns of the TSC", inner, outer);
}
TEST(clock_delays, "delay_us lasts at least as long as asked, and clock_ns agrees with the TSC");

static void clock_waits_end(struct test *t)
{
    u64 start = rdtsc(), limit = tsc_from_us(500), turns = 0;
    struct wait w = WAIT("nothing", limit);
    while (wait_spin(&w))
        turns++;
    CHECK(t, rdtsc() - start >= limit, "a wait of %lu ticks ended after %lu", limit, rdtsc() - start);
    CHECK(t, turns >= 2 * WAIT_SPINS_PER_LOOK - 2, "it ended before its second look, after %lu turns", turns);
    CHECK(t, wait_ms(1) == tsc_from_us(1000) * wait_scale, "wait_ms(1) is %lu ticks", wait_ms(1));
}
TEST(clock_waits_end, "a bounded wait for nothing ends after its limit, not before");

static struct {
    u32 calls, in_irq;
    u64 at;
} fired;

static void note_call(void)
{
    atomic_store_relaxed(&fired.at, rdtsc());
    atomic_store_relaxed(&fired.in_irq, context_is_irq() && !irq_enabled());
    atomic_fetch_add(&fired.calls, 1);
}

static bool wait_for_calls(u32 n)
{
    struct wait w = WAIT("the timer's call", wait_ms(100));
    while (atomic_load_relaxed(&fired.calls) < n)
        if (!wait_spin(&w))
            return false;
    return true;
}

static void timer_calls_once(struct test *t)
{
    if (!apic_timer_hz) {
        test_skip(t, "the local APIC timer could not be calibrated");
        return;
    }
    static const u64 us[] = {0, 50, 3000};
    for (u32 i = 0; i < ARRAY_SIZE(us); i++) {
        atomic_store_relaxed(&fired.calls, 0);
        u64 start = rdtsc();
        REQUIRE(t, timer_oneshot_us(us[i], note_call) == ERR_OK, "%lu us were refused", us[i]);
        CHECK(t, wait_for_calls(1), "no call after %lu us", us[i]);
        u64 took = atomic_load_relaxed(&fired.at) - start;
        CHECK(t, took >= tsc_from_us(us[i]), "%lu us: called after %lu ticks, due after %lu", us[i], took,
              tsc_from_us(us[i]));
        CHECK(t, atomic_load_relaxed(&fired.in_irq), "the call did not come in interrupt context");
        delay_us(us[i] + 200);
        CHECK(t, atomic_load_relaxed(&fired.calls) == 1, "one-shot, but %u calls", fired.calls);
    }
}
TEST(timer_calls_once, "timer_oneshot_us calls once, in interrupt context, not before its time");

static void timer_replaced_and_cancelled(struct test *t)
{
    if (!apic_timer_hz) {
        test_skip(t, "the local APIC timer could not be calibrated");
        return;
    }
    CHECK(t, timer_oneshot_us(100, NULL) == ERR_INVAL, "a call of nothing was accepted");
    /* Both times the first setting expires while interrupts are off, so its interrupt is pending when it is taken
     * back. */
    atomic_store_relaxed(&fired.calls, 0);
    irq_disable();
    err_t first = timer_oneshot_us(100, note_call);
    delay_us(1000);
    timer_cancel();
    irq_enable();
    REQUIRE(t, first == ERR_OK, "refused");
    delay_us(1000);
    CHECK(t, atomic_load_relaxed(&fired.calls) == 0, "called %u times after timer_cancel", fired.calls);

    u64 start = rdtsc();
    irq_disable();
    first = timer_oneshot_us(100, note_call);
    delay_us(1000);
    err_t second = timer_oneshot_us(4000, note_call);
    irq_enable();
    REQUIRE(t, first == ERR_OK && second == ERR_OK, "refused");
    CHECK(t, wait_for_calls(1), "the second setting never called");
    u64 took = atomic_load_relaxed(&fired.at) - start;
    CHECK(t, took >= tsc_from_us(5000),
          "the pending interrupt of the first setting called after %lu ticks of %lu", took,
          tsc_from_us(5000));
}
TEST(timer_replaced_and_cancelled,
     "a cancelled call does not come; a replaced one comes at the second time only");

static void tsc_sync_finds_warps(struct test *t)
{
    cpumask_t online;
    cpumask_snapshot(&online, &cpus_online);
    cpu_t cpu = cpumask_next(&online, 1);
    if (cpu == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    struct tsc_probe plain, ahead, behind;
    /* Far more than any round trip takes: the time limit of a whole probe, scaled. */
    s64 skew = (s64)wait_ms(1000);
    REQUIRE(t, tsc_sync_probe(cpu, 0, &plain) == ERR_OK, "CPU %u did not answer", cpu);
    REQUIRE(t, tsc_sync_probe(cpu, skew, &ahead) == ERR_OK, "CPU %u did not answer", cpu);
    REQUIRE(t, tsc_sync_probe(cpu, -skew, &behind) == ERR_OK, "CPU %u did not answer", cpu);
    CHECK(t, plain.rounds && ahead.rounds && behind.rounds, "no round trips");
    CHECK(t, ahead.warp > 0 && ahead.offset > skew / 2,
          "%ld ticks ahead gave a warp of %lu, an offset of %ld", skew, ahead.warp, ahead.offset);
    CHECK(t, behind.warp > 0 && behind.offset < -skew / 2,
          "%ld ticks behind gave a warp of %lu, an offset of %ld", skew, behind.warp, behind.offset);
    /* Without a warp the stamp lay inside the quickest round trip. */
    CHECK(t, plain.warp || (plain.offset <= (s64)plain.doubt + 1 && plain.offset >= -(s64)plain.doubt - 1),
          "no warp, but an offset of %ld in a round trip of 2 * %lu", plain.offset, plain.doubt);
}
TEST(tsc_sync_finds_warps, "a counter that is ahead or behind is found, with its offset");
