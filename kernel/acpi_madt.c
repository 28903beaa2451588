/* The MADT: which CPUs there are (ACPI 6.5, section 5.2.12). Types 0 and 9 are taken in one pass in table order,
 * because firmware in x2APIC mode lists ids below 255 as type 0 and mixes both. */
#include "kernel/acpi_table.h"

enum madt_type { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_LAPIC_ADDRESS = 5, MADT_X2APIC = 9, MADT_WAKEUP = 16 };

#define MADT_FIRST_ENTRY     44u /* after the header: address of the local APICs, flags */
#define MADT_PCAT_COMPAT     1u  /* flags: the machine has 8259s too, to be masked */

#define LAPIC_ENABLED        1u
#define LAPIC_ONLINE_CAPABLE 2u
/* Before this revision (ACPI 6.3) bit 1 was reserved, and firmware leaves anything in it. */
#define MADT_REVISION_ONLINE_CAPABLE 5u

/* What goes wrong many times in one table gets one note at the end. */
struct tally {
    u32 duplicates, too_many, short_entries, unused_ids, ioapics_lost;
    apic_id_t first_duplicate;
};

static bool known(const struct acpi_info *out, apic_id_t id)
{
    for (u32 i = 0; i < out->cpu_count; i++)
        if (out->cpu[i] == id)
            return true;
    return false;
}

static void add_cpu(struct acpi_info *out, struct tally *n, apic_id_t id, apic_id_t unusable, u32 flags,
                    u8 revision)
{
    if (!(flags & LAPIC_ENABLED)) {
        /* A socket or hot-plug bay: nobody answers there now, whatever its id. */
        if (revision >= MADT_REVISION_ONLINE_CAPABLE && flags & LAPIC_ONLINE_CAPABLE)
            out->cpus_offline++;
        return;
    }
    if (id == unusable) { /* the broadcast id, which no CPU can have */
        n->unused_ids++;
    } else if (known(out, id)) {
        if (n->duplicates++ == 0)
            n->first_duplicate = id;
    } else if (out->cpu_count == MAX_CPUS) {
        n->too_many++;
    } else {
        out->cpu[out->cpu_count++] = id;
    }
}

static void override_base(struct acpi_info *out, u64 address)
{
    if (address == 0 || !IS_ALIGNED(address, PAGE_SIZE) || address >> 52)
        acpi_note(out, "MADT: override of the APIC address to 0x%lx, which is no page; ignored", address);
    else
        out->lapic_base = PADDR(address);
}

static void add_ioapic(struct acpi_info *out, struct tally *n, u32 address, u32 gsi)
{
    if (address == 0 || !IS_ALIGNED(address, 16) || out->ioapic_count == ACPI_IOAPICS_MAX)
        n->ioapics_lost++;
    else
        out->ioapic[out->ioapic_count++] = (struct acpi_ioapic){PADDR(address), gsi};
}

/* Version 0 of the structure and 1 have the wake-up in common. */
static void set_mailbox(struct acpi_info *out, u64 address)
{
    if (address == 0 || !IS_ALIGNED(address, PAGE_SIZE) || address >> 52)
        acpi_note(out,
                  "MADT: a mailbox at 0x%lx, which is no page, is to wake the CPUs; INIT and SIPI are tried",
                  address);
    else
        out->wakeup_mailbox = PADDR(address);
}

/* The entry of `e.len` bytes; its length has been checked against the table's. */
static void parse_entry(const struct acpi_table *e, u8 revision, struct acpi_info *out, struct tally *n)
{
    static const struct {
        u8 type, min;
    } sizes[] = {
        {MADT_LAPIC, 8}, {MADT_IOAPIC, 12}, {MADT_LAPIC_ADDRESS, 12}, {MADT_X2APIC, 16}, {MADT_WAKEUP, 16}};
    u8 type = acpi_u8(e, 0);

    for (u32 i = 0; i < ARRAY_SIZE(sizes); i++)
        if (sizes[i].type == type && e->len < sizes[i].min) {
            n->short_entries++;
            return;
        }
    switch (type) {
    case MADT_LAPIC:
        add_cpu(out, n, acpi_u8(e, 3), 0xff, acpi_u32(e, 4), revision);
        break;
    case MADT_X2APIC:
        add_cpu(out, n, acpi_u32(e, 4), APIC_ID_NONE, acpi_u32(e, 8), revision);
        break;
    case MADT_LAPIC_ADDRESS:
        override_base(out, acpi_u64(e, 4));
        break;
    case MADT_WAKEUP:
        set_mailbox(out, acpi_u64(e, 8));
        break;
    case MADT_IOAPIC:
        add_ioapic(out, n, acpi_u32(e, 4), acpi_u32(e, 8));
        break;
    default: /* interrupt overrides, NMI lines: of no use to us */
        break;
    }
}

void acpi_parse_madt(const u8 *table, u64 len, struct acpi_info *out)
{
    struct acpi_table t;
    struct tally n = {0};

    if (!acpi_table_check(table, len, "APIC", MADT_FIRST_ENTRY, &t, out))
        return;
    out->have_madt = true;
    if (acpi_u32(&t, 36))
        out->lapic_base = PADDR(acpi_u32(&t, 36));
    out->pcat_compat = acpi_u32(&t, 40) & MADT_PCAT_COMPAT;

    u64 at = MADT_FIRST_ENTRY;
    while (at < t.len) {
        u64 left = t.len - at, size = acpi_u8(&t, at + 1);
        /* An entry has a type and a length at least, and without a good length there is no next one. */
        if (size < 2 || size > left) {
            acpi_note(out,
                      "MADT: entry at offset %lu says it has %lu bytes, %lu are left; the rest is ignored",
                      at, size, left);
            break;
        }
        const struct acpi_table entry = {t.bytes + at, size};
        parse_entry(&entry, acpi_u8(&t, 8), out, &n);
        at += size;
    }

    if (n.duplicates)
        acpi_note(out, "MADT: %u entries repeat an APIC id (first: 0x%x); dropped", n.duplicates,
                  n.first_duplicate);
    if (n.unused_ids)
        acpi_note(out, "MADT: %u enabled CPUs have the broadcast id, which no CPU can have; dropped",
                  n.unused_ids);
    if (n.short_entries)
        acpi_note(out, "MADT: %u entries are shorter than their type needs; skipped", n.short_entries);
    if (n.ioapics_lost)
        acpi_note(out,
                  "MADT: %u I/O APICs at impossible addresses, or more than %u; their lines stay as they are",
                  n.ioapics_lost, ACPI_IOAPICS_MAX);
    if (n.too_many)
        acpi_note(out, "MADT: %u CPUs beyond the %u that fit; they stay off", n.too_many, MAX_CPUS);
    if (out->cpu_count == 0)
        acpi_note(out, "MADT: no enabled CPU in it; only the boot CPU can be used");
}
