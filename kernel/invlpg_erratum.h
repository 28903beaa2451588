/* INVLPG that may leave a global page's entry cached while PCIDs are on: Intel errata ADL063 and RPL042. */
#pragma once

#include "lib/features.h"

/* Is that CPU one of them? microcode: its revision (IA32_BIOS_SIGN_ID, upper half), 0 if not known. Under a hypervisor the
 * revision says nothing, and the model alone decides. *fixed_in, if it is one: the first good revision. Any context. */
bool invlpg_erratum_applies(const struct cpu_features *cpu, u32 microcode, u32 *fixed_in);

/* For a CPU that has it: switches one of the two off that it takes, if both are on: PCIDs, because without global pages every flush
 * of a kernel range would cost all other spaces their entries; or global pages, for who insists on PCIDs. Sets f->invlpg_erratum.
 * Returns what the machine goes without, in words. Any context. */
const char *invlpg_erratum_avoid(struct cpu_features *f, bool insists_on_pcid);

/* The running CPU's microcode revision; 0 where it cannot be read. After trap_init. */
u32 invlpg_erratum_microcode(void);
