#include "kernel/firmware.h"

#include "kernel/iommu.h"
#include "kernel/machine.h"
#include "kernel/smbios.h"
#include "lib/log.h"
#include "mm/kmap.h"
#include "smp/cpus.h"

/* Where BIOSes put the entry point. */
#define BIOS_AREA       0xf0000u
#define BIOS_AREA_BYTES 0x10000u

static const struct acpi_info *acpi;
static struct smbios smbios;

static const void *map(paddr_t p, u64 bytes)
{
    return kmap_phys(p, bytes, PT_READ);
}

void firmware_init(const struct boot_info *boot, const struct acpi_info *tables)
{
    acpi = tables;
    iommu_init(tables);
    if (boot->efi) {
        (void)smbios_find_efi(boot->efi_system_table, map, &smbios);
        return;
    }
    const u8 *area = map(PADDR(BIOS_AREA), BIOS_AREA_BYTES);
    if (area)
        (void)smbios_scan(area, BIOS_AREA_BYTES, map, &smbios);
}

const struct acpi_info *firmware_acpi(void)
{
    return acpi;
}

/* ---- facts ---- */

static void maker_text(char *out, size_t size)
{
    if (smbios.major)
        format(out, size, "%s %s%s%s; firmware %s %s %s", smbios.maker, smbios.product,
               smbios.board[0] ? ", board " : "", smbios.board, smbios.bios_vendor, smbios.bios_version,
               smbios.bios_date);
    else
        format(out, size, "no SMBIOS; ACPI tables by \"%s\" \"%s\"", acpi->oem, acpi->oem_table);
}
static void maker_record(struct json *j)
{
    if (smbios.major) {
        json_str(j, "maker", smbios.maker);
        json_str(j, "product", smbios.product);
        json_str(j, "board", smbios.board);
        json_str(j, "bios_vendor", smbios.bios_vendor);
        json_str(j, "bios_version", smbios.bios_version);
        json_str(j, "bios_date", smbios.bios_date);
    }
    json_str(j, "acpi_oem", acpi->oem);
}
MACHINE_FACT(maker, "made by", maker_text, maker_record);

static void remap_text(char *out, size_t size)
{
    format(out, size, "%s", iommu_text());
}
static void remap_record(struct json *j)
{
    json_str(j, "iommu", iommu_text());
}
MACHINE_FACT(remap, "remapping", remap_text, remap_record);

static u32 cpus_of(u32 node)
{
    u32 n = 0;
    CPUMASK_FOREACH (c, &cpus_online)
        n += acpi_node_of(acpi, cpu_apic_id(c)) == node;
    return n;
}

static void nodes_text(char *out, size_t size)
{
    out[0] = 0;
    int at = 0;
    for (u32 i = 0; i < acpi->node_count && (size_t)at < size; i++) {
        at += format(out + at, size - (size_t)at, "%s%u: %u CPUs, %llu MiB", i ? "; " : "", i, cpus_of(i),
                     (unsigned long long)(acpi->node_bytes[i] / MIB));
        for (u32 k = 0; acpi->have_distances && k < acpi->node_count && (size_t)at < size; k++)
            at += format(out + at, size - (size_t)at, "%s%u", k ? " " : ", distances ", acpi->distance[i][k]);
    }
}
/* "node0":[CPUs, MiB, distances ...], one list for each of the first eight. */
static void nodes_record(struct json *j)
{
    json_u64(j, "nodes", acpi->node_count);
    for (u32 i = 0; i < MIN(acpi->node_count, 8u); i++) {
        u64 values[2 + 8] = {cpus_of(i), acpi->node_bytes[i] / MIB};
        char key[16];
        for (u32 k = 0; k < 8; k++)
            values[2 + k] = acpi->distance[i][k];
        format(key, sizeof(key), "node%u", i);
        json_u64_list(j, key, values, 2 + (acpi->have_distances ? MIN(acpi->node_count, 8u) : 0));
    }
}
MACHINE_FACT(nodes, "nodes", nodes_text, nodes_record);
