/* One timer, several uses: it is always set for the earliest of their deadlines.
 *
 * What decides is the deadline in TSC ticks: an interrupt that comes before it (the one-shot timer holds 32 bits only, the
 * calibration may be off, an earlier setting may have been pending) only sets the timer again. */
#include "kernel/timer.h"

#include "apic/apic.h"
#include "kernel/clock.h"
#include "kernel/trap.h"
#include "lib/atomic.h"
#include "lib/features.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/percpu.h"
#include "lib/string.h"
#include "lib/wait.h"

#define NEVER   (~0ull)
#define SERVING 1u

struct timer {
    struct {
        void (*fn)(void); /* NULL: nothing is pending */
        u64 deadline;     /* TSC */
    } use[TIMER_USES];
    u64 set_for; /* what the hardware has been set for; 0: nothing; SERVING: its interrupt is, and sets it at its end */
    u32 early; /* interrupts at which nothing was due */
    bool by_deadline;
};
static PERCPU(struct timer, timer);

/* ---- the hardware ---- */

/* For so many TSC ticks, or for as long as the counter can. */
static void start_oneshot(u64 tsc_ticks)
{
    /* Whole seconds apart, so that nothing overflows: the rest is below 2^34, the timer's frequency below 2^28. */
    u64 seconds = tsc_ticks / tsc_hz, rest = tsc_ticks % tsc_hz * apic_timer_hz / tsc_hz;
    u64 ticks = seconds > 0xffffffff ? ~0ull : seconds * apic_timer_hz + rest;
    apic_timer_oneshot(ticks > 0xffffffff ? 0xffffffff : ticks ? (u32)ticks : 1);
}

static void start(u64 deadline)
{
    this_cpu(timer.set_for) = deadline;
    if (this_cpu(timer.by_deadline)) {
        apic_timer_deadline(deadline);
    } else {
        u64 now = rdtsc();
        start_oneshot(deadline > now ? deadline - now : 1);
    }
}

static void stop(void)
{
    this_cpu(timer.set_for) = 0;
    if (this_cpu(timer.by_deadline))
        apic_timer_deadline(0);
    else
        apic_timer_stop();
}

static void start_earliest(void)
{
    u64 earliest = NEVER;
    for (u32 i = 0; i < TIMER_USES; i++)
        if (this_cpu(timer.use[i].fn))
            earliest = MIN(earliest, MAX(this_cpu(timer.use[i].deadline), SERVING + 1));
    if (earliest != NEVER)
        start(earliest);
}

static void timer_interrupt(vector_t v)
{
    (void)v;
    apic_eoi();
    this_cpu(timer.set_for) = SERVING;
    u64 now = rdtsc();
    bool due = false;
    for (u32 i = 0; i < TIMER_USES; i++) {
        void (*fn)(void) = this_cpu(timer.use[i].fn);
        if (!fn || now < this_cpu(timer.use[i].deadline))
            continue;
        due = true;
        this_cpu(timer.use[i].fn) = NULL; /* first, because fn may set the next call */
        fn();
    }
    this_cpu(timer.early) += !due;
    this_cpu(timer.set_for) = 0;
    start_earliest();
}
VECTOR_HANDLER(timer, VECTOR_TIMER, timer_interrupt);

/* ---- uses ---- */

bool timer_is_usable(void)
{
    return apic_timer_hz && tsc_hz;
}

void timer_set(enum timer_use use, u64 deadline, void (*fn)(void))
{
    this_cpu(timer.use[use].deadline) = deadline;
    this_cpu(timer.use[use].fn) = fn;
    u64 set_for = this_cpu(timer.set_for);
    if (timer_is_usable() && (!set_for || deadline < set_for))
        start(MAX(deadline, SERVING + 1));
}

void timer_clear(enum timer_use use)
{
    /* The hardware stays set: its interrupt finds nothing to do, and that is rarer than calls taken back. */
    this_cpu(timer.use[use].fn) = NULL;
}

err_t timer_oneshot_us(u64 us, void (*fn)(void))
{
    if (!timer_is_usable())
        return ERR_UNSUPPORTED;
    if (!fn)
        return ERR_INVAL;
    u64 ticks = tsc_from_us(us), now = rdtsc();
    bool was_on = irq_save(); /* the timer's interrupt must not see one half of the change */
    timer_set(TIMER_ONESHOT, now + ticks < now ? NEVER - 1 : now + ticks, fn);
    irq_restore(was_on);
    return ERR_OK;
}

void timer_cancel(void)
{
    bool was_on = irq_save();
    timer_clear(TIMER_ONESHOT); /* an interrupt that is pending already finds nothing to do */
    irq_restore(was_on);
}

void timer_oneshot_raw(u32 ticks, void (*fn)(void))
{
    bool was_on = irq_save();
    this_cpu(timer.use[TIMER_ONESHOT].deadline) = 0; /* long past, so that any interrupt calls */
    this_cpu(timer.use[TIMER_ONESHOT].fn) = fn;
    apic_timer_oneshot(ticks);
    irq_restore(was_on);
}

/* ---- the mode ---- */

/* Far more than an interrupt needs, little enough to be waited for where it never comes. */
#define PROBE_US       200u
#define PROBE_LIMIT_US 20000u

static enum { MODE_AUTO, MODE_ONESHOT, MODE_DEADLINE } wanted;

static const char *set_mode(const char *value)
{
    static const char *const names[] = {"auto", "oneshot", "deadline"};
    for (u32 i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(value, names[i]) == 0) {
            wanted = i;
            return NULL;
        }
    return "auto, oneshot or deadline";
}
PARAM(timer, "timer",
      "timer=auto|oneshot|deadline  the mode of the local APIC timers; auto tries TSC-deadline at boot",
      set_mode);

static u64 probe_fired; /* TSC. Written by the interrupt on the same CPU. */

static void note_probe(void)
{
    atomic_store_relaxed(&probe_fired, rdtsc());
}

/* What an earlier setting has left pending comes before its time, once. */
#define EARLY_LIMIT    3u

#define MSR_TSC_ADJUST 0x3bu

/* Firmware that sets the time-stamp counter back leaves a negative sum here, and with that there are processors whose deadline timer
 * fires at once, again and again. A positive one does no harm, nor does another one than CPU 0's: each CPU's deadlines are
 * compared with its own counter. */
static bool tsc_was_set_back(void)
{
    u64 adjust; /* the register is not there on all CPUs */
    return safe_rdmsr(MSR_TSC_ADJUST, &adjust) == 0 && (s64)adjust < 0;
}
static const char set_back[] = "firmware has set the TSC back (IA32_TSC_ADJUST is negative)";

/* CPUID's promise is not enough: emulators have been seen that take the deadline and never raise the interrupt, so that kernels
 * which believe it wait for ever. On Bochs 2.7 it comes, here. And one that comes before its time is not better: each is set
 * again, so that it would come for ever. NULL: it comes once, when it is due. */
static const char *deadline_fault(void)
{
    if (tsc_was_set_back())
        return set_back;
    struct wait w = WAIT("the TSC-deadline timer's interrupt", tsc_from_us(PROBE_LIMIT_US));
    this_cpu(timer.early) = 0;
    atomic_store_relaxed(&probe_fired, 0);
    timer_set(TIMER_ONESHOT, rdtsc() + tsc_from_us(PROBE_US), note_probe);
    irq_enable();
    while (!atomic_load_relaxed(&probe_fired) && this_cpu(timer.early) < EARLY_LIMIT && wait_spin(&w))
        ;
    irq_disable();
    timer_clear(TIMER_ONESHOT);
    if (this_cpu(timer.early) >= EARLY_LIMIT)
        return "its interrupt comes before its time, again and again";
    return atomic_load_relaxed(&probe_fired) ? NULL : "its interrupt does not come";
}

static void use_deadline(bool deadline)
{
    stop();
    this_cpu(timer.by_deadline) = deadline;
    apic_timer_mode(deadline);
}

void timer_init(void)
{
    stop(); /* what the calibration has left */
    if (!timer_is_usable() || !features.tsc_deadline || wanted == MODE_ONESHOT) {
        if (wanted == MODE_DEADLINE)
            log_warn("timer: this CPU has no TSC-deadline mode: one-shot is used");
        return;
    }
    use_deadline(true);
    const char *fault = wanted == MODE_DEADLINE ? NULL : deadline_fault();
    if (!fault) {
        log_info("timer: TSC-deadline mode");
        return;
    }
    use_deadline(false);
    log_warn("timer: CPUID promises TSC-deadline mode, but %s: one-shot is used", fault);
}

void timer_init_cpu(void)
{
    if (!per_cpu(timer.by_deadline, 0))
        return;
    if (wanted != MODE_DEADLINE && tsc_was_set_back())
        log_warn("timer: no TSC-deadline mode on CPU %u: %s: one-shot is used there", cpu_self(), set_back);
    else
        use_deadline(true);
}

const char *timer_mode_name(void)
{
    return !timer_is_usable() ? "none" : per_cpu(timer.by_deadline, 0) ? "tsc-deadline" : "one-shot";
}
