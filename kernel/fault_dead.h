/* A CPU that stops for good after boot: for kernel/fault_inject.c. (At bring-up: fault_ap= and fault_ap_dies=, smp/bringup.c.) */
#pragma once

#include "lib/types.h"

/* CPU 1 halts with interrupts off, and then a shootdown needs it: ends in a panic that names it. THREAD on CPU 0. */
void fault_dies(u64 n);
/* The same, inside an NMI: it does not even tell where it stands. */
void fault_dies_in_nmi(u64 n);
