/* Whether interrupts of devices are remapped. Volley takes none from devices but the keyboard's, by polling, and sends its own as
 * plain IPIs, which remapping does not touch: this is for the record, and for whoever wonders about x2APIC. */
#pragma once

#include "kernel/acpi.h"

/* Boot CPU, once, after kmap_init: looks at the units' registers. */
void iommu_init(const struct acpi_info *acpi);

/* "none", or "DMAR, 1 units, interrupt remapping off (x2apic ids possible), DMA remapping off". Stays valid. */
const char *iommu_text(void);
