/* Waiting for what raises no interrupt, without burning the CPU. */
#pragma once

/* Halts the running CPU until an interrupt arrives, at most about a millisecond; messages are served. Before the APIC
 * timer is calibrated it executes PAUSE and returns at once. THREAD. */
void idle_for_a_tick(void);
