/* Who made the machine, how its CPUs and memory lie, and what firmware left on: facts for the machine record. */
#pragma once

#include "kernel/acpi.h"
#include "lib/boot_info.h"

/* Boot CPU, once, after kmap_init and acpi_read. *acpi stays. */
void firmware_init(const struct boot_info *boot, const struct acpi_info *acpi);

/* What the ACPI tables said; NULL before firmware_init. */
const struct acpi_info *firmware_acpi(void);
