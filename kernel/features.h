/* What the CPU can do, what of it we use, and the control registers that follow from that. The findings:
 * lib/features.h. */
#pragma once

#include "lib/features.h"

/* Boot CPU, once, after cmdline_parse: fills `features`, `emulator` and wait_scale; applies x2apic=, global=, pcid=,
 * invpcid=, smep=, smap=, pti=. Panics, naming what is missing, on a CPU that cannot run this kernel. */
void features_init(void);

/* Boot CPU, before cpus_prepare chooses the APIC's mode: firmware asks that x2APIC not be turned on (flag X2APIC_OPT_OUT
 * of the DMAR table), mostly because its own SMI handlers know the memory-mapped APIC only. Obeyed unless x2apic=on
 * was given. */
void features_x2apic_opt_out(void);

/* Each CPU, first of all, interrupts off: CR0, CR4, EFER and PAT, written whole and the same everywhere, whatever
 * firmware or INIT has left there. Another CPU than the first must have all that is used (processors can be mixed,
 * firmware can switch a feature off on one of them): one that has not is named with what it lacks, and halts here, so
 * that it never comes online. */
void features_init_cpu(void);

/* CPUID of the running CPU, nothing switched off. Any context. */
void features_detect(struct cpu_features *out);

/* What `used` has and `have` lacks, as words; empty if nothing. Returns how many. Any context. */
u32 features_missing(const struct cpu_features *used, const struct cpu_features *have, char *out,
                     size_t size);

/* The register values that features_init_cpu writes. */
struct control_registers {
    u64 cr0, cr4, efer, pat;
};
struct control_registers features_control_registers(void);
/* What they are on the running CPU now; and new values for it. */
struct control_registers control_registers_read(void);
void control_registers_write(const struct control_registers *r);
