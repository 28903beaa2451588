/* One-shot calls by the local APIC timer.
 *
 * What decides is the deadline in TSC ticks: an interrupt that comes before it (the timer holds 32 bits only, the
 * calibration may be off, an earlier setting may have been pending) only sets the timer again. */
#include "kernel/timer.h"

#include "apic/apic.h"
#include "kernel/clock.h"
#include "lib/percpu.h"
#include "lib/wait.h"

struct timer {
    void (*fn)(void); /* NULL: nothing is pending */
    u64 deadline;     /* TSC */
};
static PERCPU(struct timer, timer_pending);

/* Starts the timer for so many TSC ticks, or for as long as it can. */
static void start_timer(u64 tsc_ticks)
{
    /* Whole seconds apart, so that nothing overflows: the rest is below 2^34, the timer's frequency below 2^28. */
    u64 seconds = tsc_ticks / tsc_hz, rest = tsc_ticks % tsc_hz * apic_timer_hz / tsc_hz;
    u64 ticks = seconds > 0xffffffff ? ~0ull : seconds * apic_timer_hz + rest;
    apic_timer_oneshot(ticks > 0xffffffff ? 0xffffffff : ticks ? (u32)ticks : 1);
}

static void timer_interrupt(vector_t v)
{
    (void)v;
    void (*fn)(void) = this_cpu(timer_pending.fn);
    u64 deadline = this_cpu(timer_pending.deadline), now = rdtsc();
    apic_eoi();
    if (!fn)
        return;
    if (now < deadline) {
        start_timer(deadline - now);
        return;
    }
    this_cpu(timer_pending.fn) = NULL; /* first, because fn may set the next call */
    fn();
}
VECTOR_HANDLER(timer, VECTOR_TIMER, timer_interrupt);

err_t timer_oneshot_us(u64 us, void (*fn)(void))
{
    if (!apic_timer_hz || !tsc_hz)
        return ERR_UNSUPPORTED;
    if (!fn)
        return ERR_INVAL;
    u64 ticks = tsc_from_us(us), now = rdtsc();
    bool was_on = irq_save(); /* the timer's interrupt must not see one half of the change */
    this_cpu(timer_pending.deadline) = now + ticks < now ? ~0ull : now + ticks;
    this_cpu(timer_pending.fn) = fn;
    start_timer(ticks);
    irq_restore(was_on);
    return ERR_OK;
}

void timer_cancel(void)
{
    bool was_on = irq_save();
    apic_timer_stop();
    this_cpu(timer_pending.fn) = NULL; /* an interrupt that is pending already finds nothing to do */
    irq_restore(was_on);
}

void timer_oneshot_raw(u32 ticks, void (*fn)(void))
{
    bool was_on = irq_save();
    this_cpu(timer_pending.deadline) = 0; /* long past, so that any interrupt calls */
    this_cpu(timer_pending.fn) = fn;
    apic_timer_oneshot(ticks);
    irq_restore(was_on);
}
