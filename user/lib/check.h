/* Checks of programs that test the kernel: each is counted, the first failures are printed, and the number of failures is the
 * program's status. */
#pragma once

#include "kernel/abi/workload.h"
#include "user/lib/types.h"

/* Where the kernel wants to hear of it too; NULL: nowhere. Before the first check. */
void check_begin(struct workload *w);
/* The same for a program that shares something else with the kernel. */
void check_begin_at(struct workload_verdict *verdict);
/* True if ok; any thread. */
bool check(bool ok, const char *format, ...) PRINTF(2, 3);
/* Says how many checks there were, and returns the failures: what program() is to return. */
s64 check_end(void);

/* Runs fn(arg) in a thread of its own, which has to end by a fault. */
bool check_faults(void (*fn)(u64 arg), u64 arg, const char *what);
