/* Runs a function on another CPU as a thread: interrupts on, its own stack, for as long as it likes. Until there are real
 * threads, this is how tests and benchmarks keep other CPUs busy. */
#pragma once

#include "lib/cpumask.h"
#include "lib/types.h"

/* What every CPU but 0 runs once it is online: takes work, else idles (HLT; a doorbell wakes it). Never returns. */
NORETURN void worker_loop(void);

/* Starts fn(arg) on an idle worker. What the caller has written before is visible to fn. ERR_EXIST: it still has work;
 * ERR_ABSENT: not online; ERR_INVAL: CPU 0, which is no worker. THREAD or IRQ-OFF. */
err_t worker_start(cpu_t cpu, void (*fn)(void *arg), void *arg) MUST_CHECK;
/* Waits until that CPU's worker is idle again; what its work has written is visible then. ERR_TIMEOUT after limit_ms scaled
 * by wait_scale, the work going on (0: no limit); ERR_ABSENT: not online. THREAD. */
err_t worker_wait(cpu_t cpu, u64 limit_ms) MUST_CHECK;
bool worker_busy(cpu_t cpu); /* cpu < MAX_CPUS */
