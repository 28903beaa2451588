/* The interrupt descriptor table: 256 interrupt gates to the stubs of kernel/trap_entry.asm. */
#include "kernel/idt.h"

#include "apic/vectors.h"
#include "kernel/gdt.h"
#include "kernel/text.h"
#include "lib/image.h"
#include "lib/x86/desc.h"

/* 64-bit gate: SDM volume 3A, figure 6-8. */
struct gate {
    u16 offset_low, selector;
    u8 ist, type;
    u16 offset_mid;
    u32 offset_high, reserved;
};
_Static_assert(sizeof(struct gate) == 16, "as the CPU reads it");

#define GATE_INTERRUPT 0x8eu /* present, ring 0, 64-bit interrupt gate: the CPU clears IF */
#define GATE_RING3     0x60u /* its DPL: INT n of ring 3 may use it too */
#define STUB_SIZE      16u   /* trap_entry.asm pads each stub to this */

extern const char trap_stubs[], trap_entry_message[], trap_entry_raw[];

static struct gate idt[256] __attribute__((aligned(PAGE_SIZE)));

static const void *entry_of(u32 v)
{
    switch (v) {
    case VECTOR_MESSAGE:
        return trap_entry_message;
    case VECTOR_RAW:
        return trap_entry_raw;
    default:
        return trap_stubs + v * STUB_SIZE;
    }
}

static enum ist ist_of(u32 v)
{
    switch (v) {
    case VECTOR_NMI:
        return IST_NMI;
    case EXC_DOUBLE_FAULT:
    case EXC_DEBUG:
    case EXC_SEGMENT_NOT_PRESENT:
        return IST_DOUBLE_FAULT;
    case EXC_MACHINE_CHECK:
        return IST_MACHINE_CHECK;
    default:
        return IST_NONE;
    }
}

/* DPL 3 for #BP alone, so that INT3 of ring 3 is reported as what it is. Otherwise INT n of ring 3 is #GP: no vector can be
 * imitated. What the hardware raises, #DB by TF or INT1 too, does not ask the DPL (SDM volume 3A, section 6.12.1.2); INTO does
 * not exist in 64-bit mode. */
static u32 type_of(u32 v)
{
    return v == EXC_BREAKPOINT ? GATE_INTERRUPT | GATE_RING3 : GATE_INTERRUPT;
}

void idt_build(void)
{
    for (u32 v = 0; v < 256; v++) {
        u64 entry = (u64)entry_of(v);
        idt[v] = (struct gate){
            .offset_low = (u16)entry,
            .offset_mid = (u16)(entry >> 16),
            .offset_high = (u32)(entry >> 32),
            .selector = SEL_KERNEL_CODE,
            .ist = (u8)ist_of(v),
            .type = (u8)type_of(v),
        };
    }
}

void idt_load(void)
{
    lidt(&(struct desc_pointer){sizeof(idt) - 1, (u64)idt});
}

void idt_use_smap(void)
{
    for (const u64(*site)[2] = smap_sites_start; site < smap_sites_end; site++) {
        const u8 code[] = {0x0f, 0x01, (u8)(*site)[1]};
        text_write((*site)[0], code, sizeof(code));
    }
    cpu_serialize();
}
