/* A machine's ACPI tables for host tests: built byte by byte in a small physical memory, with right checksums. */
#pragma once

#include "kernel/acpi.h"
#include "tests/host/host.h"

/* Fake physical memory starts here, so that address 0 is never valid. */
#define FAKE_BASE  0x7fe0000ull
#define FAKE_BYTES 0x4000u

/* Where fake_tables_build places them. */
#define FAKE_XSDT (FAKE_BASE + 0x0003) /* ACPI tables need not be aligned */
#define FAKE_RSDT (FAKE_BASE + 0x0100)
#define FAKE_MADT (FAKE_BASE + 0x0200)
#define FAKE_FADT (FAKE_BASE + 0x0801)
#define FAKE_DMAR (FAKE_BASE + 0x0a00)
#define FAKE_DSDT (FAKE_BASE + 0x0b00)
#define FAKE_SRAT (FAKE_BASE + 0x0c00)
#define FAKE_SLIT (FAKE_BASE + 0x0d00)

extern u8 fake_memory[FAKE_BYTES];

static inline u8 *fake_at(u64 address)
{
    return fake_memory + (address - FAKE_BASE);
}
void fake_put(u8 *to, u64 value, u32 bytes); /* little-endian; bytes past the eighth are 0 */

/* Table under construction: a header of 36 bytes, then what is appended; table_end sets length and checksum. */
struct fake_table {
    u8 *start;
    u32 len;
};
struct fake_table fake_table_begin(u8 *at, const char *signature, u8 revision);
void fake_table_add(struct fake_table *t, u64 value, u32 bytes);
void fake_table_end(struct fake_table *t);
/* Makes the checksum byte of a table right again; reads the length from its header, at most `max` bytes. */
void fake_table_fix(u8 *start, u64 max);

/* MADT entries. */
void fake_madt_begin(struct fake_table *t, u8 *at, u8 revision);
void fake_madt_lapic(struct fake_table *t, u8 id, u32 flags);
void fake_madt_x2apic(struct fake_table *t, u32 id, u32 flags);

/* Four CPUs (ids 0, 2, 4 of type 0 and 0x145 of type 9), a FADT of revision 5, a DSDT with \_S5 = {5, 5}, a DMAR with one
 * unit, and two nodes: domains 3 (CPUs 0 and 2, 1 GiB) and 7 (CPU 0x145, 2 GiB), 10 and 21 apart. */
void fake_tables_build(struct boot_info *boot);
void fake_rsdp_fix(struct boot_info *boot);

/* An acpi_map_fn: each mapping is a heap copy of exactly the bytes asked for, so that the address sanitizer sees
 * any read beyond them. NULL outside the fake memory. */
const void *fake_map(paddr_t p, u64 bytes);
void fake_map_release(void); /* frees all copies */
extern u64 fake_map_bad;     /* calls that broke the rules of acpi_map_fn */

/* acpi_parse over the fake memory, then release. */
void fake_parse(const struct boot_info *boot, struct acpi_info *out);
/* Whether some note contains the words. */
bool fake_noted(const struct acpi_info *info, const char *words);
