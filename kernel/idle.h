/* What a CPU does while no thread is ready on it. */
#pragma once

#include "lib/features.h"
#include "lib/types.h"

/* Waits for an interrupt, or returns early: the caller looks again for what it waits for. Interrupts off before and after, and since
 * the caller has looked. */
void idle_wait(void);
/* The idle thread's loop: runs what becomes ready, else waits. Interrupts off. */
NORETURN void idle_loop(void);

/* Lets other threads run for about a millisecond, and messages be served. Before there are threads the CPU halts instead; before the
 * APIC timer is calibrated it executes PAUSE and returns at once. THREAD. */
void idle_for_a_tick(void);

/* ---- how it waits: idle= (kernel/idle_choose.c) ---- */

enum idle_how {
    IDLE_HALT,  /* HLT: woken by interrupts only */
    IDLE_MWAIT, /* MONITOR of the CPU's own pending word, MWAIT: by a store to it too */
    IDLE_POLL,  /* PAUSE, and looks at that word */
    IDLE_AUTO,  /* to be asked for: MWAIT on hardware that has it without errors, else HLT */
};

/* What decides. */
struct idle_facts {
    const struct cpu_features *cpu;
    enum emulator emulator;
    u32 line_min, line_max; /* CPUID.05H: sizes of the monitored range, bytes; 0: it does not say */
    bool
        break_on_masked; /* MWAIT can be ended by interrupts that are masked (CPUID.05H:ECX[1:0], and tried) */
};
struct idle_choice {
    enum idle_how how;
    const char *why;
};
/* Any context. */
struct idle_choice idle_choose(enum idle_how asked, const struct idle_facts *f);

/* Boot CPU, after timer_init: chooses, and says what and why. */
void idle_init(void);
/* Boot CPU, when all CPUs have their workers: if idle CPUs are to use MWAIT, whether a store really ends it here. */
void idle_init_others(void);
/* The choice anew, for all CPUs from their next wait on; says it. ERR_UNSUPPORTED: this machine cannot, nothing changed. THREAD. */
err_t idle_use(enum idle_how asked) MUST_CHECK;
enum idle_how idle_how(void);
const char *idle_name(void); /* of what is in force */
/* Can a store alone wake an idle CPU of this machine, as it is set now? */
bool idle_is_told_by_store(void);
/* The same of a way to wait. Any context. */
bool idle_how_is_told_by_store(enum idle_how how);
