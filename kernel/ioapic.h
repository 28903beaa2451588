/* The I/O APICs' lines, masked at boot: firmware can leave a timer or a keyboard routed to a vector that is ours by now. */
#pragma once

#include "kernel/acpi.h"

/* Boot CPU, once, after kmap_init. A line that firmware has routed to its own SMI handler stays. */
void ioapic_mask_all(const struct acpi_info *acpi);

/* Lines of all I/O APICs that are neither masked nor an SMI's; 0 is right. *lines: how many there are. THREAD. */
u32 ioapic_unmasked(u32 *lines);
