/* From the root pointer to the tables we read: MADT (CPUs, I/O APICs), FADT (timer, power, reset), DMAR or IVRS (remapping),
 * SRAT and SLIT (nodes). */
#include "kernel/acpi.h"

#include "kernel/acpi_table.h"

/* The largest servers list about 60 tables (most of them SSDTs); beyond this the count is a broken length field. */
#define TABLES_MAX 256u

/* Where every x86 CPU has its APIC registers after reset (SDM volume 3A, section 11.4.1). */
#define LAPIC_BASE_DEFAULT 0xfee00000ull

#define RSDP_V1_BYTES      20u
#define RSDP_V2_BYTES      36u

/* Where the list of tables stands, by the root pointer (ACPI 6.5, 5.2.5.3). */
struct roots {
    paddr_t xsdt, rsdt; /* 0: not named */
};

static bool rsdp_sum_good(const u8 *rsdp)
{
    static const char signature[] = "RSD PTR ";
    for (u32 i = 0; i < 8; i++)
        if (rsdp[i] != (u8)signature[i])
            return false;
    return acpi_sum(rsdp, RSDP_V1_BYTES) == 0;
}

static struct roots find_roots(const struct boot_info *boot, struct acpi_info *out)
{
    struct roots r = {PADDR(0), PADDR(0)};
    if (boot->have_rsdp_v2) {
        const struct acpi_table v2 = {boot->rsdp_v2, RSDP_V2_BYTES};
        u8 revision = acpi_u8(&v2, 15);
        u32 length = acpi_u32(&v2, 20);
        if (!rsdp_sum_good(v2.bytes)) {
            acpi_note(out, "RSDP (new form): signature or checksum of its first 20 bytes is wrong; ignored");
        } else {
            /* Even if the extension is bad, the first 20 bytes are a whole version 1 structure. */
            r.rsdt = PADDR(acpi_u32(&v2, 16));
            if (revision < 2)
                acpi_note(out, "RSDP (new form): revision %u, an XSDT needs 2; the RSDT is used", revision);
            else if (length != RSDP_V2_BYTES)
                acpi_note(out, "RSDP (new form): says it has %u bytes, must be 36; the RSDT is used", length);
            else if (acpi_sum(v2.bytes, RSDP_V2_BYTES) != 0)
                acpi_note(out, "RSDP (new form): extended checksum is wrong; the RSDT is used");
            else
                r.xsdt = PADDR(acpi_u64(&v2, 24));
        }
    }
    if (r.rsdt.v == 0 && boot->have_rsdp_v1) {
        const struct acpi_table v1 = {boot->rsdp_v1, RSDP_V1_BYTES};
        if (rsdp_sum_good(v1.bytes))
            r.rsdt = PADDR(acpi_u32(&v1, 16));
        else
            acpi_note(out, "RSDP (old form): signature or checksum is wrong; ignored");
    }
    return r;
}

/* The structure's memory is firmware's own. In memory that is given away it would be overwritten, and a CPU that reads there could be
 * sent anywhere: the table is wrong, or meant for another map. Where ranges overlap, the one that is not usable wins (mm/frame_map.h). */
static void check_mailbox(const struct boot_info *boot, struct acpi_info *out)
{
    u64 at = out->wakeup_mailbox.v;
    bool usable = false, kept = false;
    for (u32 i = 0; at && i < boot->mem_count; i++) {
        const struct boot_mem_range *r = &boot->mem[i];
        bool over = r->start.v < at + PAGE_SIZE && (r->start.v > at || at - r->start.v < r->size);
        usable |= over && r->type == BOOT_MEM_USABLE;
        kept |= over && r->type != BOOT_MEM_USABLE;
    }
    if (usable && !kept) {
        acpi_note(out, "MADT: the mailbox at 0x%lx, in usable memory, is ignored; INIT and SIPI are tried",
                  at);
        out->wakeup_mailbox = PADDR(0);
    }
}

static void parse_madt(const struct acpi_table *t, acpi_map_fn map, struct acpi_info *out)
{
    (void)map;
    acpi_parse_madt(t->bytes, t->len, out);
}
#define WITHOUT_MAP(name)                                                                                    \
    static void name##_only(const struct acpi_table *t, acpi_map_fn map, struct acpi_info *out)              \
    {                                                                                                        \
        (void)map;                                                                                           \
        acpi_##name(t, out);                                                                                 \
    }
WITHOUT_MAP(parse_dmar)
WITHOUT_MAP(parse_ivrs)
WITHOUT_MAP(parse_srat)
WITHOUT_MAP(parse_slit)

static const struct kind {
    char signature[5];
    u8 min; /* bytes */
    const char *name;
    void (*parse)(const struct acpi_table *t, acpi_map_fn map, struct acpi_info *out);
} kinds[] = {
    {"APIC", 44, "MADT", parse_madt},      {"FACP", 44, "FADT", acpi_parse_fadt},
    {"DMAR", 48, "DMAR", parse_dmar_only}, {"IVRS", 48, "IVRS", parse_ivrs_only},
    {"SRAT", 48, "SRAT", parse_srat_only}, {"SLIT", 44, "SLIT", parse_slit_only},
};

/* One entry of the list. Only the first good table of each kind counts: firmware that lists a second MADT means the
 * first. *seen: a bit for each kind. */
static void parse_table(paddr_t p, acpi_map_fn map, struct acpi_info *out, u32 *seen)
{
    const u8 *signature = p.v && p.v < (1ull << 52) - ACPI_HEADER_BYTES ? map(p, ACPI_HEADER_BYTES) : NULL;
    struct acpi_table t;

    if (!signature) {
        acpi_note(out, "the list of tables names address 0x%lx, which cannot be mapped; skipped", p.v);
        return;
    }
    for (u32 k = 0; k < ARRAY_SIZE(kinds); k++) {
        if (!acpi_signature_is(signature, kinds[k].signature))
            continue;
        if (*seen >> k & 1) {
            acpi_note(out, "a second %s at 0x%lx; ignored", kinds[k].name, p.v);
        } else if (acpi_table_open(p, map, kinds[k].signature, kinds[k].min, &t, out)) {
            *seen |= 1u << k;
            kinds[k].parse(&t, map, out);
        }
        return;
    }
}

/* Fixed fields, padded with blanks or zeros; whatever else is there, it is text from here on. */
static void copy_text(char *to, const struct acpi_table *t, u64 at, u32 n)
{
    for (u32 i = 0; i < n; i++) {
        u8 c = acpi_u8(t, at + i);
        to[i] = c >= ' ' && c <= '~' ? (char)c : ' ';
    }
    to[n] = 0;
    while (n && to[n - 1] == ' ')
        to[--n] = 0;
}

/* False if the list itself cannot be used. */
static bool parse_list(paddr_t list, const char *signature, u32 entry_bytes, acpi_map_fn map,
                       struct acpi_info *out)
{
    struct acpi_table t;
    u32 seen = 0;

    if (!acpi_table_open(list, map, signature, ACPI_HEADER_BYTES, &t, out))
        return false;
    copy_text(out->oem, &t, 10, 6);
    copy_text(out->oem_table, &t, 16, 8);
    u64 body = t.len - ACPI_HEADER_BYTES, count = body / entry_bytes;
    if (body % entry_bytes)
        acpi_note(out, "%s: %lu bytes left over after %lu whole entries; ignored", signature,
                  body % entry_bytes, count);
    if (count > TABLES_MAX) {
        acpi_note(out, "%s: lists %lu tables, the first %u are read", signature, count, TABLES_MAX);
        count = TABLES_MAX;
    }
    for (u64 i = 0; i < count; i++)
        parse_table(PADDR(acpi_field(&t, ACPI_HEADER_BYTES + i * entry_bytes, entry_bytes)), map, out, &seen);
    return true;
}

void acpi_parse(const struct boot_info *boot, acpi_map_fn map, struct acpi_info *out)
{
    *out = (struct acpi_info){.lapic_base = PADDR(LAPIC_BASE_DEFAULT)};
    struct roots r = find_roots(boot, out);

    if (r.xsdt.v == 0 && r.rsdt.v == 0) {
        acpi_note(out, "the boot loader passed no usable root pointer (RSDP); only the boot CPU can be used");
        return;
    }
    bool listed = r.xsdt.v && parse_list(r.xsdt, "XSDT", 8, map, out);
    if (!listed && r.rsdt.v)
        listed = parse_list(r.rsdt, "RSDT", 4, map, out);
    if (!listed)
        acpi_note(out, "no usable list of tables (XSDT or RSDT); only the boot CPU can be used");
    acpi_numa_finish(out);
    check_mailbox(boot, out);
    if (listed && !out->have_madt)
        acpi_note(out, "no usable MADT; only the boot CPU can be used");
}
