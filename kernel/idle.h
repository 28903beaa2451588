/* What a CPU does while no thread is ready on it. */
#pragma once

#include "lib/types.h"

/* The idle thread's loop: runs what becomes ready, else waits for an interrupt. Interrupts off. */
NORETURN void idle_loop(void);

/* Lets other threads run for about a millisecond, and messages be served. Before there are threads the CPU halts instead; before the
 * APIC timer is calibrated it executes PAUSE and returns at once. THREAD. */
void idle_for_a_tick(void);
