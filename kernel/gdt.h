/* Segments and the task state segment: one GDT and one TSS for each CPU, in its per-CPU block. */
#pragma once

#include "kernel/trap.h"
#include "lib/percpu.h"
#include "lib/types.h"

/* The order is SYSCALL's and SYSRET's: STAR[47:32] = SEL_KERNEL_CODE takes the next entry as SS, STAR[63:48] =
 * SEL_KERNEL_DATA takes SS 8 and CS 16 above it (SDM volume 3A, section 5.8.8). */
enum selector {
    SEL_KERNEL_CODE = 0x08,
    SEL_KERNEL_DATA = 0x10,
    SEL_USER_DATA = 0x18 | 3,
    SEL_USER_CODE = 0x20 | 3,
    SEL_TSS = 0x28, /* two entries long */
};

/* Interrupt stack table entries. These three cannot trust the stack that they interrupt: an NMI can come between
 * SYSCALL and the change of stacks, a double fault mostly means that there is no stack left, a machine check can be
 * both.
 *
 * A debug exception shares the double fault's. From ring 3 it goes on to the thread's stack at once (trap_entry.asm). In the
 * kernel it is a panic, but at the first instruction of the SYSCALL entry: ring 3 can bring one about there, on its own stack
 * pointer, by TF on some machines and by MOV SS before SYSCALL on others (CVE-2018-8897). #NP, which only an IRETQ to ring 3 can bring about
 * here, shares it too. */
enum ist { IST_NONE, IST_NMI, IST_DOUBLE_FAULT, IST_MACHINE_CHECK };

/* 64-bit TSS: SDM volume 3A, figure 7-11. */
struct tss {
    u32 reserved0;
    u64 rsp[3];
    u64 reserved1;
    u64 ist[7]; /* ist[0] is IST 1 */
    u64 reserved2;
    u16 reserved3, iomap_base;
} PACKED;
_Static_assert(sizeof(struct tss) == 104, "as the CPU reads it");

struct cpu_segments {
    u64 gdt[7];
    struct tss tss;
};
DECLARE_PERCPU_ENTRY(struct cpu_segments, cpu_segments);

/* pti=on: TSS.RSP0. Holds what the CPU pushes from ring 3, and what the entry paths put there before the kernel's root is
 * loaded, or after ring 3's is (entry.inc, trap_entry.asm), with what a cost model saves there: 12 words at most. */
struct trap_entry_stack {
    u8 bytes[TRAP_ENTRY_STACK_SIZE];
} __attribute__((aligned(16)));
DECLARE_PERCPU_ENTRY(struct trap_entry_stack, trap_entry_stack);

/* Builds this CPU's GDT and TSS in its current per-CPU block and loads them. Interrupts off; an NMI in between still
 * finds the old tables, whole. */
void gdt_init_cpu(const struct trap_stacks *s);
