/* Calls at a time, on the CPU that asked for them, by its local APIC timer: one pending call for each use.
 *
 * The timer runs in TSC-deadline mode where a test at boot has seen that fire, at its time, and on no CPU whose time-stamp counter was
 * set back; else one-shot. timer= on the command line insists.
 * kernel/clock.h:clock_init_apic_timer comes first. Contexts: THREAD, IRQ-OFF, IPI; preemption off. */
#pragma once
#include "lib/types.h"

enum timer_use {
    TIMER_ONESHOT,   /* timer_oneshot_us */
    TIMER_SLEEP,     /* the sleep queue's earliest deadline */
    TIMER_SLICE,     /* the end of the running thread's slice */
    TIMER_SHOOTDOWN, /* mm's deferred tickets */
    TIMER_PROFILE,   /* kernel/profile.c */
    TIMER_FAULT,     /* kernel/fault_ipi.c */
    TIMER_USES,
};

/* Calls fn on this CPU in interrupt context (lib/context.h: IPI), not before the TSC has reached `deadline`; replaces the use's
 * pending call. fn may set the next. Interrupts off. Where there is no timer nothing happens: see timer_is_usable. */
void timer_set(enum timer_use use, u64 deadline, void (*fn)(void));
/* Forgets the use's pending call: fn will not run after this returns. */
void timer_clear(enum timer_use use);
/* False where the timer was not calibrated: then nothing is ever called. */
bool timer_is_usable(void);

/* The use TIMER_ONESHOT, `us` microseconds from now by the TSC. ERR_UNSUPPORTED: there is no timer; ERR_INVAL: no fn. */
err_t timer_oneshot_us(u64 us, void (*fn)(void)) MUST_CHECK;
void timer_cancel(void);
/* Calls fn after so many ticks of the APIC timer, not 0, whatever they last: for calibration, before timer_init. */
void timer_oneshot_raw(u32 ticks, void (*fn)(void));

/* Boot CPU, once, after clock_init_apic_timer, interrupts off: chooses the mode. */
void timer_init(void);
/* Each AP, once it has its IDT, interrupts off: the same mode there, or one-shot. */
void timer_init_cpu(void);
const char *timer_mode_name(void); /* CPU 0's: "tsc-deadline", "one-shot", "none" */
