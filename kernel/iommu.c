/* VT-d specification, sections 11.4.3 and 11.4.4.2 (extended capabilities, global status); AMD I/O virtualization specification,
 * section 3.4 (control register). */
#include "kernel/iommu.h"

#include "lib/log.h"
#include "mm/kmap.h"

#define VTD_ECAP      0x10u
#define VTD_ECAP_IR   (1ull << 3)
#define VTD_ECAP_EIM  (1ull << 4)
#define VTD_GSTS      0x1cu
#define VTD_GSTS_TES  (1u << 31)
#define VTD_GSTS_IRES (1u << 25)
#define AMD_CONTROL   0x18u
#define AMD_ENABLE    (1u << 0)

static char text[160] = "none";

static void describe_vtd(const struct acpi_info *acpi, u32 units, u64 ecap, u32 any)
{
    const char *remapping = any & VTD_GSTS_IRES ? "on" : "off";
    if (!acpi->dmar_remaps_interrupts || !(ecap & VTD_ECAP_IR))
        remapping = "not there";
    format(text, sizeof(text), "DMAR, %u units, interrupt remapping %s%s, DMA remapping %s%s", units,
           remapping, ecap & VTD_ECAP_EIM ? " (32-bit APIC ids possible)" : "",
           any & VTD_GSTS_TES ? "on" : "off", acpi->x2apic_opt_out ? ", firmware asks for xAPIC" : "");
}

void iommu_init(const struct acpi_info *acpi)
{
    u64 ecap = ~0ull;
    u32 any = 0, units = 0;
    for (u32 i = 0; i < acpi->iommu_count; i++) {
        volatile u8 *unit = kmap_phys(acpi->iommu[i], PAGE_SIZE, PT_READ | PT_UNCACHED);
        u32 status = unit ? *(volatile u32 *)(unit + (acpi->have_dmar ? VTD_GSTS : AMD_CONTROL)) : ~0u;
        if (status == ~0u)
            continue; /* nothing answers there */
        units++;
        any |= status;
        if (acpi->have_dmar)
            ecap &= *(volatile u64 *)(unit + VTD_ECAP);
    }
    if (acpi->have_dmar && !units)
        format(text, sizeof(text), "DMAR, no unit answers");
    else if (acpi->have_dmar)
        describe_vtd(acpi, units, ecap, any);
    else if (acpi->have_ivrs)
        format(text, sizeof(text), "IVRS, %u units, %s", units, any & AMD_ENABLE ? "on" : "off");
}

const char *iommu_text(void)
{
    return text;
}
