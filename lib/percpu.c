/* Per-CPU blocks: their first contents and the switch to them. The variables themselves: lib/percpu.h. */
#include "lib/percpu.h"

#include "lib/assert.h"
#include "lib/x86/cpu.h"

#define MSR_GS_BASE 0xc0000101u /* IA32_GS_BASE (SDM volume 4, table 2-2) */

/* CPU 0's first block is percpu_boot: boot/entry64.asm copies the image there and points GS at it. */
__attribute__((section(".percpu.head"), used)) struct percpu_head percpu_head = {.self = (u64)percpu_boot};
u64 percpu_base[MAX_CPUS] = {(u64)percpu_boot};

void percpu_prepare(cpu_t cpu, apic_id_t apic_id, void *block)
{
    ASSERT(cpu < MAX_CPUS && IS_ALIGNED((u64)block, CACHE_LINE_SIZE),
           "a per-CPU block is bound to an index, 64-byte aligned");
    /* CPU 0 has been running on its boot block and keeps what it has counted there; the others start afresh. */
    const void *from = cpu == 0 ? (const void *)percpu_base[0] : percpu_image_start;
    __builtin_memcpy(block, from, (size_t)percpu_size);
    struct percpu_head *head = block;
    head->self = (u64)block;
    head->cpu = cpu;
    head->apic_id = apic_id;
    percpu_base[cpu] = (u64)block;
}

void percpu_set_base(cpu_t cpu)
{
    ASSERT(!irq_enabled(), "an interrupt between two halves of this change would see both blocks");
    wrmsr(MSR_GS_BASE, percpu_base[cpu]);
}
