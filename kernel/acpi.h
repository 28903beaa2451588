/* ACPI tables: found, checked and read once at boot; nothing keeps a pointer into them. Pure parsers over a reader
 * callback, so that the host can feed them anything (ACPI 6.5, sections 5.2.5 to 5.2.12). */
#pragma once

#include "lib/boot_info.h"
#include "lib/types.h"

#define ACPI_NOTES_MAX  24u
#define ACPI_NOTE_BYTES 112u
/* The longest table that is read. The largest seen are DSDTs of about 1 MiB; a length beyond this is a broken field. */
#define ACPI_TABLE_MAX ((u64)(4 * MIB))

/* More nodes, I/O APICs or remapping units than any x86 machine has been sold with. */
#define ACPI_NODES_MAX   64u
#define ACPI_IOAPICS_MAX 32u
#define ACPI_IOMMUS_MAX  32u

/* Maps physical memory for reading; NULL if that cannot be. Called with 1 .. ACPI_TABLE_MAX bytes, and never
 * across the end of the 52-bit physical address space. */
typedef const void *(*acpi_map_fn)(paddr_t p, u64 bytes);

struct acpi_info {
    /* MADT: enabled CPUs in table order, duplicates and unusable ids left out */
    apic_id_t cpu[MAX_CPUS];
    u32 cpu_count;
    u32 cpus_offline;   /* entries of CPUs that could be added later, but are not there now */
    paddr_t lapic_base; /* of the xAPIC registers; the architecture's default if no table says */
    bool have_madt, pcat_compat, x2apic_opt_out /* DMAR flag */;
    paddr_t wakeup_mailbox; /* MADT type 16: CPUs wait there, and not for INIT and SIPI; 0 if none */
    /* FADT */
    bool have_fadt;
    u16 pm_timer_port; /* 0: none */
    bool pm_timer_32bit;
    u16 smi_cmd; /* 0: the machine is in ACPI mode already; else write acpi_enable there first */
    u8 acpi_enable;
    u16 pm1a_cnt, pm1b_cnt;      /* 0: none */
    u8 slp_typ_s5a, slp_typ_s5b; /* from the DSDT's \_S5 package */
    bool have_s5;
    bool have_reset;
    u8 reset_space, reset_value; /* space: 0 memory, 1 I/O port, 2 PCI configuration space of bus 0 */
    u64 reset_address;
    struct acpi_ioapic {
        paddr_t base;
        u32 gsi; /* number of its first line among all */
    } ioapic[ACPI_IOAPICS_MAX];
    u32 ioapic_count;
    /* DMAR (Intel) or IVRS (AMD): what translates device accesses and interrupts */
    bool have_dmar, have_ivrs, dmar_remaps_interrupts /* DMAR: the platform can */;
    paddr_t iommu[ACPI_IOMMUS_MAX]; /* registers of the units, of whichever table there is */
    u32 iommu_count;
    /* SRAT and SLIT: nodes by our index, in the order in which the SRAT names their proximity domains */
    u32 node_count;
    u32 node_domain[ACPI_NODES_MAX];
    u64 node_bytes[ACPI_NODES_MAX];
    struct acpi_cpu_node {
        apic_id_t id;
        u32 node;
    } cpu_node[MAX_CPUS];
    u32 cpu_node_count;
    bool have_distances;
    u8 distance[ACPI_NODES_MAX][ACPI_NODES_MAX]; /* 10: here; 0: not said */
    char oem[7], oem_table[9];                   /* who made the tables, by the list's header */
    /* what was odd, in words, without "ACPI" in front; kmain logs them */
    char notes[ACPI_NOTES_MAX][ACPI_NOTE_BYTES];
    u32 note_count, notes_lost; /* lost: for which there was no room */
};

/* Never fails as a whole: without usable tables cpu_count is 0 and the notes say why. */
void acpi_parse(const struct boot_info *boot, acpi_map_fn map, struct acpi_info *out);
/* The node of the CPU with this id; ACPI_NODES_MAX: no table says. */
u32 acpi_node_of(const struct acpi_info *info, apic_id_t id);
/* The MADT alone: `len` readable bytes at `table`, added to *out. For tests and fuzzing; acpi_parse uses it. */
void acpi_parse_madt(const u8 *table, u64 len, struct acpi_info *out);
