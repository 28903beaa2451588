/* Runs a function on another CPU as a thread: interrupts on, its own stack, for as long as it likes. This is how tests and
 * benchmarks keep other CPUs busy in the kernel: one thread a CPU, made at boot and pinned there, so that starting work
 * allocates nothing. */
#pragma once

#include "lib/cpumask.h"
#include "lib/types.h"

/* Boot CPU, once, after the others have started: makes the worker of each. THREAD. */
void worker_init(void);

/* Starts fn(arg) on an idle worker. What the caller has written before is visible to fn. ERR_EXIST: it still has work;
 * ERR_ABSENT: not online, or parked; ERR_INVAL: CPU 0, which has no worker. THREAD or IRQ-OFF. */
err_t worker_start(cpu_t cpu, void (*fn)(void *arg), void *arg) MUST_CHECK;
/* Waits until that CPU's worker is idle again; what its work has written is visible then. ERR_TIMEOUT after limit_ms scaled
 * by wait_scale, the work going on (0: no limit); ERR_ABSENT: not online. THREAD. */
err_t worker_wait(cpu_t cpu, u64 limit_ms) MUST_CHECK;
bool worker_busy(cpu_t cpu); /* cpu < MAX_CPUS */
