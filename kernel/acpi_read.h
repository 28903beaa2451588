/* Where the ACPI tables come from: the firmware, or a boot module. */
#pragma once

#include "kernel/acpi.h"

/* Boot CPU, once, after kmap_init: fills *out, and logs what was odd. If the boot loader passed a module called `acpi`
 * (kernel/acpi_image.h), the tables are taken from it, and none from the firmware. */
void acpi_read(const struct boot_info *boot, struct acpi_info *out);
