/* How an idle CPU waits by MONITOR and MWAIT for its inbox. A header, because the simulated machine plays it too
 * (tests/sim/scenarios/idle_watch.c). */
#pragma once

#include "lib/x86/cpu.h"
#include "smp/message.h"

/* A store to the word between the caller's look and MONITOR is seen by our own look; one after it ends MWAIT. So does an interrupt,
 * though masked: it is taken behind. Where masked ones do not end MWAIT, STI stands before it as before HLT. `watched`:
 * inbox_watch_begin has marked the word. Interrupts off. */
static ALWAYS_INLINE void idle_mwait(bool watched, bool breaks_on_masked)
{
    cpu_monitor(inbox_watch_line());
    if (!breaks_on_masked) {
        if (inbox_watch_is_quiet())
            irq_enable_and_mwait();
    } else if (watched ? !inbox_watch_has_come() : inbox_watch_is_quiet()) {
        cpu_mwait(MWAIT_BREAK_ON_MASKED);
    }
}
