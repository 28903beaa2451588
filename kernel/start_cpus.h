/* Brings up every CPU: memory for each, the first one's own switch to it, and the start of the others. */
#pragma once

#include "kernel/acpi.h"
#include "lib/boot_info.h"

/* Boot CPU, once, after kmap_init and acpi_parse, interrupts off: indexes the CPUs, gives each its per-CPU block and stacks,
 * enables the boot CPU's own APIC and messages. On return interrupts may be turned on. */
void cpus_prepare(const struct acpi_info *acpi);

/* Boot CPU, once, interrupts on, clock calibrated: starts the others, in parallel; returns how many CPUs are online. Those
 * that do not come are named, and the boot goes on without them. */
u32 cpus_start(const struct boot_info *boot);
