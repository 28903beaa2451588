/* What a CPU does while no thread is ready on it. */
#pragma once

#include "lib/types.h"

/* Waits for an interrupt, or returns early: the caller looks again for what it waits for. Interrupts off before and after, and since
 * the caller has looked. */
void idle_wait(void);
/* The idle thread's loop: runs what becomes ready, else waits. Interrupts off. */
NORETURN void idle_loop(void);

/* Lets other threads run for about a millisecond, and messages be served. Before there are threads the CPU halts instead; before the
 * APIC timer is calibrated it executes PAUSE and returns at once. THREAD. */
void idle_for_a_tick(void);
