/* The local APIC timer's frequency, against the TSC.
 *
 * Reading its current count twice tells, with ends as crisp as a register read. But QEMU under -icount ends with
 * "Bad icount read" when that register is read in x2APIC mode. There the timer is let run down instead, and the
 * TSC taken when its interrupt arrives: exact under -icount, where time is counted in instructions, and bad
 * wherever a busy host delays the interrupt. */
#include "apic/apic.h"
#include "kernel/clock.h"
#include "kernel/timer.h"
#include "lib/atomic.h"
#include "lib/features.h"
#include "lib/log.h"
#include "lib/wait.h"

u64 apic_timer_hz;

/* Under -icount the TSC counts virtual nanoseconds, so it was measured as 1 GHz; else TCG shows the host's. A host
 * with a TSC of 1 GHz gets the second method too, and a coarser result when busy. */
static bool may_be_icount(void)
{
    return emulator == EMULATOR_TCG && tsc_hz > 990000000 && tsc_hz < 1010000000;
}

/* ---- by the current count; interrupts off ---- */

#define WINDOW_US 5000u

struct moment {
    u64 tsc, doubt; /* doubt: ticks that the reading took */
    u32 left;
};

static struct moment crispest_moment(void)
{
    struct moment best = {.doubt = ~0ull};
    for (u32 i = 0; i < 8; i++) {
        u64 before = rdtsc_ordered();
        u32 left = apic_timer_left();
        u64 took = rdtsc_ordered() - before;
        if (took < best.doubt)
            best = (struct moment){before + took / 2, took, left};
    }
    return best;
}

/* 0 if it does not count. Time need not run smoothly between the two ends; if the host disturbed all readings at
 * one of them, it is tried again, and the crispest of three counts. */
static u64 measure_by_count(void)
{
    u64 best_hz = 0, best_doubt = ~0ull;
    for (u32 i = 0; i < 3; i++) {
        apic_timer_oneshot(0xffffffff); /* lasts over 10 s at any frequency below 400 MHz */
        struct moment start = crispest_moment();
        delay_us(WINDOW_US);
        struct moment end = crispest_moment();
        apic_timer_stop();
        u64 doubt = start.doubt + end.doubt, tsc = end.tsc - start.tsc;
        if (end.left && end.left < start.left && doubt < best_doubt) {
            best_doubt = doubt;
            best_hz = (u64)(start.left - end.left) * tsc_hz / tsc;
        }
        if (doubt < tsc / 200) /* known to half a percent */
            break;
    }
    return best_hz;
}

/* ---- by its interrupt; interrupts on ---- */

static u64 fired_at; /* TSC; 0: not yet. Written by the interrupt on the same CPU. */

static void note_fired(void)
{
    atomic_store_relaxed(&fired_at, rdtsc());
}

/* TSC ticks from the start of a one-shot of `count` to its interrupt; 0 if none came. */
static u64 time_shot(u32 count)
{
    struct wait w = WAIT("the local APIC timer's interrupt", tsc_from_us(50000));
    atomic_store_relaxed(&fired_at, 0);
    u64 start = rdtsc_ordered();
    timer_oneshot_raw(count, note_fired);
    while (!atomic_load_relaxed(&fired_at))
        if (!wait_spin(&w)) {
            timer_cancel();
            return 0;
        }
    return MAX(atomic_load_relaxed(&fired_at) - start, 1);
}

/* Grows by 4 until a shot takes 2 ms, beside which entering a handler is nothing. A timer that makes 2^26 counts
 * in less would run at over 30 GHz. */
static u64 measure_by_interrupt(void)
{
    u64 took, enough = tsc_from_us(2000);
    u32 count = 1024;
    irq_enable();
    while ((took = time_shot(count)) != 0 && took < enough && count < 1u << 26)
        count *= 4;
    irq_disable();
    return took ? count * tsc_hz / took : 0;
}

void clock_init_apic_timer(void)
{
    if (!tsc_hz) {
        log_warn("clock: the local APIC timer is not used, because the TSC's frequency is unknown");
        return;
    }
    bool was_on = irq_save();
    apic_timer_hz = may_be_icount() ? measure_by_interrupt() : measure_by_count();
    irq_restore(was_on);
    if (apic_timer_hz)
        log_info("clock: local APIC timer %lu.%03lu MHz (after division by 16)", apic_timer_hz / 1000000,
                 apic_timer_hz / 1000 % 1000);
    else
        log_warn("clock: the local APIC timer does not count; it is not used");
}
