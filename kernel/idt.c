/* The interrupt descriptor table: 256 interrupt gates to the stubs of kernel/trap_entry.asm. */
#include "kernel/idt.h"

#include "apic/vectors.h"
#include "kernel/gdt.h"
#include "kernel/text.h"
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
#define STUB_SIZE      16u   /* trap_entry.asm pads each stub to this */

extern const char trap_stubs[], trap_entry_message[], trap_entry_raw[];
extern const u64 trap_clac_sites[], trap_clac_sites_end[];

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
        return IST_DOUBLE_FAULT;
    case EXC_MACHINE_CHECK:
        return IST_MACHINE_CHECK;
    default:
        return IST_NONE;
    }
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
            .type = GATE_INTERRUPT,
        };
    }
}

void idt_load(void)
{
    lidt(&(struct desc_pointer){sizeof(idt) - 1, (u64)idt});
}

void idt_use_clac(void)
{
    static const u8 clac[] = {0x0f, 0x01, 0xca};
    for (const u64 *site = trap_clac_sites; site < trap_clac_sites_end; site++)
        text_write(*site, clac, sizeof(clac));
    cpu_serialize();
}
