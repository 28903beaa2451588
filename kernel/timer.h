/* One pending call on each CPU, by the local APIC timer in one-shot mode. kernel/clock.h:clock_init_apic_timer
 * comes first. */
#pragma once
#include "lib/types.h"

/* Calls fn on this CPU in interrupt context (lib/context.h: IPI), not before `us` microseconds have passed by the
 * TSC. One call is pending at most: a second one replaces the first. fn may set the next. ERR_UNSUPPORTED: the
 * timer was not calibrated; ERR_INVAL: no fn. THREAD, IRQ-OFF, IPI; preemption off. */
err_t timer_oneshot_us(u64 us, void (*fn)(void)) MUST_CHECK;
/* Forgets this CPU's pending call: fn will not run after this returns. Contexts as above. */
void timer_cancel(void);
/* Calls fn after so many ticks of the APIC timer, not 0, whatever they last: for calibration. Contexts as above. */
void timer_oneshot_raw(u32 ticks, void (*fn)(void));
