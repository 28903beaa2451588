/* One ACPI table: mapped in two steps (header, then what the header says), and believed only when its sum is right. */
#include "kernel/acpi_table.h"

/* Physical addresses have at most 52 bits (SDM volume 3A, section 4.1.4). */
#define PHYS_END (1ull << 52)

bool acpi_table_check(const u8 *bytes, u64 avail, const char *signature, u64 min, struct acpi_table *t,
                      struct acpi_info *out)
{
    if (avail < ACPI_HEADER_BYTES) {
        acpi_note(out, "%s: %lu bytes, a table header has %u; ignored", signature, avail, ACPI_HEADER_BYTES);
        return false;
    }
    if (!acpi_signature_is(bytes, signature)) {
        acpi_note(out, "%s: the table found there has signature bytes %02x %02x %02x %02x; ignored",
                  signature, bytes[0], bytes[1], bytes[2], bytes[3]);
        return false;
    }
    *t = (struct acpi_table){bytes, ACPI_HEADER_BYTES};
    u64 len = acpi_u32(t, 4);
    if (len < min || len > avail) {
        acpi_note(out, "%s: says it has %lu bytes, allowed are %lu to %lu; ignored", signature, len, min,
                  avail);
        return false;
    }
    u8 sum = acpi_sum(bytes, len);
    if (sum != 0) {
        acpi_note(out, "%s: its %lu bytes add up to 0x%02x, must be 0 (checksum); ignored", signature, len,
                  sum);
        return false;
    }
    t->len = len;
    return true;
}

bool acpi_table_open(paddr_t p, acpi_map_fn map, const char *signature, u64 min, struct acpi_table *t,
                     struct acpi_info *out)
{
    if (p.v == 0 || p.v >= PHYS_END - ACPI_TABLE_MAX) {
        acpi_note(out, "%s: its address 0x%lx is no memory; ignored", signature, p.v);
        return false;
    }
    const u8 *header = map(p, ACPI_HEADER_BYTES);
    if (!header) {
        acpi_note(out, "%s: cannot map its header at 0x%lx; ignored", signature, p.v);
        return false;
    }
    *t = (struct acpi_table){header, ACPI_HEADER_BYTES};
    u64 len = acpi_u32(t, 4);
    if (!acpi_signature_is(header, signature)) /* says so, and stops before trusting the length */
        return acpi_table_check(header, ACPI_HEADER_BYTES, signature, min, t, out);
    if (len < min || len > ACPI_TABLE_MAX) {
        acpi_note(out, "%s: says it has %lu bytes, allowed are %lu to %lu; ignored", signature, len, min,
                  ACPI_TABLE_MAX);
        return false;
    }
    const u8 *bytes = map(p, len);
    if (!bytes) {
        acpi_note(out, "%s: cannot map its %lu bytes at 0x%lx; ignored", signature, len, p.v);
        return false;
    }
    return acpi_table_check(bytes, len, signature, min, t, out);
}
