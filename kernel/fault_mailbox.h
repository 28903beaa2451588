/* fault_mailbox=on: plays firmware that has its CPUs wait for a wake-up in memory (smp/ap_mailbox.h), as no emulator's firmware does. Each
 * CPU is started by SIPI into a loop that knows nothing of the kernel: own tables, which map three pages one to one and no kernel, own
 * segments, NX off. */
#pragma once

#include "smp/cpus.h"

/* Boot CPU, before smp_start_all(start): if asked for, parks the CPUs in that loop, and puts the mailbox into *start. */
void fault_mailbox_prepare(struct smp_start *start);
