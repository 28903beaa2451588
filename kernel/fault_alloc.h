/* Allocations that fail on purpose (mm/fail.h): for fault=alloc:N and tests/alloc_failure.c. THREAD. */
#pragma once

#include "lib/types.h"

/* Between these two every CPU allocates where allocations are counted, which is slower. */
void fault_alloc_begin(void);
void fault_alloc_end(void);

/* The Nth allocation from now on, by any CPU, is refused. */
void fault_alloc_arm(u64 n);
/* No more; true: it has been refused. */
bool fault_alloc_disarm(void);
/* What was refused last, and who had asked for it. */
void fault_alloc_report(void);

/* fault=alloc:N */
void fault_alloc(u64 n);
