/* Stopping every other CPU for good, by NMI: what panic does first. And what a CPU says of itself when asked by NMI. */
#pragma once

#include "kernel/backtrace.h"
#include "lib/cpumask.h"
#include "lib/percpu.h"

/* What a CPU was doing when the NMI came; written by that CPU only. */
struct cpu_snapshot {
    u64 rip, rsp, rbp, rflags, cr3;
    struct backtrace trace;
};
void snapshot_take(struct cpu_snapshot *s, const struct trap_frame *f);
void snapshot_print(const struct cpu_snapshot *s);

/* Whether the running CPU's APIC is on in the chosen mode, so that interrupts can be sent and ended: asked by what
 * must also work early in the boot. Slow (RDMSR). Any context. */
bool apic_is_usable_here(void);

/* Stops all other online CPUs; they never run again. Waits a bounded time; those that answered are in *stopped. Any
 * context, at any time: with no other CPU online it does nothing. The caller is the only one who ever calls it
 * (kernel/panic.c). */
void stop_others(cpumask_t *stopped);
/* What a stopped CPU said. */
const struct cpu_snapshot *stop_snapshot(cpu_t cpu);
/* The running CPU stops by itself, because another one is panicking; it will be listed as stopped, with this place. */
NORETURN void stop_here(u64 rip, u64 rbp);
/* NMI context: does not return if this CPU is to stop. */
void stop_if_asked_nmi(const struct trap_frame *f);
