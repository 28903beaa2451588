/* Faults of CPUs that the kernel survives: for kernel/fault_inject.c. Each makes shootdowns meanwhile, on a space that CPU 1 has loaded,
 * and says how they ended. THREAD on CPU 0; needs 2 CPUs. */
#pragma once

#include "lib/types.h"
#include "smp/message.h"

#define FAULT_VICTIM 1u

void fault_hold(u64 ms);     /* CPU 1 has its interrupts off for so long */
void fault_stall(u64 ms);    /* CPU 1 stays in a message's function for so long */
void fault_nmi_storm(u64 n); /* so many NMIs to every CPU, in the middle of shootdowns */

/* ---- for kernel/fault_ipi.c and kernel/fault_dead.c ---- */

/* A space that CPU 1 has loaded, with interrupts off for so long, if not 0; and the end of it, with a line in the log. */
struct space *fault_begin(u64 ms);
void fault_end(struct space *s, const char *what, u64 changes);
/* One shootdown of it. */
void fault_change(struct space *s);
/* CPU 1 runs a message's function for so long; returns when it does. Once between fault_begin and fault_end. */
void fault_stall_victim(u32 flags, u64 ms);
/* Makes the watchdog as impatient as a fault of so many milliseconds needs; returns what it was, to be put back. */
struct msg_watchdog fault_hurry(u64 ms);
u64 fault_count(const char *counter);
