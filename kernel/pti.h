/* Page-table isolation: ring 3 runs on roots that map next to nothing of the kernel (pti=on). */
#pragma once

#include "kernel/trap.h"

/* Boot CPU, once, when all per-CPU blocks and IST stacks exist (`stacks`: one entry for each CPU), before its own GDT is built
 * again and before the first space: builds what all user roots share and switches the entry paths over. Does nothing without
 * pti=on. */
void pti_init(const struct trap_stacks *stacks);
