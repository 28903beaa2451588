/* Per-CPU variables: one instruction away, through GS.
 *
 *   PERCPU(u64, frames_cached);            in one .c file
 *   DECLARE_PERCPU(u64, frames_cached);    in its header, if others need it
 *   this_cpu(frames_cached)++;             the running CPU's (an lvalue; one instruction, so safe against interrupts)
 *   per_cpu(frames_cached, 3) = 0;         CPU 3's; through lib/atomic.h if CPU 3 may be using it
 *
 * The variables live in section .percpu, linked at address 0: a variable's address is its offset from a CPU's GS base.
 * CPU 0 runs on a copy in .bss (percpu_boot, made by boot/entry64.asm) until percpu_set_base() has given it, like every
 * other CPU, a block of its own; kernel/ allocates the blocks. Interrupts or migration between two uses of this_cpu() may change the CPU: turn one of them off.
 *
 * On the host a variable is an array, indexed by host_cpu(). */
#pragma once

#include "lib/types.h"

#ifdef VOLLEY_HOST

#ifndef HOST_CPUS
#define HOST_CPUS 16
#endif
cpu_t host_cpu(void);
#ifdef HOST_PERCPU_BLOCKS /* as in the kernel, for code that names fields of a variable: a block for each CPU, made by the test */
extern char *host_percpu_block[HOST_CPUS], __start_percpu[], __stop_percpu[];
#define PERCPU(type, name)         __attribute__((section("percpu"), used)) type name
#define DECLARE_PERCPU(type, name) extern __attribute__((section("percpu"))) type name
#define per_cpu(name, cpu)         (*(__typeof__(name) *)(host_percpu_block[cpu] + ((char *)&(name)-__start_percpu)))
#define this_cpu(name)             per_cpu(name, host_cpu())
#define this_cpu_ptr(name)         (&this_cpu(name))
#else
#define PERCPU(type, name)         type name[HOST_CPUS]
#define DECLARE_PERCPU(type, name) extern type name[HOST_CPUS]
#define this_cpu(name)             (name[host_cpu()])
#define this_cpu_ptr(name)         (&name[host_cpu()])
#define per_cpu(name, cpu)         (name[cpu])
#endif
#define PERCPU_ENTRY(type, name)         PERCPU(type, name)
#define DECLARE_PERCPU_ENTRY(type, name) DECLARE_PERCPU(type, name)
#ifndef VOLLEY_SIM
#define this_cpu_store(name, v) (this_cpu(name) = (v))
#endif
static inline cpu_t cpu_self(void)
{
    return host_cpu();
}
#ifdef VOLLEY_SIM
#include "lib/x86/sim.h"
#define this_cpu_store(name, v) sim_store(this_cpu_ptr(name), sizeof(name[0]), (u64)(v), __func__)
/* The fields of the head that mm/ uses: each an array, because this_cpu puts the index behind the name. */
extern struct sim_percpu_head {
    u32 user_work[HOST_CPUS];
    u64 kernel_cr3[HOST_CPUS], user_cr3[HOST_CPUS];
} percpu_head;
#endif

#else

#define PERCPU(type, name)               __attribute__((section(".percpu"), used)) type name
#define DECLARE_PERCPU(type, name)       extern __attribute__((section(".percpu"))) type name

/* The same beside the head, in the page that ring 3's roots map too when page-table isolation is on (kernel/pti.c): for what
 * the CPU and the entry paths need before the kernel's root is loaded. */
#define PERCPU_ENTRY(type, name)         __attribute__((section(".percpu.entry"), used)) type name
#define DECLARE_PERCPU_ENTRY(type, name) extern __attribute__((section(".percpu.entry"))) type name

/* The part that assembly knows, at offset 0. tools/asm-offsets generates the numbers for NASM from this struct. */
struct percpu_head {
    u64 self;         /* virtual address of this CPU's block, so that &this = gs:0 */
    u64 kernel_stack; /* top of the stack on which ring 3 enters the kernel */
    u64 scratch;      /* the system-call entry's one spare word */
    cpu_t cpu;        /* our index */
    apic_id_t apic_id;
    u32 irq_depth;     /* interrupt handlers entered and not left, NMIs not counted */
    u32 nmi_depth;     /* NMI and machine-check handlers entered and not left */
    u32 preempt_depth; /* preempt_disable() calls not yet undone */
    u32 user_work;  /* what to do before the return to ring 3 (kernel/thread.h: enum user_work); 0: nothing */
    u64 kernel_cr3; /* pti=on: loaded on entry from ring 3 */
    u64 user_cr3; /* pti=on: loaded before the return to ring 3; bit 63 clear: forgets the user half's entries */
};
_Static_assert(sizeof(struct percpu_head) == CACHE_LINE_SIZE, "the assembly-visible head is one cache line");

extern struct percpu_head percpu_head; /* defined in lib/percpu.c, first in .percpu (linker.ld) */
extern u64 percpu_base[MAX_CPUS];      /* GS base of each CPU; 0 where there is none */
extern const char percpu_image_start[], percpu_image_end[]; /* linker.ld: the initial image, as loaded */
extern const char percpu_size[];                            /* linker.ld: its size, as an address */
extern char percpu_boot[]; /* linker.ld: CPU 0's block until it gets its own */

#define this_cpu(name)                   (*(__typeof__(name) __seg_gs *)(uintptr_t) & (name))
#define this_cpu_ptr(name)               ((__typeof__(name) *)(this_cpu(percpu_head.self) + (uintptr_t) & (name)))
/* For a variable that other CPUs read: one store, seen in program order. */
#define this_cpu_store(name, v)          (this_cpu(name) = (v))
#define per_cpu(name, cpu)               (*(__typeof__(name) *)(percpu_base[cpu] + (uintptr_t) & (name)))

static ALWAYS_INLINE cpu_t cpu_self(void)
{
    return this_cpu(percpu_head.cpu);
}

/* Copies the initial image into block (percpu_size bytes, 64-byte aligned, mapped on all CPUs), fills its head and
 * records it in percpu_base. Any CPU may do this for another one that has not started. CPU 0's block gets the values that
 * CPU 0 has now instead, so it calls percpu_set_base(0) straight after, with interrupts off throughout. */
void percpu_prepare(cpu_t cpu, apic_id_t apic_id, void *block);

/* Makes the running CPU use its prepared block: writes IA32_GS_BASE. Interrupts off. */
void percpu_set_base(cpu_t cpu);

#endif /* VOLLEY_HOST */
