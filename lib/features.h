/* What this machine can do and what we chose to use: written once at boot by kernel/features.c, read anywhere.
 * Command-line switches (x2apic=off, global=off, ...) have already been applied. */
#pragma once

#include "lib/types.h"

struct cpu_features {
    bool x2apic, nx, pge, page_1g, pcid, invpcid, smep, smap, umip, mwait, tsc_deadline, invariant_tsc,
        hypervisor;
    bool xsave, fsgsbase, rdtscp, la57;
    bool pti;            /* asked for: kernel/pti.c */
    bool invlpg_erratum; /* the boot CPU has it: not both pge and pcid. kernel/invlpg_erratum.h */
    u8 phys_bits, virt_bits;
    char vendor[13], brand[49], hypervisor_id[13];
    u32 family, model, stepping;
};
extern struct cpu_features features;

/* Where we run, told at boot: decides wait_scale, the debug port, what the records say. */
enum emulator { EMULATOR_NONE, EMULATOR_TCG, EMULATOR_BOCHS, EMULATOR_KVM, EMULATOR_OTHER };
extern enum emulator emulator;
const char *emulator_name(void);
