/* Segments and the task state segment of each CPU. */
#include "kernel/gdt.h"

#include "lib/assert.h"
#include "lib/patch.h"
#include "lib/string.h"
#include "lib/x86/desc.h"
#include "mm/shootdown.h"

PERCPU_ENTRY(struct cpu_segments, cpu_segments);
PERCPU_ENTRY(struct trap_entry_stack, trap_entry_stack);

/* Descriptors with the accessed bit already set, so that loading them writes nothing (SDM volume 3A, section 3.4.5). In
 * 64-bit mode base and limit of code and data segments are ignored; L marks 64-bit code. */
#define DESC_PRESENT        (1ull << 47)
#define DESC_RING(n)        ((u64)(n) << 45)
#define DESC_SEGMENT        (1ull << 44)
#define DESC_CODE           (0xbull << 40) /* execute, read, accessed */
#define DESC_DATA           (0x3ull << 40) /* read, write, accessed */
#define DESC_LONG           (1ull << 53)
#define DESC_TSS            (0x9ull << 40) /* available 64-bit TSS (SDM volume 3A, figure 7-4) */
#define SEGMENT(kind, ring) (DESC_PRESENT | DESC_SEGMENT | DESC_RING(ring) | (kind))

void gdt_init_cpu(const struct trap_stacks *s)
{
    ASSERT(!irq_enabled(), "an interrupt would find half a TSS");
    struct cpu_segments *seg = this_cpu_ptr(cpu_segments);
    u64 base = (u64)&seg->tss, limit = sizeof(seg->tss) - 1;

    struct tss tss;
    memset(&tss, 0, sizeof(tss));
    tss.rsp[0] = patch_on[PATCH_PTI] ? (u64)(this_cpu_ptr(trap_entry_stack) + 1) : seg->tss.rsp[0];
    tss.ist[IST_NMI - 1] = s->nmi;
    tss.ist[IST_DOUBLE_FAULT - 1] = s->double_fault;
    tss.ist[IST_MACHINE_CHECK - 1] = s->machine_check;
    tss.iomap_base = sizeof(tss); /* at the limit: no I/O permission bitmap, so no port for ring 3 */
    seg->tss = tss; /* may be the one in force: each word changes from one good stack to another */

    seg->gdt[0] = 0;
    seg->gdt[SEL_KERNEL_CODE / 8] = SEGMENT(DESC_CODE, 0) | DESC_LONG;
    seg->gdt[SEL_KERNEL_DATA / 8] = SEGMENT(DESC_DATA, 0);
    seg->gdt[SEL_USER_DATA / 8] = SEGMENT(DESC_DATA, 3);
    seg->gdt[SEL_USER_CODE / 8] = SEGMENT(DESC_CODE, 3) | DESC_LONG;
    seg->gdt[SEL_TSS / 8] =
        DESC_PRESENT | DESC_TSS | limit | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
    seg->gdt[SEL_TSS / 8 + 1] = base >> 32;

    lgdt(&(struct desc_pointer){sizeof(seg->gdt) - 1, (u64)seg->gdt});
    segments_load(SEL_KERNEL_CODE, SEL_KERNEL_DATA);
    lldt(0);
    ltr(SEL_TSS);
}

static void bar_user(bool barred)
{
    const u64 code = SEGMENT(DESC_CODE, 3) | DESC_LONG;
    this_cpu_ptr(cpu_segments)->gdt[SEL_USER_CODE / 8] = barred ? code & ~DESC_PRESENT : code;
}
TABLE_ENTRY(shootdown_gate, struct shootdown_gate, user_segment) = {.bar = bar_user};

void trap_set_kernel_stack(u64 top)
{
    this_cpu(percpu_head.kernel_stack) = top;
    if (!patch_enabled(PATCH_PTI))
        this_cpu(cpu_segments.tss.rsp[0]) = top;
}
