/* Faults of CPUs that the kernel survives: for kernel/fault_inject.c. Each makes shootdowns meanwhile, on a space that CPU 1 has loaded,
 * and says how they ended. THREAD on CPU 0; needs 2 CPUs. */
#pragma once

#include "lib/types.h"

void fault_hold(u64 ms);     /* CPU 1 has its interrupts off for so long */
void fault_stall(u64 ms);    /* CPU 1 stays in a message's function for so long */
void fault_nmi_storm(u64 n); /* so many NMIs to every CPU, in the middle of shootdowns */
