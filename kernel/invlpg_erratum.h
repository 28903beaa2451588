/* INVLPG that may leave a global page's entry cached while PCIDs are on: Intel errata ADL063 and RPL042. */
#pragma once

#include "lib/features.h"

/* Is that CPU one of them? microcode: its revision (IA32_BIOS_SIGN_ID, upper half), 0 if not known. Under a hypervisor the
 * revision says nothing, and the model alone decides. *fixed_in, if it is one: the first good revision. Any context. */
bool invlpg_erratum_applies(const struct cpu_features *cpu, u32 microcode, u32 *fixed_in);

/* The running CPU's microcode revision; 0 where it cannot be read. After trap_init. */
u32 invlpg_erratum_microcode(void);
