/* The end: stop every CPU by NMI, print cause, registers and a symbolised backtrace of each CPU, end the machine.
 * Works at any time, from the first line of C on. On the command line, panic=halt leaves the machine standing
 * instead. */
#pragma once

#include "kernel/trap.h"
#include "lib/assert.h"

/* A trap that nothing explains. `what` completes the vector's name: "page fault (#PF): what". */
NORETURN void panic_trap(struct trap_frame *f, const char *what);
/* Prints the backtrace of the given frame pointer / instruction pointer; stops at the first implausible frame. Any
 * context. */
void backtrace_print(u64 rip, u64 rbp);
/* Asks `cpu` by NMI to print its registers and backtrace, waits up to 100 ms (scaled) for it. Thread or IRQ-OFF. */
void backtrace_remote(cpu_t cpu);

/* Panic hooks: run when all else has been printed, the other CPUs stopped, so that a hook that fails costs nothing
 * but itself. Must not allocate or wait. */
struct panic_hook {
    const char *name;
    void (*fn)(void);
};
TABLE_DECLARE(panic_hook, struct panic_hook);
#define PANIC_HOOK(ident, fn_) TABLE_ENTRY(panic_hook, struct panic_hook, ident) = {.name = #ident, .fn = fn_}
