/* The CPUs of this machine: our dense index against the hardware's sparse id, and who is online.
 *
 * Filled once on the boot CPU from what ACPI found (kernel/), before any AP starts; the online mask grows as they
 * arrive. Index 0 is the boot CPU. */
#pragma once

#include "lib/assert.h"
#include "lib/cpumask.h"
#include "lib/percpu.h"
#include "lib/types.h"

extern cpumask_t cpus_online; /* changed atomically; read with cpumask_snapshot or cpumask_test_relaxed */

u32 cpu_count(void);                /* CPUs that have an index: online ones and those that failed to start */
cpu_t cpu_by_apic_id(apic_id_t id); /* CPU_NONE if unknown; a binary search */
extern apic_id_t cpu_apic_ids[MAX_CPUS];              /* write-once; read with cpu_apic_id */
static ALWAYS_INLINE apic_id_t cpu_apic_id(cpu_t cpu) /* cpu < cpu_count() */
{
    DEBUG_ASSERT(cpu < cpu_count(), "a CPU index that was never given out");
    return cpu_apic_ids[cpu];
}
static inline bool cpu_is_online(cpu_t cpu)
{
    return cpu < MAX_CPUS && cpumask_test_relaxed(&cpus_online, cpu);
}
u32 cpu_online_count(void);

/* Declares a CPU found by firmware; boot CPU first. ERR_INVAL for the broadcast id, which names no CPU; ERR_EXIST for a
 * duplicate; ERR_FULL past MAX_CPUS. Boot CPU, before msg_init. */
err_t cpu_add(apic_id_t id) MUST_CHECK;

struct ap_mailbox;

/* What smp needs from above to start the others. The struct itself and page_virt are needed during the call only.
 *
 * Everything a CPU runs through must stay valid for ever: final_cr3, the stacks and entry in any case; the page and
 * temp_cr3 if smp_start_all returns less than cpu_count(), because a CPU that did not come in time may come later. */
struct smp_start {
    const void *trampoline; /* boot/trampoline.asm, from boot_info */
    u32 trampoline_size, trampoline_params_offset;
    u32 trampoline_mailbox_offset; /* where a CPU enters that comes by the mailbox */
    struct ap_mailbox *mailbox;    /* NULL: INIT and SIPI */
    paddr_t page;                  /* below 0xa0000, 4 KiB aligned, nobody else's */
    void *page_virt;               /* where it can be written */
    u64 temp_cr3;                  /* below 4 GiB: the kernel half, and the page one to one, executable */
    u64 final_cr3;                 /* the kernel's own tables, anywhere */
    u64 stack_top[MAX_CPUS];       /* by cpu_t; kernel virtual, 16-byte aligned */
    /* Runs on each AP, in 64-bit mode, interrupts off, on its stack, with the caller's CR0, CR4 (less PCIDE) and EFER.
     * Calls smp_cpu_online() when it can take messages. Never returns. */
    void (*entry)(u64 cpu);
    u64 wait_ms; /* how long to wait for the last of them, from the second SIPI on; scaled by wait_scale */
};

/* Starts every added CPU but the boot CPU, all in parallel: INIT to all, 10 ms, SIPI to all, 200 us, SIPI to those
 * that have not arrived, then waits for all at once. Returns how many are online, the boot CPU included. Names each
 * that did not come in the log; those stay offline for ever, and halt should they still come. Command line:
 * cpus_max=N starts N CPUs at most; fault_ap=N sends CPU N's INIT and SIPI to an id that no CPU has. Thread, boot
 * CPU, once. */
u32 smp_start_all(const struct smp_start *s);

/* For a test that plays firmware with a mailbox: sends every CPU to s->entry, as smp_start_all does, and waits for none; it may be called
 * before that. */
void smp_start_elsewhere(const struct smp_start *s);

/* How smp_start_all went, for the benchmark: one CPU after the other (start=serial), TSC ticks from the first INIT until the last
 * CPU was online, interrupt commands written, waits of a prescribed length (10 ms, 200 us) made. Written once. */
extern bool smp_start_serial;
extern u64 smp_start_ticks, smp_start_commands;
extern u32 smp_start_waits;

/* How many CPUs smp_start_all ought to bring online, itself included: all, less those that the command line excepts. */
u32 smp_start_expected(void);

/* The running CPU is ready for messages. Its interrupts may be off, its inbox is live from here on. Each CPU once,
 * the boot CPU too. Does not return on an AP that smp_start_all has given up. */
void smp_cpu_online(void);
