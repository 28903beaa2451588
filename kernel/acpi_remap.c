/* DMAR and IVRS: the units that translate what devices send. Only where they are, to see whether firmware has left interrupt
 * remapping on (VT-d specification, chapter 8; AMD I/O virtualization specification, section 5.2). */
#include "kernel/acpi_table.h"

#define DMAR_FLAGS          37u
#define DMAR_INTR_REMAP     (1u << 0)
#define DMAR_X2APIC_OPT_OUT (1u << 1)
#define REMAP_FIRST_ENTRY   48u /* in both tables */
#define DMAR_DRHD           0u  /* 16-bit type, 16-bit length, flags, segment, register base at 8 */
#define DRHD_BYTES          16u
#define IVHD_BYTES          24u /* 8-bit type and flags, 16-bit length, ..., base at 8 */

static void add_unit(struct acpi_info *out, const char *table, u64 base)
{
    if (base == 0 || !IS_ALIGNED(base, PAGE_SIZE) || base >> 52) {
        acpi_note(out, "%s: a unit at 0x%lx, which is no page; ignored", table, base);
        return;
    }
    for (u32 i = 0; i < out->iommu_count; i++)
        if (out->iommu[i].v == base)
            return; /* IVRS describes one unit in several forms */
    if (out->iommu_count == ACPI_IOMMUS_MAX)
        acpi_note(out, "%s: more than %u units; the one at 0x%lx is ignored", table, ACPI_IOMMUS_MAX, base);
    else
        out->iommu[out->iommu_count++] = PADDR(base);
}

/* Calls for each entry that is whole; 16 bits of length at offset 2 in both tables. */
static void walk(const struct acpi_table *t, const char *table, struct acpi_info *out,
                 void (*entry)(const struct acpi_table *e, struct acpi_info *out))
{
    for (u64 at = REMAP_FIRST_ENTRY; at < t->len;) {
        u64 size = acpi_u16(t, at + 2), left = t->len - at;
        if (size < 4 || size > left) {
            acpi_note(out, "%s: entry at offset %lu says it has %lu bytes, %lu are left; the rest is ignored",
                      table, at, size, left);
            return;
        }
        const struct acpi_table e = {t->bytes + at, size};
        entry(&e, out);
        at += size;
    }
}

static void dmar_entry(const struct acpi_table *e, struct acpi_info *out)
{
    if (acpi_u16(e, 0) != DMAR_DRHD)
        return;
    if (e->len < DRHD_BYTES)
        acpi_note(out, "DMAR: a unit's entry of %lu bytes, needs %u; skipped", e->len, DRHD_BYTES);
    else
        add_unit(out, "DMAR", acpi_u64(e, 8));
}

void acpi_parse_dmar(const struct acpi_table *t, struct acpi_info *out)
{
    u8 flags = acpi_u8(t, DMAR_FLAGS);
    out->have_dmar = true;
    out->dmar_remaps_interrupts = flags & DMAR_INTR_REMAP;
    out->x2apic_opt_out = flags & DMAR_X2APIC_OPT_OUT;
    walk(t, "DMAR", out, dmar_entry);
}

static void ivrs_entry(const struct acpi_table *e, struct acpi_info *out)
{
    u8 type = acpi_u8(e, 0);
    if (type != 0x10 && type != 0x11 && type != 0x40)
        return;
    if (e->len < IVHD_BYTES)
        acpi_note(out, "IVRS: a unit's entry of %lu bytes, needs %u; skipped", e->len, IVHD_BYTES);
    else
        add_unit(out, "IVRS", acpi_u64(e, 8));
}

void acpi_parse_ivrs(const struct acpi_table *t, struct acpi_info *out)
{
    out->have_ivrs = true;
    walk(t, "IVRS", out, ivrs_entry);
}
