/* Inside the ACPI parsers: one mapped table, read by offset and never past its end. */
#pragma once

#include "kernel/acpi.h"
#include "lib/log.h"

#define ACPI_HEADER_BYTES 36u /* signature, length, revision, checksum, makers' names (ACPI 6.5, 5.2.6) */

struct acpi_table {
    const u8 *bytes;
    u64 len;
};

/* A line for the user; a line too many is counted. At most ACPI_NOTE_BYTES with the terminating zero. */
#define acpi_note(out, ...)                                                                                  \
    ((out)->note_count < ACPI_NOTES_MAX                                                                      \
         ? (void)format((out)->notes[(out)->note_count++], ACPI_NOTE_BYTES, __VA_ARGS__)                     \
         : (void)(out)->notes_lost++)

/* Little-endian fields. One that lies beyond the end reads as 0, which is what ACPI gives a field that a table of
 * an older revision lacks. */
static inline u64 acpi_field(const struct acpi_table *t, u64 offset, u32 bytes)
{
    u64 v = 0;
    if (offset > t->len || t->len - offset < bytes)
        return 0;
    for (u32 i = 0; i < bytes; i++)
        v |= (u64)t->bytes[offset + i] << (8 * i);
    return v;
}
static inline u8 acpi_u8(const struct acpi_table *t, u64 offset)
{
    return (u8)acpi_field(t, offset, 1);
}
static inline u16 acpi_u16(const struct acpi_table *t, u64 offset)
{
    return (u16)acpi_field(t, offset, 2);
}
static inline u32 acpi_u32(const struct acpi_table *t, u64 offset)
{
    return (u32)acpi_field(t, offset, 4);
}
static inline u64 acpi_u64(const struct acpi_table *t, u64 offset)
{
    return acpi_field(t, offset, 8);
}

/* All bytes of a table add up to 0 modulo 256. */
static inline u8 acpi_sum(const u8 *bytes, u64 len)
{
    u8 sum = 0;
    for (u64 i = 0; i < len; i++)
        sum = (u8)(sum + bytes[i]);
    return sum;
}

static inline bool acpi_signature_is(const u8 *bytes, const char *signature)
{
    for (u32 i = 0; i < 4; i++)
        if (bytes[i] != (u8)signature[i])
            return false;
    return true;
}

/* Checks signature, length (at least `min`, at most `avail`) and checksum of a table whose `avail` bytes are
 * readable. True: *t is the table. False: a note says what was wrong. */
bool acpi_table_check(const u8 *bytes, u64 avail, const char *signature, u64 min, struct acpi_table *t,
                      struct acpi_info *out);
/* Maps and checks the table at p. False: a note says what was wrong. */
bool acpi_table_open(paddr_t p, acpi_map_fn map, const char *signature, u64 min, struct acpi_table *t,
                     struct acpi_info *out);

/* acpi_fadt.c: ports, reset register, and \_S5 by way of the DSDT. */
void acpi_parse_fadt(const struct acpi_table *fadt, acpi_map_fn map, struct acpi_info *out);
/* acpi_remap.c: who translates interrupts; acpi_numa.c: which CPU and memory is near which. */
void acpi_parse_dmar(const struct acpi_table *t, struct acpi_info *out);
void acpi_parse_ivrs(const struct acpi_table *t, struct acpi_info *out);
void acpi_parse_srat(const struct acpi_table *t, struct acpi_info *out);
void acpi_parse_slit(const struct acpi_table *t, struct acpi_info *out);
/* Nodes have the numbers of the SRAT once both tables are read: they may come in either order. */
void acpi_numa_finish(struct acpi_info *out);

/* acpi_s5.c: the sleep types in \_S5. False: there is no such package, or it has another form. */
bool acpi_find_s5(const struct acpi_table *dsdt, u8 *slp_typ_a, u8 *slp_typ_b);
