/* What the AP trampoline needs, at the end of its page. boot/trampoline.asm reads it by offsets that tools/asm-offsets
 * generates from this struct; smp/ fills it in before the first SIPI. */
#pragma once

#include "lib/types.h"

/* One for each CPU that is to start; the AP finds its own by APIC id. */
struct ap_slot {
    apic_id_t apic_id;
    u32 claimed; /* 0, then 1 by LOCKed exchange: a second start of the same CPU halts */
    u64 stack;   /* top of its first stack, kernel virtual */
    u64 cpu;     /* our index, first argument of entry */
};

struct ap_params {
    u64 page;      /* physical address of the trampoline page, below 1 MiB */
    u64 temp_cr3;  /* physical, below 4 GiB: the kernel half, and the trampoline page mapped one to one */
    u64 final_cr3; /* the kernel's own root, anywhere */
    u64 efer;      /* as on the boot CPU, LMA left out */
    u64 cr0,
        cr4; /* as on the boot CPU; of CR4 what every 64-bit processor has, as the others are not known yet */
    u64 slots;      /* struct ap_slot *, kernel virtual */
    u64 slot_count; /* entries there */
    u64 entry;      /* NORETURN void entry(u64 cpu), kernel virtual */
    u64 xapic_id;   /* the local APIC's id register, kernel virtual; 0: x2APIC is used */
    u64 xapic_base; /* IA32_APIC_BASE, without its bits 0 to 9, of a CPU that has the register there */
    u32 arrived;    /* counted up by every AP that got as far as 64-bit code, known or not */
    u32 unknown;    /* APs whose id stands in no slot: counted, then halted */
};
